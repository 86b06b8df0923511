"""How a run ends: every failure becomes an exit code and a few lines on stderr, never a stack trace."""

import os
import sys
from contextlib import suppress

import click

from mica.cli.console import Settings, json_text, printable
from mica.cli.errors import Cancelled, CLIError, FileProblem, Usage

_KILLED = 128  # what a shell adds to the number of the signal that ended a command


def end_in_order() -> None:
    """SIGTERM and SIGHUP end the run as Ctrl-C does: what is half written goes, the terminal is as it was.

    A signal that somebody else handles, or ignores (nohup), is left alone.
    """
    import signal

    def end(number: int, _: object) -> None:
        raise SystemExit(_KILLED + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            with suppress(ValueError):  # in another thread than the first there are no signals
                signal.signal(number, end)


def conclude(failure: BaseException, settings: Settings) -> int:
    """What went wrong is on stderr; the exit code. ``MICADEBUG=1`` shows the stack trace first."""
    if os.environ.get("MICADEBUG") == "1":
        import traceback

        traceback.print_exception(failure)
    if isinstance(failure, click.exceptions.NoArgsIsHelpError):
        click.echo(failure.format_message(), err=True)
        return Usage.exit_code
    ending = as_cli_error(failure)
    _show(ending, as_json=settings.json)
    return exit_code(ending, settings)


def exit_code(ending: CLIError, settings: Settings) -> int:
    """The code for ``ending``: the command's own, where the class of the command has ``exit_codes``, by kind of error.

    Units of systemd and monitors take the codes of some commands for an answer; errors must then have others.
    """
    own = settings.exit_codes or {}
    return next((own[kind] for kind in type(ending).__mro__ if kind in own), ending.exit_code)


def as_cli_error(failure: BaseException) -> CLIError:
    """``failure`` as the command line tells it."""
    from mica.errors import ConfigError, MicaError  # only failures need it

    if isinstance(failure, CLIError):
        return failure
    if isinstance(failure, click.UsageError):
        return _usage(failure)
    if isinstance(failure, click.exceptions.Abort | KeyboardInterrupt):
        return Cancelled("cancelled")
    if isinstance(failure, click.ClickException):
        return CLIError(failure.format_message())
    if isinstance(failure, ConfigError):
        return FileProblem(str(failure))
    if isinstance(failure, MicaError):
        return CLIError(str(failure) or type(failure).__name__)
    if isinstance(failure, OSError):
        place = f"{failure.filename}: " if failure.filename is not None else ""
        return FileProblem(f"{place}{_lowered(failure.strerror or str(failure) or type(failure).__name__)}")
    return CLIError(
        f"mica failed in a way that it should not: {type(failure).__name__}: {failure}",
        hint="MICADEBUG=1 shows where; please report it",
    )


def _usage(failure: click.UsageError) -> Usage:
    command = failure.ctx.command_path if failure.ctx else "mica"
    return Usage(_lowered(failure.format_message()).removesuffix("."), hint=f"{command} --help")


def _show(ending: CLIError, *, as_json: bool) -> None:
    if as_json:
        members = {"code": ending.code, "message": ending.message, "hint": ending.hint, "request_id": ending.request_id}
        text = json_text({"error": {name: value for name, value in members.items() if value is not None}})
    else:
        lines = [f"error: {printable(ending.message, lines=True)}"]
        lines += [f"hint: {printable(ending.hint, lines=True)}"] if ending.hint else []
        lines += [f"request id: {printable(ending.request_id)}"] if ending.request_id else []
        text = "\n".join(lines)
    click.echo(text, err=True)


def _lowered(text: str) -> str:
    return text[:1].lower() + text[1:]


def hush_stdout() -> None:
    """Whoever read stdout has gone: nothing more is written there, not even when Python exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
