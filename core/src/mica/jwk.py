"""JSON Web Keys and the keys that pyca has for them (RFC 7517, RFC 7518 §6, RFC 8037), and their thumbprints."""

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey

#: The public members of each key type, which the thumbprint covers (RFC 7638 §3.2, RFC 8037 §2).
PUBLIC = {
    "EC": ("crv", "x", "y"),
    "RSA": ("e", "n"),
    "OKP": ("crv", "x"),
}
#: The members that are secret (RFC 7518 §6.2.2, §6.3.2, §6.4, RFC 8037 §2).
PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
#: The members that describe a key without being it.
DESCRIPTION = ("use", "alg", "kid")

_CURVES: dict[str, ec.EllipticCurve] = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}
_CURVE_NAMES = {curve.name: name for name, curve in _CURVES.items()}
_ALGORITHMS = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "Ed25519": "EdDSA"}
_NO_PRIVATE_KEY = "the JWK lacks members of a private key"


def thumbprint(jwk: Mapping[str, str]) -> str:
    """The RFC 7638 SHA-256 thumbprint of the key in ``jwk``, base64url; a KeyError names a member that lacks.

    A private key has the thumbprint of its public half; a symmetric one, its own (RFC 7638 §3.2.1).
    """
    covered = ("k",) if jwk["kty"] == "oct" else PUBLIC[jwk["kty"]]
    members = {name: jwk[name] for name in ("kty", *covered)}
    canonical = json.dumps(members, sort_keys=True, separators=(",", ":"))
    return encode(hashlib.sha256(canonical.encode()).digest())


def public(jwk: Mapping[str, str]) -> dict[str, str]:
    """``jwk`` without its secret members, in the order in which step lists them."""
    order = ("use", "kty", "kid", "crv", "alg", "x", "y", "n", "e")
    return {name: jwk[name] for name in order if jwk.get(name)}


def algorithm(jwk: Mapping[str, str]) -> str:
    """The usual signature algorithm of the key in ``jwk``: ES256, ES384, ES512, EdDSA, RS256."""
    return _ALGORITHMS.get(jwk.get("crv", ""), "RS256")


def load(jwk: Mapping[str, Any]) -> PrivateKey:
    """The private key in ``jwk``; raises ValueError that does not quote it."""
    try:
        match jwk["kty"]:
            case "EC":
                return _of(jwk, ec.derive_private_key(_integer(jwk, "d"), _CURVES[jwk["crv"]]))
            case "OKP" if jwk["crv"] == "Ed25519":
                return _of(jwk, ed25519.Ed25519PrivateKey.from_private_bytes(decode(jwk["d"])))
            case "RSA":
                return _load_rsa(jwk)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(_NO_PRIVATE_KEY) from error
    raise ValueError("the JWK is not a private EC, RSA or Ed25519 key")


def load_public(jwk: Mapping[str, Any]) -> PublicKey:
    """The public key in ``jwk``, which may be private as well; raises ValueError that does not quote it."""
    try:
        match jwk["kty"]:
            case "EC":
                curve = _CURVES[jwk["crv"]]
                numbers = ec.EllipticCurvePublicNumbers(_integer(jwk, "x"), _integer(jwk, "y"), curve)
                return numbers.public_key()
            case "OKP" if jwk["crv"] == "Ed25519":
                return ed25519.Ed25519PublicKey.from_public_bytes(decode(jwk["x"]))
            case "RSA":
                return rsa.RSAPublicNumbers(_integer(jwk, "e"), _integer(jwk, "n")).public_key()
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("the JWK lacks members of a public key") from error
    raise ValueError("the JWK is not an EC, RSA or Ed25519 key")


def dump(key: PrivateKey) -> dict[str, str]:
    """``key`` as a private JWK for signatures, with its thumbprint as ``kid``, in the order in which step writes it."""
    members = public_members(key.public_key())
    description = {"use": "sig", "kid": thumbprint(members), "alg": algorithm(members)}
    return {**description, **members, **secret_members(key)}


def public_members(key: object) -> dict[str, str]:
    """The members of a public key, without a description; raises ValueError for any other key."""
    if isinstance(key, ed25519.Ed25519PublicKey):
        return {"kty": "OKP", "crv": "Ed25519", "x": encode(key.public_bytes_raw())}
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVE_NAMES:
        size, point = (key.curve.key_size + 7) // 8, key.public_numbers()
        x, y = (encode(value.to_bytes(size, "big")) for value in (point.x, point.y))
        return {"kty": "EC", "crv": _CURVE_NAMES[key.curve.name], "x": x, "y": y}
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        return {"kty": "RSA", "n": _base64url_uint(numbers.n), "e": _base64url_uint(numbers.e)}
    raise ValueError("the key must be EC on P-256, P-384 or P-521, RSA, or Ed25519")


def secret_members(key: PrivateKey) -> dict[str, str]:
    """The members of a private key that its public half lacks."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return {"d": encode(key.private_bytes_raw())}
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return {"d": encode(key.private_numbers().private_value.to_bytes((key.curve.key_size + 7) // 8, "big"))}
    numbers = key.private_numbers()
    values = {
        "d": numbers.d, "p": numbers.p, "q": numbers.q,
        "dp": numbers.dmp1, "dq": numbers.dmq1, "qi": numbers.iqmp,
    }  # fmt: skip
    return {name: _base64url_uint(value) for name, value in values.items()}


def encode(octets: bytes) -> str:
    """base64url without padding (RFC 7515 §2)."""
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """The octets of base64url ``text``, padded or not; raises ValueError."""
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def _of(jwk: Mapping[str, Any], key: PrivateKey) -> PrivateKey:
    """``key``, to which the public members of ``jwk`` belong if there are any; raises ValueError when they do not."""
    if "x" in jwk and load_public(jwk) != key.public_key():
        raise ValueError("the public members of the JWK belong to another key than the private ones")
    return key


def _load_rsa(jwk: Mapping[str, Any]) -> rsa.RSAPrivateKey:
    n, e, d = (_integer(jwk, name) for name in ("n", "e", "d"))
    if "p" in jwk:
        p, q = _integer(jwk, "p"), _integer(jwk, "q")
    else:  # RFC 7518 §6.3.2: the factors may be left out
        p, q = rsa.rsa_recover_prime_factors(n, e, d)
    numbers = rsa.RSAPrivateNumbers(
        p, q, d, rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q), rsa.RSAPublicNumbers(e, n)
    )
    return numbers.private_key()


def _integer(jwk: Mapping[str, Any], name: str) -> int:
    return int.from_bytes(decode(jwk[name]), "big")


def _base64url_uint(value: int) -> str:
    # RFC 7518 §2: as few octets as hold the number.
    return encode(value.to_bytes((value.bit_length() + 7) // 8, "big"))
