"""What listeners hear, after it is on record."""

from dataclasses import dataclass
from datetime import datetime

from mica.grants import Operation
from mica.records import Issuance, ProvisionerRef, Revocation


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A certificate has been issued; ``issuance.replaces`` tells a renewal."""

    issuance: Issuance
    at: datetime
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoked:
    """A certificate has been revoked."""

    revocation: Revocation
    at: datetime
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Denied:
    """A request was turned down; ``provisioner`` is None when nobody was recognised."""

    operation: Operation
    provisioner: ProvisionerRef | None
    subject: str
    reasons: tuple[str, ...]
    at: datetime
    request_id: str


Event = Issued | Revoked | Denied
