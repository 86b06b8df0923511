"""A signature verifies by an algorithm of the key that made it, and by nothing else; PyJWT makes the signatures."""

import jwt
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec

from mica import jwa
from mica.testing.algorithms import signing_key
from mica.tokens import decode_base64url

ALL = ("ES256", "ES384", "ES512", "EdDSA", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512")


@pytest.mark.parametrize("alg", ALL)
def test_a_key_verifies_by_its_own_algorithms_and_by_the_one_that_was_chosen(alg: str) -> None:
    key = signing_key(alg)
    message, _, end = jwt.encode({"sub": "svc.example"}, key, alg).rpartition(".")
    signature = decode_base64url(end)
    for other in ALL:
        if other not in jwa.algorithms(key.public_key()):
            with pytest.raises(ValueError, match="no algorithm of this key"):
                jwa.verifier(key.public_key(), other)
            continue
        verify = jwa.verifier(key.public_key(), other)
        if other == alg:
            verify(signature, message.encode())
        for wrong in (signature[:-1], signature + b"\0", b"", bytes(len(signature))):
            with pytest.raises(InvalidSignature):
                verify(wrong, message.encode())
        with pytest.raises(InvalidSignature):
            verify(signature, message.encode() + (b"." if other == alg else b""))


@pytest.mark.parametrize("alg", ["none", "HS256", "ES256K", "RS1", ""])
def test_there_are_no_other_algorithms(alg: str) -> None:
    for key in map(signing_key, ("ES256", "EdDSA", "RS256")):
        with pytest.raises(ValueError, match="no algorithm"):
            jwa.verifier(key.public_key(), alg)


def test_a_key_on_another_curve_has_none() -> None:
    assert jwa.algorithms(ec.generate_private_key(ec.SECP256K1()).public_key()) == ()
