"""``mica path`` and ``mica context list|current|select|remove``."""

from typing import TYPE_CHECKING

import click

from mica.cli import contexts, options
from mica.cli.console import ask_choice, ask_yes_no, chosen, product, report, say, wants_json
from mica.cli.contexts import Context
from mica.cli.errors import Cancelled, CLIError, FileProblem, Usage
from mica.cli.paths import base_path, context_in_use, mica_path

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


def _names(context: click.Context, parameter: click.Parameter, incomplete: str) -> "list[CompletionItem[str]]":
    from click.shell_completion import CompletionItem  # only the shell asks

    try:
        known = contexts.known(base_path())
    except FileProblem:
        return []
    return [CompletionItem(name, help=entry.authority) for name, entry in known.items() if name.startswith(incomplete)]


@click.command(epilog=options.examples("mica path", "mica path --base"))
@options.context
@click.option("--base", is_flag=True, help="Where everything is, whatever the context: $MICAPATH, else ~/.mica.")
@click.option("--profile", is_flag=True, help="Where the profile of the context has its defaults.")
def path(base: bool, profile: bool) -> None:
    """Print where mica keeps its files: the folder of the CA in use."""
    if base and profile:
        raise Usage("flag '--base' is incompatible with '--profile'")
    if base:
        product(str(base_path()))
    elif profile:
        context = context_in_use()
        if context is None:
            raise CLIError("no context is in use, and only contexts have profiles", hint="mica context list")
        product(str(context.profile_folder))
    else:
        product(str(mica_path()))


@click.command("list", epilog=options.examples("mica context list", "mica context list --json"))
@options.json_output
def list_() -> None:
    """List the contexts by name, the current one first."""
    known, current = contexts.known(base_path()), _current()
    rows = sorted(known.values(), key=lambda context: (context != current, context.name))
    if wants_json():
        report({"contexts": [{**_members(context), "current": context == current} for context in rows]})
        return
    for context in rows:
        product(f"▶ {context.name}" if context == current else context.name)
    if not rows:
        say(f"There are no contexts in {base_path()}. mica ca bootstrap --context NAME … makes one.")


@click.command(epilog=options.examples("mica context current || echo none"))
@options.json_output
def current() -> None:
    """Print the context that is used when neither --context nor MICA_CONTEXT names another."""
    context = contexts.current(base_path())
    if context is None:
        raise CLIError("no context is current", hint="mica context list shows them, mica context select NAME chooses")
    if wants_json():
        report(_members(context))
    else:
        product(context.name)


@click.command(epilog=options.examples("mica context select --none"))
@click.argument("name", required=False, shell_complete=_names)
@click.option("--none", "none", is_flag=True, help="No context: the files directly below $MICAPATH.")
def select(name: str | None, none: bool) -> None:
    """Make the context NAME the current one; without NAME, the one that is picked."""
    if name is not None and none:
        raise Usage("flag '--none' is incompatible with a name")
    if none:
        contexts.select(base_path(), None)
        chosen("Context", "none")
        return
    if name is None:
        known = list(contexts.known(base_path()))
        if not known:
            raise CLIError("there are no contexts", hint="mica ca bootstrap --context NAME … makes one")
        contexts.select(base_path(), ask_choice("Which context?", known, flag="a NAME", name="Context"))
        return
    contexts.select(base_path(), name)
    chosen("Context", name)


@click.command(
    epilog=options.examples(
        "mica ca bootstrap --context old --ca-url https://ca.example:8443"
        " --fingerprint $(mica certificate fingerprint root_ca.crt) && mica context select --none"
        " && mica context remove old"
    )
)
@click.argument("name", shell_complete=_names)
@options.force
def remove(name: str, force: bool) -> None:
    """Remove the context NAME, and the folders that no other context uses, with every key in them."""
    context = contexts.named(base_path(), name)
    contexts.refuse_current(context)
    going = contexts.folders_of(context)
    for folder in going:
        say(f"To be removed: {folder}")
    if any((context.home / "secrets").glob("*")) and context.home in going:
        say(f"The keys of a CA are in {context.home / 'secrets'}.")
    if not force and not ask_yes_no(f"Would you like to remove the context {name}", flag="--force"):
        raise Cancelled(f"{name}: is left as it is")
    contexts.remove(context)
    chosen("Removed", name)


def _current() -> Context | None:
    try:
        return contexts.current(base_path())
    except FileProblem:  # none of those that are listed
        return None


def _members(context: Context) -> dict[str, object]:
    return {"name": context.name, "authority": context.authority, "profile": context.profile}
