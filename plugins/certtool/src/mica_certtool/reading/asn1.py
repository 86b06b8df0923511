"""The parts of a certificate or request as they stand there, in DER (X.690)."""

from collections.abc import Iterator
from typing import NamedTuple, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

INTEGER, BIT_STRING, OCTET_STRING, OID, SEQUENCE = 0x02, 0x03, 0x04, 0x06, 0x30
CONSTRUCTED = 0x20
_VERSION, _EXTENSIONS = 0xA0, 0xA3
_EXTENSION_REQUEST = "1.2.840.113549.1.9.14"  # PKCS #9 (RFC 2985 §5.4.2)

#: What pyca raises for documents, and for extensions, that it does not read. Only some of it is a ValueError.
UNREADABLE = (ValueError, TypeError, OverflowError, UnsupportedAlgorithm, x509.InvalidVersion)
UNREADABLE_EXTENSIONS = (
    ValueError, TypeError, OverflowError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType,
)  # fmt: skip

Document = x509.Certificate | x509.CertificateSigningRequest
Value = TypeVar("Value", bound=x509.ExtensionType)


class Element(NamedTuple):
    """One element: its tag, its contents, and the whole of it."""

    tag: int
    contents: bytes
    whole: bytes

    def children(self) -> list["Element"]:
        """The elements inside a constructed one; raises ValueError."""
        return list(elements(self.contents))


class RawExtension(NamedTuple):
    """One extension (RFC 5280 §4.1); ``value`` is the DER inside its OCTET STRING."""

    oid: str
    critical: bool
    value: bytes


class Parts(NamedTuple):
    """What certificates and requests have in common, as DER."""

    subject: bytes
    spki: Element
    extensions: list[RawExtension]


def elements(data: bytes) -> Iterator[Element]:
    """The elements side by side in ``data``; raises ValueError when it is not DER."""
    position = 0
    while position < len(data):
        start, end = _contents(data, position)
        yield Element(data[position], data[start:end], data[position:end])
        position = end


def only(data: bytes) -> Element:
    """The one element that ``data`` is; raises ValueError."""
    (element,) = elements(data)
    return element


def oid_text(contents: bytes) -> str:
    """The contents of an OBJECT IDENTIFIER in dotted form (X.690 §8.19); raises ValueError."""
    arcs, arc = [], 0
    for octet in contents:
        arc = arc << 7 | octet & 0x7F
        if not octet & 0x80:
            arcs.append(arc)
            arc = 0
    if not arcs or contents[-1] & 0x80:
        raise ValueError("an object identifier is cut off")
    first = min(arcs[0] // 40, 2)
    return ".".join(map(str, (first, arcs[0] - 40 * first, *arcs[1:])))


def parts(document: Document) -> Parts:
    """The parts of ``document``; raises ValueError."""
    if isinstance(document, x509.Certificate):
        fields = only(document.tbs_certificate_bytes).children()
        fields = fields[1:] if fields[0].tag == _VERSION else fields  # version, absent in v1
        listed = next((field for field in fields[6:] if field.tag == _EXTENSIONS), None)
        return Parts(fields[4].whole, fields[5], _extensions(listed.children()[0]) if listed else [])
    fields = only(document.tbs_certrequest_bytes).children()
    return Parts(fields[1].whole, fields[2], _requested(fields[3]) if len(fields) > 3 else [])


def key_algorithm(spki: Element) -> str:
    """The OID of the algorithm of a SubjectPublicKeyInfo."""
    return oid_text(spki.children()[0].children()[0].contents)


def key_bits(spki: Element) -> bytes:
    """The contents of the BIT STRING of a SubjectPublicKeyInfo."""
    return spki.children()[1].contents[1:]


def extension(
    holder: Document | x509.CertificateRevocationList | x509.RevokedCertificate, kind: type[Value]
) -> Value | None:
    """The extension of that kind, None when there is none; raises one of ``UNREADABLE_EXTENSIONS``."""
    try:
        return holder.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _contents(data: bytes, position: int) -> tuple[int, int]:
    """Where the contents of the element at ``position`` begin and end."""
    try:
        length, start = data[position + 1], position + 2
        if length & 0x80:
            octets = length & 0x7F
            length = int.from_bytes(data[start : start + octets], "big")
            start += octets
    except IndexError as error:
        raise ValueError("DER ends too early") from error
    if start + length > len(data):
        raise ValueError("DER ends too early")
    return start, start + length


def _requested(attributes: Element) -> list[RawExtension]:
    for attribute in attributes.children():
        kind, values = attribute.children()
        if oid_text(kind.contents) == _EXTENSION_REQUEST:
            return _extensions(values.children()[0])
    return []


def _extensions(listed: Element) -> list[RawExtension]:
    found = []
    for extension in listed.children():
        kind, *flag, value = extension.children()
        found.append(RawExtension(oid_text(kind.contents), bool(flag and any(flag[0].contents)), value.contents))
    return found
