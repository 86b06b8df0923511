"""A new file appears whole or not at all, and never in the place of another."""

import contextlib
import os
import secrets
from pathlib import Path

_PRIVATE = 0o600


def write_new(path: Path, data: bytes) -> None:
    """``path`` is a new file with ``data``, on disk, readable by its owner alone.

    Raises FileExistsError when something, even a dangling link, stands there, and OSError. Then nothing has changed.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        _write(temporary, data)
        # Unlike rename, link fails when the name is taken, in one step with taking it.
        os.link(temporary, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
    try:
        _sync_folder(path.parent)
    except OSError:
        path.unlink()  # it would be gone after a power cut, and meanwhile in the way of whoever tries again
        raise


def _write(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _PRIVATE)
    with os.fdopen(descriptor, "wb") as file:
        # The mode that open() was given is cut by the umask, never widened; fchmod undoes the cutting.
        os.fchmod(descriptor, _PRIVATE)
        file.write(data)
        file.flush()
        os.fsync(descriptor)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
