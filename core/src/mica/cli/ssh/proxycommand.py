"""``mica ssh proxycommand``: what ssh reaches a host through (ssh_config(5), ProxyCommand)."""

from typing import TYPE_CHECKING

import click

from mica.cli import options

if TYPE_CHECKING:
    from pathlib import Path


class _Port(click.IntRange):
    name = "port"  # as messages call it


@click.command(
    epilog=options.examples(
        "ssh -G -o 'ProxyCommand=mica ssh proxycommand %r %h %p' alice@build1.harbour.example",
    )
)
@click.argument("user")
@click.argument("host")
@click.argument("port", type=_Port(1, 65535))
@options.connection
@options.provisioner
@options.password_file("Password of the provisioner's key", alias_of="--provisioner-password-file")
def proxycommand(
    user: str,
    host: str,
    port: int,
    ca_url: str | None,
    root: "Path | None",
    provisioner: str | None,
    provisioner_password_file: str | None,
    password_file: str | None,
) -> None:
    """Connect stdin and stdout with PORT of HOST, directly or through the bastion that the CA names.

    When the agent holds no valid certificate of the CA, USER is logged in first, as by mica ssh login. When the CA does
    not answer, the connection is made directly.
    """
    from mica.cli.ca.passwordflags import either
    from mica.cli.ssh.reaching import proxying  # the client is slow to import

    source = either("--provisioner-password-file", provisioner_password_file, password_file)
    destination = proxying.Destination.checked(user, host, port)
    proxying.connect(destination, ca_url, root, provisioner=provisioner, password_source=source)
