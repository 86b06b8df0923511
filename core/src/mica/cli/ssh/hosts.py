"""``mica ssh hosts``."""

from typing import TYPE_CHECKING

import click

from mica.cli import options
from mica.cli.ca.answers import reported
from mica.cli.console import printable, product, report, wants_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_TAB = 8
_HEADINGS = ("HOSTNAME", "ID", "TAGS")


@click.command(epilog=options.examples("mica ssh hosts", "mica ssh hosts --json"))
@options.connection
@options.json_output
@reported()
def hosts(ca_url: str | None, root: "Path | None") -> None:
    """List the hosts that have a certificate now."""
    from mica.cli.ssh.asking import explained, ssh_of  # the client is slow to import

    ca = ssh_of(ca_url, root)
    with explained(ca_url):
        names = ca.hosts()
    if wants_json():
        report({"ca_url": ca_url, "hosts": [{"hostname": name} for name in names]})
        return
    # A CA that keeps no register of its hosts knows neither their ids nor their tags.
    for line in table([_HEADINGS, *((printable(name), "", "") for name in names)]):
        product(line)


def table(rows: "Sequence[Sequence[str]]") -> list[str]:
    """The rows as lines whose columns begin at tab stops, eight characters apart."""
    widths = [(max(map(len, column)) // _TAB + 1) * _TAB for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [cell + "\t" * -(-(width - len(cell)) // _TAB) for cell, width in zip(row[:-1], widths, strict=False)]
        lines.append(("".join(cells) + row[-1]).rstrip("\t"))
    return lines
