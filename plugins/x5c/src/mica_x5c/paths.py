"""Certification paths: whether a leaf, with the issuers that came along, leads to a root that is trusted here.

RFC 5280 §6.1 on a path that is given, not searched: leaf first, each followed by its issuer, and nothing else. Parsing,
keys and signatures are pyca's; the rules are here, all of them, for every kind of key. What is not understood is
refused. Both sides use this: the server decides by it, the client says early what it would say.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, PublicKeyAlgorithmOID, SignatureAlgorithmOID

from mica.constraints import violations
from mica.keyrules import check_public_key
from mica.pkix import UNREADABLE

#: Certificates in a path, the root included. Real ones have three or four; each costs a verification.
MAX_PATH = 8
#: Names times subtrees, over the whole path: a constrained issuer may write many of both.
_MAX_COMPARISONS = 2**14
_MAX_SERIAL_BITS = 160  # RFC 5280 §4.1.2.2: at most 20 octets
_SHOWN = 256  # characters of a name that stand in a message
_USABLE = {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
#: RSASSA-PSS keys, which are for one digest alone (RFC 4055 §1.2), are left out.
_KEYS = {
    PublicKeyAlgorithmOID.RSAES_PKCS1_v1_5,  # rsaEncryption
    PublicKeyAlgorithmOID.EC_PUBLIC_KEY,
    PublicKeyAlgorithmOID.ED25519,
}
_SIGNATURES = {
    SignatureAlgorithmOID.RSA_WITH_SHA256,
    SignatureAlgorithmOID.RSA_WITH_SHA384,
    SignatureAlgorithmOID.RSA_WITH_SHA512,
    SignatureAlgorithmOID.RSASSA_PSS,
    SignatureAlgorithmOID.ECDSA_WITH_SHA256,
    SignatureAlgorithmOID.ECDSA_WITH_SHA384,
    SignatureAlgorithmOID.ECDSA_WITH_SHA512,
    SignatureAlgorithmOID.ED25519,
}
_UNVERIFIED: tuple[type[Exception], ...] = (InvalidSignature, *UNREADABLE)
_DIGESTS = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
#: What a critical extension may be (RFC 5280 §4.2): each is judged below, in leaves and in issuers.
_LEAF_EXTENSIONS = {
    x509.BasicConstraints.oid,
    x509.ExtendedKeyUsage.oid,
    x509.KeyUsage.oid,
    x509.SubjectAlternativeName.oid,
}
_ISSUER_EXTENSIONS = _LEAF_EXTENSIONS | {x509.NameConstraints.oid}


class InvalidPath(ValueError):
    """The certificates are no path to a trusted root; the message says which rule they break."""


@dataclass(frozen=True, slots=True)
class Roots:
    """The roots that a path may lead to."""

    certificates: tuple[x509.Certificate, ...]

    def check(self) -> Iterator[str]:
        """What is wrong with them, each named by its subject."""
        for certificate in self.certificates:
            try:
                shown, faults = _shown(certificate.subject), list(_issuer_faults(certificate))
            except UNREADABLE as error:
                shown, faults = "a root", [f"cannot be read: {error}"]
            yield from (f"{shown}: {fault}" for fault in faults)


def verify(chain: Sequence[x509.Certificate], roots: Roots, now: datetime) -> None:
    """``chain``, leaf first, is a path to one of ``roots``, valid ``now``, whose leaf may prove a client's identity.

    The root itself may stand at its end. Raises InvalidPath.
    """
    if not 0 < len(chain) <= MAX_PATH:
        raise InvalidPath(f"a path has one to {MAX_PATH} certificates, not {len(chain)}")
    try:
        _check_alone(chain, now)
        _check_order(chain, roots)
        _check_any(_paths(chain, roots), now)
    except InvalidPath:
        raise
    except UNREADABLE as error:
        raise InvalidPath(f"a certificate cannot be read: {str(error)[:_SHOWN]}") from error


def _check_alone(chain: Sequence[x509.Certificate], now: datetime) -> None:
    """No certificate breaks a rule by itself: whether a weak key has signed something is not worth finding out."""
    leaf, *issuers = chain
    for fault in (*_moment_faults(leaf, now), *_form_faults(leaf), *_leaf_faults(leaf)):
        raise InvalidPath(f"the leaf {fault}")
    for issuer in issuers:
        for fault in (*_moment_faults(issuer, now), *_form_faults(issuer), *_issuer_faults(issuer)):
            raise InvalidPath(f"the issuer {_shown(issuer.subject)} {fault}")


def _check_order(chain: Sequence[x509.Certificate], roots: Roots) -> None:
    """Each certificate's issuer has the name of the next one; none stands there twice, and no root before the end."""
    if any(certificate.issuer != issuer.subject for certificate, issuer in pairwise(chain)):
        raise InvalidPath("the certificates are not the path itself: leaf first, each followed by its issuer")
    if len(set(chain)) != len(chain):
        raise InvalidPath("the certificates are not the path itself: one of them is there twice (RFC 5280 §6.1)")
    if any(certificate in roots.certificates for certificate in chain[:-1]):
        raise InvalidPath("the certificates are not the path itself, which ends with its root")


