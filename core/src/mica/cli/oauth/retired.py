"""Flags of ``step oauth`` that are known here and refused, for what providers have retired."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from mica.cli.errors import Usage

Command = TypeVar("Command", bound=Callable[..., Any])


def flags(command: Command) -> Command:
    """``--implicit`` and ``--console-flow``, which are no parameters and in no help."""
    implicit = click.option(
        "--implicit", is_flag=True, hidden=True, expose_value=False, callback=_implicit, help="Refused."
    )
    flow = click.option(
        "--console-flow", metavar="FLOW", hidden=True, expose_value=False, callback=_console_flow, help="device, alone."
    )
    return implicit(flow(command))


def _implicit(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not context.resilient_parsing:
        raise Usage(
            "flag '--implicit' is refused: tokens would lie in the browser's history (RFC 9700 §2.1.2)",
            hint="leave it out: a code is exchanged for them, which PKCE protects where there is no secret",
        )


def _console_flow(context: click.Context, _: click.Parameter, value: str | None) -> None:
    """``device`` is what ``--console`` does."""
    if value in (None, "device") or context.resilient_parsing:
        return
    if value == "oob":
        raise Usage(
            "flag '--console-flow oob' is refused: providers no longer show codes for copying by hand",
            hint="use --console, which shows a code that is typed into a browser elsewhere",
        )
    raise Usage(f"invalid value {value!r} for flag '--console-flow'", hint="device is the only one")
