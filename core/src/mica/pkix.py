"""The one place where an X.509 certificate is written (RFC 5280 §4.1).

Parts that come from outside (names, keys, renewed extensions) are carried as the DER they came in, because decoding
and encoding again does not always give the same octets: compressed points, RSASSA-PSS keys, string types.
"""

import hashlib
import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import cast

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from mica import der
from mica.errors import MalformedRequest

PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey

#: What pyca raises, sooner or later, for a certificate or a request in which something is not what it should be.
UNREADABLE: tuple[type[Exception], ...] = (
    ValueError, TypeError, OverflowError, UnsupportedAlgorithm,
    x509.InvalidVersion, x509.DuplicateExtension, x509.UnsupportedGeneralNameType,
)  # fmt: skip

_SAN_TAGS = {x509.RFC822Name: 0x81, x509.DNSName: 0x82, x509.UniformResourceIdentifier: 0x86}
_IP_TAG = 0x87


@dataclass(frozen=True)
class SubjectPublicKey:
    """A public key and the very SubjectPublicKeyInfo that carried it."""

    spki: bytes
    key: PublicKey = field(compare=False)

    @classmethod
    def of(cls, key: PublicKey) -> "SubjectPublicKey":
        """``key`` in its usual encoding."""
        return cls(key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo), key)

    @cached_property
    def identifier(self) -> bytes:
        """SHA-1 of the BIT STRING's contents: the key identifier of RFC 5280 §4.2.1.2 (1)."""
        bits = der.children(self.spki)[1]
        ((_, contents, _),) = der.elements(bits)
        return hashlib.sha1(contents[1:], usedforsecurity=False).digest()


@dataclass(frozen=True)
class Extension:
    """One extension; ``value`` is the DER inside its OCTET STRING."""

    oid: str
    critical: bool
    value: bytes

    @cached_property
    def der(self) -> bytes:
        """The extension as RFC 5280 §4.1 has it; ``critical`` is left out when false (DEFAULT)."""
        critical = b"\x01\x01\xff" if self.critical else b""
        return der.sequence(der.oid(self.oid), critical, der.tlv(der.OCTET_STRING, self.value))


@dataclass(frozen=True, kw_only=True)
class TBSCertificate:
    """What is signed (RFC 5280 §4.1.2). Names, keys and algorithms are DER."""

    serial_number: int
    signature: bytes
    """The AlgorithmIdentifier of the signature to come."""
    issuer: bytes
    not_before: datetime
    not_after: datetime
    subject: bytes
    subject_public_key: SubjectPublicKey
    extensions: tuple[Extension, ...]

    @cached_property
    def der(self) -> bytes:
        """The octets that are signed."""
        return der.sequence(
            b"\xa0\x03\x02\x01\x02",  # version: v3
            der.integer(self.serial_number),
            self.signature,
            self.issuer,
            der.sequence(der.time(self.not_before), der.time(self.not_after)),
            self.subject,
            self.subject_public_key.spki,
            der.tlv(0xA3, der.sequence(*(extension.der for extension in self.extensions))),
        )

    @cached_property
    def parsed(self) -> x509.Certificate:
        """``der`` as another parser reads it: pyca's certificate, with an empty signature. For checks and policies."""
        try:
            return x509.load_der_x509_certificate(self.assemble(b""))
        except ValueError as error:
            raise MalformedRequest(f"the certificate would not be readable: {error}") from error

    @cached_property
    def parts(self) -> list[bytes]:
        """``der`` in parts, as ``tbs_parts`` gives those of a certificate."""
        return der.children(self.der)

    @cached_property
    def found(self) -> Mapping[x509.ObjectIdentifier, x509.Extension[x509.ExtensionType]]:
        """The extensions that ``parsed`` has, by OID."""
        return MappingProxyType({extension.oid: extension for extension in self.parsed.extensions})

    @cached_property
    def names(self) -> tuple[x509.GeneralName, ...]:
        """The subjectAltName, in the certificate's order."""
        extension = self.found.get(x509.SubjectAlternativeName.oid)
        return () if extension is None else tuple(cast("x509.SubjectAlternativeName", extension.value))

    def assemble(self, signature: bytes) -> bytes:
        """The certificate: these octets, the algorithm, ``signature`` (RFC 5280 §4.1.1)."""
        return der.sequence(self.der, self.signature, der.bit_string(signature))


def subject_alternative_names(extensions: x509.Extensions) -> tuple[x509.GeneralName, ...]:
    """The names in the subjectAltName, none when there is no such extension."""
    try:
        return tuple(extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return ()


def encode_general_names(names: Sequence[x509.GeneralName]) -> bytes:
    """A GeneralNames of the four kinds that are issued (RFC 5280 §4.2.1.6)."""
    return der.sequence(*map(_encode_general_name, names))


def _encode_general_name(name: x509.GeneralName) -> bytes:
    if isinstance(name, x509.IPAddress) and isinstance(name.value, ipaddress.IPv4Address | ipaddress.IPv6Address):
        return der.tlv(_IP_TAG, name.value.packed)
    tag = _SAN_TAGS.get(type(name))
    if tag is None:
        raise MalformedRequest(f"a name of the kind {type(name).__name__} cannot be issued")
    return der.tlv(tag, str(name.value).encode("ascii"))


@lru_cache(maxsize=1024)
def encode_common_name(common_name: str) -> bytes:
    """A Name of one CN, or the empty Name; a UTF8String, as RFC 5280 §4.1.2.4 prefers."""
    if not common_name:
        return der.sequence()
    attribute = der.sequence(der.oid("2.5.4.3"), der.tlv(der.UTF8_STRING, common_name.encode()))
    return der.sequence(der.tlv(der.SET, attribute))


def encode_oids(oids: Iterable[x509.ObjectIdentifier]) -> bytes:
    """A SEQUENCE OF OBJECT IDENTIFIER, as extendedKeyUsage has it (RFC 5280 §4.2.1.12)."""
    return der.sequence(*(der.oid(oid.dotted_string) for oid in oids))


def tbs_parts(certificate: x509.Certificate) -> list[bytes]:
    """A v3 certificate's TBS in parts: version, serial, signature, issuer, validity, subject, SPKI, extensions."""
    return der.children(certificate.tbs_certificate_bytes)
