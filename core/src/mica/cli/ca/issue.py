"""``mica ca certificate`` and ``mica ca sign``: a certificate for a new key, or for a CSR."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import click

from mica.cli import options
from mica.cli.ca import offline, outputflags, x5cflags
from mica.cli.ca.answers import reported
from mica.cli.ca.passwordflags import check_sources, either
from mica.cli.files import keep_apart
from mica.cli.options import FILE
from mica.cli.passwords import given

if TYPE_CHECKING:
    from pathlib import Path

    from mica.cli.ca.offline import Offline

When = datetime | timedelta | None
_ALIAS = "--provisioner-password-file"


@click.command(
    epilog=options.examples(
        "mica ca certificate svc.example svc.crt svc.key",
        "mica ca certificate svc.example svc.crt svc.key --san svc.example --san 10.0.0.1 --not-after 8h",
        'mica ca certificate --token "$(mica ca token svc.example)" svc.example svc.crt svc.key',
        "mica ca certificate svc.example svc.crt svc.key --x5c-cert edge.crt --x5c-key edge.key",
        "mica ca certificate svc.example svc.p12 --format p12 --p12-password-file password.txt",
        "mica ca certificate svc.example svc.crt svc.key --chain-out chain.crt --root-out root.crt --mode 0644",
    )
)
@click.argument("subject")
@click.argument("crt_file", type=FILE)
@click.argument("key_file", type=FILE, required=False)
@click.option("--san", "sans", multiple=True, metavar="NAME", help="DNS name, IP, e-mail or URI [SUBJECT].")
@options.token
@options.validity
@options.key
@options.provisioner
@x5cflags.flags
@options.password_file("Password of the provisioner's key", alias_of=_ALIAS)
@click.option("--key-password-file", metavar="FILE", help="Password to encrypt the new key with: a file, -, fd:N.")
@outputflags.flags("pem", "der", "p12")
@options.connection
@offline.flags
@options.force
@options.json_output
@reported()
def certificate(
    subject: str,
    crt_file: "Path",
    key_file: "Path | None",
    sans: tuple[str, ...],
    token: str | None,
    not_before: When,
    not_after: When,
    kty: str | None,
    curve: str | None,
    size: int | None,
    provisioner: str | None,
    provisioner_password_file: str | None,
    x5c: "x5cflags.X5C | None",
    password_file: str | None,
    key_password_file: str | None,
    wanted: outputflags.Wanted,
    ca_url: str | None,
    root: "Path | None",
    offline: "Offline | None",
    force: bool,
) -> None:
    """Make a key, get a certificate for SUBJECT, and write both: CRT_FILE with its issuers, KEY_FILE.

    With --format p12, CRT_FILE is a PKCS #12 file that holds the key too, and KEY_FILE is left out.
    """
    from mica.cli.ca import csrs, issuance  # cryptography is slow to import
    from mica.keyfiles import generate

    algorithm = options.key_algorithm(kty, curve, size)
    ready = issuance.token_for_the_ca(token, offline)
    names = issuance.names(subject, sans, ready)
    csrs.check_names(names)
    source = either(_ALIAS, provisioner_password_file, password_file)
    key_flag = {"--key-password-file": key_password_file, "--p12-password-file": wanted.p12_password_source}
    check_sources(_sources(offline, source) | key_flag)
    plan = issuance.planned_pair(wanted, crt_file, key_file, key_password_file, force=force)
    keep_apart(plan.paths, x5c.files if x5c else ())
    password = given(source)
    connection = issuance.reach(ready, ca_url, root, offline)
    if ready is None:
        ready = issuance.order(connection, subject, names, provisioner, password, x5c=x5c)
    key = generate(algorithm)
    request = csrs.make(key, issuance.common_name(subject, ready), names)
    issuance.deliver(connection, request, ready, (not_before, not_after), plan, key)


@click.command(
    epilog=options.examples(
        "mica ca sign svc.csr svc.crt",
        "mica ca sign svc.csr svc.crt --not-after 8h --fullchain-with-root",
        'mica ca sign --token "$(mica ca token --cnf-file svc.csr svc.example)" svc.csr svc.crt',
    )
)
@click.argument("csr_file", type=FILE)
@click.argument("crt_file", type=FILE)
@options.token
@options.validity
@options.provisioner
@x5cflags.flags
@options.password_file("Password of the provisioner's key", alias_of=_ALIAS)
@outputflags.flags("pem", "der")
@options.connection
@offline.flags
@options.force
@options.json_output
@reported()
def sign(
    csr_file: "Path",
    crt_file: "Path",
    token: str | None,
    not_before: When,
    not_after: When,
    provisioner: str | None,
    provisioner_password_file: str | None,
    x5c: "x5cflags.X5C | None",
    password_file: str | None,
    wanted: outputflags.Wanted,
    ca_url: str | None,
    root: "Path | None",
    offline: "Offline | None",
    force: bool,
) -> None:
    """Get a certificate for the request in CSR_FILE, and write it with its issuers to CRT_FILE."""
    from mica.cli.ca import csrs, issuance  # cryptography is slow to import

    source = either(_ALIAS, provisioner_password_file, password_file)
    check_sources({"CSR_FILE": csr_file} | _sources(offline, source))
    request = csrs.read(csr_file)
    ready = issuance.token_for_the_ca(token, offline)
    issuance.check_subject(request, ready)
    plan = issuance.planned_certificate(wanted, crt_file, csr_file, force=force)
    keep_apart(plan.paths, x5c.files if x5c else ())
    password = given(source)
    connection = issuance.reach(ready, ca_url, root, offline)
    if ready is None:
        subject, names = issuance.requested(request, csr_file)
        ready = issuance.order(connection, subject, names, provisioner, password, confirmation=request.digest, x5c=x5c)
    issuance.deliver(connection, request, ready, (not_before, not_after), plan)


def _sources(offline: "Offline | None", provisioner_password: str | None) -> dict[str, "str | Path | None"]:
    return {_ALIAS: provisioner_password, "--ca-password-file": offline.password_source if offline else None}
