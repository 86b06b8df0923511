"""What stands in a certificate: the extensions of each profile, or those that a request asks for (RFC 5280 §4.2)."""

from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from mica import Extension, SubjectPublicKey
from mica.cli.kit import ordered
from mica.names import canonical
from mica_certtool.reading.asn1 import RawExtension

_SAN, _SKI, _AKI, _KEY_USAGE, _BASIC_CONSTRAINTS, _EXTENDED_KEY_USAGE = (
    oid.dotted_string
    for oid in (
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
        ExtensionOID.SUBJECT_KEY_IDENTIFIER,
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.EXTENDED_KEY_USAGE,
    )
)
_USAGES = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
    "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
)  # fmt: skip


def of_leaf(key: SubjectPublicKey, names: Sequence[x509.GeneralName], *, subject_is_empty: bool) -> list[Extension]:
    """For a server or a client: digitalSignature, keyEncipherment for RSA, which alone can do it, and both purposes."""
    usages = ["digital_signature", *(["key_encipherment"] if isinstance(key.key, rsa.RSAPublicKey) else [])]
    purposes = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    return [
        _key_usage(*usages),
        Extension(_EXTENDED_KEY_USAGE, False, purposes.public_bytes()),
        *alternative_names(names, subject_is_empty=subject_is_empty),
    ]


def of_ca(path_length: int | None) -> list[Extension]:
    """For a CA below which ``path_length`` CAs may stand, None: any number. Both are critical (§4.2.1.3, §4.2.1.9)."""
    constraints = x509.BasicConstraints(ca=True, path_length=path_length)
    return [_key_usage("key_cert_sign", "crl_sign"), Extension(_BASIC_CONSTRAINTS, True, constraints.public_bytes())]


def as_requested(
    asked: Sequence[RawExtension], names: Sequence[x509.GeneralName], *, is_ca: bool, subject_is_empty: bool
) -> list[Extension]:
    """What a request asks for, octet by octet, with the criticality that RFC 5280 wants.

    Key identifiers are the issuer's to write, and names are written in canonical form.
    """
    critical = {_KEY_USAGE} | ({_BASIC_CONSTRAINTS} if is_ca else set())
    copied = [
        Extension(extension.oid, extension.critical or extension.oid in critical, extension.value)
        for extension in asked
        if extension.oid not in (_SAN, _SKI, _AKI)
    ]
    return copied + alternative_names(names, subject_is_empty=subject_is_empty)


def alternative_names(names: Sequence[x509.GeneralName], *, subject_is_empty: bool) -> list[Extension]:
    """The subjectAltName, critical exactly when the subject is empty (§4.2.1.6); none without names."""
    if not names:
        return []
    return [Extension(_SAN, subject_is_empty, x509.SubjectAlternativeName(names).public_bytes())]


def canonical_names(names: Sequence[x509.GeneralName]) -> tuple[x509.GeneralName, ...]:
    """``names`` as they are issued; raises MalformedRequest for one that is not."""
    return ordered(map(canonical, names))


def identifiers(key: SubjectPublicKey, authority: bytes | None) -> list[Extension]:
    """The key's identifier, and its issuer's unless it is its own (§4.2.1.1, §4.2.1.2)."""
    found = [Extension(_SKI, False, x509.SubjectKeyIdentifier(key.identifier).public_bytes())]
    if authority is not None:
        found.append(Extension(_AKI, False, x509.AuthorityKeyIdentifier(authority, None, None).public_bytes()))
    return found


def _key_usage(*usages: str) -> Extension:
    usage = x509.KeyUsage(**{name: name in usages for name in _USAGES})
    return Extension(_KEY_USAGE, True, usage.public_bytes())
