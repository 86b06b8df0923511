"""``mica ca certificate`` and ``mica ca sign``: a certificate for a new key, or for a CSR.

Files, overwriting and passwords are settled before the CA is asked, and both files are on disk before either takes its
name: a wrong path costs no certificate, and an existing pair stays a pair.
"""

from datetime import datetime, timedelta
from pathlib import Path

import click

from mica.cli import options
from mica.cli.ca import csrs
from mica.cli.ca.connection import Connection, connect, connect_by_token, reported
from mica.cli.ca.delivery import MODE, accept, tell
from mica.cli.ca.desk import given
from mica.cli.ca.diagnosis import diagnosed
from mica.cli.console import chosen
from mica.cli.errors import FileProblem, Usage
from mica.cli.files import settle, write_all
from mica.cli.keys import key_pem
from mica.cli.options import FILE
from mica.client import Issued
from mica.errors import Unauthorized
from mica.grants import Operation
from mica.keyfiles import generate
from mica.tokens import UnverifiedToken

When = datetime | timedelta | None


@click.command()
@click.argument("subject")
@click.argument("crt_file", type=FILE)
@click.argument("key_file", type=FILE)
@click.option("--san", "sans", multiple=True, metavar="NAME", help="DNS name, IP, e-mail or URI [SUBJECT].")
@options.token
@options.validity
@options.key
@options.provisioner
@options.password_file("Password of the provisioner's key", alias_of="--provisioner-password-file")
@click.option("--key-password-file", metavar="FILE", help="Password to encrypt the new key with: a file, -, fd:N.")
@options.connection
@options.force
@options.json_output
@reported()
def certificate(
    subject: str,
    crt_file: Path,
    key_file: Path,
    sans: tuple[str, ...],
    token: str | None,
    not_before: When,
    not_after: When,
    kty: str | None,
    curve: str | None,
    size: int | None,
    provisioner: str | None,
    provisioner_password_file: str | None,
    password_file: str | None,
    key_password_file: str | None,
    ca_url: str | None,
    root: Path | None,
    force: bool,
) -> None:
    """Make a key, get a certificate for SUBJECT, and write both: CRT_FILE with its issuers, KEY_FILE."""
    algorithm = options.key_algorithm(kty, curve, size)
    ready = parse_token(token)
    names = _names(subject, sans, ready)
    csrs.check_names(names)
    settle([key_file, crt_file], force=force)
    key_password = given(key_password_file)
    password = given(provisioner_password_file or password_file)
    connection = _connection(ready, ca_url, root)
    if ready is None:
        ready = _order(connection, subject, names, provisioner, password)
    key = generate(algorithm)
    request = csrs.make(key, ready.subject, names)
    issued = _sign(connection, request, ready, not_before, not_after)
    leaf = accept(issued, request.public_key)
    write_all([(key_file, key_pem(key, key_password), MODE), (crt_file, issued.pem, MODE)])
    tell(leaf, connection.url, {"Certificate": crt_file, "Private Key": key_file})


@click.command()
@click.argument("csr_file", type=FILE)
@click.argument("crt_file", type=FILE)
@options.token
@options.validity
@options.provisioner
@options.password_file("Password of the provisioner's key", alias_of="--provisioner-password-file")
@options.connection
@options.force
@options.json_output
@reported()
def sign(
    csr_file: Path,
    crt_file: Path,
    token: str | None,
    not_before: When,
    not_after: When,
    provisioner: str | None,
    provisioner_password_file: str | None,
    password_file: str | None,
    ca_url: str | None,
    root: Path | None,
    force: bool,
) -> None:
    """Get a certificate for the request in CSR_FILE, and write it with its issuers to CRT_FILE."""
    request = csrs.read(csr_file)
    ready = parse_token(token)
    if ready is not None and request.common_name.lower() not in ("", ready.subject.lower()):
        raise Usage(
            f"the request is for {request.common_name!r}, the token for {ready.subject!r}",
            hint="a token serves one subject; make another",
        )
    settle([crt_file], force=force)
    password = given(provisioner_password_file or password_file)
    connection = _connection(ready, ca_url, root)
    if ready is None:
        names = request.names or ((request.common_name,) if request.common_name else ())
        if not names:
            raise FileProblem(f"{csr_file}: the request has no names", hint="make it again with a subject or --san")
        subject = request.common_name or names[0]
        ready = _order(connection, subject, names, provisioner, password, confirmation=request.digest)
    issued = _sign(connection, request, ready, not_before, not_after)
    leaf = accept(issued, request.public_key)
    write_all([(crt_file, issued.pem, MODE)])
    tell(leaf, connection.url, {"Certificate": crt_file})


def parse_token(token: str | None) -> UnverifiedToken | None:
    """What the token claims, when one was given; raises Usage when it is none."""
    if token is None:
        return None
    try:
        return UnverifiedToken.parse(token.strip())
    except Unauthorized as error:
        raise Usage(f"invalid value for flag '--token': {error}", hint="was it copied whole?") from error


def _names(subject: str, sans: tuple[str, ...], token: UnverifiedToken | None) -> tuple[str, ...]:
    """The names that are asked for; raises Usage when they and the token contradict each other."""
    if token is None:
        return sans or (subject,)
    if token.subject.lower() != subject.lower():
        raise Usage(f"the token is for {token.subject!r}, not for {subject!r}", hint="a token serves one subject")
    ordered = token.payload.get("sans")
    if not ordered:
        return sans or (token.subject,)
    if sans:
        raise Usage("flag '--san' is incompatible with this token, which has its own names", hint="leave --san out")
    if not isinstance(ordered, list) or not all(isinstance(name, str) for name in ordered):
        raise Usage("invalid value for flag '--token': its sans are no list of names")
    return tuple(ordered)


def _connection(token: UnverifiedToken | None, ca_url: str | None, root: Path | None) -> Connection:
    return connect(ca_url, root) if token is None else connect_by_token(token, ca_url, root)


def _order(
    connection: Connection,
    subject: str,
    names: tuple[str, ...],
    provisioner: str | None,
    password: bytes | None,
    *,
    confirmation: bytes | None = None,
) -> UnverifiedToken:
    """A token made on the spot."""
    from mica.cli.ca import ordering  # not needed when there is a token

    wanted = ordering.order(
        Operation.X509_SIGN,
        subject,
        connection.url,
        sans=names,
        root_fingerprint=connection.root_fingerprint,
        confirmation=confirmation,
    )
    credentials = ordering.Credentials(provisioner=provisioner, password=password)
    return UnverifiedToken.parse(ordering.make_token(wanted, connection, credentials))


def _sign(
    connection: Connection, request: csrs.Request, token: UnverifiedToken, not_before: When, not_after: When
) -> Issued:
    chosen("CA", connection.url)
    with diagnosed(token, connection, "/sign"):
        return connection.client.sign(request.pem, token.raw, not_before=not_before, not_after=not_after)
