"""Certificate signing requests (RFC 2986): made for a key, or read from a file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from mica import MalformedRequest, SubjectPublicKey, keyrules
from mica.cli.kit import FileProblem, PrivateKey, Usage, classify, ordered, printable
from mica_certtool.making import contents
from mica_certtool.making.issuers import digest_for
from mica_certtool.reading import asn1, inputs
from mica_certtool.reading.asn1 import UNREADABLE, UNREADABLE_EXTENSIONS, RawExtension
from mica_certtool.reading.documents import Kind, parse
from mica_certtool.reading.names import common_names

_MAX_COMMON_NAME = 64  # RFC 5280 Appendix A: ub-common-name
_EMPTY_NAME = b"\x30\x00"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request whose sender holds its key, and whose key is good enough."""

    place: str
    subject: bytes
    """Its Name in DER."""
    key: SubjectPublicKey
    extensions: tuple[RawExtension, ...]
    names: tuple[x509.GeneralName, ...]
    """The alternative names that it asks for, in canonical form."""
    common_name: str
    asks_for_ca: bool

    @property
    def subject_is_empty(self) -> bool:
        """Whether its Name says nothing."""
        return self.subject == _EMPTY_NAME

    @property
    def names_with_subject(self) -> tuple[x509.GeneralName, ...]:
        """The names, and the common name among them where it is a name at all."""
        try:
            return ordered((*self.names, classify(self.common_name)))
        except MalformedRequest:
            return self.names


def named(subject: str, sans: Sequence[str]) -> tuple[x509.GeneralName, ...]:
    """The names that ``sans`` mean, without them the one that ``subject`` is; raises Usage for what is no name."""
    common_name(subject)
    try:
        return ordered(classify(name) for name in sans or (subject,))
    except MalformedRequest as error:
        raise Usage(str(error), hint=None if sans else "give the names with --san") from error


def common_name(subject: str) -> x509.Name:
    """A Name of one CN, or of nothing; raises Usage for what cannot be one."""
    if len(subject) > _MAX_COMMON_NAME:
        raise Usage(f"SUBJECT is longer than {_MAX_COMMON_NAME} characters", hint="give long names with --san")
    if subject != printable(subject):
        raise Usage(f"SUBJECT has a character that does not belong in a name: {subject!r}")
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)] if subject else [])


def make(subject: str, names: Sequence[x509.GeneralName], key: PrivateKey) -> bytes:
    """A request in PEM, signed by ``key``."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(common_name(subject))
    # RFC 5280 §4.2.1.6: critical when the subject is empty.
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=not subject)
    return builder.sign(key, digest_for(key)).public_bytes(Encoding.PEM)


def read(path: str | Path) -> Request:
    """The request in ``path``, PEM or DER; raises FileProblem when no certificate can be made for it."""
    data, place = inputs.read(path, "request")
    found = next(parse(data, place, (Kind.REQUEST,)))
    assert isinstance(found, x509.CertificateSigningRequest)  # the one kind that was asked for
    try:
        return _checked(found, place)
    except (*UNREADABLE, *UNREADABLE_EXTENSIONS) as error:
        raise FileProblem(f"{place}: the request cannot be read: {error}", hint="make it again") from error
    except MalformedRequest as error:
        raise FileProblem(f"{place}: asks for what is not issued: {error}", hint="make it again") from error


def _checked(request: x509.CertificateSigningRequest, place: str) -> Request:
    read = asn1.parts(request)
    basic = asn1.extension(request, x509.BasicConstraints)
    wanted = asn1.extension(request, x509.SubjectAlternativeName)
    return Request(
        place=place,
        subject=read.subject,
        key=SubjectPublicKey(read.spki.whole, _good_key(request, place)),
        extensions=tuple(read.extensions),
        names=contents.canonical_names(list(wanted or ())),
        common_name=next(iter(common_names(request.subject)), ""),
        asks_for_ca=basic is not None and basic.ca,
    )


def _good_key(
    request: x509.CertificateSigningRequest, place: str
) -> ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey:
    """The key, which is strong enough and signed the request (RFC 2986 §3); raises FileProblem."""
    try:
        key = request.public_key()
    except UnsupportedAlgorithm as error:
        raise FileProblem(f"{place}: has a key of a kind that is not known here", hint="make another key") from error
    # Before the signature is looked at: a hostile key makes its verification dear.
    if reasons := keyrules.check_public_key(key):
        raise FileProblem(f"{place}: {'; '.join(reasons)}", hint="make another key, and a request for it")
    assert isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey)
    if not request.is_signature_valid:
        raise FileProblem(
            f"{place}: was not signed by the key that it names, or was changed since", hint="make the request again"
        )
    return key
