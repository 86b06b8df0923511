"""Which CA a command talks to, and what makes it trusted."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from mica.cli import errors, options
from mica.cli.console import chosen
from mica.cli.files import read_input
from mica.cli.paths import mica_path
from mica.client import Client, normalize
from mica.client.tls import fingerprint

if TYPE_CHECKING:
    from mica.cli.ca.offline import Offline
    from mica.client import CA
    from mica.tokens import UnverifiedToken

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_EXPLICIT = (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """A CA that can be asked, and the root that proves it."""

    client: "CA"
    root_fingerprint: str = field(default="")
    """Hex SHA-256 of the (first) root that is trusted."""
    offline: bool = False
    """Whether the CA is in this process, so that nobody is connected to."""

    @property
    def url(self) -> str:
        """The CA's URL, normalised."""
        return self.client.url

    def introduce(self) -> None:
        """Who is asked is on stderr, when somebody is."""
        if not self.offline:
            chosen("CA", self.url)


def connect(ca_url: str | None, root: Path | None, offline: "Offline | None" = None) -> Connection:
    """The CA at ``ca_url``, trusted by ``root`` or by what ``ca bootstrap`` left; with ``offline``, this host's own.

    Raises Usage, FileProblem; offline PromptNeeded too, when the CA's keys have a password.
    """
    if offline is not None:
        _refuse_typed("ca_url", "root")
        local = offline.open()
        return Connection(client=local, root_fingerprint=local.root_fingerprint, offline=True)
    return _connection(options.require_ca_url(ca_url), read_roots(root))


def connect_by_token(token: "UnverifiedToken", ca_url: str | None, root: Path | None) -> Connection:
    """The CA that the token is for: its URL from ``aud`` and its root from ``sha``, unless flags say otherwise.

    What ``defaults.json`` says counts only where the token says nothing, or is an identity provider's: it may be about
    another CA.
    """
    from mica.cli.ca.ordering import is_identity  # only where there is a token

    # Whom an identity provider calls the audience is its client, whatever that looks like.
    known = _is_explicit("ca_url") or (ca_url and is_identity(token))
    url = ca_url if known else _audience_url(token) or ca_url
    if url is None:
        raise errors.Usage("flag '--ca-url' is required: the token's audience is not the URL of a CA")
    pinned = token.text("sha").lower()
    if _is_explicit("root") or not pinned:
        return _connection(url, read_roots(root))
    roots = _local_root(root, pinned) or Client(url).root(pinned).encode()
    return _connection(url, roots)


def read_roots(root: Path | None) -> bytes:
    """The root that is to be trusted, in PEM, out of PEM or DER; raises FileProblem with the remedy."""
    path = root or mica_path() / "certs" / "root_ca.crt"
    try:
        data = read_input(path)
    except errors.FileProblem as error:
        if root is None and not path.exists():
            hint = "name it with --root, or run: mica ca bootstrap --ca-url … --fingerprint …"
            raise errors.FileProblem(f"{path}: no root certificate is trusted here yet", hint=hint) from None
        raise error from None
    return _pem(data, path)


def _pem(data: bytes, path: Path) -> bytes:
    """The certificates in ``data`` and nothing else, in PEM; raises FileProblem when TLS could not trust them."""
    import ssl  # slow, and help needs none of it

    blocks = _CERTIFICATE.findall(data)
    pem = b"\n".join(blocks) if b"-----BEGIN" in data else ssl.DER_cert_to_PEM_cert(data).encode()
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem.decode("ascii"))
    except (ssl.SSLError, ValueError) as error:  # ValueError: nothing, or no ASCII
        from mica.cli.mistakes import mistaken  # only for this message

        raise mistaken(data, path, "a certificate") from error
    return pem + b"\n"


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


def _refuse_typed(*parameters: str) -> None:
    """None of these flags stands on the command line; elsewhere they are about some CA, and do not count here."""
    context = click.get_current_context()
    for name in parameters:
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise errors.Usage(
                f"flag '--{name.replace('_', '-')}' is incompatible with '--offline'",
                hint="the configuration says where the CA is, and which root it has; --ca-config names it",
            )


def _is_explicit(parameter: str) -> bool:
    return click.get_current_context().get_parameter_source(parameter) in _EXPLICIT
