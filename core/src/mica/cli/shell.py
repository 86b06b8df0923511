"""The tree of commands as click sees it: groups that know their members' names, and import none of them for help."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from mica.cli import table
from mica.cli.catalogue import Catalogue, context_option, switches
from mica.cli.console import Settings, product
from mica.cli.errors import CLIError

if TYPE_CHECKING:
    from pathlib import Path

    from click.shell_completion import CompletionItem

_TRUE, _FALSE = ("1", "t", "true", "yes", "on"), ("0", "f", "false", "no", "off")


class Group(click.Group):
    """The commands below one path."""

    def __init__(self, catalogue: Catalogue, path: str, **attributes: object) -> None:
        self.catalogue, self.path = catalogue, path
        super().__init__(
            name=path.rpartition(" ")[2] or "mica",
            help=table.GROUPS.get(path),
            context_settings={"help_option_names": ["-h", "--help"]},
            **attributes,  # type: ignore[arg-type]
        )

    def below(self, name: str) -> str:
        """The path of the member ``name``."""
        return f"{self.path} {name}".strip()

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of the members, in the order of the table."""
        return self.catalogue.children(self.path)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The member ``cmd_name``, imported; None when there is none."""
        path = self.below(cmd_name)
        return Group(self.catalogue, path) if self.catalogue.is_group(path) else self.catalogue.command(path)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The members with their one line of help, without importing those of core."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, self.catalogue.help(self.below(name))) for name in self.list_commands(ctx)])

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """The context of this group; a bad value in the environment is told by its variable."""
        try:
            return super().make_context(info_name, args, parent, **extra)
        except click.BadParameter as error:
            raise _told(error) from error

    def invoke(self, ctx: click.Context) -> Any:
        """What the member gives; a bad value is told by where it is from."""
        try:
            return super().invoke(ctx)
        except click.BadParameter as error:
            raise _told(error) from error

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The member that is called, with its defaults in place and ``--flag=false`` understood."""
        command = self.get_command(ctx, args[0])
        if ctx.resilient_parsing:  # the shell wants to complete; what files say does not matter
            return args[0] if command else None, command, args[1:]
        if command is None:
            raise self._unknown(ctx, args[0])
        rest = args[1:]
        if not isinstance(command, Group):
            from mica.cli.values import asks_for_help, default_values, given, refuse_doubles  # groups have no values

            ctx.ensure_object(Settings).exit_codes = getattr(command, "exit_codes", None)
            rest = _without_boolean_values(ctx, command, rest)
            said = given(command, ctx, rest)
            refuse_doubles(command, said)
            if "--context" in said:  # it says whose defaults count
                ctx.ensure_object(Settings).context = str(said["--context"])
            if not asks_for_help(command, said) or getattr(command, "help_reads_defaults", False):
                ctx.default_map = {args[0]: default_values(self.below(args[0]), command, ctx, said)}
        return args[0], command, rest

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem[str]]":
        """The members and flags that begin with ``incomplete``; no command is imported for it."""
        from click.shell_completion import CompletionItem

        try:
            names = self.list_commands(ctx)
        except CLIError:  # two plugins collide; told when one of them is called
            names = list(dict.fromkeys(path.partition(" ")[0] for path in table.COMMANDS)) if not self.path else []
        found = [name for name in names if name.startswith(incomplete)]
        items = [CompletionItem(name, help=table.one_line(self.below(name))) for name in found]
        return [*items, *click.Command.shell_complete(self, ctx, incomplete)]

    def _unknown(self, ctx: click.Context, name: str) -> click.UsageError:
        from difflib import get_close_matches  # only for this message

        close = get_close_matches(name, self.list_commands(ctx), n=1)
        meant = f"; did you mean {self.below(close[0])!r}?" if close else ""
        return click.UsageError(f"there is no command {self.below(name)!r}{meant}", ctx)


def _told(error: click.BadParameter) -> click.BadParameter | CLIError:
    from mica.cli.values import with_origin  # only for this message

    return with_origin(error)


def _file(text: str) -> "Path":
    from pathlib import Path  # slow to import, and rarely needed

    return Path(text)


def root() -> Group:
    """``mica``, with everything below it still to be found."""

    def show_version(context: click.Context, _: click.Parameter, value: bool) -> None:
        if value and not context.resilient_parsing:
            from mica import __version__

            product(f"mica {__version__}")
            context.exit()

    def settle(context: click.Context, _: click.Parameter, value: "Path | None") -> None:
        context.ensure_object(Settings).config = value

    group = Group(
        Catalogue(),
        "",
        params=[
            click.Option(
                ["--config"],
                type=_file,
                metavar="FILE",
                envvar="MICA_CONFIG",
                expose_value=False,
                callback=settle,
                help="Read this file instead of defaults.json.",
            ),
            context_option(),
            *switches(),
            click.Option(
                ["--version"],
                is_flag=True,
                is_eager=True,
                expose_value=False,
                callback=show_version,
                help="Print the version.",
            ),
        ],
    )
    group.help = "A certificate authority, and the command line that gets certificates from it."
    return group


def _without_boolean_values(ctx: click.Context, command: click.Command, args: Sequence[str]) -> list[str]:
    """``args`` with ``--flag=true`` as ``--flag`` and ``--flag=false`` as ``--no-flag``: click's take no value."""
    flags = {
        name: option
        for option in command.params
        if isinstance(option, click.Option) and option.is_bool_flag
        for name in option.opts
    }
    rewritten: list[str] = []
    for index, argument in enumerate(args):
        if argument == "--":
            return [*rewritten, *args[index:]]
        name, equals, value = argument.partition("=")
        option = flags.get(name) if equals else None
        rewritten.append(_as_switch(ctx, option, name, value) if option else argument)
    return rewritten


def _as_switch(ctx: click.Context, option: click.Option, name: str, value: str) -> str:
    if value.lower() in _TRUE:
        return name
    if value.lower() not in _FALSE:
        raise click.UsageError(f"invalid value {value!r} for flag {name!r}: true or false", ctx)
    if not option.secondary_opts:
        option.secondary_opts = [f"--no-{name.lstrip('-')}"]
    return option.secondary_opts[0]
