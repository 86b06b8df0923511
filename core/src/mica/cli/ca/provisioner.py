"""``mica ca provisioner list``: who may ask the CA for certificates."""

from typing import TYPE_CHECKING

import click

from mica.cli import options
from mica.cli.ca.answers import reported
from mica.cli.console import json_text, product

if TYPE_CHECKING:
    from pathlib import Path


@click.command("list", epilog=options.examples("mica ca provisioner list"))
@options.connection
@options.json_output
@reported()
def list_(ca_url: str | None, root: "Path | None") -> None:
    """List the provisioners of the CA as JSON. The list is public, encrypted keys included."""
    from mica.cli.ca.connection import connect  # the client is slow to import

    product(json_text(connect(ca_url, root).client.provisioners(), indent=3))
