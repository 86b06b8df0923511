"""The flags of renewal that runs itself."""

import functools
import re
import signal
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from mica.cli import options
from mica.cli.options import FILE

if TYPE_CHECKING:
    from mica.cli.renewal.schedule import Threshold

#: The exit code of ``--exit-code`` for a certificate that is not due.
NOT_DUE = 7

_PERCENT = re.compile(r"(\d{1,2}(?:\.\d+)?)%", re.ASCII)


class ExpiresIn(click.ParamType):  # type: ignore[type-arg]  # not generic before click 8.4
    """What is left of a certificate (``8h``), or how much of its lifetime has passed (``75%``)."""

    name = "duration|percent"

    def convert(
        self, value: "str | Threshold", param: click.Parameter | None, ctx: click.Context | None
    ) -> "Threshold":
        from mica.cli.renewal.schedule import Threshold

        if not isinstance(value, str):
            return value
        if percent := _PERCENT.fullmatch(value):
            return Threshold(elapsed=float(percent[1]) / 100)
        if value.endswith("%"):
            self.fail(f"{value!r} is not a share such as 75%, below 100%", param, ctx)
        return Threshold(left=Positive().convert(value, param, ctx))


class Positive(options.Duration):
    """A duration such as ``24h`` that is longer than nothing."""

    def convert(self, value: str | timedelta, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        duration = super().convert(value, param, ctx)
        if duration <= timedelta():
            self.fail(f"{value!r} is no time at all; a duration such as 8h is", param, ctx)
        return duration


class Signal(click.ParamType):  # type: ignore[type-arg]  # not generic before click 8.4
    """A signal by its name (``HUP``, ``SIGHUP``) or its number."""

    name = "signal"

    def convert(
        self, value: str | signal.Signals, param: click.Parameter | None, ctx: click.Context | None
    ) -> signal.Signals:
        if isinstance(value, signal.Signals):
            return value
        try:
            if value.isdecimal():
                return signal.Signals(int(value))
            return signal.Signals[f"SIG{value.upper().removeprefix('SIG')}"]
        except (KeyError, ValueError):
            self.fail(f"{value!r} is neither the name of a signal, such as HUP, nor its number", param, ctx)


class CommandAfterDashes(click.Command):
    """Its last argument, ``command``, takes what stands behind ``--``, and nothing else: no typing error is run."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does it; raises UsageError when there are more arguments than files before ``--``."""
        behind = len(args) - args.index("--") - 1 if "--" in args else 0
        rest = super().parse_args(ctx, args)
        command: tuple[str, ...] = ctx.params.get("command") or ()
        if len(command) > behind and not ctx.resilient_parsing:
            raise click.UsageError(f"got an unexpected extra argument ({command[0]}); a command stands after --", ctx)
        return rest


def automation(period_flag: str) -> Callable[[options.Command], options.Command]:
    """``automation: Automation``, checked; ``period_flag`` is what the command calls ``--renew-period``.

    The command is a ``CommandAfterDashes``.
    """

    def decorate(function: options.Command) -> options.Command:
        @functools.wraps(function)
        def collected(**values: Any) -> Any:
            from mica.cli.renewal.automation import Automation  # dataclasses are slow to import

            names = Automation.__dataclass_fields__.keys() & values.keys()
            flags = Automation(**{name: values.pop(name) for name in names}, period_flag=period_flag)
            flags.check()
            return function(automation=flags, **values)

        command: Any = collected
        for option in reversed(_flags(period_flag)):
            command = option(command)
        return command  # type: ignore[no-any-return]

    return decorate


def _flags(period_flag: str) -> list[Callable[[Any], Any]]:
    positive, threshold = Positive(), ExpiresIn()
    return [
        click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[-- COMMAND...]"),
        click.option(
            "--expires-in", type=threshold, help="Renew only with so little left (8h), or so much gone (75%)."
        ),
        click.option("--exit-code", is_flag=True, help=f"End with {NOT_DUE} when it is not due; else with 0."),
        click.option("--exec", "exec_line", metavar="LINE", help="Run this shell line after each renewal."),
        click.option("--pid", type=click.IntRange(min=1), help="Send a signal to this process after each renewal."),
        click.option("--pid-file", type=FILE, metavar="FILE", help="As --pid; the number is in FILE, read each time."),
        click.option("--signal", "number", type=Signal(), help="Which signal, by name or number [HUP]."),
        click.option(
            "--daemon", is_flag=True, help="Go on renewing, at two thirds of each lifetime; needs no --force."
        ),
        click.option(period_flag, "period", type=positive, help="With --daemon: each time after so long."),
        click.option("--max-backoff", type=positive, help="With --daemon: longest wait while the CA is away [5m]."),
    ]
