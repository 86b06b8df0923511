"""Issuers for tests: real keys and certificates, made by pyca's builder, another hand than the core's."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID

from mica.keyfiles import PrivateKey, generate

Digest = hashes.SHA256 | hashes.SHA384 | hashes.SHA512

_NO_USAGE = dict.fromkeys(
    (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    ),
    False,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """A key and the certificate that belongs to it."""

    key: PrivateKey
    certificate: x509.Certificate


def name(common_name: str) -> x509.Name:
    """A Name of one CN."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def key_usage(*bits: str) -> x509.KeyUsage:
    """A keyUsage of these bits, by pyca's names for them."""
    return x509.KeyUsage(**(_NO_USAGE | dict.fromkeys(bits, True)))


def make_ca(
    common_name: str = "Test CA",
    *,
    algorithm: str = "EC-P256",
    key: PrivateKey | None = None,
    issuer: Issuer | None = None,
    digest: Digest | None = None,
    not_before: datetime = datetime(2025, 1, 1, tzinfo=UTC),
    lifetime: timedelta = timedelta(days=20 * 365),
    path_length: int | None = None,
    basic_constraints: x509.BasicConstraints | None = None,
    usage: x509.KeyUsage | None = None,
    constraints: x509.NameConstraints | None = None,
) -> Issuer:
    """A CA, a root unless it has an ``issuer``. What is given replaces what is usual."""
    key = key or generate(algorithm)
    signing_key = issuer.key if issuer else key
    builder = (
        x509.CertificateBuilder()
        .serial_number(x509.random_serial_number())
        .subject_name(name(common_name))
        .issuer_name(issuer.certificate.subject if issuer else name(common_name))
        .not_valid_before(not_before)
        .not_valid_after(not_before + lifetime)
        .public_key(key.public_key())
        .add_extension(basic_constraints or x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(usage or key_usage("key_cert_sign", "crl_sign"), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing_key.public_key()), critical=False)
    )
    if constraints is not None:
        builder = builder.add_extension(constraints, critical=True)
    return Issuer(key=key, certificate=builder.sign(signing_key, digest or usual_digest(signing_key)))


def usual_digest(key: PrivateKey) -> Digest | None:
    """The hash that goes with ``key``: by its curve (RFC 5480 §4), SHA-256 for RSA, none for Ed25519."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return None  # It hashes for itself (RFC 8410 §3): naming a digest is an error.
    if isinstance(key, ec.EllipticCurvePrivateKey):
        by_curve: dict[int, Digest] = {384: hashes.SHA384(), 521: hashes.SHA512()}
        return by_curve.get(key.curve.key_size, hashes.SHA256())
    return hashes.SHA256()
