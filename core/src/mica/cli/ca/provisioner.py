"""``mica ca provisioner list``: who may ask the CA for certificates."""

import json
from pathlib import Path

import click

from mica.cli import options
from mica.cli.ca.connection import connect, reported
from mica.cli.console import product


@click.command("list")
@options.connection
@reported()
def list_(ca_url: str | None, root: Path | None) -> None:
    """List the provisioners of the CA as JSON. The list is public, encrypted keys included."""
    product(json.dumps(connect(ca_url, root).client.provisioners(), indent=3, ensure_ascii=False))
