"""Writes docs/cli.md from the commands themselves, those of the plugins included."""

from collections.abc import Iterator
from pathlib import Path

import click

from mica.cli import shell
from mica.cli.catalogue import switches

TARGET = Path(__file__).parent / "cli.md"

_INTRODUCTION = """\
# The command line

<!-- Written by docs/generate_cli.py from the commands. Change those, or the text there; then: make docs -->

Every command of `mica` with its flags, and examples that a test runs. `mica help ca sign` says the same on a terminal.
[basic-operations.md](basic-operations.md) shows how they play together.

## What all commands share

**Standard output carries the product alone**: a token, a certificate's text, JSON. Questions, `✔ Name: value` lines,
warnings and errors go to the terminal or to standard error. So `TOKEN=$(mica ca token svc.example)` works, although it
asks for a password.

**Files are settled first.** Whether an output can be written, whether it may be overwritten (`--force` says yes), which
password is needed: all that is found out before the CA is asked for anything. Files are replaced whole or not at all;
private keys are readable by their owner only. Where a file is read, `-` is standard input.

**Every flag has an environment variable**, `MICA_CA_URL` for `--ca-url`; a repeatable flag takes a list with commas.
And it can be given a default in `defaults.json`: `{"ca-url": "https://ca.example:8443"}`. The flag counts before the
variable, the variable before the file.

**Passwords** are never arguments. A flag such as `--key-password-file` names a file, `-` for standard input, or `fd:3`
for an open descriptor. Without it they are asked for.

**Without a terminal nothing is asked**, and with `--non-interactive` neither: the command ends and names the flag that
answers the question. `--json` reports on standard output, and errors on standard error, as JSON. `NO_COLOR` or
`--no-color` turn colours off; there are none where output is no terminal.

**Times** are RFC 3339 (`2031-03-14T09:26:53Z`) or durations from now (`90s`, `1h30m`, `7d`, `2w`).

**Exit codes**

| | |
|---|---|
| 0 | done |
| 1 | failed; the answer is no |
| 2 | the command line is wrong |
| 3 | the CA cannot be reached, or what answers is not the CA |
| 4 | the CA refused |
| 5 | a file cannot be read, written or understood |
| 6 | a question had to be asked and could not be, or the answer was Ctrl-C or no |

An error is one line that begins with `error:`; `hint:` says what can be done, and `request id:` is what the CA's log
knows the request by.

These flags every command takes:

{switches}"""


def page() -> str:
    """The reference page."""
    root = shell.root()
    context = click.Context(root, info_name="mica")
    shared = [option for option in root.params if isinstance(option, click.Option)]
    return _INTRODUCTION.replace("{switches}", _table(shared, context)) + "".join(_groups(root, context))


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command that is no group, by its path."""
    root = shell.root()
    yield from _leaves(root, click.Context(root, info_name="mica"))


def examples(command: click.Command) -> list[str]:
    """The command lines that its help shows."""
    lines = map(str.strip, (command.epilog or "").splitlines())
    return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]


def main() -> None:
    """The page on disk is up to date."""
    TARGET.write_text(page())


def _leaves(group: shell.Group, context: click.Context) -> Iterator[tuple[str, click.Command]]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, shell.Group):
            yield from _leaves(command, click.Context(command, info_name=name, parent=context))
        elif command is not None and not command.hidden:
            yield f"{context.command_path} {name}", command


def _groups(root: shell.Group, context: click.Context) -> Iterator[str]:
    """The commands group by group; those that stand in none come last."""
    members: dict[str, list[str]] = {}
    for path, command in _leaves(root, context):
        members.setdefault(path.rpartition(" ")[0], []).append(_section(path, command))
    alone = members.pop("mica", [])
    for group, sections in members.items():
        yield "".join([f"\n## `{group}`\n", *sections])
    yield "".join(["\n## Others\n", *alone])


def _section(path: str, command: click.Command) -> str:
    context = click.Context(command, info_name=path)
    usage = " ".join([path, *command.collect_usage_pieces(context)])
    text = "\n".join(line.strip() for line in (command.help or "").replace("\b", "").strip().splitlines())
    common = {option.name for option in switches()}
    own = [one for one in command.params if isinstance(one, click.Option) and not one.hidden and one.name not in common]
    parts = [f"\n### `{path}`\n", f"{text}\n", f"    {usage}\n"]
    if own:
        parts.append(_table(own, context))
    if lines := examples(command):
        parts.append("```console\n" + "".join(f"$ {line}\n" for line in lines) + "```\n")
    return "\n".join(parts)


def _table(options: list[click.Option], context: click.Context) -> str:
    rows = [record for option in options if (record := option.get_help_record(context))]
    cells = "".join(f"| `{_cell(flags)}` | {_cell(meaning)} |\n" for flags, meaning in rows)
    return f"| flag | meaning |\n|---|---|\n{cells}"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    main()
