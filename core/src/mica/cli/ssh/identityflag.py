"""Whom ``login`` and ``logout`` mean: IDENTITY, or ``--identity``, which the environment and defaults.json say too."""

from collections.abc import Callable
from typing import Any

import click
from click.core import ParameterSource

from mica.cli.errors import Usage

flag: Callable[[Callable[..., Any]], Callable[..., Any]] = click.option(
    "--identity", "identity_flag", metavar="NAME", help="The same as IDENTITY, for defaults.json."
)


def typed(identity: str | None, identity_flag: str | None) -> str | None:
    """Who stands on the command line, which counts before everything else; raises Usage for two."""
    source = click.get_current_context().get_parameter_source("identity_flag")
    flagged = identity_flag if source is ParameterSource.COMMANDLINE else None
    if identity is not None and flagged not in (None, identity):
        raise Usage("flag '--identity' is incompatible with IDENTITY", hint="they are the same: give one of them")
    return identity or flagged
