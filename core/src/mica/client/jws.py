"""Compact JWS made with pyca (RFC 7515 §7.1, RFC 7518 §3): for the tokens that the client side signs."""

import base64
import json
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

_HASHES: dict[str, hashes.HashAlgorithm] = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}


def algorithm(key: PrivateKey) -> str:
    """The usual algorithm of ``key``: ES256, ES384, ES512, RS256 or EdDSA; raises ValueError for other curves."""
    if isinstance(key, rsa.RSAPrivateKey):
        return "RS256"
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "EdDSA"
    try:
        return _CURVES[key.curve.name]
    except KeyError:
        raise ValueError(f"no JWS algorithm for the curve {key.curve.name}") from None


def compact(header: Mapping[str, Any], payload: Mapping[str, Any], key: PrivateKey) -> str:
    """The token, its members in alphabetical order, signed by ``header``'s ``alg``."""
    signing_input = ".".join(
        encode(json.dumps(part, sort_keys=True, separators=(",", ":")).encode()) for part in (header, payload)
    )
    return f"{signing_input}.{encode(sign(key, header['alg'], signing_input.encode()))}"


def sign(key: PrivateKey, alg: str, message: bytes) -> bytes:
    """The JWS signature over ``message``; ``alg`` must suit the key: ES256 …, RS256 …, PS256 …, EdDSA."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(message)
    digest = _HASHES[alg[2:]]
    if isinstance(key, rsa.RSAPrivateKey):
        pss = padding.PSS(padding.MGF1(digest), digest.digest_size)  # RFC 7518 §3.5
        return key.sign(message, pss if alg.startswith("PS") else padding.PKCS1v15(), digest)
    # RFC 7518 §3.4: r and s side by side, each as long as the curve's order.
    r, s = decode_dss_signature(key.sign(message, ec.ECDSA(digest)))
    size = (key.curve.key_size + 7) // 8
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


def encode(octets: bytes) -> str:
    """base64url without padding (RFC 7515 §2)."""
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()
