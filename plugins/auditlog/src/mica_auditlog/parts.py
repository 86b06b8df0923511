"""The files of a log as a reader takes them: in the order of their lines, at one moment."""

import fcntl
import gzip
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from mica_auditlog.heads import Head, read_head
from mica_auditlog.lines import MAX_OCTETS, START
from mica_auditlog.places import OWN, Places, Unsuitable


class Unreadable(Exception):
    """A file cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One file: what was in it when it was taken."""

    path: Path
    seq: int
    """The number of its first line that is one; -1 when it has none."""
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
    """The files, in the order of their lines, and the head beside or among them; nobody writes meanwhile.

    What the shell's ``audit.jsonl*`` finds besides the log, its head and its lock, is no part of it. A file that is
    named twice is read once. Raises Unreadable.
    """
    logs = list({path.resolve(): path for path in paths if not path.name.endswith(OWN)}.values())
    if paths and not logs:
        raise Unreadable(f"{paths[0]}: lies beside a log, and has no lines: name the log itself")
    places = [Places(path) for path in logs]
    with ExitStack() as held:
        for place in places:
            if os.access(place.lock, os.R_OK | os.W_OK):
                held.enter_context(place.locked(fcntl.LOCK_SH))
        head, problem = _head([place.head for place in places] + [path for path in paths if path.suffix == ".head"])
        parts = sorted((_part(path) for path in logs), key=lambda part: (part.seq, part.path))
    return Taken(parts=tuple(parts), head=head, problem=problem)


def _head(places: Sequence[Path]) -> tuple[Head | None, str]:
    place = next(filter(os.path.lexists, places), None)
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
    # Half a line may come first: a writer was ended when it had just begun the file.
    seq = next((int(match[1]) for line in part.lines() if (match := START.match(line))), -1)
    return replace(part, seq=seq)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise Unreadable(f"{path}: {error.strerror}") from error


def _opened(path: Path) -> IO[bytes]:
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]
