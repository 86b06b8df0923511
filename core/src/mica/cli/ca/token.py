"""``mica ca token``: a one-time token for one operation, made here and used anywhere."""

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import click

from mica.cli import options
from mica.cli.ca import csrs, identities, ordering
from mica.cli.ca.connection import connect, read_roots, reported, root_fingerprint
from mica.cli.ca.delivery import MODE
from mica.cli.ca.desk import given
from mica.cli.ca.revoke import usable_serial
from mica.cli.console import product, warn
from mica.cli.errors import FileProblem, Usage
from mica.cli.files import settle, write_atomic
from mica.cli.options import FILE
from mica.client import TokenOrder, normalize, renewtoken
from mica.clock import system_clock
from mica.errors import MalformedRequest
from mica.grants import Operation
from mica.tokens import decode_base64url

When = datetime | timedelta | None

_SHORTEST, _LONGEST, _AHEAD = timedelta(seconds=10), timedelta(hours=1), timedelta(minutes=30)


@click.command()
@click.argument("subject", required=False)
@click.option("--san", "sans", multiple=True, metavar="NAME", help="Names the certificate carries [SUBJECT].")
@click.option("--revoke", is_flag=True, help="To revoke the certificate with the serial number SUBJECT.")
@click.option("--renew", is_flag=True, help="To renew the certificate in --x5c-cert; no provisioner takes part.")
@click.option("--x5c-cert", type=FILE, help="Certificate to be renewed.")
@click.option("--x5c-key", type=FILE, help="Its key.")
@options.validity
@click.option("--cnf", metavar="SHA256", help="Only for the CSR with this SHA-256, hex or base64url.")
@click.option("--cnf-file", type=FILE, help="Only for the CSR in this file.")
@click.option("--key", "key_file", type=FILE, help="Private JWK or PEM to sign with, instead of the one the CA keeps.")
@click.option("--kid", help="Provisioner with this key id.")
@click.option("--offline", is_flag=True, help="Ask nobody: needs --key, --provisioner and --ca-url.")
@options.provisioner
@options.password_file("Password of the key that signs", alias_of="--provisioner-password-file")
@click.option("--output-file", "--out", "output_file", type=FILE, help="Write the token there, not to stdout.")
@options.connection
@options.force
@reported()
def token(
    subject: str | None,
    sans: tuple[str, ...],
    revoke: bool,
    renew: bool,
    x5c_cert: Path | None,
    x5c_key: Path | None,
    not_before: When,
    not_after: When,
    cnf: str | None,
    cnf_file: Path | None,
    key_file: Path | None,
    kid: str | None,
    offline: bool,
    provisioner: str | None,
    provisioner_password_file: str | None,
    password_file: str | None,
    output_file: Path | None,
    ca_url: str | None,
    root: Path | None,
    force: bool,
) -> None:
    """Print a one-time token for SUBJECT, with which anybody can get the certificate (or revoke it) once."""
    _check_flags(subject, sans, revoke=revoke, renew=renew, x5c=(x5c_cert, x5c_key), cnf=(cnf, cnf_file))
    confirmation = _confirmation(cnf, cnf_file)
    if output_file is not None:
        settle([output_file], force=force)
    if ca_url is None:
        raise Usage("flag '--ca-url' is required", hint="or run once: mica ca bootstrap --ca-url … --fingerprint …")
    start, end = _lifetime(not_before, not_after)
    password_source = provisioner_password_file or password_file
    if x5c_cert is not None and x5c_key is not None:
        made = _renew_token(subject, ca_url, identities.read(x5c_cert, x5c_key, password_source), start, end)
    else:
        wanted = ordering.order(
            Operation.X509_REVOKE if revoke else Operation.X509_SIGN,
            str(usable_serial(subject or "")) if revoke else subject or "",
            ca_url,
            sans=() if revoke else sans or (subject or "",),
            not_before=start,
            not_after=end,
            confirmation=confirmation,
        )
        credentials = ordering.Credentials(
            provisioner=provisioner, kid=kid, key_file=key_file, password=given(password_source)
        )
        made = _make(wanted, credentials, ca_url, root, offline=offline)
    if output_file is None:
        product(made)
    else:
        write_atomic(output_file, made.encode(), mode=MODE)


