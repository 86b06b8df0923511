"""What is on record: issuances, revocations, spent tokens, and the transaction that writes them together."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class CertificateKind(StrEnum):
    """The two namespaces of serial numbers."""

    X509 = "x509"
    SSH = "ssh"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvisionerRef:
    """Which provisioner vouched: name, type, and the credential within it (a ``kid``, a client id, or nothing)."""

    name: str
    type: str
    credential_id: str = ""


#: The authority itself, which orders its own TLS certificate. No configured provisioner can have the name.
MICA = ProvisionerRef(name="mica", type="mica")


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateId:
    """What identifies a certificate: issuer and serial number (RFC 5280 §4.1.2.2), per kind."""

    kind: CertificateKind
    issuer: bytes
    """SHA-256 of the issuer's DER Name (X.509) or of the CA's public key blob (SSH): 32 octets."""
    serial_number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuance:
    """One certificate that this authority has issued."""

    id: CertificateId
    certificate: bytes
    """The certificate as issued: DER (X.509) or the wire blob (SSH)."""
    provisioner: ProvisionerRef
    subject: str
    """The subject's common name, also where it is too long to stand in the certificate (X.509); the key id (SSH)."""
    names: tuple[str, ...]
    """Every name it carries, as text: SANs (X.509), principals (SSH)."""
    not_before: datetime
    not_after: datetime
    issued_at: datetime
    request_id: str = ""
    replaces: CertificateId | None = None
    """On renewal, the certificate that this one continues."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """The end of one certificate, which need not be on record."""

    id: CertificateId
    revoked_at: datetime
    reason_code: int = 0
    """RFC 5280 §5.3.1, 0 to 10."""
    reason: str = ""
    provisioner: ProvisionerRef = MICA
    request_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpentToken:
    """A one-time credential that has served; ``id`` is unique within ``provisioner``. Kept at least until ``until``."""

    provisioner: str
    id: str
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """Everything of one request that must be on record together, or not at all."""

    issuances: tuple[Issuance, ...] = ()
    revocations: tuple[Revocation, ...] = ()
    spends: tuple[SpentToken, ...] = ()
    unless_revoked: tuple[CertificateId, ...] = ()
    """Certificates that must not be revoked, as seen inside the transaction."""


class Status(StrEnum):
    """What has become of a certificate, at a given moment."""

    VALID = "valid"
    """Neither revoked nor expired; ``not_after`` itself is still valid (RFC 5280 §4.1.2.5). A certificate that is not
    valid yet counts as valid."""
    EXPIRED = "expired"
    REVOKED = "revoked"
    """Revoked, whether or not it has expired since."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which certificates to list, newest first. Every condition that is set must hold."""

    now: datetime
    """The moment that ``status`` refers to."""
    kind: CertificateKind | None = None
    issuers: tuple[bytes, ...] = ()
    """``CertificateId.issuer`` is one of these; empty: whatever it is."""
    name: str | None = None
    """Exactly one of the certificate's names."""
    subject: str | None = None
    provisioner: str | None = None
    serial_number: int | None = None
    status: Status | None = None
    expires_before: datetime | None = None
    expires_after: datetime | None = None
    """``not_after`` lies strictly before, strictly after that moment."""
    cursor: str = ""
    """The ``next_cursor`` of the page before; empty for the first page."""
    limit: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One row of a search."""

    issuance: Issuance
    revocation: Revocation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of a search; ``next_cursor`` is empty on the last."""

    rows: tuple[Found, ...]
    next_cursor: str = ""
