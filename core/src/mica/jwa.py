"""Which signature algorithms a key has, and what verifies by one of them (RFC 7518 §3, RFC 8037 §3.1).

The key decides, never the token alone (RFC 8725 §3.1). ``none`` and ``HS…`` do not exist here. Verification is pyca's,
directly: it costs two thirds of what a general JOSE library needs, and such libraries are the oracles in the tests.
"""

from collections.abc import Callable

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from mica.pkix import PublicKey

#: Raises InvalidSignature unless the first argument is a signature over the second.
Verify = Callable[[bytes, bytes], None]

_HASHES: dict[str, hashes.HashAlgorithm] = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
_OF_RSA = tuple(f"{family}{bits}" for family in ("RS", "PS") for bits in _HASHES)
_OF_CURVES = {"secp256r1": ("ES256",), "secp384r1": ("ES384",), "secp521r1": ("ES512",)}


def algorithms(key: PublicKey) -> tuple[str, ...]:
    """What ``key`` may be used with, the usual one first; none, where its curve is another than P-256, P-384, P-521."""
    if isinstance(key, ec.EllipticCurvePublicKey):
        return _OF_CURVES.get(key.curve.name, ())
    return _OF_RSA if isinstance(key, rsa.RSAPublicKey) else ("EdDSA",)


def verifier(key: PublicKey, alg: str) -> Verify:
    """What verifies signatures of ``key`` by ``alg``; raises ValueError when that is none of its algorithms."""
    if alg not in algorithms(key):
        raise ValueError(f"{alg} is no algorithm of this key")
    if isinstance(key, ed25519.Ed25519PublicKey):
        return key.verify
    digest = _HASHES[alg[2:]]
    return _ecdsa(key, digest) if isinstance(key, ec.EllipticCurvePublicKey) else _rsa(key, digest, alg[:2])


def _ecdsa(key: ec.EllipticCurvePublicKey, digest: hashes.HashAlgorithm) -> Verify:
    size, algorithm = (key.curve.key_size + 7) // 8, ec.ECDSA(digest)

    def verify(signature: bytes, message: bytes) -> None:
        # RFC 7518 §3.4: r and s side by side, each as long as the curve's order. Zero and zero are no signature.
        if len(signature) != 2 * size:
            signature = b""
        r, s = int.from_bytes(signature[:size], "big"), int.from_bytes(signature[size:], "big")
        key.verify(encode_dss_signature(r, s), message, algorithm)

    return verify


def _rsa(key: rsa.RSAPublicKey, digest: hashes.HashAlgorithm, family: str) -> Verify:
    scheme: padding.AsymmetricPadding = padding.PKCS1v15()
    if family == "PS":
        scheme = padding.PSS(padding.MGF1(digest), digest.digest_size)  # RFC 7518 §3.5

    def verify(signature: bytes, message: bytes) -> None:
        key.verify(signature, message, scheme, digest)

    return verify
