"""``mica ca revoke``: the end of a certificate, by a token or by its own key."""

from typing import TYPE_CHECKING

import click

from mica.cli import options
from mica.cli.ca import offline
from mica.cli.ca.answers import reported
from mica.cli.ca.passwordflags import check_sources, either
from mica.cli.console import report, say, wants_json
from mica.cli.errors import Usage
from mica.cli.options import FILE
from mica.cli.passwords import given
from mica.cli.serials import usable_serial

if TYPE_CHECKING:
    from pathlib import Path

    from mica.cli.ca.offline import Offline


@click.command(
    epilog=options.examples(
        "mica ca revoke --cert svc.crt --key svc.key --reason-code superseded",
        "mica ca revoke 0x18af3cd2f04b92 --reason-code key-compromise --reason 'stolen laptop'",
        'mica ca revoke 4711 --token "$(mica ca token --revoke 4711)"',
    )
)
@click.argument("serial", required=False)
@click.option("--cert", type=FILE, help="Certificate to revoke, by mutual TLS with its own key.")
@click.option("--key", type=FILE, help="Its key.")
@click.option("--reason", default="", metavar="TEXT", help="Why, in words.")
@click.option("--reason-code", "--reasonCode", "reason_code", default="0", metavar="CODE", help="0–10, or a name.")
@options.token
@options.provisioner
@click.option("--key-password-file", metavar="FILE", help="Password of --key: a file, - for stdin, fd:N.")
@options.password_file("Password of the provisioner's key; with --cert, of --key")
@options.connection
@offline.flags
@options.json_output
@reported()
def revoke(
    serial: str | None,
    cert: "Path | None",
    key: "Path | None",
    reason: str,
    reason_code: str,
    token: str | None,
    provisioner: str | None,
    provisioner_password_file: str | None,
    key_password_file: str | None,
    password_file: str | None,
    ca_url: str | None,
    root: "Path | None",
    offline: "Offline | None",
) -> None:
    """Revoke the certificate with this SERIAL number (decimal, or hexadecimal with 0x), or the one in --cert.

    Offline, the key of --cert is needed all the same, or the provisioner's password.
    """
    from mica.cli.ca import revocation  # cryptography is slow to import
    from mica.cli.ca.connection import connect
    from mica.cli.ca.diagnosis import diagnosed

    code = revocation.reason_code(reason_code)
    if (cert is None) != (key is None):
        raise Usage("flags '--cert' and '--key' require each other")
    flag = "--provisioner-password-file" if key is None else "--key-password-file"
    source = either(flag, provisioner_password_file if key is None else key_password_file, password_file)
    check_sources({flag: source, "--ca-password-file": offline.password_source if offline else None})
    if cert is not None and key is not None:
        if serial is not None or token is not None:
            raise Usage("flag '--cert' is incompatible with SERIAL and '--token': the certificate says which it is")
        number, identity = revocation.identity(cert, key, source)
        connection = connect(ca_url, root, offline)
        connection.introduce()
        again = revocation.is_over(connection, number, identity=identity, reason_code=code, reason=reason)
    else:
        number = usable_serial(serial or "")
        connection, ready = revocation.ordered(number, token, provisioner, given(source), ca_url, root, offline)
        connection.introduce()
        with diagnosed(ready, connection, "/revoke"):
            again = revocation.is_over(connection, number, token=ready.raw, reason_code=code, reason=reason)
    say(f"Certificate with Serial Number {number} " + ("was revoked already." if again else "has been revoked."))
    say("Revocation is passive: the CA renews it no more, and whoever else trusts it is not told.")
    if wants_json():
        report({"serial_number": str(number), "ca_url": connection.url, "status": "revoked", "already": again})
