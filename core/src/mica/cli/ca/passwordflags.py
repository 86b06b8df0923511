"""Where the passwords of one command come from: one flag for each, and stdin for one of them at most."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from mica.cli.errors import Usage

if TYPE_CHECKING:
    from pathlib import Path


def was_typed(flag: str) -> bool:
    """Whether ``flag`` stands on the command line; in the environment it may wait for another command."""
    name = flag.removeprefix("--").replace("-", "_")
    return click.get_current_context().get_parameter_source(name) is ParameterSource.COMMANDLINE


def either(flag: str, source: str | None, alias_source: str | None, *, alias: str = "--password-file") -> str | None:
    """The source that ``flag`` or its alias names; what was typed counts before what the environment says.

    Raises Usage when both were typed.
    """
    if not was_typed(alias):
        return source or alias_source
    if was_typed(flag):
        raise Usage(f"flags '{flag}' and '{alias}' are one here", hint=f"give '{flag}' alone")
    return alias_source


def check_sources(sources: Mapping[str, "str | Path | None"]) -> None:
    """No two of these flags (or arguments) read stdin, or the same descriptor; raises Usage that names both."""
    taken: dict[str, str] = {}
    for flag, source in sources.items():
        text = str(source)
        if text != "-" and not text.startswith("fd:"):
            continue
        if text in taken:
            what = "stdin" if text == "-" else f"the descriptor {text}"
            raise Usage(
                f"{taken[text]} and {flag} both read {what}", hint="give one of them a file, or a descriptor of its own"
            )
        taken[text] = flag
