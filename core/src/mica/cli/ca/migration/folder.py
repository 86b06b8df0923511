"""The folder of a step-ca: where its files are, and what they say."""

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mica.cli.files import reason
from mica.cli.kit import FileProblem, read_input

_MAX_DEPTH = 64
_REMEDY = "name $STEPPATH of the old CA (`step path` prints it), or its ca.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFolder:
    """What is there to import."""

    ca_json: Path
    home: Path
    """What relative paths are relative to: $STEPPATH, or the folder of its authority."""
    ca: Mapping[str, Any]
    defaults: Mapping[str, Any]

    def resolve(self, path: str) -> Path:
        """The file that ``ca.json`` names, as an absolute path."""
        bare = path.removeprefix("softkms:").removeprefix("file://").removeprefix("file:")
        return Path(os.path.normpath(self.home / bare))


def read(place: Path, ca_json: Path | None) -> StepFolder:
    """What ``place`` holds, a $STEPPATH, its ``config`` or the ca.json itself; raises FileProblem with the remedy.

    ``ca_json`` is for a configuration that lies elsewhere.
    """
    if _mode(place) is None:
        raise FileProblem(f"{place}: there is no such folder", hint=_REMEDY)
    if ca_json is None:
        ca_json = _located(place)
        home = ca_json.parent.parent if ca_json.parent.name == "config" else ca_json.parent
    else:
        home = place if place.is_dir() else place.parent
    defaults = next(
        (path for path in (home / "config/defaults.json", ca_json.parent / "defaults.json") if is_file(path)),
        None,
    )
    return StepFolder(
        ca_json=ca_json.absolute(),
        home=home.absolute(),
        ca=read_object(ca_json, "it must be the ca.json of a step-ca"),
        defaults=read_object(defaults, "repair it, or remove it") if defaults else {},
    )


def is_file(path: Path) -> bool:
    """Whether there is a file; raises FileProblem when that may not be known."""
    mode = _mode(path)
    return mode is not None and stat.S_ISREG(mode)


def read_json(path: str | Path) -> Any:
    """The JSON in ``path``, stdin for ``-``; raises FileProblem."""
    contents = read_input(path)
    try:
        found = json.loads(contents)
        _require_shallow(found)
        return found
    except (ValueError, RecursionError) as error:
        cause = str(error) if isinstance(error, json.JSONDecodeError) else "its characters or its depth"
        raise FileProblem(f"{path}: is not JSON: {cause}") from error


def _require_shallow(value: Any) -> None:
    """It is no deeper than a configuration is, so that whoever walks through it comes back; raises RecursionError."""
    level = [value]
    for _ in range(_MAX_DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    if level:
        raise RecursionError


def read_object(path: str | Path, remedy: str) -> dict[str, Any]:
    """The JSON object in ``path``; raises FileProblem with ``remedy``."""
    try:
        found = read_json(path)
    except FileProblem as error:
        raise FileProblem(error.message, hint=error.hint or remedy) from error
    if not isinstance(found, dict):
        raise FileProblem(f"{path}: is JSON, but not an object", hint=remedy)
    return found


def _mode(path: Path) -> int | None:
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise FileProblem(f"{path}: cannot be read: {reason(error)}") from error


def _located(place: Path) -> Path:
    if not place.is_dir():
        return place
    chosen = _of_current_context(place)
    for candidate in (chosen, place / "config/ca.json", place / "ca.json"):
        if candidate is not None and is_file(candidate):
            return candidate
    authorities = sorted(path for path in place.glob("authorities/*/config/ca.json") if is_file(path))
    if len(authorities) == 1:
        return authorities[0]
    if authorities:
        listed = ", ".join(str(path.parent.parent) for path in authorities)
        raise FileProblem(f"{place}: has several authorities", hint=f"name the one to import: {listed}")
    raise FileProblem(f"{place}: is not the folder of a step-ca: there is no config/ca.json in it", hint=_REMEDY)


def _of_current_context(place: Path) -> Path | None:
    """The ca.json of the authority that step would use there, when contexts are on and it has one."""
    current, contexts = place / "current-context.json", place / "contexts.json"
    if not (is_file(current) and is_file(contexts)):
        return None
    name = read_object(current, "repair it, or name the authority's own folder").get("context")
    context = read_object(contexts, "repair it, or name the authority's own folder").get(str(name))
    authority = context.get("authority") if isinstance(context, dict) else None
    if not isinstance(authority, str) or authority in ("", ".", "..") or "/" in authority:
        return None
    return place / "authorities" / authority / "config/ca.json"
