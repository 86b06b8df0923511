"""The CSR zoo: requests (RFC 2986) for more than was granted, for weak keys, or for somebody else's.

Each is made by pyca's builder where that can say such a thing, and octet by octet where it cannot.
"""

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from mica import der
from mica.testing.csr_contents import NAME, OWN, REQUESTED, SMUGGLED, STRANGE_TAGS, SUBJECTS, strange_name, twofold
from mica.testing.weakkeys import WEAK_PRIVATE_KEYS, ec_info, weak_key_infos, weak_private_key

#: The key of every CSR whose key is not what is wrong with it.
KEY = ec.generate_private_key(ec.SECP256R1())


@dataclass(frozen=True, slots=True, kw_only=True)
class HostileCSR:
    """A request that no token for ``NAME`` alone covers."""

    pem: str
    refused: bool
    """Whether nothing may be issued for it; else what is issued has what was granted, and nothing besides."""


def request_pem(
    *names: x509.GeneralName,
    subject: Sequence[tuple[x509.ObjectIdentifier, str]] = ((NameOID.COMMON_NAME, NAME),),
    extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
    attributes: Sequence[tuple[x509.ObjectIdentifier, bytes]] = (),
) -> str:
    """A CSR with anything in it, made by pyca and signed by ``KEY``."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(oid, value) for oid, value in subject])
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    for value, critical in extensions:
        builder = builder.add_extension(value, critical)
    for oid, octets in attributes:
        builder = builder.add_attribute(oid, octets)
    return builder.sign(KEY, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def own_request(key: Any) -> str:
    """A CSR without names, made by pyca and signed by ``key``, its own."""
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey) else hashes.SHA256()
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(key, digest).public_bytes(Encoding.PEM).decode()


def handmade(
    key_info: bytes,
    attributes: bytes = b"",
    *,
    subject: bytes = b"\x30\x00",
    sign: Callable[[bytes], bytes] | None = None,
) -> str:
    """A CSR of these parts, octet by octet; signed by ``KEY`` unless told otherwise."""
    info = der.sequence(der.integer(0), subject, key_info, der.tlv(0xA0, attributes))
    signature = (sign or (lambda octets: KEY.sign(octets, ec.ECDSA(hashes.SHA256()))))(info)
    return _pem(info, der.sequence(der.oid("1.2.840.10045.4.3.2")), signature)


def rsa_request(key_info: bytes, key: rsa.RSAPrivateKey) -> str:
    """A CSR for ``key`` as ``key_info`` writes it, with its signature (PKCS #1 v1.5, SHA-256)."""
    info = der.sequence(der.integer(0), b"\x30\x00", key_info, der.tlv(0xA0, b""))
    signature = key.sign(info, padding.PKCS1v15(), hashes.SHA256())
    return _pem(info, der.sequence(der.oid("1.2.840.113549.1.1.11"), b"\x05\x00"), signature)


def _pem(info: bytes, algorithm: bytes, signature: bytes) -> str:
    text = base64.encodebytes(der.sequence(info, algorithm, der.bit_string(signature))).decode()
    return f"-----BEGIN CERTIFICATE REQUEST-----\n{text}-----END CERTIFICATE REQUEST-----\n"


def spki(key: Any) -> bytes:
    """The SubjectPublicKeyInfo of a public key, as pyca writes it."""
    octets: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return octets


@cache
def csr_zoo() -> dict[str, HostileCSR]:
    """Every hostile request, by what is wrong with it."""
    strange = {name: request_pem(extensions=[(strange_name(tag), False)]) for name, tag in STRANGE_TAGS.items()}
    refused = {
        "name": {name: request_pem(*names) for name, names in SMUGGLED.items()} | strange,
        "key": weak_keys(),
        "signature": bad_signatures(),
        "size": huge(),
    }
    own = spki(KEY.public_key())
    allowed = {
        "subject": {name: request_pem(OWN, subject=subject) for name, subject in SUBJECTS.items()},
        "extension": {name: request_pem(OWN, extensions=[extension]) for name, extension in REQUESTED.items()},
        "attributes": {name: handmade(own, attributes) for name, attributes in twofold().items()},
    }
    return _flat(refused, refused=True) | _flat(allowed, refused=False)


def _flat(kinds: Mapping[str, Mapping[str, str]], *, refused: bool) -> dict[str, HostileCSR]:
    return {
        f"{kind}: {name}": HostileCSR(pem=pem, refused=refused)
        for kind, requests in kinds.items()
        for name, pem in requests.items()
    }


@cache
def weak_keys() -> dict[str, str]:
    """CSRs for weak keys. Where nobody has a private key, a signature of another stands: the key comes first."""
    held = {name: own_request(weak_private_key(name)) for name in WEAK_PRIVATE_KEYS}
    return held | {name: handmade(info) for name, info in weak_key_infos().items()} | _explicit()


def _explicit() -> dict[str, str]:
    """A sound key with the sender's own signature, its curve spelled out (forbidden by RFC 5480 §2.1.1)."""
    infos = weak_key_infos()
    point = spki(KEY.public_key())[-65:]
    name = "explicit parameters"
    return {name: handmade(infos[name].replace(infos[name][-65:], point))}


def bad_signatures() -> dict[str, str]:
    """CSRs whose sender does not show that the key is theirs."""
    other, own = (spki(key.public_key()) for key in (ec.generate_private_key(ec.SECP256R1()), KEY))
    return {
        "by another key": handmade(other),
        "of two small numbers": handmade(own, sign=lambda octets: b"\x30\x06\x02\x01\x01\x02\x01\x01"),
        "of zeros": handmade(own, sign=lambda octets: b"\x30\x06\x02\x01\x00\x02\x01\x00"),
        "of nothing": handmade(own, sign=lambda octets: b""),
        "over other octets": handmade(own, sign=lambda octets: KEY.sign(b"x" + octets, ec.ECDSA(hashes.SHA256()))),
    }


def huge() -> dict[str, str]:
    """CSRs that would keep a CA busy: many names, and many octets."""
    return {
        "10,000 names": request_pem(*(x509.DNSName(f"n{number}.svc.example") for number in range(10_000))),
        "a megabyte": request_pem(OWN, attributes=[(x509.ObjectIdentifier("1.2.3.4.5"), b"x" * 1_000_000)]),
    }


@cache
def unusual_keys() -> dict[str, tuple[bytes, str, CertificateIssuerPrivateKeyTypes]]:
    """Good keys in encodings that another hand would write otherwise: SubjectPublicKeyInfo, CSR, private key."""
    compressed = ec_info(KEY.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint))
    key = rsa.generate_private_key(65537, 2048)
    numbers = key.public_key().public_numbers()
    inner = der.bit_string(der.sequence(der.integer(numbers.n), der.integer(numbers.e)))
    pss = der.sequence(der.sequence(der.oid("1.2.840.113549.1.1.10")), inner)  # RFC 4055 §1.2, without parameters
    bare = der.sequence(der.sequence(der.oid("1.2.840.113549.1.1.1")), inner)  # RFC 3279 §2.3.1 wants NULL
    return {
        "a compressed point": (compressed, handmade(compressed), KEY),
        "RSASSA-PSS": (pss, rsa_request(pss, key), key),
        "RSA without parameters": (bare, rsa_request(bare, key), key),
    }
