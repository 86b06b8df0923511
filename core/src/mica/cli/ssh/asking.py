"""The SSH half of the CA that a command asks, and what it says when the CA has none."""

import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from mica.cli import options
from mica.cli.ca.connection import Connection, read_roots
from mica.cli.errors import RefusedByCA
from mica.client import Client, ClientError, Refused, Unreachable
from mica.client.ssh import SSHClient
from mica.client.transport import TIMEOUT

Result = TypeVar("Result")

#: How a CA without SSH answers: a question so, an order so.
NOT_FOUND, NOT_IMPLEMENTED = 404, 501


def ssh_of(ca_url: str | None, root: Path | None, *, patience: timedelta = timedelta(seconds=TIMEOUT)) -> SSHClient:
    """The SSH half of the CA at ``ca_url``, trusted by ``root`` or by what ``ca bootstrap`` left.

    ``patience`` is how long it may take to connect, and again to answer. Raises Usage, FileProblem.
    """
    url = options.require_ca_url(ca_url)
    return Client(url, read_roots(root), timeout=patience.total_seconds()).ssh


def user_keys(connection: Connection) -> tuple[bytes, ...]:
    """The CA's own keys that sign users' certificates; raises RefusedByCA, and what the client raises."""
    with explained(connection.url):
        return connection.client.ssh.roots().user


@contextmanager
def explained(
    ca_url: str | None, statuses: Collection[int] = frozenset({NOT_FOUND, NOT_IMPLEMENTED})
) -> Iterator[None]:
    """A CA that has no SSH half, which these ``statuses`` mean, is told of as such; raises RefusedByCA."""
    try:
        yield
    except Refused as error:
        if error.status not in statuses:
            raise
        raise RefusedByCA(
            f"the CA at {ca_url} is not configured for SSH",
            hint="its operator adds that: mica ca enable-ssh; or is another CA meant? --ca-url or --context names it",
            request_id=error.request_id or None,
        ) from error


def in_time(ask: Callable[[], Result], patience: timedelta) -> Result:
    """What ``ask`` gives within ``patience``; raises Unreachable afterwards, and what ``ask`` raises of the client.

    No time limit of a socket ends the search for an address, nor an answer that comes in drops; this one does.
    """
    results: list[Result | ClientError] = []

    def run() -> None:
        try:
            results.append(ask())
        except ClientError as error:
            results.append(error)
        except (OSError, ValueError) as error:
            results.append(Unreachable(f"the CA cannot be asked: {error}"))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(patience.total_seconds())
    if not results:
        raise Unreachable(f"the CA does not answer within {patience.total_seconds():g} seconds")
    if isinstance(results[0], ClientError):
        raise results[0]
    return results[0]
