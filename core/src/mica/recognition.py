"""What a file is when it is not what was asked for: told by its label, or by the shape of its DER."""

import re
from collections.abc import Callable, Iterable

from mica import der
from mica.errors import MalformedRequest

CERTIFICATE, REQUEST, CRL = "a certificate", "a certificate signing request", "a certificate revocation list"
PRIVATE_KEY, ENCRYPTED_KEY, PUBLIC_KEY = "a private key", "an encrypted private key", "a public key"
PKCS12, PKCS7 = "a PKCS #12 file", "a PKCS #7 bundle"
TRUSTED_CERTIFICATE, SSH_KEY = "a certificate with OpenSSL's trust settings", "an SSH private key"
JWK, JSON = "a JSON Web Key", "JSON"

UTF8_MARK, UTF16_MARKS = b"\xef\xbb\xbf", (b"\xff\xfe", b"\xfe\xff")
_MARK = re.compile(rb"-----(BEGIN|END) ([^\r\n-]{1,60})-----")
_JWK_MEMBER = re.compile(rb'"(kty|ciphertext)"')
_PKCS12_VERSION = b"\x02\x01\x03"  # INTEGER 3
_SIGNED_DATA = der.oid("1.2.840.113549.1.7.2")  # RFC 5652 §5.1

#: RFC 7468, and OpenSSL's labels.
_LABELS = {
    "CERTIFICATE": CERTIFICATE,
    "X509 CERTIFICATE": CERTIFICATE,  # an old spelling, as that of the request (RFC 7468 §5.1, §7)
    "TRUSTED CERTIFICATE": TRUSTED_CERTIFICATE,
    "CERTIFICATE REQUEST": REQUEST,
    "NEW CERTIFICATE REQUEST": REQUEST,
    "X509 CRL": CRL,
    "PRIVATE KEY": PRIVATE_KEY,
    "EC PRIVATE KEY": PRIVATE_KEY,
    "RSA PRIVATE KEY": PRIVATE_KEY,
    "DSA PRIVATE KEY": PRIVATE_KEY,
    "OPENSSH PRIVATE KEY": SSH_KEY,
    "SSH2 ENCRYPTED PRIVATE KEY": SSH_KEY,
    "ENCRYPTED PRIVATE KEY": ENCRYPTED_KEY,
    "PUBLIC KEY": PUBLIC_KEY,
    "RSA PUBLIC KEY": PUBLIC_KEY,
    "PKCS7": PKCS7,
    "CMS": PKCS7,
}


def recognize(data: bytes) -> str | None:
    """What ``data`` is, in words that follow "holds"; None when it is none of what people mistake for each other."""
    data = data.removeprefix(UTF8_MARK)
    if found := labels(data):
        return of_labels(found)
    return of_der(data) if data.startswith(bytes([der.SEQUENCE])) else of_text(data)


def labels(data: bytes) -> list[str]:
    """The labels of the PEM blocks in ``data`` that have an end, in their order (RFC 7468 §2)."""
    found: list[str] = []
    begun: bytes | None = None
    for mark in _MARK.finditer(data):  # one look at each: a file may hold a million of them
        if mark[1] == b"BEGIN":
            begun = mark[2]
        elif begun is not None and mark[2] == begun:
            found.append(begun.decode("ascii", "replace"))
            begun = None
    return found


def of_labels(found: Iterable[str]) -> str:
    """What a PEM file with blocks of these labels holds, in words."""
    kinds = dict.fromkeys(_LABELS.get(label, f"a block {label!r}") for label in found if label != "EC PARAMETERS")
    return " and ".join([*kinds][:3]) or "parameters of a key"


def of_der(data: bytes) -> str | None:
    """What ``data`` is, in words; None when it is none of what people mistake for a certificate."""
    try:
        parts = der.children(next(der.elements(data))[2])
        return next((words for words, fits in _SHAPES if fits(parts)), None)
    except (MalformedRequest, IndexError, StopIteration):
        return None


