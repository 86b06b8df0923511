"""``mica ssh login``: a certificate and its key in the SSH agent."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import click

from mica.cli import options
from mica.cli.ca import offline
from mica.cli.ca.answers import reported
from mica.cli.ca.passwordflags import check_sources, either
from mica.cli.console import report, wants_json
from mica.cli.passwords import given
from mica.cli.ssh import identityflag

if TYPE_CHECKING:
    from pathlib import Path

    from mica.cli.ca.offline import Offline

When = datetime | timedelta | None
_ALIAS = "--provisioner-password-file"


@click.command(
    epilog=options.examples(
        "mica ssh login alice@harbour.example",
        "mica ssh login alice@harbour.example --principal alice --not-after 8h",
        'mica ssh login --token "$(mica ca token --ssh alice@harbour.example)"',
    )
)
@click.argument("identity", required=False)
@identityflag.flag
@click.option("--principal", "-n", "principals", multiple=True, metavar="NAME", help="Account to log in to [IDENTITY].")
@click.option("--comment", metavar="TEXT", help="How the agent calls it [IDENTITY].")
@click.option("--add-user", is_flag=True, help="Also get a certificate that makes the account, under another key.")
@options.token
@options.validity
@options.key
@options.provisioner
@options.password_file("Password of the provisioner's key", alias_of=_ALIAS)
@options.connection
@offline.flags
@click.option("--force", "-f", is_flag=True, help="Replace a certificate that the agent has.")
@options.json_output
@reported()
def login(
    identity: str | None,
    identity_flag: str | None,
    principals: tuple[str, ...],
    comment: str | None,
    add_user: bool,
    token: str | None,
    not_before: When,
    not_after: When,
    kty: str | None,
    curve: str | None,
    size: int | None,
    provisioner: str | None,
    provisioner_password_file: str | None,
    password_file: str | None,
    ca_url: str | None,
    root: "Path | None",
    offline: "Offline | None",
    force: bool,
) -> None:
    """Get an SSH certificate for IDENTITY, and put it and its key into the SSH agent until it expires.

    No file is written. An agent that has a certificate of this CA for IDENTITY keeps it; expired ones are removed.
    """
    from mica.cli.ca import issuance  # cryptography is slow to import
    from mica.cli.ssh.issuing import certification, delivery, login

    name = identityflag.typed(identity, identity_flag) or identity_flag
    delivery.check_comment(comment)
    ready = issuance.token_for_the_ca(token, offline)
    wishes = login.Wishes(
        principals=principals,
        comment=comment or "",
        validity=(not_before, not_after),
        algorithm=options.key_algorithm(kty, curve, size),
        add_user=add_user,
        force=force,
        token=ready,
    )
    source = either(_ALIAS, provisioner_password_file, password_file)
    check_sources({_ALIAS: source, "--ca-password-file": offline.password_source if offline else None})
    password = given(source)
    connection = issuance.reach(ready, ca_url, root, offline)
    done = login.log_in(connection, name, provisioner=provisioner, password=password, wishes=wishes)
    if wants_json():
        report(
            certification.summary(done.certificate.tbs)
            | {"ca_url": connection.url, "agent": True, "already": done.was_there}
        )
