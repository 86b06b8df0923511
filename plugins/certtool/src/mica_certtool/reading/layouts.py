"""Certificates and requests as texts: the long layout, close to openssl's, and the short one."""

import contextlib
from collections.abc import Iterator, Mapping
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes

from mica.cli.kit import printable, rfc3339, span
from mica_certtool.reading import asn1, extensions, keys, names, provisioner_extension
from mica_certtool.reading.asn1 import Document
from mica_certtool.reading.octets import hex_rows
from mica_certtool.reading.times import date


def long(document: Document, now: datetime) -> str:
    """``document`` in full, with its fingerprint and what ``now`` means for it. Terminal-safe; raises ValueError."""
    return "\n".join(map(printable, _long_rows(document, now)))


def short(document: Document) -> str:
    """``document`` in a few rows. Safe for a terminal; raises ValueError."""
    return "\n".join(map(printable, _short_rows(document)))


def _long_rows(document: Document, now: datetime) -> Iterator[str]:
    algorithm, key, parts = names.signature_algorithm(document), keys.describe(document), asn1.parts(document)
    yield from _head(document, algorithm)
    yield f"        Subject: {names.distinguished(document.subject)}"
    yield "        Subject Public Key Info:"
    yield f"            Public Key Algorithm: {key.algorithm}"
    yield from (f"                {row}" for row in key.rows)
    if parts.extensions:
        yield f"        {'X509v3 extensions' if isinstance(document, x509.Certificate) else 'Requested Extensions'}:"
        understood = extensions.parsed(document)
        for raw in parts.extensions:
            title, rows = extensions.title_and_rows(raw, understood.get(raw.oid))
            yield f"            {title}:{' critical' if raw.critical else ''}"
            yield from (f"                {row}" for row in rows)
    yield f"    Signature Algorithm: {algorithm}"
    yield from (f"         {row}" for row in hex_rows(document.signature, 18))
    yield f"    SHA-256 Fingerprint: {digest(document, hashes.SHA256()).hex()}"
    yield f"    Status: {status(document, now)}"


def _head(document: Document, algorithm: str) -> Iterator[str]:
    if isinstance(document, x509.CertificateSigningRequest):
        yield from ("Certificate Request:", "    Data:", "        Version: 0 (0x0)")
        return
    serial, version = document.serial_number, document.version.value
    yield from ("Certificate:", "    Data:", f"        Version: {version + 1} ({version:#x})")
    yield f"        Serial Number: {serial} ({serial:#x})"
    yield f"        Signature Algorithm: {algorithm}"
    yield f"        Issuer: {names.distinguished(document.issuer)}"
    yield "        Validity"
    yield f"            Not Before: {date(document.not_valid_before_utc)}"
    yield f"            Not After : {date(document.not_valid_after_utc)}"


def _short_rows(document: Document) -> Iterator[str]:
    key, subjects = keys.describe(document).short, names.subject_names(document)
    if isinstance(document, x509.CertificateSigningRequest):
        yield f"X.509v3 Certificate Signing Request ({key})"
    else:
        yield f"X.509v3 {_role(document)} Certificate ({key}) [Serial: {_abbreviated(str(document.serial_number))}]"
    yield f"  Subject:     {subjects[0]}" if subjects else "  Subject: "
    yield from (f"               {name}" for name in subjects[1:])
    if isinstance(document, x509.CertificateSigningRequest):
        return
    issuers = names.common_names(document.issuer)
    yield f"  Issuer:      {issuers[0] if issuers else names.distinguished(document.issuer)}"
    yield from _provisioner_row(document)
    yield f"  Valid from:  {rfc3339(document.not_valid_before_utc)}"
    yield f"          to:  {rfc3339(document.not_valid_after_utc)}"


def _provisioner_row(certificate: x509.Certificate) -> Iterator[str]:
    for raw in asn1.parts(certificate).extensions:
        if raw.oid == provisioner_extension.OID:
            with contextlib.suppress(ValueError):
                found = provisioner_extension.decode(raw.value)
                credential = f" [ID: {_abbreviated(found.credential_id)}]" if found.credential_id else ""
                yield f"  Provisioner: {found.name}{credential}"


def status(document: Document, now: datetime) -> str:
    """What the clock says about a certificate, and the signature about a request."""
    if isinstance(document, x509.CertificateSigningRequest):
        return "signed by its own key" if self_signed(document) else "THE SIGNATURE IS NOT BY ITS OWN KEY"
    if now < document.not_valid_before_utc:
        return f"NOT YET VALID, begins in {span(document.not_valid_before_utc - now)}"
    if now > document.not_valid_after_utc:
        return f"EXPIRED {span(now - document.not_valid_after_utc)} ago"
    return f"valid, {span(document.not_valid_after_utc - now)} remaining"


def self_signed(document: Document) -> bool:
    """Whether the signature is by the key inside; False also when it cannot be checked."""
    try:
        if isinstance(document, x509.CertificateSigningRequest):
            return document.is_signature_valid
        document.verify_directly_issued_by(document)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def digest(document: Document | x509.CertificateRevocationList, algorithm: hashes.HashAlgorithm) -> bytes:
    """The hash of the DER of ``document``."""
    if not isinstance(document, x509.CertificateSigningRequest):
        return document.fingerprint(algorithm)
    from cryptography.hazmat.primitives.serialization import Encoding  # brings half of cryptography along

    running = hashes.Hash(algorithm)
    running.update(document.public_bytes(Encoding.DER))
    return running.finalize()


def _role(certificate: x509.Certificate) -> str:
    found = extensions.parsed(certificate)
    constraints = found.get("2.5.29.19")
    if not isinstance(constraints, x509.BasicConstraints) or not constraints.ca:
        return "TLS"
    return "Root CA" if _is_its_own_issuer(certificate, found) else "Intermediate CA"


def _is_its_own_issuer(certificate: x509.Certificate, found: Mapping[str, x509.ExtensionType]) -> bool:
    """What it says of itself. Whether the signature is good, ``verify`` and the JSON tell; checking it is slow."""
    if certificate.subject != certificate.issuer:
        return False
    own, issuers = found.get("2.5.29.14"), found.get("2.5.29.35")
    if isinstance(own, x509.SubjectKeyIdentifier) and isinstance(issuers, x509.AuthorityKeyIdentifier):
        return issuers.key_identifier in (None, own.digest)  # a key rollover has both names alike, too
    return True


def _abbreviated(text: str) -> str:
    return text if len(text) <= 8 else f"{text[:4]}...{text[-4:]}"
