"""What ``mica ssh config`` has written: what it may write again without a question, and takes away on ``--undo``.

The file stands beside the folder of what the CA renders, never in it: the CA must not say what is taken away.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mica.cli import contexts
from mica.cli.console import json_text
from mica.cli.errors import FileProblem
from mica.cli.paths import read_object
from mica.cli.ssh.configuring.pieces import KINDS
from mica.cli.ssh.configuring.places import Places

_REMEDY = "delete it; what is in the files of ssh must then be taken out by hand"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file or folder."""

    kind: str
    path: Path
    created: bool
    """Whether it was not there before."""
    line: str = ""
    """Of a ``prepend-line``: which."""
    sha256: str = ""
    """Of a ``file``: what was written, in hexadecimal digits."""

    def is_as_written(self, data: bytes) -> bool:
        """Whether ``data`` is what was written, so that nobody has changed it since."""
        return self.sha256 == hashlib.sha256(data).hexdigest()


def place_of(home: Path, cert_type: str) -> Path:
    """Where it is recorded, for the CA whose folder ``home`` is, what a ``user``'s or ``host``'s configuration has."""
    return home / f"ssh_config_{cert_type}.json"


def read(place: Path) -> dict[Path, Entry]:
    """What was written, by path; raises FileProblem when the file is not as it was left."""
    rows = (read_object(place, _REMEDY) or {}).get("files", [])
    if not isinstance(rows, list):
        raise FileProblem(f"{place}: 'files' must be a list", hint=_REMEDY)
    entries = (_entry(row, place) for row in rows)
    return {entry.path: entry for entry in entries}


def encoded(entries: Iterable[Entry]) -> bytes:
    """The file's contents; empty when there is nothing to record."""
    rows = [
        {
            "type": entry.kind,
            "path": str(entry.path),
            "created": entry.created,
            **({"line": entry.line} if entry.line else {}),
            **({"sha256": entry.sha256} if entry.sha256 else {}),
        }
        for entry in entries
    ]
    return (json_text({"files": rows}) + "\n").encode() if rows else b""


def of_others(places: Places, cert_type: str) -> list[Entry]:
    """What the configurations of other CAs, in other contexts, have a part in; raises FileProblem."""
    homes = {places.base, *(context.home.absolute() for context in contexts.known(places.base).values())}
    return [entry for home in homes - {places.mica} for entry in read(place_of(home, cert_type)).values()]


def _entry(row: object, place: Path) -> Entry:
    members = row if isinstance(row, dict) else {}
    kind, path, created = (members.get(name) for name in ("type", "path", "created"))
    line, sha256 = (members.get(name, "") for name in ("line", "sha256"))
    if (
        kind not in KINDS
        or not isinstance(path, str)
        or not isinstance(created, bool)
        or not isinstance(line, str)
        or not isinstance(sha256, str)
    ):
        raise FileProblem(f"{place}: 'files' holds something else than was written there", hint=_REMEDY)
    return Entry(kind=kind, path=Path(path), created=created, line=line, sha256=sha256)
