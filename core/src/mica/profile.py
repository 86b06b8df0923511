"""The leaf profile: which extensions a certificate carries, and their DER. It is that of step's default leaf."""

from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from mica import der
from mica.errors import MalformedRequest
from mica.pkix import Extension, SubjectPublicKey, encode_general_names, encode_oids
from mica.records import ProvisionerRef

KEY_USAGE, SUBJECT_ALTERNATIVE_NAME, SUBJECT_KEY_IDENTIFIER = "2.5.29.15", "2.5.29.17", "2.5.29.14"
EXTENDED_KEY_USAGE = "2.5.29.37"
#: Names the provisioner that vouched, as step's own certificates do.
PROVISIONER = "1.3.6.1.4.1.37476.9000.64.1"

#: The number by which each type of provisioner is known in that extension; a type from elsewhere has 0.
_TYPE_NUMBERS = {
    "JWK": 1, "OIDC": 2, "GCP": 3, "AWS": 4, "Azure": 5, "ACME": 6, "X5C": 7, "K8sSA": 8, "SSHPOP": 9, "SCEP": 10,
    "Nebula": 11,
}  # fmt: skip
_TYPES = {number: type_ for type_, number in _TYPE_NUMBERS.items()}

# keyUsage is a named BIT STRING: trailing zero bits are cut (X.690 §11.2.2), their number stands first.
_DIGITAL_SIGNATURE = Extension(KEY_USAGE, True, bytes.fromhex("03020780"))
_DIGITAL_SIGNATURE_AND_KEY_ENCIPHERMENT = Extension(KEY_USAGE, True, bytes.fromhex("030205a0"))


def key_usage(public_key: SubjectPublicKey) -> Extension:
    """digitalSignature, and keyEncipherment for RSA, which alone can do it (RFC 5280 §4.2.1.3)."""
    if isinstance(public_key.key, rsa.RSAPublicKey):
        return _DIGITAL_SIGNATURE_AND_KEY_ENCIPHERMENT
    return _DIGITAL_SIGNATURE


@lru_cache(maxsize=64)
def extended_key_usage(oids: tuple[x509.ObjectIdentifier, ...]) -> Extension:
    """extendedKeyUsage with these purposes, in this order (RFC 5280 §4.2.1.12)."""
    return Extension(EXTENDED_KEY_USAGE, False, encode_oids(oids))


def subject_key_identifier(public_key: SubjectPublicKey) -> Extension:
    """The SHA-1 of the key (RFC 5280 §4.2.1.2, method 1)."""
    return Extension(SUBJECT_KEY_IDENTIFIER, False, der.tlv(der.OCTET_STRING, public_key.identifier))


def subject_alternative_name(names: tuple[x509.GeneralName, ...], *, critical: bool) -> Extension:
    """The names; critical exactly when the subject is empty (RFC 5280 §4.2.1.6)."""
    return Extension(SUBJECT_ALTERNATIVE_NAME, critical, encode_general_names(names))


@lru_cache(maxsize=256)
def provisioner(reference: ProvisionerRef) -> Extension:
    """Who vouched: type, name, credential id."""
    value = der.sequence(
        der.integer(_TYPE_NUMBERS.get(reference.type, 0)),
        der.tlv(der.OCTET_STRING, reference.name.encode()),
        der.tlv(der.OCTET_STRING, reference.credential_id.encode()),
    )
    return Extension(PROVISIONER, False, value)


def decode_provisioner(value: bytes) -> ProvisionerRef:
    """Who vouched, as an extension with the DER ``value`` says; raises MalformedRequest.

    What may stand after type, name and credential id (facts about an instance) is left out. A type that has no number
    of its own is empty, and so no provisioner's.
    """
    try:
        ((sequence, contents, _),) = der.elements(value)
        (number, type_, _), (name_tag, name, _), (id_tag, credential_id, _), *_ = der.elements(contents)
        if (sequence, number, name_tag, id_tag) != (der.SEQUENCE, der.INTEGER, der.OCTET_STRING, der.OCTET_STRING):
            raise MalformedRequest("its members are not of the types that they must be")
        return ProvisionerRef(
            name=name.decode(),
            type=_TYPES.get(int.from_bytes(type_, "big", signed=True), ""),
            credential_id=credential_id.decode(),
        )
    except (ValueError, MalformedRequest) as error:
        raise MalformedRequest(f"the provisioner extension cannot be read: {error}") from error
