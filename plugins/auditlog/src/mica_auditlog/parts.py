"""The files of a log as a reader takes them: in the order of their lines, at one moment."""

import fcntl
import gzip
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from mica_auditlog.heads import Head, read_head
from mica_auditlog.lines import MAX_OCTETS, START
from mica_auditlog.places import Places, Unsuitable


class Unreadable(Exception):
    """A file cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One file: what was in it when it was taken."""

    path: Path
    seq: int
    """The number of its first line; -1 when that is none."""
    size: int | None = None
    """So many octets are read; None: all, for it is compressed."""

    def lines(self) -> Iterator[bytes]:
        """Its lines, the last perhaps without its end; raises Unreadable."""
        left = self.size
        try:
            with _opened(self.path) as file:
                while line := file.readline(MAX_OCTETS if left is None else min(left, MAX_OCTETS)):
                    left = None if left is None else left - len(line)
                    yield line
                    if left == 0:
                        return
        except (OSError, EOFError, zlib.error) as error:
            raise Unreadable(f"{self.path}: {getattr(error, 'strerror', None) or error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A log at one moment."""

    parts: tuple[Part, ...]
    head: Head | None
    problem: str = ""
    """What is wrong with the head file; empty when nothing is."""


def take(paths: Sequence[Path]) -> Taken:
    """The files, in the order of their lines, and the head beside one of them; nobody writes meanwhile.

    Raises Unreadable.
    """
    places = [Places(path) for path in paths]
    with ExitStack() as held:
        for place in places:
            if os.access(place.lock, os.R_OK | os.W_OK):
                held.enter_context(place.locked(fcntl.LOCK_SH))
        head, problem = _head(places)
        parts = sorted((_part(path) for path in paths), key=lambda part: (part.seq, part.path))
    return Taken(parts=tuple(parts), head=head, problem=problem)


def _head(places: Sequence[Places]) -> tuple[Head | None, str]:
    place = next((place.head for place in places if os.path.lexists(place.head)), None)
    if place is None:
        return None, "there is no head file beside the log"
    try:
        return read_head(place), ""
    except (ValueError, Unsuitable) as error:
        return None, f"{place} is damaged: {error}"
    except OSError as error:
        raise Unreadable(f"{place}: {error.strerror}") from error


def _part(path: Path) -> Part:
    part = Part(path=path, seq=-1, size=None if path.suffix == ".gz" else _size(path))
    match = START.match(next(part.lines(), b""))
    return Part(path=path, seq=int(match[1]) if match else -1, size=part.size)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise Unreadable(f"{path}: {error.strerror}") from error


def _opened(path: Path) -> IO[bytes]:
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]
