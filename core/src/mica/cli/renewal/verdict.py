"""The question whether a certificate needs renewal, answered by an exit code: for units, timers and scripts."""

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import click

from mica.cli import options
from mica.cli.errors import CLIError, FileProblem

if TYPE_CHECKING:
    from mica.cli.renewal.schedule import Lifetime, Threshold

Command = TypeVar("Command", bound=Callable[..., Any])

YES, NO = 0, 1
_MISSING, _ERROR = 2, 255
_PERCENT = re.compile(r"(\d{1,3}(?:\.\d{1,3})?)%", re.ASCII)


class Missing(FileProblem):
    """There is no such file."""


class NeedsRenewal(click.Command):
    """A command with these exit codes. systemd's ExecCondition= takes 1 to 254 for "no" and 255 for a failure."""

    exit_codes: ClassVar[Mapping[type[CLIError], int]] = {Missing: _MISSING, CLIError: _ERROR}


class PercentOrDuration(click.ParamType):  # type: ignore[type-arg]  # not generic before click 8.4
    """``66%`` of the lifetime elapsed, or ``24h`` remaining, as a ``Threshold``."""

    name = "percent|duration"

    def convert(
        self, value: "str | Threshold", param: click.Parameter | None, ctx: click.Context | None
    ) -> "Threshold":
        from mica.cli.renewal.schedule import Threshold  # imports much

        if not isinstance(value, str):
            return value
        match = _PERCENT.fullmatch(value)
        if match is not None and float(match[1]) <= 100:
            return Threshold(elapsed=float(match[1]) / 100)
        if value.endswith("%"):
            self.fail(f"{value!r} is not a percentage from 0% to 100%", param, ctx)
        remaining = options.Duration().convert(value, param, ctx)
        if remaining < timedelta():
            self.fail(f"{value!r} is negative", param, ctx)
        return Threshold(left=remaining)


def threshold(command: Command) -> Command:
    """``expires_in: Threshold`` and ``verbose: bool``; and ``--json``."""
    meaning = "Due when this much of the lifetime has elapsed (66%), or when this time or less remains (24h)."
    kind = PercentOrDuration()
    command = options.json_output(command)
    command = click.option("--verbose", "-v", is_flag=True, help="Say it in words, too.")(command)
    return click.option(
        "--expires-in", type=kind, metavar="PERCENT|DURATION", default="66%", show_default=True, help=meaning
    )(command)


def needs_renewal(lifetime: "Lifetime", threshold: "Threshold", *, now: datetime) -> bool:
    """Whether it is time, exactly by the threshold; an expired certificate always needs it."""
    from mica.cli.renewal.schedule import is_due

    return now >= lifetime.end or is_due(lifetime, threshold, now=now, draw=0)
