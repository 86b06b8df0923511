"""A certificate and its key as two files, and how both are replaced.

No file system replaces two files at once. With a new key, the new certificate is therefore on disk twice: under a name
of its own, before the key takes its place, and then in the certificate's. Whoever finds a key that the certificate does
not belong to finds the right certificate beside it; ``complete`` puts it in place.
"""

import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mica.cli import keys, passwords
from mica.cli.ca.outputflags import MODE
from mica.cli.errors import FileProblem
from mica.cli.files import Access, read_input, write_all
from mica.errors import ConfigError
from mica.keyfiles import PrivateKey, is_encrypted, load_private_key

#: Who may at most read what replaces a file: a certificate is no secret, and a service may have its key by its group.
_PUBLIC, _KEY = 0o644, 0o640


@dataclass(slots=True, kw_only=True)
class KeyOpener:
    """Opens keys in files. What opened one once is remembered, so that nobody is asked twice."""

    source: str | None
    """Where the password is."""
    new_password: bytes | None = field(default=None, repr=False)
    """What a key that replaces this one will be encrypted with, where that is another password."""
    flag: str = "--password-file"
    """What names ``source``."""
    _password: bytes | None = field(default=None, repr=False)

    def open(self, path: Path) -> tuple[PrivateKey, bytes | None]:
        """The key in ``path``, and what it is encrypted with; raises FileProblem, PromptNeeded."""
        if keys.is_key_uri(path):
            return keys.read_key(path, self.source, flag=self.flag), None
        data, where = read_input(path), str(path)
        if self.source is not None and self._password is None:
            self._password = passwords.from_source(self.source)
        try:
            if not is_encrypted(data, where=where):
                return load_private_key(data, None, where=where), None
            if self._password is None:
                self._password = passwords.password(
                    None, f"Please enter the password to decrypt {path}", flag=self.flag
                )
            return self._decrypted(data, self._password, where)
        except ConfigError as error:
            raise FileProblem(str(error)) from error

    def _decrypted(self, data: bytes, password: bytes, where: str) -> tuple[PrivateKey, bytes]:
        try:
            return load_private_key(data, password, where=where), password
        except ConfigError:
            if self.new_password is None:
                raise
        return load_private_key(data, self.new_password, where=where), self.new_password


def replace(
    certificate: Path,
    contents: bytes,
    key: Path,
    key_contents: bytes,
    *,
    between: Sequence[tuple[Path, bytes]] = (),
    mode: int | Access = MODE,
) -> None:
    """The files hold the pair, or ``complete`` can see to it that they do; raises FileProblem.

    ``between`` are public files that are written behind the key. ``mode`` is for a certificate where there was none.
    """
    outputs = [
        (key, key_contents, _kept(key, _KEY, MODE)),
        *((path, octets, _kept(path, _PUBLIC, mode)) for path, octets in between),
        (certificate, contents, _kept(certificate, _PUBLIC, mode)),
    ]
    if certificate.exists() and not certificate.is_file():  # a pipe, a terminal: nothing is replaced there
        write_all(outputs)
        return
    beside = waiting_place(certificate)
    write_all([(beside, contents, MODE), *outputs])
    beside.unlink(missing_ok=True)


def replace_certificate(certificate: Path, contents: bytes, *, mode: int | Access = MODE) -> None:
    """The file holds the certificate; raises FileProblem."""
    write_all([(certificate, contents, _kept(certificate, _PUBLIC, mode))])


def complete(
    certificate: Path,
    key: Path,
    belongs: Callable[[Path], bool],
    *,
    hint: str,
    between: Sequence[tuple[Path, bytes]] = (),
    mode: int | Access = MODE,
) -> None:
    """The certificate that was waiting for the key is in its place now; raises FileProblem when there is none.

    ``belongs`` tells whether the certificate in a file is for the key. ``between`` and ``mode`` are as in ``replace``.
    """
    beside = waiting_place(certificate)
    if not beside.is_file() or not belongs(beside):
        raise FileProblem(f"{key}: is not the key of {certificate}", hint=hint)
    files = [*between, (certificate, read_input(beside))]
    write_all([(path, contents, _kept(path, _PUBLIC, mode)) for path, contents in files])
    beside.unlink(missing_ok=True)


def waiting_place(certificate: Path) -> Path:
    """Where a new certificate waits while its key takes its place."""
    target = certificate.resolve()
    return target.with_name(f".{target.name}.mica-rekey")


def signature(*paths: Path) -> tuple[object, ...]:
    """Something else as soon as one of the files is another, or has been written to."""
    return tuple(map(_signature, paths))


def _kept(path: Path, widest: int, otherwise: int | Access) -> int | Access:
    """Who may read the file that is there, as far as ``widest`` goes; where there is none, ``otherwise``."""
    try:
        return Access(mode=stat.S_IMODE(path.stat().st_mode) & widest)
    except (OSError, ValueError):
        return otherwise


def _signature(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except (OSError, ValueError):
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
