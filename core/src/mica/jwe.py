"""Secrets under a password: JWE with PBES2-HS256+A128KW and A256GCM (RFC 7516, RFC 7518 §4.8).

This is what step writes and reads for private JWKs, and nothing else is written or read here. jwcrypto is a dependency
of the distributions that use this module, and takes a quarter of a second to import: import it where a key is opened
or made, and nowhere else.
"""

import json
import os
from collections.abc import Mapping
from typing import Any

from jwcrypto import jwa, jwe, jwk
from jwcrypto.common import JWException, base64url_encode

#: PBKDF2 rounds of what is written; OWASP's figure for HMAC-SHA-256, and step's.
ROUNDS = 600_000
#: More rounds are refused, as go-jose does: a JWE from elsewhere must not keep the processor busy for hours.
MAX_ROUNDS = 1_000_000
_ALG, _ENC = "PBES2-HS256+A128KW", "A256GCM"
_SALT_BYTES = 16
_PARTS = ("protected", "encrypted_key", "iv", "ciphertext", "tag")

# jwcrypto's own limit is below what step has written for years, and can be raised for the whole process only.
jwa.default_max_pbkdf2_iterations = MAX_ROUNDS


class WrongPassword(Exception):
    """The password does not open the JWE, or the JWE is damaged: authenticated encryption cannot tell."""


def encrypt_jwk(private: Mapping[str, Any], password: bytes) -> str:
    """The private JWK as a compact JWE that ``password`` opens; raises ValueError when the password is empty."""
    if not password:
        raise ValueError("the password of a private key must not be empty")
    salt = base64url_encode(os.urandom(_SALT_BYTES))
    header = {"alg": _ALG, "cty": "jwk+json", "enc": _ENC, "p2c": ROUNDS, "p2s": salt}
    token = jwe.JWE(json.dumps(dict(private)).encode(), json.dumps(header))
    token.add_recipient(_key(password))
    compact: str = token.serialize(compact=True)
    return compact


def decrypt_jwk(sealed: str, password: bytes) -> dict[str, Any]:
    """The private JWK in a JWE, compact or in JSON; raises WrongPassword, or ValueError when it is no such JWE."""
    token = _parse(sealed.strip())
    try:
        token.decrypt(_key(password))
    except jwe.InvalidJWEData as error:
        raise WrongPassword from error
    try:
        private = json.loads(token.payload)
    except ValueError as error:
        raise ValueError("the encrypted key is not a JWK") from error
    if not isinstance(private, dict):
        raise ValueError("the encrypted key is not a JWK")
    return private


def expand(compact: str) -> dict[str, str]:
    """The compact JWE in the flattened JSON serialization (RFC 7516 §7.2.2), as step writes it to files."""
    return dict(zip(_PARTS, compact.split("."), strict=True))


def _parse(sealed: str) -> jwe.JWE:
    """The JWE, which asks for what can be given; raises ValueError."""
    if not sealed.startswith("{") and sealed.count(".") != 4:  # RFC 7516 §7.1
        raise ValueError("the encrypted key is not a compact JWE of five parts")
    token = jwe.JWE(algs=[_ALG, _ENC])
    try:
        token.deserialize(sealed)
        header = token.jose_header
    except (JWException, ValueError, TypeError, AttributeError, KeyError) as error:
        raise ValueError("the encrypted key is damaged") from error
    if not isinstance(header, dict):
        raise ValueError("the encrypted key must be for one password, not for several recipients")
    if (header.get("alg"), header.get("enc")) != (_ALG, _ENC):
        raise ValueError(f"the encrypted key must use {_ALG} and {_ENC}")
    if "crit" in header or "zip" in header:
        raise ValueError("the encrypted key asks for an extension that is not understood")
    rounds, salt = header.get("p2c"), header.get("p2s")
    if type(rounds) is not int or not 1 <= rounds <= MAX_ROUNDS:
        raise ValueError(f"the encrypted key must ask for at most {MAX_ROUNDS} rounds of PBKDF2, in p2c")
    if not isinstance(salt, str) or len(salt) < 11:  # RFC 7518 §4.8.1.1: eight octets, in base64url
        raise ValueError("the encrypted key must have a salt of at least 8 octets, in p2s")
    return token


def _key(password: bytes) -> jwk.JWK:
    return jwk.JWK(kty="oct", k=base64url_encode(password))
