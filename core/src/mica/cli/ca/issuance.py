"""A certificate from the CA: for which names, by which token, into which files.

Files, overwriting and passwords are settled before the CA is asked, and both files are on disk before either takes its
name: a wrong path costs no certificate, and an existing pair stays a pair.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from mica.cli.ca import csrs, ordering, outputs
from mica.cli.ca.connection import Connection, connect, connect_by_token
from mica.cli.ca.delivery import accept, tell
from mica.cli.ca.diagnosis import diagnosed
from mica.cli.ca.offline import Offline
from mica.cli.ca.outputflags import Wanted
from mica.cli.ca.passwordflags import was_typed
from mica.cli.ca.x5cflags import X5C
from mica.cli.errors import FileProblem, Usage
from mica.cli.files import keep_apart, settle, write_all
from mica.cli.passwords import given
from mica.client import Issued
from mica.errors import Unauthorized
from mica.keyfiles import PrivateKey
from mica.tokens import UnverifiedToken

When = datetime | timedelta | None


def parse_token(token: str | None) -> UnverifiedToken | None:
    """What the token claims, when one was given; raises Usage when it is none."""
    if token is None:
        return None
    try:
        return UnverifiedToken.parse(token.strip())
    except Unauthorized as error:
        raise Usage(f"invalid value for flag '--token': {error}", hint="was it copied whole?") from error


def token_for_the_ca(token: str | None, offline: Offline | None) -> UnverifiedToken | None:
    """What the token claims, when one was given; raises Usage when it is none, or when no server is asked."""
    ready = parse_token(token)
    if ready is not None and offline is not None:
        raise Usage(
            "flag '--token' is incompatible with '--offline'", hint="offline, a token is made and used at one go"
        )
    return ready


def check_subject(request: csrs.Request, token: UnverifiedToken | None) -> None:
    """The request is for the token's subject, or for none in particular; raises Usage."""
    if token is None or ordering.is_identity(token):
        return
    if request.common_name.lower() not in ("", token.subject.lower()):
        raise Usage(
            f"the request is for {request.common_name!r}, the token for {token.subject!r}",
            hint="a token serves one subject; make another",
        )


def requested(request: csrs.Request, path: Path) -> tuple[str, tuple[str, ...]]:
    """The subject and the names for which a token is ordered; raises FileProblem when the request has neither."""
    names = request.names or ((request.common_name,) if request.common_name else ())
    if not names:
        raise FileProblem(f"{path}: the request has no names", hint="make it again with a subject or --san")
    return request.common_name or names[0], names


def names(subject: str, sans: tuple[str, ...], token: UnverifiedToken | None) -> tuple[str, ...]:
    """The names that are asked for; raises Usage when they and the token contradict each other."""
    if not subject:
        raise Usage("missing argument 'SUBJECT'")  # tokens name whom they are for
    if token is None or ordering.is_identity(token):
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


def planned_certificate(wanted: Wanted, crt_file: Path, csr_file: Path, *, force: bool) -> outputs.Plan:
    """The files, which can be written; raises Usage, FileProblem, Cancelled."""
    plan = outputs.Plan(wanted=wanted, certificate=crt_file)
    keep_apart(plan.paths, [csr_file])
    settle(plan.paths, force=force)
    return plan


def planned_pair(
    wanted: Wanted, crt_file: Path, key_file: Path | None, key_password_file: str | None, *, force: bool
) -> outputs.Plan:
    """The files, which can be written, and the password that protects the key; raises Usage and what those raise."""
    plan = outputs.Plan(wanted=wanted, certificate=crt_file, key=key_file)
    if wanted.format != "p12":
        if key_file is None:
            raise Usage("missing argument 'KEY_FILE'")
        settle(plan.paths, force=force)
        return replace(plan, key_password=given(key_password_file))
    if key_file is not None:
        raise Usage("the argument 'KEY_FILE' is incompatible with '--format p12'", hint="CRT_FILE holds the key too")
    if was_typed("--key-password-file"):
        raise Usage("flag '--key-password-file' is incompatible with '--format p12'", hint="see --p12-password-file")
    settle(plan.paths, force=force)
    return replace(plan, p12_password=outputs.new_p12_password(wanted.p12_password_source))


def common_name(subject: str, token: UnverifiedToken) -> str:
    """The common name that is asked for: the token's subject, whose case counts; else what the user says."""
    return subject if ordering.is_identity(token) else token.subject


def reach(token: UnverifiedToken | None, ca_url: str | None, root: Path | None, offline: Offline | None) -> Connection:
    """The CA that the token is for, else the one that the flags mean; raises Usage, FileProblem, PromptNeeded."""
    return connect(ca_url, root, offline) if token is None else connect_by_token(token, ca_url, root)


def order(
    connection: Connection,
    subject: str,
    names: tuple[str, ...],
    provisioner: str | None,
    password: bytes | None,
    *,
    confirmation: bytes | None = None,
    x5c: X5C | None = None,
) -> UnverifiedToken:
    """A token made on the spot; raises Usage, FileProblem, PromptNeeded and what the client raises."""
    from mica.grants import Operation  # not needed when there is a token

    wanted = ordering.order(
        Operation.X509_SIGN,
        subject,
        connection.url,
        sans=names,
        root_fingerprint=connection.root_fingerprint,
        confirmation=confirmation,
    )
    credentials = ordering.vouching(provisioner, password, x5c)
    return UnverifiedToken.parse(ordering.make_token(wanted, connection.client, credentials))


def deliver(
    connection: Connection,
    request: csrs.Request,
    token: UnverifiedToken,
    validity: tuple[When, When],
    plan: outputs.Plan,
    key: PrivateKey | None = None,
) -> None:
    """The certificate is issued, checked, on disk with what belongs to it, and told about."""
    connection.introduce()
    roots = connection.client.roots() if plan.needs_roots else ()
    issued = _sign(connection, request, token, *validity)
    leaf = accept(issued, request.public_key)
    write_all(plan.files(issued, roots, key))
    tell(leaf, connection.url, plan.told)


def _sign(
    connection: Connection, request: csrs.Request, token: UnverifiedToken, not_before: When, not_after: When
) -> Issued:
    with diagnosed(token, connection, "/sign"):
        return connection.client.sign(request.pem, token.raw, not_before=not_before, not_after=not_after)
