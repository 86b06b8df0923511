"""Where mica keeps its files, and what ``defaults.json`` says."""

import os
from pathlib import Path

from mica.cli.errors import FileProblem

_MAX_DEFAULTS = 1 << 20


def mica_path() -> Path:
    """``$MICAPATH``, else ``~/.mica``."""
    configured = os.environ.get("MICAPATH")
    return Path(configured) if configured else Path.home() / ".mica"


def defaults_file() -> Path:
    """``$MICAPATH/defaults.json``, whether it exists or not."""
    return mica_path() / "defaults.json"


def defaults(file: Path | None = None) -> dict[str, object]:
    """What ``defaults.json`` says: flag name → text, number, boolean or list of texts.

    ``file`` takes its place, and must then exist. Raises FileProblem when the file is not such an object.
    """
    place = file or defaults_file()
    try:
        with place.open("rb") as stream:
            data = stream.read(_MAX_DEFAULTS + 1)
    except FileNotFoundError:
        if file is None:
            return {}
        raise FileProblem(f"{place}: there is no such file", hint="--config names a file of defaults") from None
    except OSError as error:
        raise FileProblem(f"{place}: cannot be read: {error.strerror}") from error
    if len(data) > _MAX_DEFAULTS:
        raise FileProblem(f"{place}: is too large for a file of defaults")
    return _parsed(data, place)


def _parsed(data: bytes, place: Path) -> dict[str, object]:
    import json  # most calls need no defaults

    remedy = 'it is one JSON object such as {"ca-url": "https://ca.example:8443"}'
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise FileProblem(f"{place}: is not JSON: {error}", hint=remedy) from error
    if not isinstance(found, dict):
        raise FileProblem(f"{place}: is not a JSON object", hint=remedy)
    for name, value in found.items():
        if not _is_default(value):
            raise FileProblem(f"{place}: {name!r} must be a text, a number, a boolean or a list of texts", hint=remedy)
    return found


def _is_default(value: object) -> bool:
    if isinstance(value, list):
        return all(isinstance(item, str) for item in value)
    return isinstance(value, str | int | float)
