"""Which JOSE algorithms suit which key (RFC 7518 §3.1, §4.1; RFC 8037 §3). ``none`` suits no key."""

from collections.abc import Mapping

_ECDSA = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}
#: With the octets that the key must have at least (RFC 7518 §3.2).
HMAC = {"HS256": 32, "HS384": 48, "HS512": 64}
_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_AGREEMENT = ("ECDH-ES", "ECDH-ES+A128KW", "ECDH-ES+A192KW", "ECDH-ES+A256KW")
_TRANSPORT = ("RSA-OAEP-256", "RSA-OAEP", "RSA-OAEP-384", "RSA-OAEP-512")
#: With the octets that the key must have exactly (RFC 7518 §4.4, §4.7).
_WRAPPING = {
    "A256GCMKW": 32,
    "A192GCMKW": 24,
    "A128GCMKW": 16,
    "A256KW": 32,
    "A192KW": 24,
    "A128KW": 16,
}


def suitable(members: Mapping[str, str], use: str, octets: int = 0) -> tuple[str, ...]:
    """The algorithms that suit the key, the usual one first; ``octets`` is the size of a symmetric one."""
    kty, signs = members.get("kty"), use == "sig"
    if kty == "EC":
        return (_ECDSA[members["crv"]],) if signs else _AGREEMENT
    if kty == "RSA":
        return _RSA if signs else _TRANSPORT
    if kty == "OKP":
        return ("EdDSA",) if signs else ()
    if signs:
        return tuple(name for name, least in HMAC.items() if octets >= least)
    return (*(name for name, exact in _WRAPPING.items() if octets == exact), "dir")


def default_octets(alg: str | None) -> int:
    """How long a new symmetric key is for that algorithm."""
    return HMAC.get(alg or "") or _WRAPPING.get(alg or "") or HMAC["HS256"]
