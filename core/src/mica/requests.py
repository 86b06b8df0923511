"""What is asked for, parsed once at the edge. A request holds no token: who asks is the grant's business."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509

from mica.pkix import SubjectPublicKey
from mica.sshcert import CertType
from mica.sshkeys import SSHPublicKey

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


@dataclass(frozen=True, slots=True, kw_only=True)
class SSHSignRequest:
    """A new SSH certificate for ``public_key``, whose possession nobody proves: it is of no use to anybody else."""

    public_key: SSHPublicKey
    cert_type: CertType | None = None
    """None: what the grant says."""
    principals: tuple[str, ...] = ()
    """Empty: what the grant says."""
    valid_after: TimeOrDuration | None = None
    valid_before: TimeOrDuration | None = None
    """Durations are relative to now, both of them: step's clients mean it so."""
    key_id: str = ""
    """Looked at only where the grant leaves it to the request."""
    add_user_public_key: SSHPublicKey | None = None
    """For a second certificate, which makes the user's account."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SSHRenewRequest:
    """The continuation of the certificate in the token, for its key or, on rekey, for ``public_key``."""

    public_key: SSHPublicKey | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SSHRevokeRequest:
    """The end of one SSH certificate, or of all that bear a key id: one of the two is set, never both."""

    serial_number: int | None = None
    key_id: str | None = None
    reason_code: int = 0
    reason: str = ""
