"""What is asked for, parsed once at the edge. A request holds no token: who asks is the grant's business."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509

from mica.pkix import SubjectPublicKey

#: A moment, or a distance from a moment that the operation defines.
TimeOrDuration = datetime | timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class CSR:
    """A PKCS #10 request whose signature has been verified: its sender holds the key (RFC 2986 §4.2)."""

    der: bytes
    public_key: SubjectPublicKey
    common_name: str
    """The subject's CN, empty when it has none."""
    names: tuple[x509.GeneralName, ...]
    """Its subjectAltName as sent, in canonical form; may hold kinds that are never issued."""
    digest: bytes
    """SHA-256 of ``der``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignRequest:
    """A new certificate for the key of ``csr``."""

    csr: CSR
    not_before: TimeOrDuration | None = None
    """A duration is relative to now."""
    not_after: TimeOrDuration | None = None
    """A duration is relative to ``not_before`` before backdating, else to now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewRequest:
    """A certificate that continues ``certificate``, for its key or, on rekey, for the key of ``csr``."""

    certificate: x509.Certificate
    csr: CSR | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeRequest:
    """The end of the certificate with this serial number."""

    serial_number: int
    reason_code: int = 0
    reason: str = ""
