"""``mica plugin list``."""

from typing import TYPE_CHECKING, Any

import click

from mica.cli import options
from mica.cli.ca.configuration import ca_config
from mica.cli.kit import printable, product, report, wants_json
from mica.cli.plugins.enabled import enabled_plugins

if TYPE_CHECKING:
    from pathlib import Path


@click.command("list", epilog=options.examples("mica plugin list", "mica plugin list --all --json"))
@ca_config
@click.option("--all", "every", is_flag=True, help="Import plugins that are not enabled too, to tell what they offer.")
@options.json_output
def list_(ca_config: "Path | None", every: bool) -> None:
    """List the plugins that are installed, which of them ca.toml enables, and what they bring.

    What a plugin offers is known once it has been imported. Only enabled ones are, unless --all is given.
    """
    from mica.cli.plugins.inspection import rows  # imports much

    listed = [row.members() for row in rows(enabled_plugins(ca_config), every=every)]
    if wants_json():
        report({"plugins": listed})
        return
    product("\n".join(_block(row) for row in listed), nl=bool(listed))


def _block(row: dict[str, Any]) -> str:
    """The plugin's name and state, and below it what there is to say."""
    lines = [f"{row['name']}: {_state(row)}"]
    for label, text in _facts(row):
        if text:
            lines.append(f"  {label + ':':<14}{text}")
    return "\n".join(map(printable, lines))


def _state(row: dict[str, Any]) -> str:
    state = "enabled" if row["enabled"] else "installed"
    return f"{state}, pinned" if row["pinned"] else state


def _facts(row: dict[str, Any]) -> list[tuple[str, str]]:
    kinds = row["kinds"] or {}
    unknown = "unknown: not enabled; see --all" if row["kinds"] is None else ""
    return [
        ("distribution", " ".join(filter(None, (row["distribution"], row["version"])))),
        *((role.replace("_", " "), ", ".join(names)) for role, names in kinds.items()),
        ("offers", unknown),
        ("hooks", ", ".join(row["hooks"] or ())),
        ("commands", ", ".join(row["commands"])),
        ("clients", ", ".join(row["clients"])),
        ("pin", row["pin"] or (f"none: {row['not_pinnable']}" if row["not_pinnable"] else "")),
        *(("fault", fault) for fault in row["faults"]),
    ]
