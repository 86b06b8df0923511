"""What a command says and asks. stdout carries the product alone; everything else goes to stderr or the terminal."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import click

from mica.cli.errors import CLIError, FileProblem, PromptNeeded
from mica.cli.terminal import Terminal, controlling_terminal

if TYPE_CHECKING:
    from pathlib import Path

Option = TypeVar("Option")


@dataclass(slots=True, kw_only=True)
class Settings:
    """How this run talks. One for each run, carried as click's ``obj``."""

    no_color: bool = False
    non_interactive: bool = False
    json: bool = False
    config: "Path | None" = None


def settings() -> Settings:
    """The settings of this run."""
    context = click.get_current_context(silent=True)
    return (context.find_object(Settings) if context else None) or Settings()


def printable(text: str, *, lines: bool = False) -> str:
    """``text`` with everything that cannot be seen, or that a terminal would act upon, written as an escape.

    ``lines`` lets line ends pass. Names in certificates, tokens and answers come from strangers; what they may not do
    is colour, move, reorder (Unicode UAX #9) or break lines.
    """
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() or (lines and character == "\n") else _escape(character)
        for character in text
    )


def product(text: str | bytes, nl: bool = True) -> None:
    """``text`` is on stdout, as it is; what the command was called for. Raises FileProblem when stdout is closed."""
    if sys.stdout is None:
        raise FileProblem("stdout is closed, and this command writes there")
    click.echo(text, nl=nl)


def report(members: Mapping[str, object]) -> None:
    """``members`` are on stdout as one JSON object; what ``--json`` asks for."""
    product(json_text(members))


def json_text(value: object) -> str:
    """``value`` as JSON, indented by two, in its own order; what a terminal would act upon is escaped."""
    import json  # most calls need none

    # Outside strings JSON has line ends alone, so an escape always stands where JSON allows it.
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return "".join(
        character if character.isprintable() or character == "\n" else json.dumps(character)[1:-1] for character in text
    )


def wants_json() -> bool:
    """Whether ``--json`` was given."""
    return settings().json


def say(text: str) -> None:
    """A sentence is on stderr."""
    click.echo(printable(text, lines=True), err=True)


def warn(text: str) -> None:
    """A warning is on stderr."""
    click.echo(f"{_styled('warning:', fg='yellow')} {printable(text)}", err=True)


def chosen(name: str, value: object) -> None:
    """``✔ Name: value`` is on stderr: what a menu leaves behind, and what stands there when no menu was needed."""
    mark, label = _styled("✔", fg="green"), _styled(f"{printable(name)}:", bold=True)
    click.echo(f"{mark} {label} {printable(str(value))}", err=True)


def ask_text(label: str, *, flag: str, default: str | None = None, check: Callable[[str], object] | None = None) -> str:
    """An answer that ``check`` accepted; it refuses by raising ValueError, MicaError or CLIError, and is asked again.

    An empty answer is ``default``, and is asked again when there is none. Raises PromptNeeded, Cancelled.
    """
    prompt = printable(label) + (f" [{printable(default)}]" if default else "")
    with _terminal(label, flag) as terminal:
        while True:
            typed = terminal.line(_question(terminal, prompt)).decode("utf-8", "replace").strip()
            answer = typed or default or ""
            objection = _objection(answer, check)
            if objection is None:
                _answered(terminal, prompt, typed, answer)
                return answer
            terminal.write(f">> {printable(objection)}\n")


def ask_yes_no(label: str, *, flag: str) -> bool:
    """Yes or no; nothing else is taken for an answer. Raises PromptNeeded, Cancelled."""
    prompt = f"{printable(label)} [y/n]"
    with _terminal(label, flag) as terminal:
        while True:
            typed = terminal.line(_question(terminal, prompt)).decode("utf-8", "replace").strip()
            if typed.lower() in ("y", "yes", "n", "no"):
                _answered(terminal, prompt, typed, typed)
                return typed.lower().startswith("y")
            terminal.write(">> y or n\n")


def ask_password(label: str, *, flag: str, new: bool = False) -> bytes:
    """A password, never empty; a ``new`` one was typed twice. Raises PromptNeeded, Cancelled."""
    with _terminal(label, flag) as terminal:
        while True:
            password = terminal.secret(f"{printable(label)}: ")
            if not password:
                terminal.write(">> a password cannot be empty\n")
            elif not new or terminal.secret("The same once more: ") == password:
                return password
            else:
                terminal.write(">> the two are not the same\n")


def ask_choice(
    label: str,
    options: Sequence[Option],
    *,
    flag: str,
    name: str | None = None,
    text: Callable[[Option], str] = str,
) -> Option:
    """The one of ``options`` that was picked; the only one without a question. Leaves ``✔ name: text`` on stderr.

    Raises PromptNeeded, Cancelled.
    """
    if not options:
        raise CLIError(f"{label}: there is nothing to choose from")
    picked = options[0]
    if len(options) > 1:
        rows = [printable(text(option)) for option in options]
        with _terminal(label, flag, offered=rows) as terminal:
            picked = options[terminal.pick(printable(label), rows)]
    chosen(name or label, text(picked))
    return picked


@contextmanager
def _terminal(label: str, flag: str, offered: Sequence[str] = ()) -> Iterator[Terminal]:
    """The terminal to ask on; raises PromptNeeded when there is none, or when nobody is to be asked."""
    remedy = f"answer it with {flag}" + (f"; one of {', '.join(offered)}" if offered else "")
    if settings().non_interactive:
        raise PromptNeeded(f"{label}: --non-interactive forbids asking", hint=remedy)
    with controlling_terminal(plain=_plain()) as terminal:
        if terminal is None:
            raise PromptNeeded(f"{label}: there is no terminal to ask on", hint=remedy)
        yield terminal


def _question(terminal: Terminal, prompt: str) -> str:
    return f"{terminal.styled('?', 34)} {terminal.styled(prompt + ':', 1)} "


def _answered(terminal: Terminal, prompt: str, typed: str, answer: str) -> None:
    mark, label = terminal.styled("✔", 32), terminal.styled(prompt + ":", 1)
    terminal.replace_line(f"{mark} {label} {printable(answer)}", len(prompt) + len(typed) + 4)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()


def _objection(answer: str, check: Callable[[str], object] | None) -> str | None:
    from mica.errors import MicaError  # only questions need it

    if not answer:
        return "an answer is needed"
    try:
        if check is not None:
            check(answer)
    except (ValueError, MicaError, CLIError) as error:
        return str(error)
    return None


def _plain() -> bool:
    return settings().no_color or bool(os.environ.get("NO_COLOR"))  # https://no-color.org: set and not empty


def _styled(text: str, *, fg: str | None = None, bold: bool | None = None) -> str:
    if _plain() or not sys.stderr.isatty():
        return text
    return click.style(text, fg=fg, bold=bold)
