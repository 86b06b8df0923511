"""``mica ssh certificate``: a certificate for a new key, or for one that exists."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import click

from mica.cli import options
from mica.cli.ca import offline, x5cflags
from mica.cli.ca.answers import reported
from mica.cli.ca.passwordflags import check_sources, either, was_typed
from mica.cli.errors import Usage
from mica.cli.options import FILE
from mica.cli.passwords import given
from mica.cli.ssh import restrictions

if TYPE_CHECKING:
    from pathlib import Path

    from mica.cli.ca.offline import Offline
    from mica.sshcert import Options

When = datetime | timedelta | None
_KEY_PASSWORD = "--key-password-file"  # noqa: S105  # the name of a flag
_NEW_KEY = ("--kty", "--curve", "--size")


@click.command(
    epilog=options.examples(
        "mica ssh certificate alice@harbour.example alice --key-password-file password.txt --no-agent",
        "mica ssh certificate --host svc.example ssh_host_ecdsa_key --no-password --insecure",
        "mica ssh certificate --sign alice@harbour.example id_ecdsa.pub --principal alice --not-after 8h",
        'mica ssh certificate --sign --token "$(mica ca token --ssh alice@harbour.example)"'
        " alice@harbour.example id_ecdsa.pub",
        "mica ssh certificate backup backup --force-command 'tar c /srv' --source-address 10.0.0.0/8"
        " --no-password --insecure --no-agent",
        "mica ssh certificate ann@harbour.example ann --add-user --no-password --insecure --no-agent",
    )
)
@click.argument("key_id")
@click.argument("key_file", type=FILE)
@click.option("--host", is_flag=True, help="For a host, not for a user.")
@click.option(
    "--principal", "-n", "principals", multiple=True, metavar="NAME", help="Account, or name of the host [of KEY_ID]."
)
@click.option("--sign", is_flag=True, help="KEY_FILE is a public key that exists; no key is made.")
@click.option("--private-key", type=FILE, help="With --sign: the private key, for the agent.")
@click.option("--comment", metavar="TEXT", help="How the agent calls it [KEY_ID].")
@click.option("--add-user", is_flag=True, help="Also get KEY_FILE-provisioner, whose certificate makes the account.")
@click.option("--no-agent", is_flag=True, help="Leave the SSH agent alone.")
@restrictions.flags()
@options.token
@options.validity
@options.key
@click.option(
    "--key-password-file", metavar="FILE", help="Password of the private key, new or not: a file, - for stdin, fd:N."
)
@options.password_file("Password of the private key", alias_of=_KEY_PASSWORD)
@click.option("--no-password", is_flag=True, help="Leave the new key unencrypted; requires --insecure.")
@options.insecure
@click.option("--min-password-length", type=int, default=0, metavar="N", help="Shortest password that is taken [0].")
@options.provisioner
@x5cflags.flags
@options.connection
@offline.flags
@options.force
@options.json_output
@reported()
def certificate(
    key_id: str,
    key_file: "Path",
    host: bool,
    principals: tuple[str, ...],
    sign: bool,
    private_key: "Path | None",
    comment: str | None,
    add_user: bool,
    no_agent: bool,
    critical_options: "Options",
    token: str | None,
    not_before: When,
    not_after: When,
    kty: str | None,
    curve: str | None,
    size: int | None,
    key_password_file: str | None,
    password_file: str | None,
    no_password: bool,
    insecure: bool,
    min_password_length: int,
    provisioner: str | None,
    provisioner_password_file: str | None,
    x5c: "x5cflags.X5C | None",
    ca_url: str | None,
    root: "Path | None",
    offline: "Offline | None",
    force: bool,
) -> None:
    """Make a key, get an SSH certificate for it, and write KEY_FILE, KEY_FILE.pub and KEY_FILE-cert.pub.

    KEY_ID is what sshd writes into its log. A user's certificate and key go into the SSH agent, too, until it expires.
    """
    from mica.cli.ca import issuance  # cryptography is slow to import
    from mica.cli.ssh.issuing import certification, delivery, holders, keypasswords, orders, tokenorders
    from mica.sshcert import CertType

    algorithm = options.key_algorithm(kty, curve, size)
    _check_flags(sign=sign, host=host, private_key=private_key, no_agent=no_agent)
    keypasswords.check_flags(no_password=no_password, insecure=insecure, min_length=min_password_length)
    delivery.check_comment(comment)
    ready = issuance.token_for_the_ca(token, offline)
    if ready is None and offline is None:
        options.require_ca_url(ca_url)  # before anything is asked
    cert_type = CertType.HOST if host else CertType.USER
    asked = orders.asked(key_id, cert_type, principals, (not_before, not_after), critical_options)
    order = tokenorders.agreed(asked, ready)
    if add_user:
        orders.check_account(order)
    source = either(_KEY_PASSWORD, key_password_file, password_file)
    secret = {_KEY_PASSWORD: source, "--provisioner-password-file": provisioner_password_file}
    check_sources({**secret, "--ca-password-file": offline.password_source if offline else None})
    vouching = x5c.files if x5c else ()
    place = holders.settled(
        key_file, existing=sign, private_key=private_key, add_user=add_user, force=force, others=vouching
    )
    if sign:
        holder = holders.existing(place, key_file, private_key, source)
    else:
        key_password = keypasswords.new(source, no_password=no_password, min_length=min_password_length, host=host)
        holder = holders.new(place, algorithm, key_password, add_user=add_user)
    password = given(provisioner_password_file)
    connection = issuance.reach(ready, ca_url, root, offline)
    ready = ready or certification.make_token(connection, order, provisioner, password, x5c)
    connection.introduce()
    certified = certification.certify(connection, order, ready, holder.public_key, holder.add_user_key)
    delivery.deliver(holder, certified, connection.url, comment=comment, agent=not host and not no_agent)


def _check_flags(*, sign: bool, host: bool, private_key: "Path | None", no_agent: bool) -> None:
    """The flags make sense together; raises Usage."""
    if private_key is not None and not sign:
        raise Usage("flag '--private-key' requires the '--sign' flag")
    if private_key is not None and (host or no_agent):
        raise Usage("flag '--private-key' is for the SSH agent", hint="leave it out, or '--host' and '--no-agent'")
    for flag in (*_NEW_KEY, "--no-password", "--min-password-length", "--add-user") if sign else ():
        if was_typed(flag):
            raise Usage(f"flag '{flag}' is incompatible with '--sign', which makes no key")
    for flag in (_KEY_PASSWORD, "--password-file") if sign and private_key is None else ():
        if was_typed(flag):
            raise Usage(f"flag '{flag}' requires the '--private-key' flag when there is '--sign'")
