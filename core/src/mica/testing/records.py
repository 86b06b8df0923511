"""Records for tests: made up, each unlike the others unless told."""

from datetime import UTC, datetime, timedelta
from itertools import count
from secrets import token_bytes, token_hex
from typing import Any

from mica.records import (
    CertificateId,
    CertificateKind,
    Commit,
    Issuance,
    ProvisionerRef,
    Revocation,
    SpentToken,
)

#: The moment at which the records were made, which does not pass.
NOW = datetime(2031, 3, 14, 9, 26, 53, tzinfo=UTC)
ADMIN = ProvisionerRef(name="admin", type="JWK", credential_id="kid")

_numbers = count(1)


def make_id(kind: CertificateKind = CertificateKind.X509, issuer: bytes = b"\x01" * 32) -> CertificateId:
    """A serial number as the core makes them: the time, then chance."""
    serial_number = (1_900_000_000_000 + next(_numbers)) << 80 | int.from_bytes(token_bytes(10))
    return CertificateId(kind=kind, issuer=issuer, serial_number=serial_number)


def make_issuance(**members: Any) -> Issuance:
    """A certificate for a day, with other ``members`` than the usual where given."""
    number = next(_numbers)
    usual: dict[str, Any] = {
        "id": make_id(),
        "certificate": token_bytes(64),
        "provisioner": ADMIN,
        "subject": f"svc{number}.example",
        "names": (f"svc{number}.example",),
        "not_before": NOW,
        "not_after": NOW + timedelta(days=1),
        "issued_at": NOW + timedelta(microseconds=number),
        "request_id": token_hex(10),
    }
    return Issuance(**(usual | members))


def make_revocation(id: CertificateId, **members: Any) -> Revocation:
    """The end of ``id``."""
    usual: dict[str, Any] = {
        "id": id,
        "revoked_at": NOW,
        "reason_code": 1,
        "reason": "lost",
        "provisioner": ADMIN,
        "request_id": "r",
    }
    return Revocation(**(usual | members))


def make_token(**members: Any) -> SpentToken:
    """A token that ends in five minutes."""
    usual: dict[str, Any] = {"provisioner": "admin", "id": token_hex(32), "until": NOW + timedelta(minutes=5)}
    return SpentToken(**(usual | members))


def make_order(**members: Any) -> Commit:
    """What a request for a certificate puts on record: one issuance, one token."""
    usual: dict[str, Any] = {"issuances": (make_issuance(),), "spends": (make_token(),)}
    return Commit(**(usual | members))
