"""What a plugin's command reads of ca.toml: its own extension, as the server builds it. Nothing else is built."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mica import pins
from mica.assembly import Assembly
from mica.cli.ca.configuration import read_settings
from mica.cli.errors import FileProblem
from mica.clock import system_clock
from mica.errors import ConfigError
from mica.hooks import Hooks


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadExtension:
    """An extension, built and not started, and what is around it in ca.toml."""

    path: Path
    extension: Any
    enabled: bool
    """Whether ``plugins`` names it; otherwise the server does not ask it."""
    provisioners: tuple[str, ...]
    """The names of the provisioners."""


def read_extension(path: Path | None, name: str, plugin: object) -> ReadExtension:
    """What the plugin ``plugin``, a module, builds of its table and of what provisioners' tables say to it.

    Keys and passwords are not needed. Raises FileProblem with every mistake in the core's part and in the plugin's.
    """
    try:
        settings = read_settings(path)
    except ConfigError as error:
        raise FileProblem("\n".join(error.faults)) from error
    tables = {kind: table for kind, table in settings.core.plugin.items() if kind == name}
    alone = replace(settings, core=replace(settings.core, plugins=(), plugin=tables))
    assembly = Assembly(alone, Hooks(), system_clock)
    assembly.load_plugins({name: plugin})
    if faults := dict.fromkeys([*settings.faults, *assembly.faults]):
        raise FileProblem("\n".join(faults), hint=f"{settings.path} cannot be used until this is mended")
    return ReadExtension(
        path=settings.path,
        extension=assembly.extensions[name],
        enabled=name in pins.names(settings.core.plugins),
        provisioners=tuple(str(table.get("name", "")) for table in settings.core.provisioners),
    )
