"""``mica ssh revoke``: the end of SSH certificates, by serial, by key id, or by their own key."""

from typing import TYPE_CHECKING

import click

from mica.cli import options
from mica.cli.ca import offline
from mica.cli.ca.answers import reported
from mica.cli.ca.passwordflags import check_sources, either, was_typed
from mica.cli.console import report, say, wants_json
from mica.cli.errors import Usage
from mica.cli.options import FILE
from mica.cli.passwords import given

if TYPE_CHECKING:
    from pathlib import Path

    from mica.cli.ca.offline import Offline


@click.command(
    epilog=options.examples(
        "mica ssh revoke 4711 --reason-code key-compromise --reason 'stolen laptop'",
        "mica ssh revoke --key-id alice@harbour.example",
        "mica ssh revoke --sshpop-cert ssh_host_key-cert.pub --sshpop-key ssh_host_key",
        'mica ssh revoke 4712 --token "$(mica ca token --ssh --revoke 4712)"',
    )
)
@click.argument("serial", required=False)
@click.option("--key-id", metavar="ID", help="Revoke every certificate with this key id that has not expired.")
@click.option("--sshpop-cert", type=FILE, help="Certificate to revoke, by its own key.")
@click.option("--sshpop-key", type=FILE, help="Its key.")
@click.option("--reason", default="", metavar="TEXT", help="Why, in words.")
@click.option("--reason-code", "--reasonCode", "reason_code", default="0", metavar="CODE", help="0–10, or a name.")
@options.token
@options.provisioner
@click.option("--key-password-file", metavar="FILE", help="Password of --sshpop-key: a file, - for stdin, fd:N.")
@options.password_file("Password of the provisioner's key; with --sshpop-cert, of --sshpop-key")
@options.connection
@offline.flags
@options.json_output
@reported()
def revoke(
    serial: str | None,
    key_id: str | None,
    sshpop_cert: "Path | None",
    sshpop_key: "Path | None",
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
    """Revoke the SSH certificate with this SERIAL number, every one with a key id, or the one in --sshpop-cert.

    Hosts refuse what is revoked as soon as they have the new list: see mica ssh krl.
    """
    from mica.cli.ssh.upkeep import revocation  # cryptography is slow to import

    if (sshpop_cert is None) != (sshpop_key is None):
        raise Usage("flags '--sshpop-cert' and '--sshpop-key' require each other")
    flag = "--provisioner-password-file" if sshpop_key is None else "--key-password-file"
    source = either(flag, provisioner_password_file if sshpop_key is None else key_password_file, password_file)
    check_sources({flag: source, "--ca-password-file": offline.password_source if offline else None})
    target = revocation.target(serial, key_id, sshpop_cert)
    reach = revocation.Reach(ca_url=ca_url, root=root, offline=offline)
    if sshpop_cert is not None and sshpop_key is not None:
        if token is not None:
            raise Usage("flag '--sshpop-cert' is incompatible with '--token'", hint="one of them proves who asks")
        order = revocation.held(
            reach, sshpop_cert, sshpop_key, source, provisioner if was_typed("--provisioner") else None
        )
    else:
        order = revocation.ordered(reach, target, token, provisioner, given(source))
    again = revocation.is_over(order, revocation.reason_code(reason_code), reason)
    say(order.target.sentence(again=again))
    if wants_json():
        report(order.target.members | {"ca_url": order.connection.url, "status": "revoked", "already": again})