def of_text(data: bytes) -> str | None:
    """What ``data`` is when it is text without PEM, in words; None when nothing is known about it."""
    start = data.lstrip()[:64]
    if start.startswith((b"ssh-", b"ecdsa-sha2-", b"sk-ssh-", b"sk-ecdsa-")):
        return "an SSH public key or certificate"
    if start.startswith(b"{"):
        return JWK if _JWK_MEMBER.search(data) else JSON
    if start.startswith(b"eyJ"):
        return "a token (JWT)"
    return "base64 without its PEM lines" if start.startswith((b"MII", b"MIG")) else None


def _tags(parts: list[bytes]) -> list[int]:
    return [part[0] for part in parts]


def _is_pkcs12(parts: list[bytes]) -> bool:
    """PFX (RFC 7292 §4): version 3, then a ContentInfo."""
    return parts[0] == _PKCS12_VERSION and _is_pkcs7_or_data(parts[1])


def _is_pkcs7_or_data(part: bytes) -> bool:
    """A ContentInfo (RFC 5652 §3): what it is, then, tagged, the content."""
    return _tags(der.children(part)) == [der.OID, 0xA0]


def _is_pkcs7(parts: list[bytes]) -> bool:
    return parts[0] == _SIGNED_DATA


def _is_private_key(parts: list[bytes]) -> bool:
    """PKCS #8 (RFC 5958 §2), SEC 1 (RFC 5915 §3) or PKCS #1 (RFC 8017 A.1.2)."""
    tags = _tags(parts)
    return (
        tags[:3] == [der.INTEGER, der.SEQUENCE, der.OCTET_STRING]
        or tags[:2] == [der.INTEGER, der.OCTET_STRING]
        or (len(tags) >= 9 and set(tags) == {der.INTEGER})
    )


def _is_encrypted_key(parts: list[bytes]) -> bool:
    return _tags(parts) == [der.SEQUENCE, der.OCTET_STRING]  # RFC 5958 §3


def _is_public_key(parts: list[bytes]) -> bool:
    """SubjectPublicKeyInfo (RFC 5280 §4.1), or PKCS #1 (RFC 8017 A.1.1)."""
    return _tags(parts) in ([der.SEQUENCE, der.BIT_STRING], [der.INTEGER, der.INTEGER])


def _is_request(parts: list[bytes]) -> bool:
    """CertificationRequest (RFC 2986 §4.2): within comes version 0, a name, a key, attributes."""
    if not _is_signed(parts):
        return False
    fields = _tags(der.children(parts[0]))
    return fields[:3] == [der.INTEGER, der.SEQUENCE, der.SEQUENCE] and fields[3:4] in ([0xA0], [])


def _is_crl(parts: list[bytes]) -> bool:
    """CertificateList (RFC 5280 §5.1): within, a time follows the issuer."""
    if not _is_signed(parts):
        return False
    fields = _tags(der.children(parts[0]))
    begins = [[der.SEQUENCE, der.SEQUENCE, time] for time in (der.UTC_TIME, der.GENERALIZED_TIME)]
    return any(fields[at : at + 3] in begins for at in (0, 1))


def _is_certificate(parts: list[bytes]) -> bool:
    return _is_signed(parts) and len(der.children(parts[0])) >= 6


def _is_signed(parts: list[bytes]) -> bool:
    return _tags(parts) == [der.SEQUENCE, der.SEQUENCE, der.BIT_STRING]


_SHAPES: tuple[tuple[str, Callable[[list[bytes]], bool]], ...] = (
    (PKCS12, _is_pkcs12),
    (PKCS7, _is_pkcs7),
    (PRIVATE_KEY, _is_private_key),
    (ENCRYPTED_KEY, _is_encrypted_key),
    (PUBLIC_KEY, _is_public_key),
    (CRL, _is_crl),
    (REQUEST, _is_request),
    (CERTIFICATE, _is_certificate),
)
