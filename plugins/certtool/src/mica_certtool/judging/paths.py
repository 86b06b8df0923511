"""Certification paths: from a certificate, by names and signatures, up to a trust anchor (RFC 5280 §6.1, RFC 4158)."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding

from mica_certtool.reading import asn1
from mica_certtool.reading.names import common_names, distinguished

MAX_LENGTH = 10  # certificates; real paths have two to five
_MAX_SIGNATURES = 100  # checked in one search: cross-signed CAs could otherwise keep us busy for ever
_BROKEN_HASHES = frozenset({"md5", "sha1"})

Chain = tuple[x509.Certificate, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadEnd:
    """Where a search stops short of an anchor: the certificates so far, and why it is no further."""

    chain: Chain
    reason: str


@dataclass(slots=True, kw_only=True)
class Search:
    """The paths from a certificate to the ``anchors``, through ``others``; every dead end is kept for the message."""

    anchors: Sequence[x509.Certificate]
    others: Sequence[x509.Certificate]
    dead_ends: list[DeadEnd] = field(default_factory=list)
    _signatures: int = 0

    def paths(self, leaf: x509.Certificate) -> Iterator[Chain]:
        """Every path, ``leaf`` first and an anchor last. An anchor need not be self-signed (RFC 5280 §6.1.1 (d))."""
        yield from self._upwards((leaf,))

    def _upwards(self, chain: Chain) -> Iterator[Chain]:
        top = chain[-1]
        if top in self.anchors:
            yield chain
            return
        named = [one for one in (*self.anchors, *self.others) if one.subject == top.issuer and one not in chain]
        issuers = [issuer for issuer in dict.fromkeys(named) if self._signed(top, issuer)]
        if self._signatures > _MAX_SIGNATURES:
            self.dead_ends.append(DeadEnd(chain=chain, reason="has too many certificates that could be its issuer"))
        elif not issuers:
            self.dead_ends.append(DeadEnd(chain=chain, reason=_reason(top, found=bool(named))))
        elif len(chain) == MAX_LENGTH:
            self.dead_ends.append(DeadEnd(chain=chain, reason=f"has more than {MAX_LENGTH - 1} issuers above it"))
        else:
            for issuer in issuers:
                yield from self._upwards((*chain, issuer))

    def _signed(self, certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
        self._signatures += 1
        return self._signatures <= _MAX_SIGNATURES and is_signed_by(certificate, issuer)


def is_signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether ``issuer`` has the name and the key that ``certificate`` was issued by."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return _has_whole_signature(certificate)


def forgeable(certificate: x509.Certificate) -> list[str]:
    """What to say of a signature that proves nothing, if anything. pyca does not check these."""
    try:
        algorithm = certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return []
    broken = algorithm is not None and algorithm.name in _BROKEN_HASHES
    return [f"has a signature with {algorithm.name.upper()}, which can be forged"] if algorithm and broken else []


def is_self_issued(certificate: x509.Certificate) -> bool:
    """Whether subject and issuer are one (RFC 5280 §3.2)."""
    return certificate.subject == certificate.issuer


def leaf_of(certificates: Sequence[x509.Certificate]) -> x509.Certificate:
    """The certificate that a file is about: the first that issued none of the others, in whatever order they stand."""
    issuers = {certificate.issuer for certificate in certificates if not is_self_issued(certificate)}
    return next((one for one in certificates if one.subject not in issuers), certificates[0])


def title(certificate: x509.Certificate) -> str:
    """How a sentence names ``certificate``: its common name, else its whole subject."""
    return _title(certificate.subject)


def titles(certificates: Iterable[x509.Certificate]) -> str:
    """Several of them, joined by arrows."""
    return " ← ".join(map(title, certificates))


def _has_whole_signature(certificate: x509.Certificate) -> bool:
    """Whether the signature is so many octets, none of its bits unused: pyca does not look, and DER has one spelling.

    Otherwise a second certificate, with another fingerprint, could be made of one without its issuer.
    """
    signature = asn1.only(certificate.public_bytes(Encoding.DER)).children()[-1]
    return signature.tag == asn1.BIT_STRING and signature.contents[:1] == b"\x00"


def _title(name: x509.Name) -> str:
    return repr(next(iter(common_names(name)), None) or distinguished(name) or "(no name)")


def _reason(certificate: x509.Certificate, *, found: bool) -> str:
    if is_signed_by(certificate, certificate):
        return "is self-signed, and not among the trusted roots"
    if found and (texts := forgeable(certificate)):
        return texts[0]
    if found:
        return f"is not signed by the key of its issuer {_title(certificate.issuer)}: the signature does not fit"
    return f"has an unknown issuer: {_title(certificate.issuer)} is neither in the file nor among the trusted roots"
