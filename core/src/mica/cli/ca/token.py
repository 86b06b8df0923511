"""``mica ca token``: a one-time token for one operation, made here and used anywhere."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import click

from mica.cli import options
from mica.cli.ca import offline
from mica.cli.ca.answers import reported
from mica.cli.ca.outputflags import MODE
from mica.cli.ca.passwordflags import check_sources, either
from mica.cli.console import product
from mica.cli.errors import Usage
from mica.cli.files import keep_apart, settle, write_atomic
from mica.cli.options import FILE
from mica.cli.passwords import given
from mica.cli.serials import usable_serial

if TYPE_CHECKING:
    from pathlib import Path

    from mica.cli.ca.offline import Offline

When = datetime | timedelta | None


@click.command(
    epilog=options.examples(
        "mica ca token svc.example",
        "mica ca token svc.example --san svc.example --san 10.0.0.1 --not-after 15m --output-file token.txt",
        "mica ca token svc.example --cnf-file svc.csr",
        "mica ca token --revoke 4711",
        "mica ca token --renew --x5c-cert svc.crt --x5c-key svc.key",
    )
)
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
@options.provisioner
@click.option("--key-password-file", metavar="FILE", help="Password of --x5c-key: a file, - for stdin, fd:N.")
@options.password_file("Password of the key that signs: the provisioner's, or --x5c-key")
@click.option("--output-file", "--out", "output_file", type=FILE, help="Write the token there, not to stdout.")
@options.connection
@offline.flags
@options.force
@reported()
def token(
    subject: str | None,
    sans: tuple[str, ...],
    revoke: bool,
    renew: bool,
    x5c_cert: "Path | None",
    x5c_key: "Path | None",
    not_before: When,
    not_after: When,
    cnf: str | None,
    cnf_file: "Path | None",
    key_file: "Path | None",
    kid: str | None,
    provisioner: str | None,
    provisioner_password_file: str | None,
    key_password_file: str | None,
    password_file: str | None,
    output_file: "Path | None",
    ca_url: str | None,
    root: "Path | None",
    offline: "Offline | None",
    force: bool,
) -> None:
    """Print a one-time token for SUBJECT, with which anybody can get the certificate (or revoke it) once.

    Offline, the CA's configuration says what is to be known, and none of its keys is opened; with --key, --provisioner
    and --ca-url not even the configuration is needed.
    """
    from mica.cli.ca import csrs, identities, issuers, ordering  # cryptography is slow to import
    from mica.grants import Operation

    _check_flags(subject, sans, revoke=revoke, renew=renew, x5c=(x5c_cert, x5c_key), cnf=(cnf, cnf_file))
    if not revoke and not renew:
        csrs.check_names(sans or (subject or "",))
    confirmation = ordering.confirmation(cnf, cnf_file)
    flag = "--provisioner-password-file" if x5c_key is None else "--key-password-file"
    source = either(flag, provisioner_password_file if x5c_key is None else key_password_file, password_file)
    check_sources({flag: source, "--cnf-file": cnf_file, "--key": key_file})
    if output_file is not None:
        keep_apart([output_file], [key_file, x5c_cert, x5c_key, cnf_file])
        settle([output_file], force=force)
    start, end = ordering.lifetime(not_before, not_after)
    if x5c_cert is not None and x5c_key is not None:
        holder = identities.read(x5c_cert, x5c_key, source, flag=flag)
        made = issuers.renew_token(subject, issuers.ca_of(ca_url, offline), holder, start, end)
    else:
        credentials = ordering.Credentials(provisioner=provisioner, kid=kid, key_file=key_file, password=given(source))
        issuer = issuers.meant(credentials, ca_url, root, offline)
        wanted = ordering.order(
            Operation.X509_REVOKE if revoke else Operation.X509_SIGN,
            str(usable_serial(subject or "")) if revoke else subject or "",
            issuer.url,
            sans=() if revoke else sans or (subject or "",),
            root_fingerprint=issuer.root_fingerprint,
            not_before=start,
            not_after=end,
            confirmation=confirmation,
        )
        made = issuer.make(wanted)
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
    x5c: "tuple[Path | None, Path | None]",
    cnf: tuple[str | None, "Path | None"],
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
