"""How a key of each kind signs certificates: the algorithm's identifier, signing, verifying."""

from collections.abc import Callable
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.x509.oid import SignatureAlgorithmOID

from mica import ConfigError

# AlgorithmIdentifiers in DER. RFC 5758 §3.2 (ECDSA) and RFC 8410 §3 (Ed25519): parameters absent.
_ECDSA_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")
_ECDSA_SHA384 = bytes.fromhex("300a06082a8648ce3d040303")
_ECDSA_SHA512 = bytes.fromhex("300a06082a8648ce3d040304")
_ED25519 = bytes.fromhex("300506032b6570")
# RFC 4055 §5: the parameters of PKCS #1 v1.5 signatures are NULL.
_RSA_SHA256 = bytes.fromhex("300d06092a864886f70d01010b0500")
_RSA_SHA384 = bytes.fromhex("300d06092a864886f70d01010c0500")
_RSA_SHA512 = bytes.fromhex("300d06092a864886f70d01010d0500")

# The hash is as strong as the curve (RFC 5480 §4).
_BY_CURVE: dict[str, tuple[bytes, hashes.HashAlgorithm]] = {
    "secp256r1": (_ECDSA_SHA256, hashes.SHA256()),
    "secp384r1": (_ECDSA_SHA384, hashes.SHA384()),
    "secp521r1": (_ECDSA_SHA512, hashes.SHA512()),
}
_BY_RSA_SIGNATURE: dict[x509.ObjectIdentifier, tuple[bytes, hashes.HashAlgorithm]] = {
    SignatureAlgorithmOID.RSA_WITH_SHA256: (_RSA_SHA256, hashes.SHA256()),
    SignatureAlgorithmOID.RSA_WITH_SHA384: (_RSA_SHA384, hashes.SHA384()),
    SignatureAlgorithmOID.RSA_WITH_SHA512: (_RSA_SHA512, hashes.SHA512()),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheme:
    """Signing with one key."""

    algorithm: bytes
    """The DER AlgorithmIdentifier."""
    sign: Callable[[bytes], bytes]
    verify: Callable[[bytes, bytes], None]
    """Signature, then octets; by the certificate's public key; raises InvalidSignature."""


def scheme_of(key: CertificateIssuerPrivateKeyTypes, certificate: x509.Certificate) -> Scheme:
    """How ``key`` signs in the name of ``certificate``; raises ConfigError when the kind of key is not supported.

    Whether the two belong together, and whether the key is good enough (``mica.keyrules``), is not asked here.
    """
    public_key = certificate.public_key()
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(public_key, ec.EllipticCurvePublicKey):
        return _ecdsa(key, public_key)
    if isinstance(key, rsa.RSAPrivateKey) and isinstance(public_key, rsa.RSAPublicKey):
        return _rsa(key, public_key, certificate.signature_algorithm_oid)
    if isinstance(key, ed25519.Ed25519PrivateKey) and isinstance(public_key, ed25519.Ed25519PublicKey):
        return Scheme(algorithm=_ED25519, sign=key.sign, verify=public_key.verify)
    raise ConfigError(["key: must be an EC, RSA or Ed25519 key of the same kind as the one in the certificate"])


def _ecdsa(key: ec.EllipticCurvePrivateKey, public_key: ec.EllipticCurvePublicKey) -> Scheme:
    algorithm, digest = _BY_CURVE[key.curve.name]
    ecdsa = ec.ECDSA(digest)
    return Scheme(
        algorithm=algorithm,
        sign=lambda octets: key.sign(octets, ecdsa),
        verify=lambda signature, octets: public_key.verify(signature, octets, ecdsa),
    )


def _rsa(key: rsa.RSAPrivateKey, public_key: rsa.RSAPublicKey, signed_with: x509.ObjectIdentifier) -> Scheme:
    # The hash with which the issuer itself was signed, as step does; SHA-256 where that was none of these.
    algorithm, digest = _BY_RSA_SIGNATURE.get(signed_with, (_RSA_SHA256, hashes.SHA256()))
    pkcs1 = padding.PKCS1v15()
    return Scheme(
        algorithm=algorithm,
        sign=lambda octets: key.sign(octets, pkcs1, digest),
        verify=lambda signature, octets: public_key.verify(signature, octets, pkcs1, digest),
    )
