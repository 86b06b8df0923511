"""The end of the log as a writer finds it: with what a crash, a rotation or an intruder made of it since."""

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mica_auditlog.chain import Chain
from mica_auditlog.heads import Head
from mica_auditlog.lines import BEGUN, CONTINUED, MAX_OCTETS, RECOVERED, START, digest, encode, members_of
from mica_auditlog.places import Unsuitable

_log = logging.getLogger("mica_auditlog")


@dataclass(slots=True, kw_only=True)
class Tail:
    """Where the next line goes, and the lines that go there first. Nothing is written by it."""

    descriptor: int
    size: int
    """The octets of the file."""
    seq: int = -1
    hash: str = "0" * 64
    lines: list[bytes] = field(default_factory=list)
    moved: bool = False
    """Whether it lies behind the head, lines or no lines."""

    def add(self, time: str, event: str, members: dict[str, Any]) -> None:
        """The next line is this one."""
        self.seq += 1
        line = encode(self.seq, self.hash, time, event, members)
        self.lines.append(line)
        self.hash = digest(line)

    def recover(self, time: str, reason: str, torn: bytes = b"") -> None:
        """The next line says why it was not plain where it goes; half a line before it is ended, and accounted for."""
        members: dict[str, Any] = {"reason": reason}
        if torn:
            self.lines.append(b"\n")
            members |= {"torn_octets": len(torn), "torn_sha256": digest(torn + b"\n")}
        self.add(time, RECOVERED, members)


def after_head(descriptor: int, head: Head, time: str, path: Path) -> Tail:
    """The end of the file that ``head`` is about; whole lines behind the head are kept, half a line is marked."""
    size = os.fstat(descriptor).st_size
    tail = Tail(descriptor=descriptor, size=size, seq=head.seq, hash=head.hash)
    if size < head.size:
        _log.error("%s is shorter than it was: it had %d octets and has %d", path, head.size, size)
        tail.recover(time, "shortened", _torn_end(descriptor, size))
    elif size > head.size:
        _adopt(tail, head.size, "foreign", time, path)
    return tail


def without_head(descriptor: int, authority: str, time: str, path: Path) -> Tail:
    """The end of a file whose head is not there: a new log's, or one that has lost it. Raises Unsuitable."""
    size = os.fstat(descriptor).st_size
    first = next(_lines(descriptor, 0), b"")
    if not first or (first.startswith(b'{"seq":0,') and not first.endswith(b"\n")):
        os.ftruncate(descriptor, 0)  # the very first line was torn, or there is none yet: nothing is lost
        tail = Tail(descriptor=descriptor, size=0)
        tail.add(time, BEGUN, {"authority": authority, "format": 1})
        return tail
    owner = members_of(first).get("authority")
    if not isinstance(owner, str):
        raise Unsuitable(f"{path} is no audit log, and not empty; name another path")
    require_authority(owner, authority, path)
    last, seq, torn = b"", -1, b""
    for line in _lines(descriptor, 0):
        match = START.match(line)
        if match and line.endswith(b"}\n"):
            last, seq, torn = line, int(match[1]), b""
        else:
            torn = b"" if line.endswith(b"\n") else line
    tail = Tail(descriptor=descriptor, size=size, seq=seq, hash=digest(last))
    if seq > 0 or torn:
        _log.error("%s has no head file, or a damaged one; it is continued after its last line, %d", path, seq)
        tail.recover(time, "headless", torn)
    return tail


def in_another_file(descriptor: int, before: Tail, members: dict[str, Any], time: str, path: Path) -> Tail:
    """The end of a file that has taken the place of the log's, and continues what is written ``before``.

    It begins with ``members``. What is in it and continues the log has been written by who was ended before the head.
    """
    size = os.fstat(descriptor).st_size
    tail = Tail(descriptor=descriptor, size=size, seq=before.seq, hash=before.hash)
    if not (size and _adopt(tail, 0, "replaced", time, path)):
        tail.add(time, CONTINUED, members)
    return tail


def require_authority(found: str, authority: str, path: Path) -> None:
    """The log is this authority's; raises Unsuitable."""
    if found != authority:
        raise Unsuitable(f"{path} is the audit log of {found}, not of {authority}; name another path")


def _adopt(tail: Tail, start: int, otherwise: str, time: str, path: Path) -> int:
    """The lines from ``start``, which a writer wrote before it was ended, are the log's; how many of them are whole.

    For what no writer can have written, the reason is ``otherwise``.
    """
    tail.moved = True
    first, strange, chain = tail.seq, False, Chain(seq=tail.seq, hash=tail.hash.encode())
    for line in _lines(tail.descriptor, start):
        if strange := any(found.fault and not found.code.startswith(RECOVERED) for found in chain.follow(line)):
            break
        tail.seq, tail.hash = chain.seq, chain.hash.decode()
    whole = tail.seq - first
    if whole:
        _log.warning("%s goes on behind its head, to line %d: a writer was ended before it wrote that", path, tail.seq)
    if strange or chain.stray.endswith(b"\n"):
        _log.error("%s has lines after line %d that no writer has written", path, tail.seq)
        tail.recover(time, otherwise, _torn_end(tail.descriptor, tail.size))
    elif chain.stray:
        _log.warning("%s ends in half a line, %d octets; it is marked as that", path, len(chain.stray))
        tail.recover(time, "torn", chain.stray)
    return whole


def _lines(descriptor: int, start: int) -> Iterator[bytes]:
    with os.fdopen(os.dup(descriptor), "rb") as file:
        file.seek(start)
        while line := file.readline(MAX_OCTETS):
            yield line


def _torn_end(descriptor: int, size: int) -> bytes:
    """What stands after the last line end; it is not known to be half of anything."""
    start = max(0, size - MAX_OCTETS)
    octets = os.pread(descriptor, size - start, start)
    return octets.rpartition(b"\n")[2]
