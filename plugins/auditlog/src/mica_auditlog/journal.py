"""The writer: lines are appended, and are on disk with their head. Several processes may write the same log.

Whoever writes holds the lock, and finds the end anew from the head: nothing about the file is remembered in between.
So it does not matter who wrote last, who was killed, or that the file was renamed.
"""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from mica_auditlog.entries import Entry
from mica_auditlog.heads import Head, read_head, write_head
from mica_auditlog.lines import timestamp
from mica_auditlog.places import Places, open_plain, sync_folder
from mica_auditlog.tails import Tail, after_head, in_another_file, require_authority, without_head

_log = logging.getLogger("mica_auditlog")


class _Partly(OSError):
    """Neither could everything be written, nor what was written be cut off again; ``whole`` lines of it are there."""

    def __init__(self, whole: int, cause: OSError) -> None:
        self.whole = whole
        super().__init__(cause.errno, cause.strerror)


class NotWritten(Exception):
    """Not everything could be written; the first ``accepted`` entries were."""

    def __init__(self, accepted: int, cause: OSError) -> None:
        self.accepted = accepted
        super().__init__(cause.strerror or str(cause))


@dataclass(frozen=True, slots=True, kw_only=True)
class Journal:
    """One log. Its methods block; they belong in a thread."""

    places: Places
    authority: str
    now: Callable[[], datetime]
    max_size: int = 0
    """A file of so many octets is renamed and a new one begun; 0: never."""

    def append(self, entries: Sequence[Entry]) -> None:
        """The entries are lines, all on disk, and the head is that of the last; raises NotWritten, Unsuitable.

        With no entries, the log is there and its end in order.
        """
        try:
            self.places.prepare()
            with self.places.locked(), self._end() as tail:
                self._write(tail, entries)
        except OSError as error:
            raise NotWritten(0, error) from error

    def _write(self, tail: Tail, entries: Sequence[Entry]) -> None:
        own = len(tail.lines)
        for each in entries:
            tail.add(each.time, each.event, dict(each.members))
        try:
            _write_lines(tail)
        except _Partly as error:
            raise NotWritten(max(0, error.whole - own), error) from error
        if tail.lines or tail.moved:
            try:
                self._settle(tail)
            except OSError as error:
                raise NotWritten(len(entries), error) from error

    def _settle(self, tail: Tail) -> None:
        """The head is that of the last line, in the file where it is now."""
        status = os.fstat(tail.descriptor)
        head = Head(seq=tail.seq, hash=tail.hash, authority=self.authority, size=status.st_size, inode=status.st_ino)
        write_head(self.places, head)

    @contextmanager
    def _end(self) -> Iterator[Tail]:
        """The end of the log, whose file is closed afterwards."""
        path, time = self.places.log, timestamp(self.now())
        head = self._head()
        if head is None:
            with self._opened(path) as descriptor:
                yield without_head(descriptor, self.authority, time, path)
            return
        require_authority(head.authority, self.authority, path)
        self._rotate(head)
        with self._opened(path) as descriptor:
            if os.fstat(descriptor).st_ino == head.inode and (os.fstat(descriptor).st_size or not head.size):
                yield after_head(descriptor, head, time, path)
            else:
                yield self._continued(descriptor, head, time)

    def _head(self) -> Head | None:
        try:
            return read_head(self.places.head)
        except ValueError as error:
            _log.error("%s is damaged: %s", self.places.head, error)
            return None

    def _continued(self, descriptor: int, head: Head, time: str) -> Tail:
        """The end in a new file; the one before, if it is found by another name, has been put in order."""
        old = self.places.file_with(head.inode)
        before = Tail(descriptor=descriptor, size=0, seq=head.seq, hash=head.hash)
        if old is not None and old != self.places.log:
            with self._opened(old) as renamed:
                before = after_head(renamed, head, time, old)
                _write_lines(before)
        members = {"authority": self.authority, "file": old.name if old else ""}
        return in_another_file(descriptor, before, members, time, self.places.log)

    def _rotate(self, head: Head) -> None:
        """A file that is large enough has another name: the number of its last line is its end."""
        path = self.places.log
        try:
            status = path.lstat()
        except FileNotFoundError:
            return
        if not self.max_size or status.st_ino != head.inode or not self.max_size <= status.st_size == head.size:
            return
        old = path.with_name(f"{path.name}.{head.seq:012d}")
        if old.exists():
            _log.error("%s is there already; %s grows beyond max_size", old, path)
            return
        path.rename(old)
        sync_folder(path.parent)

    @contextmanager
    def _opened(self, path: Path) -> Iterator[int]:
        is_new = not path.exists()
        descriptor = open_plain(path, os.O_RDWR | os.O_APPEND | os.O_CREAT)
        try:
            if is_new:
                sync_folder(path.parent)
            yield descriptor
        finally:
            os.close(descriptor)


def _write_lines(tail: Tail) -> None:
    """The lines are on disk; raises OSError when none is, _Partly when some may be."""
    left = memoryview(b"".join(tail.lines))
    total = len(left)
    try:
        while left:
            left = left[os.write(tail.descriptor, left) :]
        if total:
            os.fdatasync(tail.descriptor)
    except OSError as error:
        try:
            os.ftruncate(tail.descriptor, tail.size)
        except OSError:  # only appending may be allowed (chattr +a)
            raise _Partly(_whole(tail.lines, total - len(left)), error) from error
        raise


def _whole(lines: Sequence[bytes], octets: int) -> int:
    """How many of the lines lie within the first octets."""
    count = 0
    for line in lines:
        octets -= len(line)
        if octets < 0:
            break
        count += 1
    return count
