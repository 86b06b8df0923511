"""How the answers of a CA, and its silence, end a command."""

from collections.abc import Iterator
from contextlib import contextmanager

from mica.cli import errors
from mica.cli.console import progress


@contextmanager
def reported() -> Iterator[None]:
    """What the client side raises ends the command with the exit code of its kind. Also a decorator."""
    from mica.client import ClientError, KeyProblem, Refused, Unreachable  # help asks no CA
    from mica.client.transport import waiting

    before = waiting.set(progress)
    try:
        yield
    except Refused as error:
        raise errors.RefusedByCA(
            f"the CA refused: {error}", hint=error.hint or None, request_id=error.request_id or None
        ) from error
    except Unreachable as error:
        raise errors.Unreachable(str(error), hint=error.hint or None) from error
    except KeyProblem as error:
        raise errors.FileProblem(str(error), hint=error.hint or None) from error
    except ClientError as error:
        raise errors.CLIError(str(error), hint=error.hint or None) from error
    finally:
        waiting.reset(before)
