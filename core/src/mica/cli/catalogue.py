"""Every command there is, found by its path and imported when it is asked for."""

from functools import cached_property
from importlib import import_module

import click
from click.core import ParameterSource

from mica.cli import table
from mica.cli.console import Settings
from mica.cli.discovery import Brought, brought, docstring
from mica.cli.errors import CLIError


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
        if any(known.startswith(below) for known in table.COMMANDS):
            return True
        return any(known.startswith(below) for known in self.plugins)

    def command(self, path: str) -> click.Command | None:
        """The command at ``path``, imported; None when there is none. Raises CLIError when it cannot be loaded."""
        if path in table.COMMANDS:
            return _load(table.COMMANDS[path][0], path, "mica")
        if path in self.plugins:
            return _load(self.plugins[path].target, path, self.plugins[path].distribution)
        return None

    def help(self, path: str) -> str:
        """One line on what is at ``path``. Only a plugin's command that is no plain function is imported for it."""
        if path in table.COMMANDS or path not in self.plugins:
            return table.one_line(path)
        text = docstring(self.plugins[path].target)
        try:
            command = click.Command(None, help=text) if text else self.command(path)
        except CLIError as error:
            return f"({error.message})"
        return command.get_short_help_str(limit=100) if command else ""


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
    _furnish(path, command)
    return command


def _furnish(path: str, command: click.Command) -> None:
    """Every command takes the switches of the shell, and every flag listens to ``MICA_<FLAG>``.

    A command that reads defaults can be told whose.
    """
    from mica.cli.values import listen  # the help of groups needs no values

    known = {name for parameter in command.params for name in parameter.opts}
    more = switches() if path in table.WITHOUT_DEFAULTS else [context_option(), *switches()]
    command.params += [switch for switch in more if not known.intersection(switch.opts)]
    command.context_settings.setdefault("help_option_names", ["-h", "--help"])
    listen(command)


def context_option() -> click.Option:
    """``--context NAME``: the context of this run. ``MICA_CONTEXT`` is read where contexts are."""

    def settle(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
        if parameter.name and context.get_parameter_source(parameter.name) is ParameterSource.COMMANDLINE:
            context.ensure_object(Settings).context = value

    return click.Option(
        ["--context"],
        metavar="NAME",
        expose_value=False,
        callback=settle,
        envvar="MICA_CONTEXT",
        shell_complete=_context_names,
        help="Use this context [the current one].",
    )


def _context_names(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    from mica.cli import contexts, paths  # only the shell asks

    try:
        return [name for name in contexts.known(paths.base_path()) if name.startswith(incomplete)]
    except CLIError:  # a file that cannot be read is told when a command needs it
        return []


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
