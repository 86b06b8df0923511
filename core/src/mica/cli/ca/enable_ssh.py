"""``mica ca enable-ssh``."""

from typing import Any

import click

from mica.cli import options
from mica.cli.ca.configuration import ca_config


@click.command(epilog=options.examples("mica ca enable-ssh --password-file ca-password.txt"))
@ca_config
@options.password_file("Password of the CA keys, which the new ones have as well")
@click.option("--dry-run", is_flag=True, help="Say what would be made; write nothing.")
@options.json_output
def enable_ssh(**flags: Any) -> None:
    """Make a CA that is there sign SSH certificates: two keys, [signers.ssh], a provisioner of the type SSHPOP.

    It is what mica ca init --ssh makes, except that no other provisioner may order SSH certificates yet. Where there
    is [signers.ssh] already, nothing is changed.
    """
    from mica.cli.ca import ssh_addition  # slow to import

    ssh_addition.add(flags)
