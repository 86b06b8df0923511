"""Every command there is, found by its path and imported when it is asked for; and where its flags get their values."""

import os
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING

import click

from mica.cli import table
from mica.cli.console import Settings
from mica.cli.discovery import Brought, brought
from mica.cli.errors import CLIError, FileProblem

if TYPE_CHECKING:
    from pathlib import Path


class CommandLineOnly(click.Option):
    """An option that neither the environment nor ``defaults.json`` sets."""


class Catalogue:
    """The commands of core and of every installed distribution. Nothing is looked up before it is needed."""

    @cached_property
    def plugins(self) -> dict[str, Brought]:
        """The commands that other distributions bring; raises CLIError when two collide."""
        return brought(table.COMMANDS)

    def children(self, group: str) -> list[str]:
        """The names of what stands directly in ``group`` (``""`` is the root)."""
        start = f"{group} " if group else ""
        paths_below = (path for path in (*table.COMMANDS, *self.plugins) if path.startswith(start))
        return list(dict.fromkeys(path.removeprefix(start).partition(" ")[0] for path in paths_below))

    def is_group(self, path: str) -> bool:
        """Whether commands lie below ``path``. Core is asked first, so that its commands cost no search."""
        if path in table.COMMANDS:
            return False
        below = f"{path} "
        return any(known.startswith(below) for commands in (table.COMMANDS, self.plugins) for known in commands)

    def command(self, path: str) -> click.Command | None:
        """The command at ``path``, imported; None when there is none. Raises CLIError when it cannot be loaded."""
        if path in table.COMMANDS:
            return _load(table.COMMANDS[path][0], path, "mica")
        if path in self.plugins:
            return _load(self.plugins[path].target, path, self.plugins[path].distribution)
        return None

    def help(self, path: str) -> str:
        """One line on what is at ``path``. Only a plugin's command is imported for it."""
        if path in table.COMMANDS:
            return table.COMMANDS[path][1]
        if path in self.plugins:
            try:
                command = self.command(path)
            except CLIError as error:
                return f"({error.message})"
            return command.get_short_help_str(limit=100) if command else ""
        return table.GROUPS.get(path, "")


def _load(target: str, path: str, distribution: str) -> click.Command:
    module, _, attribute = target.partition(":")
    try:
        command = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise CLIError(
            f"the command {path!r} of {distribution} cannot be loaded: {error}", hint=f"install {distribution} again"
        ) from error
    if not isinstance(command, click.Command):
        raise CLIError(f"the command {path!r} of {distribution} cannot be loaded: {target} is not a command")
    _furnish(command)
    return command


def _furnish(command: click.Command) -> None:
    """Every command takes the switches of the shell, and every flag listens to ``MICA_<FLAG>``."""
    known = {name for parameter in command.params for name in parameter.opts}
    command.params += [switch for switch in switches() if not known.intersection(switch.opts)]
    command.context_settings.setdefault("help_option_names", ["-h", "--help"])
    for option in _settable(command):
        if option.envvar is None and not option.multiple:
            option.envvar = _variables(option)


def switches() -> list[click.Option]:
    """The flags that every command takes: how this run talks."""

    def settle(context: click.Context, parameter: click.Parameter, value: bool) -> None:
        settings = context.ensure_object(Settings)
        if value and parameter.name:
            setattr(settings, parameter.name, True)

    return [
        click.Option(
            ["--non-interactive"],
            is_flag=True,
            expose_value=False,
            callback=settle,
            envvar="MICA_NON_INTERACTIVE",
            help="Never ask; fail and name the flag that answers.",
        ),
        click.Option(
            ["--no-color"],
            is_flag=True,
            expose_value=False,
            callback=settle,
            envvar="MICA_NO_COLOR",
            help="Write no colours.",
        ),
    ]


def default_values(path: str, command: click.Command, config: "Path | None") -> dict[str, object]:
    """What ``defaults.json`` says about the flags of this command, and the environment about the repeatable ones."""
    from mica.cli import paths  # pathlib is slow, and help needs none of it

    said = {} if path in table.WITHOUT_DEFAULTS else paths.defaults(config)
    values: dict[str, object] = {}
    for option in _settable(command):
        name = next((name for name in _long_names(option) if name in said), None)
        if name is not None and option.name:
            values[option.name] = _fitting(option, name, said[name], config or paths.defaults_file())
        # click splits the environment of a repeatable flag at white space; the habit here is the comma.
        listed = next(filter(None, map(os.environ.get, _variables(option))), None) if option.multiple else None
        if listed is not None and option.name:
            values[option.name] = [item for item in map(str.strip, listed.split(",")) if item]
    return values


def _fitting(option: click.Option, name: str, value: object, file: "Path") -> object:
    if option.multiple:
        return value if isinstance(value, list) else [str(value)]
    if isinstance(value, list):
        raise FileProblem(f"{file}: {name!r} takes one value, not a list")
    if option.is_flag or not isinstance(value, bool):
        return value if option.is_flag else str(value)
    raise FileProblem(f"{file}: {name!r} takes a value, not {str(value).lower()}")


def _settable(command: click.Command) -> list[click.Option]:
    """The options of ``command`` that the environment and the defaults may set."""
    return [
        option
        for option in command.params
        if isinstance(option, click.Option) and not isinstance(option, CommandLineOnly) and _long_names(option)
    ]


def _long_names(option: click.Option) -> list[str]:
    return [name.removeprefix("--") for name in option.opts if name.startswith("--")]


def _variables(option: click.Option) -> list[str]:
    return [f"MICA_{name.upper().replace('-', '_')}" for name in _long_names(option)]
