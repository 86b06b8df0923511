"""Certificates that an earlier CA issued with the same key: made by pyca's builder, as step-ca would have made them."""

from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID

from mica.testing.issuers import key_usage, name

PROVISIONER = x509.ObjectIdentifier("1.3.6.1.4.1.37476.9000.64.1")
_Digest = hashes.SHA224 | hashes.SHA256 | hashes.SHA384 | hashes.SHA512
_Subject = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


def provisioner_extension(name: str, *, type_number: int = 1, credential_id: str = "kid") -> x509.UnrecognizedExtension:
    """The extension that names the provisioner; 1 is JWK. All of it is at most 127 octets long."""
    texts = [bytes([0x04, len(text.encode())]) + text.encode() for text in (name, credential_id)]
    contents = bytes([0x02, 0x01, type_number]) + b"".join(texts)
    return x509.UnrecognizedExtension(PROVISIONER, bytes([0x30, len(contents)]) + contents)


def leaf(
    issuer: x509.Certificate,
    issuing_key: CertificateIssuerPrivateKeyTypes,
    key: _Subject,
    *,
    provisioner: x509.ExtensionType | None,
    not_before: datetime,
    lifetime: timedelta = timedelta(hours=24),
    dns_name: str = "svc.example",
    issuer_name: x509.Name | None = None,
    serial_number: int | None = None,
    instead: tuple[x509.ExtensionType, ...] = (),
    digest: _Digest | None = None,
) -> x509.Certificate:
    """step-ca's default leaf below ``issuer``; what is given replaces what is usual, extensions by their OID.

    Without ``provisioner`` it names none.
    """
    usage = ("digital_signature", "key_encipherment") if isinstance(key, rsa.RSAPrivateKey) else ("digital_signature",)
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    usual: tuple[x509.ExtensionType, ...] = (
        key_usage(*usage),
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
        x509.SubjectKeyIdentifier.from_public_key(key.public_key()),
        x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier),
        x509.SubjectAlternativeName([x509.DNSName(dns_name)]),
        *([provisioner] if provisioner else []),
    )
    builder = (
        x509.CertificateBuilder()
        .serial_number(serial_number or x509.random_serial_number())
        .subject_name(name(dns_name))
        .issuer_name(issuer_name or issuer.subject)
        .public_key(key.public_key())
        .not_valid_before(not_before)
        .not_valid_after(not_before + lifetime)
    )
    for value in {value.oid: value for value in (*usual, *instead)}.values():
        builder = builder.add_extension(value, critical=isinstance(value, x509.KeyUsage | x509.BasicConstraints))
    if digest is None and not isinstance(issuing_key, ed25519.Ed25519PrivateKey):
        digest = hashes.SHA256()
    return builder.sign(issuing_key, digest)
