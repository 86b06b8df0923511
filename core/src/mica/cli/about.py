"""``mica version`` and ``mica help``."""

import click

from mica import __version__
from mica.cli import options
from mica.cli.console import product, report, wants_json
from mica.cli.shell import Group


@click.command(epilog=options.examples("mica version", "mica version --json"))
@options.json_output
def version() -> None:
    """Print the version."""
    if wants_json():
        report({"version": __version__})
    else:
        product(f"mica {__version__}")


def _members(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """What may follow on the words before, for the shell to complete."""
    root, before = context.find_root().command, " ".join(context.params.get("path") or ())
    names = root.catalogue.children(before) if isinstance(root, Group) else []
    return [name for name in names if name.startswith(incomplete)]


@click.command(epilog=options.examples("mica help ca sign"), context_settings={"ignore_unknown_options": True})
@click.argument("path", nargs=-1, shell_complete=_members)
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
