"""The folder and the file of the database: made, guarded, and locked between processes."""

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from threading import Lock, Thread

from mica import ConfigError, Unavailable


def make(path: Path) -> None:
    """The file at ``path`` exists, in its folder, for nobody but its owner; what exists already is left as it is."""
    missing = [folder for folder in path.parents if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(mode=0o700, exist_ok=True)
    try:
        # O_EXCL: an existing database is not even opened. Closing any descriptor of it would drop the POSIX
        # locks that SQLite holds for the whole process (https://sqlite.org/howtocorrupt.html §2.2).
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return
    for folder in [path.parent, *(folder.parent for folder in missing)]:
        _sync(folder)


def guard(path: Path) -> None:
    """We can write to the database at ``path``, others can not, nor can strangers read it; raises ConfigError."""
    faults = []
    file, folder = path.stat().st_mode, path.parent.stat().st_mode
    if not stat.S_ISREG(file):
        faults.append(f"store.path: {path} must be a file")
    elif file & 0o027:
        # Who can write to it can revive a spent token or forget a revocation. The group may read: backups.
        faults.append(f"store.path: {path} must be closed to others (mode {file & 0o777:04o}): chmod 600 {path}")
    elif not os.access(path, os.R_OK | os.W_OK, effective_ids=True):
        # Before SQLite opens it: it would leave a log behind that may not be written either.
        faults.append(
            f"store.path: {path} must be open to the authority's user: chown it to that user, chmod 600 {path}"
        )
    if folder & 0o002 and not folder & stat.S_ISVTX:
        faults.append(f"store.path: others may replace files in {path.parent}: chmod o-w {path.parent}")
    if faults:
        raise ConfigError(faults)


def identity(path: Path) -> tuple[int, int]:
    """What tells the file now at ``path`` from any other: device and inode."""
    status = path.stat()
    return status.st_dev, status.st_ino


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class FolderLock:
    """An advisory lock on a folder, which our own processes take around a write. For one thread at a time.

    Who waits here is woken when its turn comes; SQLite's busy handler sleeps up to 100 ms at a time, while a process
    with much to write takes turn after turn. It is the folder that is locked because the database must not be opened
    (see ``make``).
    """

    def __init__(self, folder: Path, patience: timedelta) -> None:
        self._folder = folder
        self._patience = patience.total_seconds()
        self._descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        self._queue: _Queue | None = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """No other process of ours writes meanwhile; raises Unavailable when one does so for too long."""
        self._take()
        try:
            yield
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def _take(self) -> None:
        if self._queue is None or self._queue.is_idle():
            with suppress(BlockingIOError):
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
        self._queue = self._queue or _Queue(self._descriptor)
        if not self._queue.wait(self._patience):
            raise Unavailable(
                f"the store in {self._folder} is locked by another process: end the program that holds it"
            )

    def close(self) -> None:
        """The descriptor is given back."""
        if self._queue is None:
            os.close(self._descriptor)
        else:
            self._queue.close()


class _Queue:
    """Waits for a lock with a time limit, which flock(2) lacks: a thread waits, and may be left to it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._state = Lock()
        self._wanted = self._waiting = self._closed = False
        self._ask, self._turn = Lock(), Lock()
        self._ask.acquire()
        self._turn.acquire()
        Thread(target=self._run, name="mica-store-lock", daemon=True).start()

    def is_idle(self) -> bool:
        """Nothing is waited for. Otherwise the lock must not be taken past the thread, which would release it."""
        with self._state:
            return not self._waiting

    def wait(self, seconds: float) -> bool:
        """Whether the lock was obtained in time."""
        with self._state:
            self._wanted = True
            if not self._waiting:
                self._waiting = True
                self._ask.release()
        if self._turn.acquire(timeout=seconds):
            return True
        with self._state:
            self._wanted = False
            return self._turn.acquire(blocking=False)  # it may have come at the last moment

    def close(self) -> None:
        """The thread ends, and gives the descriptor back, as soon as it waits for nothing."""
        with self._state:
            self._closed = True
            if not self._waiting:
                self._waiting = True
                self._ask.release()

    def _run(self) -> None:
        while self._ask.acquire() and not self._closed:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            with self._state:
                self._waiting = False
                if self._wanted:
                    self._wanted = False
                    self._turn.release()
                    continue
                # Nobody waits any more, and others must not wait for nobody.
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)
                if self._closed:
                    break
        os.close(self._descriptor)
