"""A key pair that is made for an SSH certificate: its octets, and the files that it goes to."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)

from mica.cli.console import progress
from mica.keyfiles import PrivateKey, generate
from mica.sshkeys import KeyLine, SSHPublicKey

SECRET, PUBLIC = 0o600, 0o644

File = tuple[Path, bytes, int]


class Place(NamedTuple):
    """Where a key pair and its certificate are, beside each other, as ssh(1) looks for them."""

    private: Path

    @property
    def public(self) -> Path:
        """The public key."""
        return Path(f"{self.private}.pub")

    @property
    def certificate(self) -> Path:
        """The certificate."""
        return Path(f"{self.private}-cert.pub")

    @property
    def add_user(self) -> "Place":
        """Where the key is that may do nothing but make the account."""
        return Place(Path(f"{self.private}-provisioner"))

    @property
    def paths(self) -> list[Path]:
        """The three, that first whose loss would be worst."""
        return [self.private, self.public, self.certificate]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPair:
    """A new key, and how a file of it is protected."""

    key: PrivateKey = field(repr=False)
    public_key: SSHPublicKey
    pem: bytes = field(repr=False)

    @classmethod
    def make(cls, algorithm: str, password: bytes | None) -> "KeyPair":
        """A new key of a kind named in ``mica.keyfiles.ALGORITHMS``, encrypted unless there is no password."""
        with progress("making the key"):
            key = generate(algorithm)
        return cls(key=key, public_key=SSHPublicKey.of(key.public_key()), pem=openssh_pem(key, password))

    def files(self, place: Place, certificate: bytes, comment: str) -> Iterator[File]:
        """What ``write_all`` is given: the key first, the certificate last."""
        yield place.private, self.pem, SECRET
        yield place.public, line(self.public_key.blob, comment), PUBLIC
        yield place.certificate, line(certificate, comment), PUBLIC


def openssh_pem(key: PrivateKey, password: bytes | None) -> bytes:
    """``key`` as ssh-keygen writes it (OpenSSH PROTOCOL.key): the only form of Ed25519 that every OpenSSH reads.

    Encrypted, with bcrypt in 16 rounds and AES-256, unless there is no password.
    """
    encryption: KeySerializationEncryption = NoEncryption()
    if password is not None:
        encryption = PrivateFormat.OpenSSH.encryption_builder().kdf_rounds(16).build(password)
    with progress("encrypting the key"):
        return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, encryption)


def line(blob: bytes, comment: str) -> bytes:
    """A key or certificate as a file of one line."""
    key_type = blob[4 : 4 + int.from_bytes(blob[:4], "big")].decode()
    return KeyLine(key_type=key_type, blob=blob, comment=comment).format().encode() + b"\n"
