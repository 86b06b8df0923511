"""Certification paths: whether a leaf, with the issuers that came along, leads to a root that is trusted here.

pyca's verifier builds and judges the path (RFC 5280 §6). What it leaves to its caller is judged here: what the leaf's
key may be used for, that an issuer may issue, that every key is good enough, and that what came is the path itself,
leaf first, and nothing else. Both sides use this: the server decides by it, the client says early what it would say.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from mica.constraints import violations
from mica.keyrules import check_public_key
from mica.pkix import UNREADABLE

#: Certificates in a path, the root included. Real ones have three or four; each costs a verification.
MAX_PATH = 8
#: Issuers of one name: a key and the one that follows it (RFC 4210 §4.4).
_NAMESAKES = 2
_NOT_THE_PATH = "the certificates are not the path itself: leaf first, each followed by its issuer"
_USABLE = {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}


class InvalidPath(ValueError):
    """The certificates are no path to a trusted root; the message says which rule they break."""


@dataclass(frozen=True, slots=True)
class Roots:
    """The roots that a path may lead to."""

    certificates: tuple[x509.Certificate, ...]

    @property
    def store(self) -> Store:
        """As pyca's verifier wants them."""
        return Store(list(self.certificates))

    def check(self) -> Iterator[str]:
        """What is wrong with them, each named by its subject."""
        for certificate in self.certificates:
            shown = certificate.subject.rfc4514_string()
            try:
                faults = _issuer_faults(certificate)
            except UNREADABLE as error:
                faults = [f"cannot be read: {error}"]
            yield from (f"{shown}: {fault}" for fault in faults)


def verify(chain: Sequence[x509.Certificate], roots: Roots, now: datetime) -> None:
    """``chain``, leaf first, is a path to one of ``roots``, valid ``now``, whose leaf may prove a client's identity.

    The root itself may stand at its end. Raises InvalidPath.
    """
    if not 0 < len(chain) <= MAX_PATH:
        raise InvalidPath(f"a path has one to {MAX_PATH} certificates, not {len(chain)}")
    leaf, *issuers = chain
    # Before any signature: whether a weak key, or an enormous one, has signed something is not worth finding out.
    for fault in _leaf_faults(leaf, now):
        raise InvalidPath(f"the leaf {fault}")
    for issuer in issuers:
        for fault in _issuer_faults(issuer):
            raise InvalidPath(f"the issuer {issuer.subject.rfc4514_string()} {fault}")
    _check_order(chain)
    builder = PolicyBuilder().store(roots.store).time(now).max_chain_depth(MAX_PATH)
    builder = builder.extension_policies(ca_policy=_CA_POLICY, ee_policy=_EE_POLICY)
    try:
        path = builder.build_client_verifier().verify(leaf, issuers).chain
    except (VerificationError, ValueError) as error:
        raise InvalidPath(f"no path to a root: {error}") from error
    if list(chain) not in (path, path[:-1]):
        raise InvalidPath(_NOT_THE_PATH)
    _check_names(path)


def _check_order(chain: Sequence[x509.Certificate]) -> None:
    """Each certificate's issuer has the name of the next one, and few have the same name.

    Of many issuers with one name the verifier would try every order, up to its own limit.
    """
    if any(certificate.issuer != issuer.subject for certificate, issuer in pairwise(chain)):
        raise InvalidPath(_NOT_THE_PATH)
    if any(number > _NAMESAKES for number in Counter(issuer.subject for issuer in chain[1:]).values()):
        raise InvalidPath(f"more than {_NAMESAKES} issuers have the same name")


def _leaf_faults(leaf: x509.Certificate, now: datetime) -> Iterator[str]:
    """Why the leaf's key proves nothing now."""
    if now < leaf.not_valid_before_utc:
        yield f"is not valid before {leaf.not_valid_before_utc.isoformat()}"
    if now > leaf.not_valid_after_utc:
        yield f"has expired on {leaf.not_valid_after_utc.isoformat()}"
    yield from check_public_key(leaf.public_key())
    if _is_ca(leaf):
        yield "is a CA's certificate"
    usage = _find(leaf, x509.KeyUsage)
    if usage is None or not usage.digital_signature:
        yield "has no key usage digitalSignature (RFC 5280 §4.2.1.3)"
    if not _may_prove_clients(leaf):
        yield "has no extended key usage clientAuth (RFC 5280 §4.2.1.12)"


def _issuer_faults(issuer: x509.Certificate) -> list[str]:
    """Why nobody's identity follows from what this certificate's key has signed."""
    faults = check_public_key(issuer.public_key())
    if isinstance(issuer.public_key(), ed25519.Ed25519PublicKey):
        faults.append("has an Ed25519 key, and paths are verified with RSA and ECDSA alone")
    if not _is_ca(issuer):
        faults.append("is no CA's certificate (RFC 5280 §4.2.1.9)")
    usage = _find(issuer, x509.KeyUsage)
    if usage is not None and not usage.key_cert_sign:
        faults.append("has no key usage keyCertSign (RFC 5280 §4.2.1.3)")
    if not _may_prove_clients(issuer):
        faults.append("issues no certificates for clientAuth: its extended key usages leave it out")
    return faults


def _check_names(path: Sequence[x509.Certificate]) -> None:
    """No e-mail address in a subject lies outside of what those above may issue (RFC 5280 §4.2.1.10).

    pyca's verifier compares subjectAltNames, and refuses what it cannot compare; it does not look at subjects.
    """
    for place, certificate in enumerate(path):
        above = [found for issuer in path[place + 1 :] if (found := _find(issuer, x509.NameConstraints)) is not None]
        if above and (place == 0 or certificate.subject != certificate.issuer):
            for fault in violations(_addresses(certificate), above):
                raise InvalidPath(fault)


def _addresses(certificate: x509.Certificate) -> Iterator[x509.GeneralName]:
    for attribute in certificate.subject.get_attributes_for_oid(NameOID.EMAIL_ADDRESS):
        yield x509.RFC822Name(str(attribute.value))


def _is_ca(certificate: x509.Certificate) -> bool:
    basic = _find(certificate, x509.BasicConstraints)
    return basic is not None and basic.ca


def _may_prove_clients(certificate: x509.Certificate) -> bool:
    usages = _find(certificate, x509.ExtendedKeyUsage)
    return usages is None or not _USABLE.isdisjoint(usages)


_Extension = TypeVar("_Extension", bound=x509.ExtensionType)


def _find(certificate: x509.Certificate, kind: type[_Extension]) -> _Extension | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


_CA_POLICY = ExtensionPolicy.permit_all().require_present(x509.BasicConstraints, Criticality.AGNOSTIC, None)
_EE_POLICY = ExtensionPolicy.permit_all()
