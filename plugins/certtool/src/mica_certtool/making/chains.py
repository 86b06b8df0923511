"""Certificates, each followed by its issuer."""

from collections.abc import Iterable, Sequence

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from mica_certtool.judging.paths import is_signed_by
from mica_certtool.reading.asn1 import UNREADABLE_EXTENSIONS, extension


def leading_up(certificates: Iterable[x509.Certificate]) -> tuple[x509.Certificate, ...]:
    """The first certificate and those after it, as long as each issued the one before it."""
    chain: list[x509.Certificate] = []
    for certificate in certificates:
        if chain and not is_signed_by(chain[-1], certificate):
            break
        chain.append(certificate)
    return tuple(chain)


def in_order(certificates: Sequence[x509.Certificate]) -> list[x509.Certificate]:
    """The first certificate, its issuer, that one's issuer …; then what is left, as it came."""
    chain, rest = list(certificates[:1]), list(certificates[1:])
    while issuer := next((each for each in rest if is_signed_by(chain[-1], each)), None):
        chain.append(issuer)
        rest.remove(issuer)
    return chain + rest


def key_identifier(certificate: x509.Certificate) -> bytes:
    """Its subjectKeyIdentifier; where an old one has none, the SHA-1 of its key (RFC 5280 §4.2.1.2)."""
    try:
        found = extension(certificate, x509.SubjectKeyIdentifier)
    except UNREADABLE_EXTENSIONS:
        found = None
    return (found or x509.SubjectKeyIdentifier.from_public_key(certificate.public_key())).digest


def pem(certificates: Iterable[x509.Certificate]) -> bytes:
    """The certificates in PEM, in their order."""
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)
