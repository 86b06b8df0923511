"""What a command says and asks. stdout carries the product alone; everything else goes to stderr or the terminal."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import click

from mica.cli.errors import CLIError, FileProblem, PromptNeeded

if TYPE_CHECKING:
    from pathlib import Path

    from mica.cli.terminal import Terminal

Option = TypeVar("Option")


class Settings:
    """How this run talks. One for each run, carried as click's ``obj``."""

    # Every run makes one, and importing dataclasses takes as long as much of mica.
    no_color: bool = False
    non_interactive: bool = False
    json: bool = False
    config: "Path | None" = None
    context: str | None = None
    exit_codes: Mapping[type[CLIError], int] | None = None
    """The exit codes of the command that was called, where it has its own; see ``endings.exit_code``."""


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


def help_width() -> int:
    """How wide help is: as the terminal, and never wider than 78 columns. click would import shutil to find out."""
    try:
        columns = int(os.environ.get("COLUMNS", "0")) or os.get_terminal_size().columns
    except (ValueError, OSError):
        columns = 0
    return max(min(columns or 80, 80) - 2, 50)


def product(text: str | bytes, nl: bool = True) -> None:
    """``text`` is on stdout, as it is; what the command was called for. Raises FileProblem when it cannot be."""
    if sys.stdout is None:
        raise FileProblem("stdout is closed, and this command writes there")
    try:
        click.echo(text, nl=nl)
    except BrokenPipeError:  # whoever read it wants no more, which is no error
        raise
    except OSError as error:
        raise FileProblem(f"stdout: cannot be written: {(error.strerror or str(error)).lower()}") from error


def report(members: Mapping[str, object]) -> None:
    """``members`` are on stdout as one JSON object; what ``--json`` asks for."""
    product(json_text(members))


def json_text(value: object, *, indent: int = 2) -> str:
    """``value`` as JSON in its own order; what a terminal would act upon is escaped."""
    import json  # most calls need none

    # Outside strings JSON has line ends alone, so an escape always stands where JSON allows it.
    text = json.dumps(value, indent=indent, ensure_ascii=False)
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
    _marked(_styled("✔", fg="green"), name, value)


def failed(name: str, value: object) -> None:
    """``✗ Name: value`` is on stderr: something beside what the command was called for, which it does without."""
    _marked(_styled("✗", fg="red"), name, value)


@contextmanager
def progress(label: str) -> Iterator[None]:
    """Whatever is done meanwhile shows on a terminal that it goes on, once it has taken a second.

    Only where stderr is a terminal that can move its cursor, and never with ``--json``. Nothing may be said or asked
    meanwhile: the line is taken.
    """
    if settings().json or os.environ.get("TERM", "") in ("", "dumb") or sys.stderr is None or not sys.stderr.isatty():
        yield
        return
    from mica.cli.progress import shown  # scripts need none of it

    with shown(printable(label)):
        yield


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


def ask_password(label: str, *, flag: str, new: bool = False, generate: Callable[[], bytes] | None = None) -> bytes:
    """A password, never empty; a ``new`` one was typed twice. Raises PromptNeeded, Cancelled.

    An empty answer is what ``generate`` makes, shown on the terminal this once.
    """
    with _terminal(label, flag) as terminal:
        while True:
            password = terminal.secret(f"{printable(label)}: ")
            if not password and generate is not None:
                password = generate()
                terminal.write(f"The password is {password.decode()} - it is shown this once; keep it.\n")
                return password
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
def _terminal(label: str, flag: str, offered: Sequence[str] = ()) -> "Iterator[Terminal]":
    """The terminal to ask on; raises PromptNeeded when there is none, or when nobody is to be asked."""
    remedy = f"answer it with {flag}" + (f"; one of {', '.join(offered)}" if offered else "")
    if settings().non_interactive:
        raise PromptNeeded(f"{label}: --non-interactive forbids asking", hint=remedy)
    from mica.cli.terminal import controlling_terminal  # only questions need it

    with controlling_terminal(plain=_plain()) as terminal:
        if terminal is None:
            raise PromptNeeded(f"{label}: there is no terminal to ask on", hint=remedy)
        yield terminal


def _question(terminal: "Terminal", prompt: str) -> str:
    return f"{terminal.styled('?', 34)} {terminal.styled(prompt + ':', 1)} "


def _answered(terminal: "Terminal", prompt: str, typed: str, answer: str) -> None:
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


def _marked(mark: str, name: str, value: object) -> None:
    click.echo(f"{mark} {_styled(f'{printable(name)}:', bold=True)} {printable(str(value))}", err=True)


def _plain() -> bool:
    return settings().no_color or bool(os.environ.get("NO_COLOR"))  # https://no-color.org: set and not empty


def _styled(text: str, *, fg: str | None = None, bold: bool | None = None) -> str:
    if _plain() or sys.stderr is None or not sys.stderr.isatty():
        return text
    return click.style(text, fg=fg, bold=bold)
