"""Certificate revocation lists as texts and as JSON (RFC 5280 §5)."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from mica.cli.kit import printable, rfc3339, span
from mica_certtool.reading import asn1, extensions, names
from mica_certtool.reading.asn1 import UNREADABLE_EXTENSIONS, Document, RawExtension
from mica_certtool.reading.octets import b64, hex_rows
from mica_certtool.reading.times import date

CRL = x509.CertificateRevocationList


def long(crl: CRL, now: datetime) -> str:
    """``crl`` in full, with what ``now`` means for it. Safe for a terminal; raises ValueError."""
    return "\n".join(map(printable, _long_rows(crl, now)))


def short(crl: CRL) -> str:
    """``crl`` in a few rows. Safe for a terminal; raises ValueError."""
    rows = [
        f"X.509v{_version(crl)} Certificate Revocation List ({_algorithm(crl)}) [{len(crl)} revoked]",
        f"  Issuer:      {(names.common_names(crl.issuer) or [names.distinguished(crl.issuer)])[0]}",
        f"  This update: {rfc3339(crl.last_update_utc)}",
    ]
    rows += [f"  Next update: {rfc3339(crl.next_update_utc)}"] if crl.next_update_utc else []
    return "\n".join(map(printable, rows))


def members(crl: CRL) -> dict[str, object]:
    """``crl`` as JSON; serial numbers are texts. Raises ValueError."""
    found = _parsed(crl)
    number, authority = found.get(x509.CRLNumber), found.get(x509.AuthorityKeyIdentifier)
    shown = {
        "version": _version(crl),
        "signature_algorithm": {"name": _algorithm(crl), "oid": crl.signature_algorithm_oid.dotted_string},
        "issuer_dn": names.distinguished(crl.issuer, ", "),
        "this_update": rfc3339(crl.last_update_utc),
        "next_update": rfc3339(crl.next_update_utc) if crl.next_update_utc else None,
        "crl_number": str(number.crl_number) if number else None,
        "authority_key_id": authority.key_identifier.hex() if authority and authority.key_identifier else None,
        "revoked": [_revoked_members(entry) for entry in crl],
        "signature": {"value": b64(crl.signature)},
        "fingerprint_sha256": crl.fingerprint(hashes.SHA256()).hex(),
    }
    return {name: value for name, value in shown.items() if value is not None}


def _long_rows(crl: CRL, now: datetime) -> Iterator[str]:
    algorithm, version = _algorithm(crl), _version(crl)
    yield from ("Certificate Revocation List:", "    Data:", f"        Version: {version} ({version - 1:#x})")
    yield f"        Signature Algorithm: {algorithm}"
    yield f"        Issuer: {names.distinguished(crl.issuer)}"
    yield f"        This Update: {date(crl.last_update_utc)}"
    yield f"        Next Update: {date(crl.next_update_utc) if crl.next_update_utc else 'none'}"
    listed = list(crl.extensions)
    if listed:
        yield "        X509v3 extensions:"
    for extension in listed:
        raw = RawExtension(extension.oid.dotted_string, extension.critical, extension.value.public_bytes())
        title, rows = extensions.title_and_rows(raw, extension.value)
        yield f"            {title}:{' critical' if raw.critical else ''}"
        yield from (f"                {row}" for row in rows)
    yield f"        Revoked Certificates: {len(crl)}"
    for entry in crl:
        yield from _revoked_rows(entry)
    yield f"    Signature Algorithm: {algorithm}"
    yield from (f"         {row}" for row in hex_rows(crl.signature, 18))
    yield f"    SHA-256 Fingerprint: {crl.fingerprint(hashes.SHA256()).hex()}"
    yield f"    Status: {status(crl, now)}"


def status(crl: CRL, now: datetime) -> str:
    """What the clock says about ``crl``."""
    if now < crl.last_update_utc:
        return f"NOT YET VALID, begins in {span(crl.last_update_utc - now)}"
    if crl.next_update_utc is None:
        return "current, without an end"
    if now > crl.next_update_utc:
        return f"OUT OF DATE for {span(now - crl.next_update_utc)}"
    return f"current, {span(crl.next_update_utc - now)} remaining"


def _revoked_rows(entry: x509.RevokedCertificate) -> Iterator[str]:
    yield f"            Serial Number: {entry.serial_number} ({entry.serial_number:#x})"
    yield f"                Revocation Date: {date(entry.revocation_date_utc)}"
    if (reason := _reason(entry)) is not None:
        yield f"                Reason: {reason.name.replace('_', ' ').title()}"


def _revoked_members(entry: x509.RevokedCertificate) -> dict[str, object]:
    reason = _reason(entry)
    return {
        "serial_number": str(entry.serial_number),
        "revocation_date": rfc3339(entry.revocation_date_utc),
        **({"reason": reason.value} if reason is not None else {}),
    }


def _reason(entry: x509.RevokedCertificate) -> x509.ReasonFlags | None:
    try:
        found = asn1.extension(entry, x509.CRLReason)
    except UNREADABLE_EXTENSIONS:
        return None
    return found.reason if found else None


def _parsed(crl: CRL) -> dict[type, Any]:
    return {type(extension.value): extension.value for extension in crl.extensions}


def _version(crl: CRL) -> int:
    """RFC 5280 §5.1.2.1: a list without the field is of version 1."""
    first = next(asn1.elements(asn1.only(crl.tbs_certlist_bytes).contents))
    return int.from_bytes(first.contents, "big") + 1 if first.tag == asn1.INTEGER else 1


def _algorithm(crl: CRL) -> str:
    return names.signature_algorithm(cast("Document", crl))  # a list has what it asks for
