"""``mica ca init``."""

from typing import Any

import click

from mica.cli import options


@click.command(
    epilog=options.examples(
        'mica ca init --name "Harbour Works" --dns ca.harbour.example --address 127.0.0.1:8443'
        " --provisioner ops@harbour.example --ca-password-file ca-password.txt",
        'mica ca init --dry-run --context staging --name "Harbour Staging" --dns ca.staging.example --address :8443'
        " --provisioner ops@harbour.example",
        'mica ca init --ssh --name "Harbour Works" --dns ca.harbour.example --address 127.0.0.1:8443'
        " --provisioner ops@harbour.example --ca-password-file ca-password.txt",
        'mica ca init --pki --name "Harbour Works" --ca-password-file ca-password.txt',
    )
)
@click.option("--name", metavar="NAME", help="Name of the PKI, for the subjects of its CA certificates.")
@click.option("--dns", multiple=True, metavar="NAME", help="DNS name or IP address of the CA; repeatable.")
@click.option("--address", metavar="HOST:PORT", help="Where the server listens.")
@click.option("--provisioner", metavar="NAME", help="Name of the first provisioner.")
@click.option("--with-ca-url", metavar="URL", type=options.URL(), help="URL for clients [https://<first dns>:<port>].")
@click.option(
    "--ca-password-file",
    "--password-file",
    "ca_password_file",
    metavar="FILE",
    help="Password of the CA keys, and of the provisioner's key unless it has its own: a file, - for stdin, fd:N.",
)
@click.option("--provisioner-password-file", metavar="FILE", help="Password of the first provisioner's key: likewise.")
@click.option("--root", type=options.FILE, cls=options.CommandLineOnly, help="Existing root certificate.")
@click.option(
    "--key",
    type=options.FILE,
    cls=options.CommandLineOnly,
    help="Key of the existing root; it is used once and not copied.",
)
@click.option("--key-password-file", metavar="FILE", help="Password of the existing root's key: likewise.")
@click.option("--ssh", is_flag=True, help="Also keys that sign SSH certificates, and a provisioner of the type SSHPOP.")
@click.option("--pki", is_flag=True, help="Only keys and certificates; no configuration.")
@click.option("--deployment-type", type=click.Choice(("standalone",)), help="There is one type; step's habit.")
@click.option("--dry-run", is_flag=True, help="Say what would be made; write nothing.")
@options.new_context
@options.force
@options.json_output
def init(**flags: Any) -> None:
    """Create a root, an intermediate, a first provisioner and the configuration, below $MICAPATH.

    Nothing is asked, made or written when there is a CA already, unless --force is given. With --context, or once
    there are contexts, the CA becomes a context beside the others.
    """
    from mica.cli.ca import founding  # slow to import

    founding.found(flags)
