"""``mica version`` and ``mica help``."""

import click

from mica import __version__
from mica.cli.console import product


@click.command()
def version() -> None:
    """Print the version."""
    product(f"mica {__version__}")


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("path", nargs=-1)
@click.pass_context
def help_(context: click.Context, path: tuple[str, ...]) -> None:
    """Show the help of a command, such as: mica help ca sign."""
    shown = context.find_root()
    for name in path:
        group = shown.command
        command = group.get_command(shown, name) if isinstance(group, click.Group) else None
        if command is None:
            raise click.UsageError(f"there is no command {' '.join(path)!r}", shown)
        shown = click.Context(command, parent=shown, info_name=name, **command.context_settings)
    product(shown.get_help())
