"""What listeners hear, after it is on record.

``subject`` and ``evidence`` are the grant's: whom its provisioner vouched for, and how that was proved; never a secret.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from mica.grants import Operation
from mica.records import Issuance, ProvisionerRef, Revocation


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A certificate has been issued; ``issuance.replaces`` tells a renewal."""

    issuance: Issuance
    at: datetime
    request_id: str
    subject: str = ""
    evidence: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoked:
    """A certificate has been revoked."""

    revocation: Revocation
    at: datetime
    request_id: str
    subject: str = ""
    evidence: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Denied:
    """A request was turned down; ``provisioner`` is None when nobody was recognised."""

    operation: Operation
    provisioner: ProvisionerRef | None
    subject: str
    reasons: tuple[str, ...]
    at: datetime
    request_id: str
    evidence: Mapping[str, str] = field(default_factory=dict)


Event = Issued | Revoked | Denied
