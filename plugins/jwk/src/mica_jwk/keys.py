"""The key that tokens are verified with: one public JWK, one algorithm, fixed when the configuration is read.

A token's header cannot choose anything (RFC 8725 §3.1).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from mica import ConfigError, SubjectPublicKey, jwa
from mica.jwk import DESCRIPTION, PRIVATE, PUBLIC, decode
from mica.pkix import PublicKey

_CURVES: dict[str, tuple[ec.EllipticCurve, str]] = {
    "P-256": (ec.SECP256R1(), "ES256"),
    "P-384": (ec.SECP384R1(), "ES384"),
    "P-521": (ec.SECP521R1(), "ES512"),
}
_RSA_ALGORITHMS = [f"{family}{bits}" for family in ("RS", "PS") for bits in ("256", "384", "512")]
_MINIMUM_RSA_BITS = 2048  # RFC 7518 §3.3


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationKey:
    """A public key with the one algorithm it is used with."""

    kid: str
    alg: str
    key: SubjectPublicKey
    verify: jwa.Verify

    @classmethod
    def parse(cls, jwk: Mapping[str, str], where: str = "key") -> "VerificationKey":
        """The key in ``jwk``; raises ConfigError with every mistake, each named by its member below ``where``."""
        faults = [f"{where}.{name}: {text}" for name, text in _faults(jwk)]
        if faults:
            raise ConfigError(faults)
        try:
            key = _LOADERS[jwk["kty"]](jwk)
        except ValueError as error:
            raise ConfigError([f"{where}: {error}"]) from error
        alg = jwk.get("alg", jwa.algorithms(key)[0])
        return cls(kid=jwk["kid"], alg=alg, key=SubjectPublicKey.of(key), verify=jwa.verifier(key, alg))


def _faults(jwk: Mapping[str, str]) -> list[tuple[str, str]]:
    """What is wrong with the members, before any of them is used."""
    kty = jwk.get("kty", "")
    # A secret in the configuration is worth nothing but trouble: say so before anything else, and never show it.
    faults = [
        (name, "this is the private key, which must not be here: remove it, and consider the key disclosed")
        for name in sorted(PRIVATE & jwk.keys())
    ]
    if kty not in PUBLIC:
        return [*faults, ("kty", f"must be one of {', '.join(PUBLIC)}, not {kty!r}")]
    known = ("kty", *PUBLIC[kty], *DESCRIPTION)
    faults += [
        (name, f"extra field; known for {kty}: {', '.join(known)}")
        for name in jwk.keys() - PRIVATE
        if name not in known
    ]
    faults += [(name, "is missing") for name in PUBLIC[kty] if name != "crv" and not jwk.get(name)]
    if not jwk.get("kid"):
        faults.append(("kid", "is missing; it should be the key's RFC 7638 thumbprint"))
    if jwk.get("use", "sig") != "sig":
        faults.append(("use", f'must be "sig", not {jwk["use"]!r}'))
    algorithms = _algorithms(kty, jwk.get("crv", ""))
    if isinstance(algorithms, str):
        faults.append(("crv", algorithms))
    elif jwk.get("alg", algorithms[0]) not in algorithms:
        faults.append(("alg", f"must be one of {', '.join(algorithms)} for this key, not {jwk['alg']!r}"))
    return faults


def _algorithms(kty: str, crv: str) -> list[str] | str:
    """The algorithms that suit the key, the usual one first; or what is wrong with its curve."""
    if kty == "RSA":
        return _RSA_ALGORITHMS
    if kty == "OKP":
        return ["EdDSA"] if crv == "Ed25519" else f"must be Ed25519, not {crv!r}"
    return [_CURVES[crv][1]] if crv in _CURVES else f"must be one of {', '.join(_CURVES)}, not {crv!r}"


def _load_ec(jwk: Mapping[str, str]) -> PublicKey:
    curve, _ = _CURVES[jwk["crv"]]
    x, y = (_octets(jwk, name, (curve.key_size + 7) // 8) for name in ("x", "y"))
    try:
        return ec.EllipticCurvePublicNumbers(int.from_bytes(x, "big"), int.from_bytes(y, "big"), curve).public_key()
    except ValueError as error:
        raise ValueError(f"x and y are not a point of {jwk['crv']}") from error


def _load_rsa(jwk: Mapping[str, str]) -> PublicKey:
    n, e = (int.from_bytes(_octets(jwk, name), "big") for name in ("n", "e"))
    if n.bit_length() < _MINIMUM_RSA_BITS:
        raise ValueError(f"n: RSA keys must have at least {_MINIMUM_RSA_BITS} bits, this one has {n.bit_length()}")
    # NIST SP 800-56B §6.4.1.1: an odd exponent above 2^16; smaller ones have been the ground of forgeries.
    if e % 2 == 0 or e < 65537:
        raise ValueError("e: the RSA exponent must be odd and at least 65537 (AQAB)")
    return rsa.RSAPublicNumbers(e, n).public_key()


def _load_okp(jwk: Mapping[str, str]) -> PublicKey:
    return ed25519.Ed25519PublicKey.from_public_bytes(_octets(jwk, "x", 32))


_LOADERS = {"EC": _load_ec, "RSA": _load_rsa, "OKP": _load_okp}


def _octets(jwk: Mapping[str, str], name: str, size: int | None = None) -> bytes:
    """The member as octets; RFC 7518 §6.2.1.2 wants coordinates in full length. Raises ValueError naming the member."""
    try:
        octets = decode(jwk[name])
    except ValueError as error:
        raise ValueError(f"{name}: not base64url without padding") from error
    if size is not None and len(octets) != size:
        raise ValueError(f"{name}: must be {size} octets, these are {len(octets)}")
    return octets