def _paths(chain: Sequence[x509.Certificate], roots: Roots) -> list[tuple[x509.Certificate, ...]]:
    """The chain with its root at the end: one path for each root that has the name; raises InvalidPath for none."""
    last = chain[-1]
    if last in roots.certificates:
        return [tuple(chain)]
    found = [(*chain, root) for root in roots.certificates if root.subject == last.issuer]
    if not found:
        raise InvalidPath(f"no path to a root: none has the name {_shown(last.issuer)}")
    if len(chain) == MAX_PATH:
        raise InvalidPath(f"a path has one to {MAX_PATH} certificates, the root included")
    return found


def _check_any(paths: list[tuple[x509.Certificate, ...]], now: datetime) -> None:
    """One of the paths is valid: a root and the one that follows it may have the same name, even the same key."""
    refusals = []
    for path in paths:
        try:
            return _check(path, now)
        except InvalidPath as refusal:
            refusals.append(str(refusal))
    raise InvalidPath("; or ".join(dict.fromkeys(refusals)))


def _check(path: tuple[x509.Certificate, ...], now: datetime) -> None:
    """The certificates follow from each other; each is as its issuers demand (RFC 5280 §6.1.3)."""
    root = path[-1]
    for fault in (*_moment_faults(root, now), *_issuer_faults(root)):
        raise InvalidPath(f"the root {_shown(root.subject)} {fault}")
    _check_lengths(path)
    # From the root down: a key verifies nothing before it has been vouched for.
    for certificate, issuer in reversed([*pairwise(path)]):
        _check_signature(certificate, issuer)
    _check_names(path)


def _check_lengths(path: tuple[x509.Certificate, ...]) -> None:
    """No issuer has more issuers below it than it says; self-issued ones do not count (RFC 5280 §6.1.4 (l), (m))."""
    below = 0
    for issuer in path[1:]:
        basic = _find(issuer, x509.BasicConstraints)
        if basic is not None and basic.path_length is not None and below > basic.path_length:
            raise InvalidPath(f"the issuer {_shown(issuer.subject)} has a path length of {basic.path_length}")
        below += not _is_self_issued(issuer)


def _check_signature(certificate: x509.Certificate, issuer: x509.Certificate) -> None:
    """``certificate`` is signed by the key of ``issuer``, with an algorithm of that key."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except _UNVERIFIED as error:
        names = f"{_shown(certificate.subject)} is not signed by {_shown(issuer.subject)}"
        raise InvalidPath(f"no path to a root: {names}") from error


def _check_names(path: tuple[x509.Certificate, ...]) -> None:
    """No name lies outside of what those above may issue (RFC 5280 §4.2.1.10); self-issued issuers' are exempt."""
    comparisons = 0
    for place, certificate in enumerate(path):
        above = [found for issuer in path[place + 1 :] if (found := _find(issuer, x509.NameConstraints)) is not None]
        if not above or (place > 0 and _is_self_issued(certificate)):
            continue
        names = tuple(_names(certificate))
        trees = sum(len((*(one.permitted_subtrees or ()), *(one.excluded_subtrees or ()))) for one in above)
        comparisons += len(names) * trees
        if comparisons > _MAX_COMPARISONS:
            raise InvalidPath(f"more than {_MAX_COMPARISONS} comparisons of names with name constraints")
        for fault in violations(names, above):
            raise InvalidPath(fault[: 2 * _SHOWN])


def _names(certificate: x509.Certificate) -> Iterator[x509.GeneralName]:
    """What name constraints apply to: the subjectAltName, the subject, the e-mail addresses in it."""
    yield from _find(certificate, x509.SubjectAlternativeName) or ()
    if certificate.subject.rdns:
        yield x509.DirectoryName(certificate.subject)
    for attribute in certificate.subject.get_attributes_for_oid(NameOID.EMAIL_ADDRESS):
        yield x509.RFC822Name(str(attribute.value))


