"""A PKCS #10 request, from PEM text to a value (RFC 2986)."""

import base64
import binascii
import hashlib
import re

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from mica import der, names
from mica.errors import MalformedRequest, Refused
from mica.keyrules import check_public_key
from mica.pkix import UNREADABLE, SubjectPublicKey, subject_alternative_names
from mica.requests import CSR

MAX_CSR_BYTES = 64 * 1024

_PEM = re.compile(
    r"\s*-----BEGIN (NEW )?CERTIFICATE REQUEST-----\s([A-Za-z0-9+/=\s]+)-----END (NEW )?CERTIFICATE REQUEST-----\s*"
)


def decode_csr(text: str) -> CSR:
    """The request in the PEM ``text``, whose sender holds the key and whose key is good enough.

    Raises MalformedRequest, and Refused for a weak key.
    """
    if not text:
        raise MalformedRequest("missing csr")
    match = _PEM.fullmatch(text) if len(text) <= MAX_CSR_BYTES else None
    if match is None:
        raise MalformedRequest("error decoding json: csr is not one PEM block CERTIFICATE REQUEST")
    try:
        octets = base64.b64decode("".join(match[2].split()), validate=True)
    except binascii.Error as error:
        raise MalformedRequest("error decoding json: csr is not PEM") from error
    return parse_csr(octets)


def parse_csr(octets: bytes) -> CSR:
    """As ``decode_csr``, from DER."""
    try:
        request = x509.load_der_x509_csr(octets)
        public_key = _public_key(request)
        # Before the signature is looked at: a hostile key makes its verification dear.
        _refuse_weak(public_key)
        if not request.is_signature_valid:
            raise MalformedRequest("invalid csr")
        return CSR(
            der=octets,
            public_key=public_key,
            common_name=_common_name(request.subject),
            names=_names(request),
            digest=hashlib.sha256(octets).digest(),
        )
    except UNREADABLE as error:
        # pyca reads lazily: any part can turn out not to be what it should.
        raise MalformedRequest("invalid csr") from error


def _public_key(request: x509.CertificateSigningRequest) -> SubjectPublicKey:
    try:
        key = request.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise MalformedRequest("certificate request key is not supported") from error
    if not isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey):
        kind = type(key).__name__.removesuffix("PublicKey")
        raise MalformedRequest(f"certificate request key of type '{kind}' is not supported")
    # CertificationRequestInfo: version, subject, subjectPKInfo, attributes (RFC 2986 §4.1).
    info = der.children(request.tbs_certrequest_bytes)[2]
    if isinstance(key, ec.EllipticCurvePublicKey) and not _names_its_curve(info):
        raise MalformedRequest("certificate request key must name its curve, not describe it (RFC 5480 §2.1.1)")
    return SubjectPublicKey(info, key)


def _names_its_curve(info: bytes) -> bool:
    """Whether the parameters are an OID. pyca reads a known curve that is spelled out as well (CVE-2020-0601)."""
    return der.children(der.children(info)[0])[1][0] == der.OID


def _refuse_weak(public_key: SubjectPublicKey) -> None:
    reasons = check_public_key(public_key.key)
    if reasons:
        raise Refused(*(f"certificate request {reason}" for reason in reasons))


def _common_name(subject: x509.Name) -> str:
    found = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if len(found) > 1:
        raise MalformedRequest("the subject of the csr has more than one common name")
    value = found[0].value if found else ""
    return value if isinstance(value, str) else value.decode("utf-8", "strict")


def _names(request: x509.CertificateSigningRequest) -> tuple[x509.GeneralName, ...]:
    """The names as asked for: canonical where they are of a kind that is issued, as they are otherwise."""
    asked = subject_alternative_names(request.extensions)
    return tuple(names.canonical(name) if type(name) in names.KINDS else name for name in asked)
