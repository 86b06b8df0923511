"""Which CA a command talks to, what makes it trusted, and how its answers end a command."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from mica.cli import errors
from mica.cli.files import read_input
from mica.cli.paths import mica_path
from mica.client import Client, ClientError, KeyProblem, Refused, Unreachable, normalize
from mica.client.tls import fingerprint

if TYPE_CHECKING:
    from mica.tokens import UnverifiedToken

_EXPLICIT = (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """A CA that can be asked, and the root that proves it."""

    client: Client
    root_fingerprint: str = field(default="")
    """Hex SHA-256 of the (first) root that is trusted."""

    @property
    def url(self) -> str:
        """The CA's URL, normalised."""
        return self.client.url


@contextmanager
def reported() -> Iterator[None]:
    """What the client side raises ends the command with the exit code of its kind. Also a decorator."""
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


def connect(ca_url: str | None, root: Path | None) -> Connection:
    """The CA at ``ca_url``, trusted by ``root`` or by what ``ca bootstrap`` left; raises Usage, FileProblem."""
    if ca_url is None:
        raise errors.Usage(
            "flag '--ca-url' is required", hint="or run once: mica ca bootstrap --ca-url … --fingerprint …"
        )
    return _connection(ca_url, read_roots(root))


def connect_by_token(token: "UnverifiedToken", ca_url: str | None, root: Path | None) -> Connection:
    """The CA that the token is for: its URL from ``aud`` and its root from ``sha``, unless flags say otherwise.

    What ``defaults.json`` says counts only where the token says nothing: it may be about another CA.
    """
    url = ca_url if _is_explicit("ca_url") else _audience_url(token) or ca_url
    if url is None:
        raise errors.Usage("flag '--ca-url' is required: the token's audience is not the URL of a CA")
    pinned = token.text("sha").lower()
    if _is_explicit("root") or not pinned:
        return _connection(url, read_roots(root))
    roots = _local_root(root, pinned) or Client(url).root(pinned).encode()
    return _connection(url, roots)


def read_roots(root: Path | None) -> bytes:
    """The PEM file of the root that is to be trusted; raises FileProblem with the remedy."""
    path = root or mica_path() / "certs" / "root_ca.crt"
    try:
        data = read_input(path)
    except errors.FileProblem as error:
        if root is None and not path.exists():
            hint = "name it with --root, or run: mica ca bootstrap --ca-url … --fingerprint …"
            raise errors.FileProblem(f"{path}: no root certificate is trusted here yet", hint=hint) from None
        raise error from None
    if b"-----BEGIN CERTIFICATE-----" not in data:
        raise errors.FileProblem(f"{path}: holds no certificate in PEM", hint="--root names the CA's root certificate")
    return data


def root_fingerprint(path: Path | str, data: bytes) -> str:
    """Hex SHA-256 of the first certificate in ``data``; raises FileProblem naming ``path``."""
    try:
        return fingerprint(data.decode("ascii", "replace"))
    except ValueError as error:
        raise errors.FileProblem(f"{path}: holds no certificate in PEM") from error


def _connection(url: str, roots: bytes) -> Connection:
    return Connection(client=Client(url, roots), root_fingerprint=root_fingerprint("the root certificate", roots))


def _audience_url(token: "UnverifiedToken") -> str | None:
    for audience in token.audiences:
        if audience.startswith("https://"):
            try:
                return normalize(audience)
            except ValueError:
                continue
    return None


def _local_root(root: Path | None, pinned: str) -> bytes | None:
    """The root that is here already, when it is the one that the token names; it saves a question to the CA."""
    try:
        data = read_roots(root)
        return data if root_fingerprint("", data) == pinned else None
    except errors.FileProblem:
        return None


def _is_explicit(parameter: str) -> bool:
    return click.get_current_context().get_parameter_source(parameter) in _EXPLICIT
