"""Where the log lies: its file, the files that it was before, its head, its lock. None of them may be a link."""

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

#: Where the log is unless ``path`` says otherwise, below the folder of ``ca.toml``.
DEFAULT = "audit/audit.jsonl"
#: How the names of the files end that lie beside a log, and hold no lines.
OWN = (".head", ".lock", ".head.new")


class Unsuitable(Exception):
    """What lies there cannot be an audit log of this authority, and will not become one by waiting."""


@dataclass(frozen=True, slots=True)
class Places:
    """The files of one log."""

    log: Path

    @property
    def head(self) -> Path:
        """The number and hash of the last line."""
        return self.log.with_name(f"{self.log.name}.head")

    @property
    def new_head(self) -> Path:
        """The next head, before it takes its name. Nobody writes it without the lock."""
        return self.log.with_name(f"{self.log.name}.head.new")

    @property
    def lock(self) -> Path:
        """Whoever writes holds it."""
        return self.log.with_name(f"{self.log.name}.lock")

    def files(self) -> list[Path]:
        """The log's file, and those that it was before: whatever begins with its name."""
        start = self.log.name
        found = self.log.parent.iterdir() if self.log.parent.is_dir() else ()
        return sorted(
            path
            for path in found
            if path.name == start or (path.name.startswith((f"{start}.", f"{start}-")) and not path.name.endswith(OWN))
        )

    def file_with(self, inode: int) -> Path | None:
        """The file that is this inode, whatever it is called by now; None when there is none."""
        return next((path for path in self.files() if path.lstat().st_ino == inode), None)

    def prepare(self) -> None:
        """The folder is there, nobody else's to write in; raises Unsuitable, OSError."""
        folder = self.log.parent
        for parent in reversed([folder, *folder.parents]):
            if not parent.exists() and not parent.is_symlink():
                parent.mkdir(mode=0o700)
        mode = folder.lstat().st_mode
        if stat.S_ISLNK(mode) or not stat.S_ISDIR(mode):
            raise Unsuitable(f"{folder} must be a folder, and no link")
        if mode & stat.S_IWOTH:
            raise Unsuitable(f"others can write in {folder}; run: chmod 700 {folder}")

    @contextmanager
    def locked(self, operation: int = fcntl.LOCK_EX) -> Iterator[None]:
        """Nobody else writes meanwhile, in whatever process."""
        descriptor = self._lock(operation)
        try:
            yield
        finally:
            os.close(descriptor)

    def _lock(self, operation: int) -> int:
        while True:
            descriptor = open_plain(self.lock, os.O_RDWR | os.O_CREAT)
            try:
                fcntl.flock(descriptor, operation)
                # Who waited for a file that has been removed meanwhile would hold a lock that nobody else sees.
                if self.lock.lstat().st_ino == os.fstat(descriptor).st_ino:
                    return descriptor
            except FileNotFoundError:
                pass
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)


def open_plain(path: Path, flags: int) -> int:
    """A descriptor of the file at ``path``, made with mode 0600 where ``flags`` say so; raises Unsuitable, OSError."""
    try:
        # O_NONBLOCK: a FIFO in the place of a file must not hang the writer.
        descriptor = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
            raise Unsuitable(f"{path} must be a plain file, and no link") from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Unsuitable(f"{path} must be a plain file, and no link")
    return descriptor


def sync_folder(folder: Path) -> None:
    """Names that were made or changed in the folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
