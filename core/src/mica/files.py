"""The files of a configuration, read once per generation.

A worker that is started again must see what its generation was validated with, not what lies on disk by then. The
process that validates reads through a ``Files``; it is handed, filled, to the workers.
"""

import os
import stat
from pathlib import Path

from mica.errors import ConfigError

MAX_BYTES = 16 * 1024 * 1024


class Files:
    """The contents of files, remembered since they were first read. Picklable."""

    def __init__(self) -> None:
        self._contents: dict[Path, bytes] = {}
        self._secrets: set[Path] = set()

    def read(self, path: Path) -> bytes:
        """The octets of the file at ``path``, which is absolute; raises ConfigError."""
        contents = self._contents.get(path)
        if contents is None:
            contents = self._contents[path] = _read(path)
        return contents

    def read_secret(self, path: Path) -> bytes:
        """As ``read``; raises ConfigError when others than its owner and group can read the file."""
        if path not in self._secrets:
            try:
                mode = path.stat().st_mode
            except OSError as error:
                raise _cannot_read(path, error) from error
            if mode & (stat.S_IROTH | stat.S_IWOTH):
                raise ConfigError([f"{path}: others can read this secret; run: chmod 600 {path}"])
        contents = self.read(path)
        self._secrets.add(path)
        return contents

    def __repr__(self) -> str:
        return f"Files({len(self._contents)} files)"


def _read(path: Path) -> bytes:
    try:
        # O_NONBLOCK: a FIFO in the place of a file must not hang the start.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ConfigError([f"{path}: is not a regular file"])
            contents = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise _cannot_read(path, error) from error
    if len(contents) > MAX_BYTES:
        raise ConfigError([f"{path}: is larger than {MAX_BYTES} bytes"])
    return contents


def _cannot_read(path: Path, error: OSError) -> ConfigError:
    return ConfigError([f"{path}: cannot be read: {error.strerror}"])
