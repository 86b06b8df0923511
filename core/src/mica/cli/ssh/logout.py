"""``mica ssh logout``: what the CA has certified leaves the SSH agent."""

from typing import TYPE_CHECKING

import click

from mica.cli import options
from mica.cli.ca.answers import reported
from mica.cli.console import report, say, wants_json
from mica.cli.errors import Usage
from mica.cli.ssh import identityflag

if TYPE_CHECKING:
    from pathlib import Path

    from mica.cli.ssh.agent import Identity


@click.command(
    epilog=options.examples("mica ssh logout", "mica ssh logout alice@harbour.example", "mica ssh logout --all")
)
@click.argument("identity", required=False)
@identityflag.flag
@click.option("--all", "everything", is_flag=True, help="Remove every key in the agent, whoever certified it.")
@options.connection
@options.json_output
@reported()
def logout(
    identity: str | None, identity_flag: str | None, everything: bool, ca_url: str | None, root: "Path | None"
) -> None:
    """Remove the keys that this CA has certified from the SSH agent, or those whose comment or key id is IDENTITY.

    A key that stands in the agent without certificate stays. With --all no CA is asked.
    """
    typed = identityflag.typed(identity, identity_flag)
    if everything and typed is not None:
        raise Usage("flag '--all' is incompatible with an identity", hint="it removes every key in the agent")
    removed = _emptied() if everything else _logged_out(typed or identity_flag, ca_url, root)
    if everything:
        say("All identities removed.")
    elif not removed:
        say("Identity not found. What the agent holds is shown by: mica ssh list")
    if wants_json():
        report({"removed": [{"fingerprint": each.fingerprint, "comment": each.comment} for each in removed]})


def _emptied() -> "list[Identity]":
    from mica.cli.ssh.agent import Agent  # cryptography is slow to import

    with Agent.open() as agent:
        held = agent.identities()
        agent.remove_all()
    return held


def _logged_out(name: str | None, ca_url: str | None, root: "Path | None") -> "list[Identity]":
    """What was removed: certified by the CA, and called ``name`` if that is given. Nobody is asked about nothing."""
    from mica.cli.ca.connection import connect
    from mica.cli.ssh.agent import Agent, signed_by
    from mica.cli.ssh.asking import user_keys

    connection = connect(ca_url, root)
    with Agent.open() as agent:
        meant = [each for each in agent.identities() if each.certificate and (name is None or each.is_called(name))]
        removed = []
        if meant:
            connection.introduce()
            removed = signed_by(meant, user_keys(connection))
        for each in removed:
            agent.remove(each)
            say(f"Identity removed: {each.comment or each.fingerprint}")
    return removed
