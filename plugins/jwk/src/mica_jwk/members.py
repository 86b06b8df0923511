"""The members of a JSON Web Key (RFC 7517, RFC 7518 §6): which are public, and the thumbprint that names the key."""

import base64
import hashlib
import json
from collections.abc import Mapping

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


def thumbprint(jwk: Mapping[str, str]) -> str:
    """The RFC 7638 SHA-256 thumbprint of the public key in ``jwk``, base64url; a KeyError names a member that lacks."""
    members = {name: jwk[name] for name in ("kty", *PUBLIC[jwk["kty"]])}
    canonical = json.dumps(members, sort_keys=True, separators=(",", ":"))
    return encode(hashlib.sha256(canonical.encode()).digest())


def public(jwk: Mapping[str, str]) -> dict[str, str]:
    """``jwk`` without its secret members, in the order in which step lists them."""
    order = ("use", "kty", "kid", "crv", "alg", "x", "y", "n", "e")
    return {name: jwk[name] for name in order if jwk.get(name)}


def encode(octets: bytes) -> str:
    """base64url without padding (RFC 7515 §2)."""
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """The octets of base64url ``text``, padded or not; raises ValueError."""
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
