"""What the import will write, before anything is written."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A provisioner's table, and where it comes from."""

    table: Mapping[str, Any]
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Untaken:
    """A provisioner that stands in ca.toml as a comment."""

    origin: str
    reason: str
    text: str
    """It as JSON, in one line, without its secrets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """A file of the old CA, unchanged, in its new place."""

    path: Path
    """Below the folder of ca.toml."""
    contents: bytes = field(repr=False)
    mode: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFile:
    """A private key of the old CA."""

    item: str
    """What of ca.json names it: ``key``, ``ssh.userKey``."""
    shown: str
    """Its path as ca.toml will have it."""
    path: Path
    """Where it is now."""
    contents: bytes = field(repr=False)

    @property
    def uri(self) -> str:
        """What ca.toml says."""
        return f"file:{self.shown}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A line of ca.toml, and where it comes from."""

    name: str
    value: Any
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SSH:
    """``[signers.ssh]``, and ``[plugin.sshsigner]``."""

    keys: tuple[KeyFile, ...]
    signer: tuple[Setting, ...]
    service: tuple[Setting, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """``[signers.x509]``: paths as ca.toml will have them."""

    roots: tuple[str, ...]
    federated_roots: tuple[str, ...]
    certificate: str
    key: KeyFile
    backdate: str
    issuer: x509.Certificate
    root: x509.Certificate
    """The root whose fingerprint clients pin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All of ca.toml, and the files beside it."""

    source: Path
    """The old ca.json."""
    url: str
    url_origin: str
    address: str
    dns_names: tuple[str, ...]
    common_name: str
    claims: Mapping[str, Any]
    policy: Mapping[str, Any] | None
    """``[plugin.policy]``."""
    signer: Signer
    ssh: SSH | None
    provisioners: tuple[Taken, ...]
    untaken: tuple[Untaken, ...]
    copies: tuple[Copy, ...]
    defaults: Mapping[str, Any]

    @property
    def keys(self) -> tuple[KeyFile, ...]:
        """Every private key; one password opens them all."""
        return (self.signer.key, *(self.ssh.keys if self.ssh else ()))

    @property
    def plugins(self) -> tuple[str, ...]:
        """What ca.toml enables: what every CA needs, and what its provisioners are of."""
        types = (str(taken.table["type"]).partition(".")[0] for taken in self.provisioners)
        signing, policy = (("sshsigner",) if self.ssh else ()), (("policy",) if self.policy else ())
        return tuple(dict.fromkeys(("x509signer", "filekeys", "storage_sqlite", *signing, *types, *policy)))
