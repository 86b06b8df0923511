"""A key in the configuration is understood, or every mistake in it is named; a secret in it is never shown."""

import json

import jwt
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given, settings
from hypothesis import strategies as st
from jwcrypto import jwk as jwcrypto_jwk

from mica import ConfigError
from mica.client.jws import PrivateKey, sign
from mica.jwk import public, thumbprint
from mica.keyfiles import generate
from mica.testing.contexts import Clock, make_context
from mica_jwk.keys import VerificationKey
from mica_jwk.provisioner import JWKConfig, JWKProvisioner


def new(kty: str, **options: object) -> dict[str, str]:
    key = jwcrypto_jwk.JWK.generate(kty=kty, **options)
    members: dict[str, str] = key.export_public(as_dict=True)
    return {**members, "kid": key.thumbprint()}


EC, RSA, OKP = new("EC", crv="P-256"), new("RSA", size=2048), new("OKP", crv="Ed25519")

SIGNERS: list[tuple[str, PrivateKey]] = [
    ("ES256", generate("EC-P256")),
    ("ES384", generate("EC-P384")),
    ("ES512", generate("EC-P521")),
    ("EdDSA", generate("Ed25519")),
    *((alg, generate("RSA-2048")) for alg in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")),
]


def faults(jwk: dict[str, str]) -> str:
    with pytest.raises(ConfigError) as caught:
        VerificationKey.parse(jwk)
    return "\n".join(caught.value.faults)


@pytest.mark.parametrize(("jwk", "alg"), [(EC, "ES256"), (RSA, "RS256"), (OKP, "EdDSA")])
def test_the_algorithm_follows_from_the_key(jwk: dict[str, str], alg: str) -> None:
    assert VerificationKey.parse(jwk).alg == alg


@pytest.mark.parametrize(
    ("jwk", "fault"),
    [
        ({}, "key.kty: must be one of EC, RSA, OKP, not ''"),
        ({**EC, "kty": "oct"}, "key.kty: must be one of EC, RSA, OKP, not 'oct'"),
        ({**EC, "kty": "ec"}, "key.kty"),
        ({**EC, "crv": "P-192"}, "key.crv: must be one of P-256, P-384, P-521, not 'P-192'"),
        ({**EC, "crv": "secp256k1"}, "key.crv"),
        ({**EC, "crv": "P-384"}, "key: x: must be 48 octets, these are 32"),
        ({**OKP, "crv": "X25519"}, "key.crv: must be Ed25519"),
        ({**EC, "x": ""}, "key.x: is missing"),
        ({k: v for k, v in EC.items() if k != "y"}, "key.y: is missing"),
        ({k: v for k, v in RSA.items() if k != "n"}, "key.n: is missing"),
        ({**EC, "x": EC["y"]}, "key: x and y are not a point of P-256"),
        ({**EC, "x": "***"}, "key: x: not base64url"),
        ({**EC, "x": "A" * 43}, "key: x and y are not a point"),
        ({**EC, "kid": ""}, "key.kid: is missing"),
        ({**EC, "use": "enc"}, "key.use: must be \"sig\", not 'enc'"),
        ({**EC, "alg": "ES384"}, "key.alg: must be one of ES256 for this key, not 'ES384'"),
        ({**EC, "alg": "HS256"}, "key.alg"),
        ({**EC, "alg": "none"}, "key.alg"),
        ({**RSA, "alg": "ES256"}, "key.alg: must be one of RS256, RS384, RS512, PS256, PS384, PS512"),
        ({**RSA, "e": "Aw"}, "key: e: the RSA exponent must be odd and at least 65537"),
        ({**RSA, "e": "AQAC"}, "key: e: the RSA exponent"),
        ({**EC, "klm": "x"}, "key.klm: extra field; known for EC: kty, crv, x, y, use, alg, kid"),
        ({**OKP, "x": OKP["x"] + "A"}, "key: x"),
    ],
)
def test_every_mistake_is_named_by_its_member(jwk: dict[str, str], fault: str) -> None:
    assert fault in faults(jwk)


def test_all_mistakes_are_reported_at_once() -> None:
    text = faults({**EC, "y": "", "kid": "", "use": "enc", "klm": "1"})
    assert all(f"key.{member}: " in text for member in ("y", "kid", "use", "klm"))


def test_a_short_rsa_key_is_refused() -> None:
    numbers = rsa.generate_private_key(65537, 1024).public_key()
    pem = numbers.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    jwk = jwcrypto_jwk.JWK.from_pem(pem).export_public(as_dict=True)
    assert "key: n: RSA keys must have at least 2048 bits, this one has 1024" in faults({**jwk, "kid": "a"})


@pytest.mark.parametrize(
    ("kty", "options"), [("EC", {"crv": "P-256"}), ("RSA", {"size": 2048}), ("oct", {"size": 256})]
)
def test_a_private_key_is_refused_loudly_and_never_shown(kty: str, options: dict[str, object]) -> None:
    private = json.loads(jwcrypto_jwk.JWK.generate(kty=kty, **options).export())
    text = faults({**private, "kid": "a"})
    secret = private["k" if kty == "oct" else "d"]
    assert "this is the private key" in text
    assert secret not in text


def test_a_key_id_need_not_be_the_thumbprint() -> None:
    assert VerificationKey.parse({**EC, "kid": "admin-2031"}).kid == "admin-2031"


def test_the_provisioner_reports_its_own_mistakes_with_those_of_the_key() -> None:
    with pytest.raises(ConfigError) as caught:
        JWKProvisioner(JWKConfig(name="", key={**EC, "kid": ""}, encrypted_key="secret"), make_context(Clock()))
    text = str(caught.value)
    assert all(part in text for part in ("name: ", "encrypted_key: ", "key.kid: "))
    assert "secret" not in text


@pytest.mark.parametrize("jwk", [EC, RSA, OKP])
def test_thumbprints_are_those_of_another_library(jwk: dict[str, str]) -> None:
    assert thumbprint(jwk) == jwk["kid"]


def test_the_thumbprint_is_that_of_rfc_7638() -> None:
    n = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3okn"
        "jhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qM"
        "QvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJz"
        "KnqDKgw"
    )
    jwk = {"kty": "RSA", "n": n, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"}
    assert thumbprint(jwk) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


def test_the_public_half_has_no_secret() -> None:
    private = json.loads(jwcrypto_jwk.JWK.generate(kty="EC", crv="P-256").export())
    assert set(public(private)) == {"kty", "crv", "x", "y"}


@pytest.mark.parametrize("length", [0, 1, 32, 63, 65, 72, 96])
def test_signatures_of_another_length_are_none(length: int) -> None:
    with pytest.raises(InvalidSignature):
        VerificationKey.parse(EC).verify(b"\x01" * length, b"message")


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_signatures_are_judged_as_pyjwt_judges_them(data: st.DataObject) -> None:
    alg, key = data.draw(st.sampled_from(SIGNERS))
    message = data.draw(st.binary(max_size=50))
    signature = bytearray(sign(key, alg, message))
    for place in data.draw(st.lists(st.integers(0, len(signature) - 1), max_size=2)):
        signature[place] = data.draw(st.integers(0, 255))
    candidate = bytes(signature[: data.draw(st.sampled_from([len(signature), len(signature) - 1]))])
    pem = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    jwk = {**jwcrypto_jwk.JWK.from_pem(pem).export_public(as_dict=True), "kid": "a", "alg": alg}
    theirs = jwt.get_algorithm_by_name(alg).verify(message, key.public_key(), candidate)
    try:
        VerificationKey.parse(jwk).verify(candidate, message)
        ours = True
    except InvalidSignature:
        ours = False
    assert ours is theirs
