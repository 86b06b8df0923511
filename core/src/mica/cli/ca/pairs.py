"""A certificate and its key, each in its file, and how both are replaced.

No file system replaces two files at once. With a new key, the new certificate is therefore on disk twice: under a name
of its own, before the key takes its place, and then in the certificate's. Whoever finds a key that the certificate does
not belong to finds the right certificate beside it; ``read`` puts it in place.
"""

import stat
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509

from mica.cli import keys, passwords
from mica.cli.ca import identities
from mica.cli.ca.identities import Holder
from mica.cli.ca.outputflags import MODE
from mica.cli.errors import FileProblem
from mica.cli.files import Access, read_input, write_all
from mica.errors import ConfigError
from mica.keyfiles import PrivateKey, is_encrypted, load_private_key

_FLAG = "--password-file"
#: Who may at most read what replaces a file: a certificate is no secret, and a service may have its key by its group.
_CERTIFICATE, _KEY = 0o644, 0o640


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A pair as it was read. ``mended``: the certificate was put in its place just then."""

    holder: Holder
    password: bytes | None = field(repr=False)
    """What the key in its file is encrypted with, if it is."""
    mended: bool


@dataclass(slots=True, kw_only=True)
class Pair:
    """The two files. What opened the key once is remembered, so that nobody is asked twice."""

    certificate: Path
    key: Path
    password_source: str | None
    new_password: bytes | None = field(default=None, repr=False)
    """What a key that replaces this one will be encrypted with, where that is another password."""
    _password: bytes | None = field(default=None, repr=False)

    def read(self) -> Opened:
        """What the files hold, an interrupted replacement completed; raises FileProblem, PromptNeeded."""
        chain = identities.read_chain(self.certificate)
        key, password = self.open_key(self.key)
        mended = chain[0].public_key() != key.public_key()
        if mended:
            chain = _completed(self.certificate, self.key, key)
        holder = Holder(path=self.certificate, chain=chain, key=key)
        return Opened(holder=holder, password=password, mended=mended)

    def open_key(self, path: Path) -> tuple[PrivateKey, bytes | None]:
        """The key in ``path``, and what it is encrypted with; raises FileProblem, PromptNeeded."""
        if keys.is_key_uri(path):
            return keys.read_key(path, self.password_source), None
        data, where = read_input(path), str(path)
        if self.password_source is not None and self._password is None:
            self._password = passwords.from_source(self.password_source)
        try:
            if not is_encrypted(data, where=where):
                return load_private_key(data, None, where=where), None
            if self._password is None:
                self._password = passwords.password(None, f"Please enter the password to decrypt {path}", flag=_FLAG)
            return self._decrypted(data, self._password, where)
        except ConfigError as error:
            raise FileProblem(str(error)) from error

    def signature(self) -> tuple[object, ...]:
        """Something else as soon as one of the files is another, or has been written to."""
        return _signature(self.certificate), _signature(self.key)

    def _decrypted(self, data: bytes, password: bytes, where: str) -> tuple[PrivateKey, bytes]:
        try:
            return load_private_key(data, password, where=where), password
        except ConfigError:
            if self.new_password is None:
                raise
        return load_private_key(data, self.new_password, where=where), self.new_password


def replace(certificate: Path, chain_pem: bytes, key: Path, key_pem: bytes) -> None:
    """The two files hold the pair, or ``Pair.read`` can see to it that they do; raises FileProblem."""
    outputs = [(key, key_pem, _kept(key, _KEY)), (certificate, chain_pem, _kept(certificate, _CERTIFICATE))]
    if certificate.exists() and not certificate.is_file():  # a pipe, a terminal: nothing is replaced there
        write_all(outputs)
        return
    beside = waiting_place(certificate)
    write_all([(beside, chain_pem, MODE), *outputs])
    beside.unlink(missing_ok=True)


def replace_certificate(certificate: Path, chain_pem: bytes) -> None:
    """The file holds the chain; raises FileProblem."""
    write_all([(certificate, chain_pem, _kept(certificate, _CERTIFICATE))])


def waiting_place(certificate: Path) -> Path:
    """Where a new certificate waits while its key takes its place."""
    target = certificate.resolve()
    return target.with_name(f".{target.name}.mica-rekey")


def _completed(certificate: Path, key_path: Path, key: PrivateKey) -> tuple[x509.Certificate, ...]:
    """The certificate that was waiting for ``key`` is in its place now; raises FileProblem when there is none."""
    beside = waiting_place(certificate)
    chain = identities.read_chain(beside) if beside.is_file() else ()
    if not chain or chain[0].public_key() != key.public_key():
        raise FileProblem(
            f"{key_path}: is not the key of {certificate}", hint=f"the first certificate in {certificate} counts"
        )
    replace_certificate(certificate, read_input(beside))
    beside.unlink(missing_ok=True)
    return chain


def _kept(path: Path, widest: int) -> int | Access:
    """Who may read the file that is there, as far as ``widest`` goes; where there is none, its owner alone."""
    try:
        return Access(mode=stat.S_IMODE(path.stat().st_mode) & widest)
    except (OSError, ValueError):
        return MODE


def _signature(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except (OSError, ValueError):
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