def _check_flags(
    subject: str | None,
    sans: tuple[str, ...],
    *,
    revoke: bool,
    renew: bool,
    x5c: tuple[Path | None, Path | None],
    cnf: tuple[str | None, Path | None],
) -> None:
    """The flags make sense together; raises Usage."""
    if revoke and renew:
        raise Usage("flag '--revoke' is incompatible with '--renew'")
    if any((path is None) == renew for path in x5c):
        raise Usage("flag '--renew' requires the flags '--x5c-cert' and '--x5c-key', and they require it")
    if not subject and not renew:
        raise Usage("missing argument 'SUBJECT'")
    if (revoke or renew) and (sans or cnf != (None, None)):
        raise Usage("flags '--san', '--cnf' and '--cnf-file' are for tokens that order a certificate")
    if None not in cnf:
        raise Usage("flag '--cnf' is incompatible with '--cnf-file'")
    if not revoke and not renew:
        csrs.check_names(sans or (subject or "",))


def _make(
    wanted: TokenOrder, credentials: ordering.Credentials, ca_url: str, root: Path | None, *, offline: bool
) -> str:
    if not offline:
        connection = connect(ca_url, root)
        order = replace(wanted, root_fingerprint=connection.root_fingerprint)
        return ordering.make_token(order, connection, credentials)
    if credentials.key_file is None or credentials.provisioner is None:
        raise Usage("flag '--offline' requires the flags '--key' and '--provisioner'")
    return ordering.make_token_offline(replace(wanted, root_fingerprint=_offline_root(root)), credentials)


def _offline_root(root: Path | None) -> str:
    try:
        return root_fingerprint(root or "the root certificate", read_roots(root))
    except FileProblem:
        if root is not None:
            raise
        warn("no root certificate is known here: whoever uses the token must trust the CA already")
        return ""


def _renew_token(
    subject: str | None, ca_url: str, holder: identities.Holder, start: datetime | None, end: datetime | None
) -> str:
    """A renew token signed by the certificate's own key."""
    holder.check_client_auth()
    name = renewtoken.common_name(holder.certificate)
    if subject not in (None, name):
        raise Usage(f"{holder.path} is for {name!r}, not for {subject!r}")
    return renewtoken.make(
        normalize(ca_url), holder.chain, holder.key, not_before=start or system_clock(), not_after=end
    )


def _lifetime(not_before: When, not_after: When) -> tuple[datetime | None, datetime | None]:
    """When the token is valid, durations counted from now; raises Usage when that is too long, short or late."""
    now = system_clock()
    start, end = (now + when if isinstance(when, timedelta) else when for when in (not_before, not_after))
    begins = start or now
    if start is not None and start > now + _AHEAD:
        raise Usage("invalid value for flag '--not-before': a token starts at most 30 minutes from now")
    if end is None:
        return start, begins + ordering.LIFETIME
    if not _SHORTEST <= end - begins <= _LONGEST:
        raise Usage("invalid value for flag '--not-after': a token is valid for 10 seconds to one hour")
    return start, end


def _confirmation(cnf: str | None, cnf_file: Path | None) -> bytes | None:
    """The SHA-256 of the CSR that the token is bound to; raises Usage, FileProblem."""
    if cnf_file is not None:
        return csrs.read(cnf_file).digest
    if cnf is None:
        return None
    try:
        digest = bytes.fromhex(cnf) if len(cnf) == 64 else decode_base64url(cnf.rstrip("="))
    except (ValueError, MalformedRequest):
        digest = b""
    if len(digest) != 32:
        raise Usage(
            "invalid value for flag '--cnf'", hint="it is the SHA-256 of the CSR, 64 hexadecimal digits, or base64url"
        )
    return digest
