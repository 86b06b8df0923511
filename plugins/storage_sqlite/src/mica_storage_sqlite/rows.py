"""Records as rows, and rows as records."""

# ruff: noqa: S608 - what is put into statements here is our own text, never a value

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from mica import CertificateId, CertificateKind, Found, Issuance, ProvisionerRef, Revocation

#: The largest integer that SQLite has.
MOST_INTEGER = 2**63 - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# Every column of these lists is read by place in ``issuance`` and ``revocation`` below.
_ISSUANCE = (
    "i.kind, i.digest, c.serial, c.certificate, p.name, k.type, k.credential_id, c.subject, c.names, c.not_before, "
    "c.not_after, c.issued_at, c.request_id, ri.kind, ri.digest, c.replaces_serial"
)
_REVOCATION = (
    "i.kind, i.digest, r.serial, r.revoked_at, r.reason_code, r.reason, rp.name, rk.type, rk.credential_id, "
    "r.request_id"
)
_ISSUANCE_JOINS = """
    JOIN issuers i ON i.id = c.issuer
    JOIN credentials k ON k.id = c.credential
    JOIN provisioners p ON p.id = k.provisioner
    LEFT JOIN issuers ri ON ri.id = c.replaces_issuer
"""
_ISSUER = "(SELECT id FROM issuers WHERE kind = ? AND digest = ?)"

FIND = f"SELECT {_ISSUANCE} FROM certificates c {_ISSUANCE_JOINS} WHERE c.issuer = {_ISSUER} AND c.serial = ?"
FIND_REVOCATION = f"""
    SELECT {_REVOCATION} FROM revocations r
    JOIN issuers i ON i.id = r.issuer
    JOIN credentials rk ON rk.id = r.credential
    JOIN provisioners rp ON rp.id = rk.provisioner
    WHERE r.issuer = {_ISSUER} AND r.serial = ?
"""
#: By ``listing_key``. Negative serial numbers, which no certificate has (RFC 5280 §4.1.2.2), stand in no list.
LIST_REVOCATIONS = f"""
    SELECT {_REVOCATION} FROM revocations r INDEXED BY revocations_in_order
    CROSS JOIN issuers i ON i.id = r.issuer
    JOIN credentials rk ON rk.id = r.credential
    JOIN provisioners rp ON rp.id = rk.provisioner
    WHERE r.issuer = {_ISSUER} AND (r.width, r.serial) > (?, ?) AND r.serial < x'80'
    ORDER BY r.width, r.serial LIMIT ?
"""
#: What a search reads of the certificates whose ids the table ``page`` has. CROSS JOIN: ``page`` goes first.
FOUND = f"""
    SELECT c.id, {_ISSUANCE}, {_REVOCATION} FROM page
    CROSS JOIN certificates c ON c.id = page.id
    {_ISSUANCE_JOINS}
    LEFT JOIN revocations r ON r.issuer = c.issuer AND r.serial = c.serial
    LEFT JOIN credentials rk ON rk.id = r.credential
    LEFT JOIN provisioners rp ON rp.id = rk.provisioner
    ORDER BY c.id DESC
"""
_WIDTH = len(_ISSUANCE.split(", "))


def serial_octets(serial_number: int) -> bytes:
    """The content octets of the DER INTEGER (X.690 §8.3): every integer has one form, 16 octets for our own serials."""
    return serial_number.to_bytes(serial_number.bit_length() // 8 + 1, "big", signed=True)


def id_key(id: CertificateId) -> tuple[str, bytes, bytes]:
    """What the statements above look a certificate up by."""
    return id.kind.value, id.issuer, serial_octets(id.serial_number)


def listing_key(kind: CertificateKind, issuer: bytes, after: int, limit: int) -> tuple[str, bytes, int, bytes, int]:
    """What ``LIST_REVOCATIONS`` lists the revocations of an issuer by: those beyond ``after``, which may be -1."""
    serial = b"" if after < 0 else serial_octets(after)
    return kind.value, issuer, len(serial), serial, min(limit, MOST_INTEGER)


def token_digest(id: str) -> bytes:
    """What a token's id is remembered by: 32 octets, however long the id is."""
    return sha256(id.encode()).digest()


def microseconds(moment: datetime) -> int:
    """The moment as the tables have it; raises TypeError for one without a time zone."""
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _moment(value: int) -> datetime:
    return _EPOCH + timedelta(microseconds=value)


def names_column(issuance: Issuance) -> str | None:
    """The names as one column: NULL in the common case that the subject is the one name."""
    return None if issuance.names == (issuance.subject,) else json.dumps(issuance.names)


def _id(kind: str, digest: bytes, serial: bytes) -> CertificateId:
    return CertificateId(
        kind=CertificateKind(kind), issuer=digest, serial_number=int.from_bytes(serial, "big", signed=True)
    )


def issuance(row: Sequence[Any]) -> Issuance:
    """The issuance in a row of ``FIND``."""
    kind, digest, serial, certificate, name, type_, credential_id, subject, names = row[:9]
    not_before, not_after, issued_at, request_id, *replaces = row[9:]
    return Issuance(
        id=_id(kind, digest, serial),
        certificate=certificate,
        provisioner=ProvisionerRef(name=name, type=type_, credential_id=credential_id),
        subject=subject,
        names=(subject,) if names is None else tuple(json.loads(names)),
        not_before=_moment(not_before),
        not_after=_moment(not_after),
        issued_at=_moment(issued_at),
        request_id=request_id,
        replaces=None if replaces[0] is None else _id(*replaces),
    )


def revocation(row: Sequence[Any]) -> Revocation:
    """The revocation in a row of ``FIND_REVOCATION``."""
    kind, digest, serial, revoked_at, reason_code, reason, name, type_, credential_id, request_id = row
    return Revocation(
        id=_id(kind, digest, serial),
        revoked_at=_moment(revoked_at),
        reason_code=reason_code,
        reason=reason,
        provisioner=ProvisionerRef(name=name, type=type_, credential_id=credential_id),
        request_id=request_id,
    )


def found(row: Sequence[Any]) -> Found:
    """The issuance and its revocation in a row of ``FOUND`` without its id."""
    issued, revoked = row[:_WIDTH], row[_WIDTH:]
    return Found(issuance=issuance(issued), revocation=None if revoked[3] is None else revocation(revoked))
