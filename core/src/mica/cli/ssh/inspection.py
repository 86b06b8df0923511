"""``mica ssh inspect``."""

from datetime import UTC
from typing import TYPE_CHECKING

import click

from mica.cli import options
from mica.cli.console import json_text, product, wants_json, warn
from mica.clock import system_clock

if TYPE_CHECKING:
    from mica.cli.ssh.inputs import Entry
    from mica.sshcert import SSHCertificate


@click.command(
    epilog=options.examples(
        "mica ssh inspect id_ecdsa-cert.pub",
        "mica ssh inspect --format json id_ecdsa-cert.pub",
        "cat id_ecdsa-cert.pub | mica ssh inspect --local",
    )
)
@click.argument("file", required=False, metavar="[FILE|-]")
@click.option(
    "--format", "layout", type=click.Choice(("text", "json")), default="text", show_default=True, help="Layout."
)
@click.option("--local", is_flag=True, help="Times of this machine's zone, not UTC.")
@options.json_output
def inspect(file: str | None, layout: str, local: bool) -> None:
    """Show SSH certificates, one a line, as in id_ecdsa-cert.pub."""
    from mica.cli.ssh import inputs, layouts  # cryptography is slow to import

    found = [(entry, entry.certificate()) for entry in inputs.entries(file)]
    now, zone = system_clock(), None if local else UTC
    for entry, certificate in found:
        _warn_of_signature(entry, certificate)
    if wants_json() or layout == "json":
        shown = [layouts.members(certificate, now, zone) for _, certificate in found]
        product(json_text(shown if len(shown) > 1 else shown[0]))
        return
    name = file or "-"
    for entry, certificate in found:
        title = f"{name}:{entry.number}" if len(found) > 1 else name
        product(layouts.text(certificate, title, now, zone))


def _warn_of_signature(entry: "Entry", certificate: "SSHCertificate") -> None:
    from mica.sshwire import MalformedSSH

    try:
        certificate.check_signature()
    except MalformedSSH as error:
        warn(f"{entry.place}: {error}")
