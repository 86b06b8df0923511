"""Whether a certification path holds (RFC 5280 §6.1), and in plain words why it does not.

pyca's verifier is not used: it applies the profile of the public Web PKI, so it refuses Ed25519 and certificates
without alternative names, which private CAs issue with good reason, and it does not tell why.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from mica.cli import kit
from mica.cli.kit import rfc3339, span
from mica_certtool.judging.hosts import mismatch
from mica_certtool.judging.paths import Chain, forgeable, is_self_issued, title
from mica_certtool.reading.asn1 import UNREADABLE_EXTENSIONS, extension

PURPOSES = {"server": ExtendedKeyUsageOID.SERVER_AUTH, "client": ExtendedKeyUsageOID.CLIENT_AUTH}

#: What is evaluated here, or says nothing about validity. §6.1.5 (f): any other critical extension is a reason to
#: refuse, those on policies among them.
_UNDERSTOOD = frozenset(
    kind.oid
    for kind in (
        x509.BasicConstraints, x509.KeyUsage, x509.ExtendedKeyUsage, x509.SubjectAlternativeName,
        x509.NameConstraints, x509.CertificatePolicies, x509.SubjectKeyIdentifier, x509.AuthorityKeyIdentifier,
        x509.IssuerAlternativeName, x509.AuthorityInformationAccess, x509.CRLDistributionPoints,
    )
)  # fmt: skip
_MIN_RSA_BITS = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Why a path does not hold: a sentence whose subject is ``certificate``."""

    certificate: x509.Certificate
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Demands:
    """What a path is asked for: validity at a moment, ``server``, ``client`` or ``any`` purpose, perhaps a host."""

    at: datetime
    purpose: str = "any"
    host: x509.GeneralName | None = None


def faults(chain: Chain, demands: Demands) -> list[Fault]:
    """Every reason why ``chain``, leaf first and anchor last, does not hold; none when it does."""
    try:
        return [Fault(certificate=one, message=text) for one, text in _all(chain, demands)]
    except UNREADABLE_EXTENSIONS:
        return [
            Fault(certificate=one, message=f"has extensions that cannot be read: {error}")
            for one in chain
            if (error := _unreadable(one)) is not None
        ]


def _all(chain: Chain, demands: Demands) -> Iterator[tuple[x509.Certificate, str]]:
    for index, certificate in enumerate(chain):
        is_anchor = index == len(chain) - 1
        texts = [*_of_any(certificate, demands.at), *([] if is_anchor else forgeable(certificate))]
        if index:
            texts += _of_issuer(certificate, chain[1:index], is_anchor=is_anchor)
        else:
            texts += _of_leaf(certificate, demands)
        if demands.purpose != "any":
            texts += _purpose(certificate, demands.purpose, leaf=index == 0)
        yield from ((certificate, text) for text in texts)
        yield from _constrained(certificate, chain[:index])


def _unreadable(certificate: x509.Certificate) -> str | None:
    try:
        list(certificate.extensions)
    except UNREADABLE_EXTENSIONS as error:
        return (str(error) or type(error).__name__).splitlines()[0]
    return None


def _of_any(certificate: x509.Certificate, now: datetime) -> Iterator[str]:
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now > end:
        yield f"expired on {rfc3339(end)}, {span(now - end)} ago"
    if now < start:
        yield f"is not yet valid: it begins on {rfc3339(start)}, in {span(start - now)}"
    for one in certificate.extensions:
        if one.critical and one.oid not in _UNDERSTOOD:
            yield f"has a critical extension that is not understood ({one.oid.dotted_string})"
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return  # a leaf may have any key; an issuer's was used to check a signature
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < _MIN_RSA_BITS:
        yield f"has a weak key: RSA with {key.key_size} bits, fewer than {_MIN_RSA_BITS}"


def _of_issuer(certificate: x509.Certificate, between: Chain, *, is_anchor: bool) -> Iterator[str]:
    """§6.1.4 (k) to (n). An anchor of version 1, which can say nothing of the kind, is trusted as it is."""
    basic = extension(certificate, x509.BasicConstraints)
    if basic is None or not basic.ca:
        if not (is_anchor and certificate.version is x509.Version.v1):
            yield "may not issue certificates: it is not a CA (basicConstraints)"
    elif basic.path_length is not None:
        depth = sum(not is_self_issued(one) for one in between)
        if depth > basic.path_length:
            yield f"allows {basic.path_length} CAs below it (path length), and {depth} are there"
    usage = extension(certificate, x509.KeyUsage)
    if usage is not None and not usage.key_cert_sign:
        yield "may not issue certificates: its keyUsage lacks keyCertSign"


def _of_leaf(certificate: x509.Certificate, demands: Demands) -> Iterator[str]:
    if demands.host is not None:
        names = tuple(extension(certificate, x509.SubjectAlternativeName) or ())
        if (text := mismatch(names, demands.host)) is not None:
            yield text


def _purpose(certificate: x509.Certificate, purpose: str, *, leaf: bool) -> Iterator[str]:
    """The extendedKeyUsage of every certificate, as TLS implementations have it, and the keyUsage of the leaf."""
    allowed = extension(certificate, x509.ExtendedKeyUsage)
    if allowed is not None and not {PURPOSES[purpose], ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & set(allowed):
        yield f"has the wrong purpose: its extendedKeyUsage lacks {purpose}Auth"
    usage = extension(certificate, x509.KeyUsage) if leaf else None
    if usage is None:
        return
    # RFC 5280 §4.2.1.12 has these beside each purpose.
    fits = usage.digital_signature or usage.key_agreement or (purpose == "server" and usage.key_encipherment)
    if not fits:
        yield f"has the wrong purpose: its keyUsage does not let it be a TLS {purpose}"


def _constrained(issuer: x509.Certificate, below: Chain) -> Iterator[tuple[x509.Certificate, str]]:
    """§6.1.3 (b), (c): the names of everything below ``issuer``, but for self-issued CAs, lie where it may issue."""
    constraints = extension(issuer, x509.NameConstraints)
    if constraints is None:
        return
    for index, certificate in enumerate(below):
        if index and is_self_issued(certificate):
            continue
        names = tuple(extension(certificate, x509.SubjectAlternativeName) or ())
        for finding in kit.violations(kit.constrained_names(certificate.subject, names), [constraints]):
            yield certificate, f"has a name that {title(issuer)} may not issue: {finding.partition(': ')[2]}"
