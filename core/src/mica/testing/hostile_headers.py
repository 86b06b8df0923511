"""Hostile tokens by their header: the algorithm, the key, extensions (RFC 8725 §2.1–2.4)."""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID

from mica.testing.makers import ABSENT, Maker, encode


def algorithms(maker: Maker) -> Iterator[tuple[str, str]]:
    """No algorithm, no such algorithm, another algorithm, and the public key taken for a shared secret."""
    header, payload, _ = maker.parts()
    for alg in ("none", "None", "nOnE", "NONE", "none "):
        forged = encode(json.dumps({**maker.header, "alg": alg}).encode())
        yield f"alg {alg!r} without a signature", f"{forged}.{payload}."
        yield f"alg {alg!r} with a signature", maker.token({"alg": alg})
    yield "no signature under a good header", f"{header}.{payload}."
    odd: tuple[Any, ...] = (
        ABSENT,
        None,
        "",
        256,
        True,
        [maker.alg],
        {"alg": maker.alg},
        maker.alg.lower(),
        f"{maker.alg} ",
    )
    for value in odd:
        yield f"alg {'absent' if value is ABSENT else repr(value)}", maker.token({"alg": value})
    for alg in {"ES256", "ES384", "ES512", "ES256K", "EdDSA", "RS256", "PS256", "RS1", "HS256"} - {maker.alg}:
        yield f"alg {alg} over a {maker.alg} signature", maker.token({"alg": alg})
    for name, secret in _shared_secrets(maker).items():
        for alg, digest in (("HS256", hashlib.sha256), ("HS512", hashlib.sha512)):
            signing_input = f"{encode(json.dumps({**maker.header, 'alg': alg}).encode())}.{payload}"
            forged = encode(hmac.digest(secret, signing_input.encode(), digest))
            yield f"{alg} with {name} as the secret", f"{signing_input}.{forged}"


def _shared_secrets(maker: Maker) -> dict[str, bytes]:
    """What a verifier that takes its public key for an HMAC secret would use (CVE-2015-9235, CVE-2022-29217)."""
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    pem = maker.public_key.public_bytes(serialization.Encoding.PEM, spki)
    secrets = {
        "the public key in PEM": pem,
        "the public key in PEM without its last newline": pem.rstrip(),
        "the public key in DER": maker.public_key.public_bytes(serialization.Encoding.DER, spki),
        "nothing": b"",
        "one zero": b"\x00",
    }
    if isinstance(maker.public_key, ec.EllipticCurvePublicKey):
        point = serialization.PublicFormat.UncompressedPoint
        secrets["the public point"] = maker.public_key.public_bytes(serialization.Encoding.X962, point)
    if isinstance(maker.public_key, ed25519.Ed25519PublicKey):
        secrets["the raw public key"] = maker.public_key.public_bytes_raw()
    if kid := maker.header.get("kid"):
        secrets["the key id"] = str(kid).encode()
    return secrets


def embedded_keys(maker: Maker) -> Iterator[tuple[str, str]]:
    """A key, or the way to one, that the token itself recommends (RFC 8725 §3.10)."""
    stranger = maker.stranger()
    jwk = _jwk(stranger)
    yield "signed with another key", stranger.good()
    yield "jwk of the signer, another key", stranger.token({"jwk": jwk})
    yield (
        "jwk of the signer with the rightful kid",
        stranger.token({"jwk": {**jwk, "kid": maker.header.get("kid", "")}}),
    )
    for name in ("jku", "x5u"):
        for url in ("https://127.0.0.1/keys.json", "file:///etc/passwd", "http://169.254.169.254/latest/meta-data/"):
            yield f"{name} {url}, another key", stranger.token({name: url})
    certificate = base64.b64encode(_certificate(stranger)).decode()
    for name in ("x5c", "x5cInsecure"):
        yield f"{name} of the signer, another key", stranger.token({name: [certificate]})
    yield "x5t of the signer, another key", stranger.token({"x5t#S256": "A" * 43})


def key_ids(maker: Maker) -> Iterator[tuple[str, str]]:
    """A key id that is not the key's: a path, a query, a prefix, another type."""
    if "kid" not in maker.header:
        return
    kid = str(maker.header["kid"])
    others: tuple[Any, ...] = (
        ABSENT, None, "", 1, True, [kid], {"kid": kid}, kid[:-1], kid + "A", kid.swapcase(), f" {kid}", f"{kid}\n",
        f"{kid}\x00", "../../../../dev/null", "/proc/self/environ", "' OR '1'='1", "x' UNION SELECT 'secret' --",
        "| /bin/true", "${jndi:ldap://127.0.0.1/a}", "*", "%", "A" * 20_000,
    )  # fmt: skip
    for value in others:
        name = "absent" if value is ABSENT else repr(value)[:70]
        yield f"kid {name}", maker.token({"kid": value})


def extensions(maker: Maker) -> Iterator[tuple[str, str]]:
    """Header members that must be understood and are not (RFC 7515 §4.1.11, RFC 7797)."""
    yield "crit names an unknown extension", maker.token({"crit": ["exp"], "exp": 1})
    yield "crit is empty", maker.token({"crit": []})
    yield "crit is null", maker.token({"crit": None})
    yield "crit is a string", maker.token({"crit": "b64"})
    yield "b64 false, critical", maker.token({"b64": False, "crit": ["b64"]})
    yield "b64 false, not critical", maker.token({"b64": False})
    yield "b64 true", maker.token({"b64": True})


def _jwk(maker: Maker) -> dict[str, str]:
    key = maker.public_key
    if isinstance(key, ec.EllipticCurvePublicKey):
        size, numbers = (key.curve.key_size + 7) // 8, key.public_numbers()
        x, y = (encode(value.to_bytes(size, "big")) for value in (numbers.x, numbers.y))
        return {"kty": "EC", "crv": f"P-{key.curve.key_size}", "x": x, "y": y}
    if isinstance(key, ed25519.Ed25519PublicKey):
        return {"kty": "OKP", "crv": "Ed25519", "x": encode(key.public_bytes_raw())}
    modulus = key.public_numbers().n
    return {"kty": "RSA", "n": encode(modulus.to_bytes(key.key_size // 8, "big")), "e": "AQAB"}


def _certificate(maker: Maker) -> bytes:
    """A self-signed certificate of the maker's key, as a stranger could make one."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stranger")])
    digest = None if isinstance(maker.key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    builder = x509.CertificateBuilder(
        issuer_name=name,
        subject_name=name,
        public_key=maker.public_key,
        serial_number=x509.random_serial_number(),
        not_valid_before=maker.now - timedelta(hours=1),
        not_valid_after=maker.now + timedelta(hours=1),
    )
    return builder.sign(maker.key, digest).public_bytes(serialization.Encoding.DER)
