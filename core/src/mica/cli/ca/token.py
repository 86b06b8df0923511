"""``mica ca token``: a one-time token for one operation, made here and used anywhere."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import click

from mica.cli import options
from mica.cli.ca import offline, x5cflags
from mica.cli.ca.answers import reported
from mica.cli.ca.outputflags import MODE
from mica.cli.ca.passwordflags import check_sources, either, was_typed
from mica.cli.ca.tokenflags import Flags
from mica.cli.console import product, warn
from mica.cli.errors import Usage
from mica.cli.files import keep_apart, settle, write_atomic
from mica.cli.options import FILE
from mica.cli.passwords import given
from mica.cli.ssh import restrictions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mica.cli.ca.offline import Offline
    from mica.sshcert import Options

When = datetime | timedelta | None


@click.command(
    epilog=options.examples(
        "mica ca token svc.example",
        "mica ca token svc.example --san svc.example --san 10.0.0.1 --not-after 15m --output-file token.txt",
        "mica ca token svc.example --cnf-file svc.csr",
        "mica ca token --revoke 4711",
        "mica ca token --renew --x5c-cert svc.crt --x5c-key svc.key",
        "mica ca token svc.example --provisioner edge --x5c-cert edge.crt --x5c-key edge.key",
        "mica ca token --ssh alice@harbour.example --principal alice --cert-not-after 8h",
        "mica ca token --ssh --host svc.example",
        "mica ca token --ssh --revoke --key-id alice@harbour.example",
    )
)
@click.argument("subject", required=False)
@click.option("--san", "sans", multiple=True, metavar="NAME", help="Names the certificate carries [SUBJECT].")
@click.option("--ssh", is_flag=True, help="For an SSH certificate with the key id SUBJECT.")
@click.option("--host", is_flag=True, help="SSH: for a host, not for a user.")
@click.option(
    "--principal", "-n", "principals", multiple=True, metavar="NAME", help="SSH: account, or host [of SUBJECT]."
)
@click.option("--cert-not-before", type=options.TimeOrDuration(), help="SSH: start of the certificate's validity.")
@click.option("--cert-not-after", type=options.TimeOrDuration(), help="SSH: end of the certificate's validity.")
@restrictions.flags("SSH: ")
@click.option("--revoke", is_flag=True, help="To revoke the certificate with the serial number SUBJECT.")
@click.option("--key-id", metavar="ID", help="SSH: to revoke every certificate with this key id.")
@click.option("--renew", is_flag=True, help="To renew the certificate in --x5c-cert or, SSH, in --sshpop-cert.")
@click.option("--rekey", is_flag=True, help="SSH: to renew the certificate in --sshpop-cert under another key.")
@click.option("--x5c-cert", type=FILE, help="Certificate to be renewed, or whose key vouches at an X5C provisioner.")
@click.option("--x5c-key", type=FILE, help="Its key.")
@x5cflags.chain
@x5cflags.insecure
@click.option("--sshpop-cert", type=FILE, help="SSH: certificate of a host to be renewed, or any to be revoked.")
@click.option("--sshpop-key", type=FILE, help="Its private key.")
@options.validity
@click.option("--cnf", metavar="SHA256", help="Only for the CSR with this SHA-256, hex or base64url.")
@click.option("--cnf-file", type=FILE, help="Only for the CSR in this file.")
@click.option("--key", "key_file", type=FILE, help="Private JWK or PEM to sign with, instead of the one the CA keeps.")
@click.option("--kid", help="Provisioner with this key id.")
@options.provisioner
@click.option("--key-password-file", metavar="FILE", help="Password of --x5c-key, --sshpop-key: a file, -, fd:N.")
@options.password_file("Password of the key that signs: the provisioner's, --x5c-key, --sshpop-key")
@click.option("--output-file", "--out", "output_file", type=FILE, help="Write the token there, not to stdout.")
@options.connection
@offline.flags
@options.force
@reported()
def token(
    subject: str | None,
    sans: tuple[str, ...],
    ssh: bool,
    host: bool,
    principals: tuple[str, ...],
    cert_not_before: When,
    cert_not_after: When,
    critical_options: "Options",
    revoke: bool,
    key_id: str | None,
    renew: bool,
    rekey: bool,
    x5c_cert: "Path | None",
    x5c_key: "Path | None",
    x5c_chain: "tuple[Path, ...]",
    sshpop_cert: "Path | None",
    sshpop_key: "Path | None",
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
    from mica.cli.ca import identities, issuers, ordering  # cryptography is slow to import

    flags = Flags(
        subject=subject,
        sans=sans,
        action=tuple(flag for flag, given in (("--revoke", revoke), ("--renew", renew), ("--rekey", rekey)) if given),
        ssh=ssh,
        host=host,
        principals=principals,
        key_id=key_id,
        cert_validity=(cert_not_before, cert_not_after),
        critical_options=critical_options,
        x5c=(x5c_cert, x5c_key),
        sshpop=(sshpop_cert, sshpop_key),
        cnf=(cnf, cnf_file),
        key_file=key_file,
        x5c_chain=x5c_chain,
        validity=(not_before, not_after),
    )
    flags.check()
    purpose = flags.purpose()
    confirmation = ordering.confirmation(cnf, cnf_file)
    own_key = x5c_key or sshpop_key
    flag = _password_flag(own_key)
    source = either(flag, provisioner_password_file if own_key is None else key_password_file, password_file)
    check_sources({flag: source, "--cnf-file": cnf_file, "--key": key_file})
    _settle(output_file, [key_file, x5c_cert, x5c_key, *x5c_chain, sshpop_cert, sshpop_key, cnf_file], force=force)
    start, end = ordering.lifetime(not_before, not_after)
    if renew and x5c_cert is not None and x5c_key is not None:
        holder = identities.read(x5c_cert, x5c_key, source, flag=flag)
        made = issuers.renew_token(subject, issuers.ca_of(ca_url, offline), holder, start, end)
    else:
        credentials = ordering.Credentials(
            provisioner=provisioner,
            kid=kid,
            key_file=own_key or key_file,
            certificate_file=x5c_cert or sshpop_cert,
            chain_files=x5c_chain,
            certificate_type="X5C" if x5c_cert else "SSHPOP",
            password=given(source),
            flag=flag,
            binding=flags.binding,
        )
        made = issuers.meant(credentials, ca_url, root, offline).order(purpose, start, end, confirmation)
    _hand_over(made, output_file)


def _settle(output_file: "Path | None", inputs: "Sequence[Path | None]", *, force: bool) -> None:
    """The file, if there is to be one, can be written and is none of those that are read."""
    if output_file is not None:
        keep_apart([output_file], inputs)
        settle([output_file], force=force)


def _hand_over(made: str, output_file: "Path | None") -> None:
    from mica.cli.ca.ordering import is_identity
    from mica.tokens import UnverifiedToken

    if is_identity(UnverifiedToken.parse(made)):
        warn("the token says who signed in, not what is ordered: it serves once, for anything that they may have")
    if output_file is None:
        product(made)
    else:
        write_atomic(output_file, made.encode(), mode=MODE)


def _password_flag(own_key: "Path | None") -> str:
    """The flag for the password of the key that signs; raises Usage when another key's was typed."""
    provisioners, own = "--provisioner-password-file", "--key-password-file"
    if own_key is None:
        if was_typed(own):
            raise Usage(
                f"flag '{own}' is for '--x5c-key' and '--sshpop-key'",
                hint=f"the key of a provisioner, from the CA or '--key', has '{provisioners}'",
            )
        return provisioners
    if was_typed(provisioners):
        raise Usage(f"flag '{provisioners}' is for a provisioner's key", hint=f"the password of {own_key}: '{own}'")
    return own
