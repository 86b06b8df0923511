"""``ca.toml`` for the commands of its operator: where it is, and what it says."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mica.cli import options
from mica.cli.errors import FileProblem
from mica.cli.files import read_input
from mica.cli.paths import mica_path

if TYPE_CHECKING:
    from pathlib import Path

    from mica.config import Settings

Command = TypeVar("Command", bound=Callable[..., Any])


def ca_config(command: Command) -> Command:
    """``ca_config: Path | None``; what it means, ``locate`` says."""
    return click.option(
        "--ca-config", type=options.FILE, metavar="FILE", help="The CA's configuration [$MICAPATH/ca.toml]."
    )(command)


def locate(path: "Path | None") -> "tuple[Path, bytes]":
    """The configuration at ``path`` or below ``$MICAPATH``, and its octets; raises FileProblem with the remedy."""
    place = path or mica_path() / "ca.toml"
    try:
        return place, read_input(place)
    except FileProblem as error:
        remedy = "run this on the CA's own host; --ca-config FILE and MICAPATH say where the configuration is"
        raise FileProblem(error.message, hint=error.hint or remedy) from None


def read_text(path: "Path | None") -> "tuple[Path, str, Mapping[str, Any]]":
    """Where the configuration is, its text, and what stands in it; raises FileProblem, and ConfigError for no TOML."""
    place, octets = locate(path)
    from mica.config import parse  # imports much

    try:
        return place, octets.decode(), parse(octets, place)
    except UnicodeDecodeError as error:
        raise FileProblem(f"{place}: is not TOML: it must be UTF-8") from error


def read_settings(path: "Path | None") -> "Settings":
    """What the configuration says; raises FileProblem, and ConfigError when it is no TOML.

    What is wrong with it is in ``faults``.
    """
    place, _ = locate(path)
    from mica.config import load  # imports much

    return load(place)
