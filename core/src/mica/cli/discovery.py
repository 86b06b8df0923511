"""The commands that other distributions bring: entry points of the group ``mica.commands``.

``certificate.inspect = mica_certtool.reading.inspection:inspect`` is the command ``mica certificate inspect``. The
files are read here and not by importlib.metadata, whose import alone takes longer than all of this.

The help of a group has one line on each command: the first sentence of the docstring of its function. It is read from
the compiled module, which is not run for it, so that what a command imports costs the group's help nothing.
"""

import os
import re
import sys
from collections.abc import Iterable, Iterator
from types import CodeType, FunctionType
from typing import NamedTuple

from mica.cli.errors import CLIError

_GROUP = "[mica.commands]"
_NAME = re.compile(r"[a-z][a-z0-9-]*(\.[a-z][a-z0-9-]*)*")


class Brought(NamedTuple):  # dataclasses are slow to import
    """A command and the distribution that brings it; ``target`` is module:attribute."""

    path: str
    target: str
    distribution: str


def brought(core: Iterable[str], places: Iterable[str] | None = None) -> dict[str, Brought]:
    """Every command that an installed distribution brings, by path.

    Raises CLIError when one would shadow a command of ``core`` or of another distribution; naming both.
    """
    claimed = dict.fromkeys(core, "mica")
    found: dict[str, Brought] = {}
    for command in _entry_points(sys.path if places is None else places):
        for path, owner in claimed.items():
            if _shadows(command.path, path):
                raise CLIError(
                    f"the command {command.path!r} of {command.distribution} collides with {path!r} of {owner}",
                    hint=f"uninstall {command.distribution}" + (f" or {owner}" if owner != "mica" else ""),
                )
        claimed[command.path] = command.distribution
        found[command.path] = command
    return found


def docstring(target: str) -> str | None:
    """The docstring of the function at ``target``, module:attribute; its module is not run, the packages above it are.

    None when that is no function of the module, has no docstring, or cannot be read; running it tells why.
    """
    from importlib.util import find_spec  # only the help of groups needs it

    module, _, attribute = target.partition(":")
    try:
        get_code = getattr(getattr(find_spec(module), "loader", None), "get_code", None)
        code = get_code(module) if get_code else None
    except (ImportError, SyntaxError):
        return None
    for constant in code.co_consts if code else ():
        if isinstance(constant, CodeType) and constant.co_name == attribute:
            return FunctionType(constant, {}).__doc__
    return None


def _shadows(path: str, other: str) -> bool:
    """Whether one is the other, or lies below it."""
    return path == other or path.startswith(f"{other} ") or other.startswith(f"{path} ")


def _entry_points(places: Iterable[str]) -> Iterator[Brought]:
    seen: set[str] = set()
    for place in dict.fromkeys(places):
        try:
            names = sorted(name for name in os.listdir(place or ".") if name.endswith(".dist-info"))  # noqa: PTH208
        except OSError:  # a zip file, or a place that is not there
            continue
        for name in names:
            distribution = re.sub(r"[-_.]+", "-", name.removesuffix(".dist-info").rpartition("-")[0]).lower()
            if distribution not in seen:  # as for imports, the first place on the path wins
                seen.add(distribution)
                yield from _read(f"{place}/{name}/entry_points.txt", distribution)


def _read(file: str, distribution: str) -> Iterator[Brought]:
    try:
        with open(file, encoding="utf-8") as stream:  # noqa: PTH123 - pathlib is slow to import
            text = stream.read()
    except (OSError, UnicodeDecodeError):  # most distributions have no entry points
        return
    if _GROUP not in text:
        return
    inside = False
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            inside = line == _GROUP
        elif inside and line and not line.startswith(("#", ";")):
            name, _, target = (part.strip() for part in line.partition("="))
            if not _NAME.fullmatch(name) or ":" not in target:
                raise CLIError(
                    f"{distribution}: {line!r} is not a command such as 'certificate.inspect = module:function'"
                )
            yield Brought(path=name.replace(".", " "), target=target, distribution=distribution)
