"""A certificate that an issuer's key signed and that is not on record: it is from a CA that had the key before.

The issuer's signature stands in for the record, where the operator has said so. It shows that the certificate was
issued, and for whom; whether it has been revoked since is asked of the store, as ever.
"""

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from mica import names, profile
from mica.errors import MalformedRequest, Refused, Unauthorized
from mica.issuers import Issuer
from mica.keyrules import check_public_key
from mica.pkix import UNREADABLE, subject_alternative_names, tbs_parts
from mica.records import Issuance, ProvisionerRef

_PROVISIONER = x509.ObjectIdentifier(profile.PROVISIONER)
_UNREADABLE: tuple[type[Exception], ...] = (MalformedRequest, *UNREADABLE)
_V3_PARTS = 8  # RFC 5280 §4.1.2, with extensions and without unique identifiers


def unrecorded(issuer: Issuer, certificate: x509.Certificate) -> Issuance:
    """What would be on record of ``certificate``, which ``issuer`` signed; raises Unauthorized, Refused.

    It is of the end entity of RFC 5280 §3.1, has a key that is good enough, and names its provisioner.
    """
    try:
        _require_signature(issuer, certificate)
        _require_end_entity(certificate)
        return _issuance(issuer, certificate)
    except InvalidSignature as error:
        raise Unauthorized("the certificate is not on record here, and not signed by its issuer's key") from error
    except _UNREADABLE as error:
        raise Unauthorized(f"the certificate is not on record here, and cannot be examined: {error}") from error


def _require_signature(issuer: Issuer, certificate: x509.Certificate) -> None:
    """The issuer's key, as it is configured now, signed these octets; raises InvalidSignature or one of UNREADABLE."""
    digest = certificate.signature_hash_algorithm  # none for Ed25519
    if digest is not None and not isinstance(digest, hashes.SHA256 | hashes.SHA384 | hashes.SHA512):
        raise Unauthorized(f"the certificate is not on record here, and a signature with {digest.name} is not believed")
    certificate.verify_directly_issued_by(issuer.certificate)


def _require_end_entity(certificate: x509.Certificate) -> None:
    if len(tbs_parts(certificate)) != _V3_PARTS:
        raise Refused("RFC 5280 §4.1.2: the certificate must be v3, with extensions and without unique identifiers")
    for extension in certificate.extensions:
        value = extension.value
        if (isinstance(value, x509.BasicConstraints) and value.ca) or (
            isinstance(value, x509.KeyUsage) and (value.key_cert_sign or value.crl_sign)
        ):
            raise Refused("CA certificates are not issued here")
    if reasons := check_public_key(certificate.public_key()):
        raise Refused(*(f"the certificate's {reason}" for reason in reasons))


def _issuance(issuer: Issuer, certificate: x509.Certificate) -> Issuance:
    alternative_names = tuple(map(names.text, subject_alternative_names(certificate.extensions)))
    common_names = [str(cn.value) for cn in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    return Issuance(
        id=issuer.id_of(certificate.serial_number),
        certificate=certificate.public_bytes(Encoding.DER),
        provisioner=_provisioner(certificate),
        subject=next(filter(None, (*common_names, *alternative_names)), ""),
        names=alternative_names,
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        issued_at=certificate.not_valid_before_utc,
    )


def _provisioner(certificate: x509.Certificate) -> ProvisionerRef:
    try:
        extension = certificate.extensions.get_extension_for_oid(_PROVISIONER)
    except x509.ExtensionNotFound as error:
        raise Unauthorized("the certificate is not on record here, and does not name its provisioner") from error
    return profile.decode_provisioner(extension.value.public_bytes())
