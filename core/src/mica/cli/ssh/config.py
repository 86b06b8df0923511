"""``mica ssh config``: trust anchors for hosts and clients, and their configuration."""

from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from mica.cli import options
from mica.cli.ca.answers import reported
from mica.cli.errors import Usage

if TYPE_CHECKING:
    from pathlib import Path

_PARAMETERS = {
    "--set": "pairs",
    "--etc-ssh": "etc_ssh",
    "--dry-run": "dry_run",
    "--undo": "undo",
    "--cert-authority": "cert_authority",
}


@click.command(
    epilog=options.examples(
        "mica ssh config --roots > ca.pub",
        "mica ssh config --host --roots --cert-authority '*.harbour.example' >> known_hosts",
        "mica ssh config --set User=alice --dry-run",
        "mica ssh config --set User=alice",
        "mica ssh config --host --etc-ssh image/etc/ssh --dry-run"
        " --set Certificate=ssh_host_ecdsa_key-cert.pub --set Key=ssh_host_ecdsa_key",
        "mica ssh config --undo",
    )
)
@click.option("--host", is_flag=True, help="For a host's sshd, not for a client's ssh.")
@click.option("--roots", is_flag=True, help="Print the keys for hosts to trust; with --host, those for clients.")
@click.option("--federation", is_flag=True, help="As --roots, with the keys of federated CAs.")
@click.option(
    "--cert-authority", metavar="HOSTS", help="Print them for known_hosts, trusted for these, such as '*.example'."
)
@click.option("--set", "pairs", metavar="NAME=VALUE", multiple=True, help="Fill this into the templates; repeatable.")
@click.option("--etc-ssh", type=options.FILE, metavar="DIR", help="Write here, not in /etc/ssh: images and chroots.")
@click.option("--dry-run", is_flag=True, help="Print the changes as a diff, and make none.")
@click.option("--undo", is_flag=True, help="Take out again what was written for this CA.")
@options.connection
@options.force
@options.json_output
@reported()
def config(
    host: bool,
    roots: bool,
    federation: bool,
    cert_authority: str | None,
    pairs: tuple[str, ...],
    etc_ssh: "Path | None",
    dry_run: bool,
    undo: bool,
    ca_url: str | None,
    root: "Path | None",
    force: bool,
) -> None:
    """Configure ssh, or with --host sshd, for the certificates of the CA, as its templates have it.

    The user's configuration includes what mica writes, and stays as it is otherwise. --set User=NAME says which account
    ssh logs in to; else it is that of the certificate in the agent. For a host, --set Certificate=FILE and --set
    Key=FILE name the files in /etc/ssh, once for each host key.
    """
    _refuse_contradictions(host=host, keys=roots or federation, undo=undo)
    from mica.cli.ssh.configuring import configuration  # cryptography is slow to import

    if roots or federation:
        configuration.print_keys(
            ca_url, root, host=host, federated=federation, pattern=cert_authority if host else None
        )
        return
    folder = configuration.folder_of_sshd(etc_ssh) if host else None
    if undo:
        configuration.unconfigure(etc_ssh=folder, dry_run=dry_run, force=force)
    else:
        configuration.configure(ca_url, root, pairs, etc_ssh=folder, dry_run=dry_run, force=force)


def _refuse_contradictions(*, host: bool, keys: bool, undo: bool) -> None:
    """The flags on the command line make sense together; raises Usage."""
    source = click.get_current_context().get_parameter_source
    typed = [flag for flag, name in _PARAMETERS.items() if source(name) is ParameterSource.COMMANDLINE]
    changing = [flag for flag in typed if flag != "--cert-authority"]
    if keys and changing:
        raise Usage(f"flag '{changing[0]}' is incompatible with '--roots' and '--federation', which print keys alone")
    if undo and "--set" in typed:
        raise Usage("flag '--set' is incompatible with '--undo'")
    if "--etc-ssh" in typed and not host:
        raise Usage("flag '--etc-ssh' requires the '--host' flag")
    if "--cert-authority" in typed and not (host and keys):
        raise Usage("flag '--cert-authority' requires '--host' with '--roots' or '--federation'")
