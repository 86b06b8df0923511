"""What SSH adds to the founding of a CA: a key pair for users' certificates, one for hosts', and their place."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from itertools import chain, count
from pathlib import Path
from typing import Any

from mica.keyfiles import PrivateKey, dump_private_key, generate
from mica.sshcert import CertType
from mica.sshkeys import KeyLine, SSHPublicKey

KEY_ALGORITHM = "EC-P256"
#: What must be enabled besides: who signs, and who vouches for hosts that prove a certificate of their own.
PLUGINS = ("sshsigner", "sshpop")

USER_KEY, USER_PUBLIC_KEY = Path("secrets/ssh_user_ca_key"), Path("certs/ssh_user_ca_key.pub")
HOST_KEY, HOST_PUBLIC_KEY = Path("secrets/ssh_host_ca_key"), Path("certs/ssh_host_ca_key.pub")
#: What they are called, in the order in which they are told.
LABELS = {
    USER_PUBLIC_KEY: "SSH user public key",
    USER_KEY: "SSH user private key",
    HOST_PUBLIC_KEY: "SSH host public key",
    HOST_KEY: "SSH host private key",
}
FILES = tuple(LABELS)

_PRIVATE = {CertType.USER: USER_KEY, CertType.HOST: HOST_KEY}
_PUBLIC = {CertType.USER: USER_PUBLIC_KEY, CertType.HOST: HOST_PUBLIC_KEY}


@dataclass(frozen=True, slots=True, kw_only=True)
class SSHCAKey:
    """A key that signs the certificates of one type."""

    cert_type: CertType
    key: PrivateKey = field(repr=False)
    comment: str

    @property
    def line(self) -> bytes:
        """The public key as a line of authorized_keys (sshd(8)), which ``TrustedUserCAKeys`` takes."""
        public_key = SSHPublicKey.of(self.key.public_key())
        line = KeyLine(key_type=public_key.key_type, blob=public_key.blob, comment=self.comment)
        return line.format().encode() + b"\n"

    @property
    def path(self) -> Path:
        """Where the private key belongs, below the folder of the CA."""
        return _PRIVATE[self.cert_type]

    @property
    def public_path(self) -> Path:
        """Where the public key belongs."""
        return _PUBLIC[self.cert_type]

    def key_pem(self, password: bytes | None) -> bytes:
        """The private key, encrypted unless there is no password."""
        return dump_private_key(self.key, password)


def new_keys(name: str) -> tuple[SSHCAKey, ...]:
    """A key for users' certificates and one for hosts'; their comments say so, and the PKI's ``name``."""
    shown = "".join(character if character.isprintable() else "?" for character in name)
    return tuple(
        SSHCAKey(cert_type=each, key=generate(KEY_ALGORITHM), comment=f"{shown} SSH {each.name.lower()} CA")
        for each in CertType
    )


def signer() -> dict[str, Any]:
    """``[signers.ssh]`` for keys that are where they belong."""
    return {"type": "sshsigner", "user_key": f"file:{USER_KEY}", "host_key": f"file:{HOST_KEY}"}


def enabled(table: Mapping[str, Any]) -> dict[str, Any]:
    """``table``, a provisioner's, whose certificates may be SSH's."""
    return {**table, "claims": {**table.get("claims", {}), "enable_ssh_ca": True}}


def possession(taken: Collection[str]) -> dict[str, Any]:
    """The table of a provisioner for hosts that prove a certificate of their own; its name is none of ``taken``."""
    names = chain(["sshpop"], (f"sshpop-{number}" for number in count(1)))
    return enabled({"type": "sshpop", "name": next(name for name in names if name not in taken)})