def _moment_faults(certificate: x509.Certificate, now: datetime) -> Iterator[str]:
    if now < certificate.not_valid_before_utc:
        yield f"is not valid before {certificate.not_valid_before_utc.isoformat()}"
    if now > certificate.not_valid_after_utc:
        yield f"has expired on {certificate.not_valid_after_utc.isoformat()}"


def _form_faults(certificate: x509.Certificate) -> Iterator[str]:
    """Why a certificate that came along is not looked at any further (RFC 5280 §4.1)."""
    if certificate.version is not x509.Version.v3:
        yield "is not of version 3 (RFC 5280 §4.1.2.1)"
    serial = certificate.serial_number
    if serial <= 0 or serial.bit_length() > _MAX_SERIAL_BITS:
        yield "has a serial number that is not positive, or longer than 20 octets (RFC 5280 §4.1.2.2)"
    if not _has_good_signature(certificate):
        yield "is signed with an algorithm other than RSA or ECDSA with SHA-256, SHA-384, SHA-512, and Ed25519"


def _has_good_signature(certificate: x509.Certificate) -> bool:
    """Whether its algorithm is one of today's. Whose key has signed, is found out later."""
    if certificate.signature_algorithm_oid not in _SIGNATURES:
        return False
    digest = certificate.signature_hash_algorithm
    return digest is None or isinstance(digest, _DIGESTS)  # Ed25519 has none of its own


def _leaf_faults(leaf: x509.Certificate) -> Iterator[str]:
    """Why the leaf's key proves nothing."""
    yield from _key_faults(leaf)
    yield from _critical_faults(leaf, _LEAF_EXTENSIONS)
    basic = _find(leaf, x509.BasicConstraints)
    if basic is not None and basic.ca:
        yield "is a CA's certificate"
    usage = _find(leaf, x509.KeyUsage)
    if usage is None or not usage.digital_signature:
        yield "has no key usage digitalSignature (RFC 5280 §4.2.1.3)"
    if not _may_prove_clients(leaf):
        yield "has no extended key usage clientAuth (RFC 5280 §4.2.1.12)"


def _issuer_faults(issuer: x509.Certificate) -> Iterator[str]:
    """Why nobody's identity follows from what this certificate's key has signed."""
    yield from _key_faults(issuer)
    yield from _critical_faults(issuer, _ISSUER_EXTENSIONS)
    if not issuer.subject.rdns:
        yield "has no subject (RFC 5280 §4.1.2.6)"
    basic = _find(issuer, x509.BasicConstraints)
    if basic is None or not basic.ca:
        yield "is no CA's certificate (RFC 5280 §4.2.1.9)"
    usage = _find(issuer, x509.KeyUsage)
    if usage is not None and not usage.key_cert_sign:
        yield "has no key usage keyCertSign (RFC 5280 §4.2.1.3)"
    if not _may_prove_clients(issuer):
        yield "issues no certificates for clientAuth: its extended key usages leave it out"
    names = _find(issuer, x509.NameConstraints)
    # pyca drops the minimum and maximum of a subtree, without which it is another one (RFC 5280 §4.2.1.10).
    if names is not None and names.public_bytes() not in issuer.tbs_certificate_bytes:
        yield "has name constraints that are not understood: a subtree with a minimum or a maximum"


def _key_faults(certificate: x509.Certificate) -> Iterator[str]:
    yield from check_public_key(certificate.public_key())
    if certificate.public_key_algorithm_oid not in _KEYS:
        yield f"has a key of the kind {certificate.public_key_algorithm_oid.dotted_string}, for which there is no use"


def _critical_faults(certificate: x509.Certificate, understood: set[x509.ObjectIdentifier]) -> Iterator[str]:
    for extension in certificate.extensions:
        if extension.critical and extension.oid not in understood:
            yield f"has a critical extension that is not understood, {extension.oid.dotted_string} (RFC 5280 §4.2)"


def _may_prove_clients(certificate: x509.Certificate) -> bool:
    usages = _find(certificate, x509.ExtendedKeyUsage)
    return usages is None or not _USABLE.isdisjoint(usages)


def _is_self_issued(certificate: x509.Certificate) -> bool:
    return certificate.subject == certificate.issuer


def _shown(name: x509.Name) -> str:
    return name.rfc4514_string()[:_SHOWN]


_Extension = TypeVar("_Extension", bound=x509.ExtensionType)


def _find(certificate: x509.Certificate, kind: type[_Extension]) -> _Extension | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
