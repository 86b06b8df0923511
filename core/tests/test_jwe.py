"""An encrypted JWK is what another JOSE library reads and writes, and nothing else is decrypted."""

import json

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap
from hypothesis import given, settings
from hypothesis import strategies as st
from jwcrypto import jwe as jwcrypto_jwe
from jwcrypto import jwk as jwcrypto_jwk

from mica.jwe import ROUNDS, WrongPassword, decrypt_jwk, encrypt_jwk, expand
from mica.jwk import decode, encode

JWK = {"kty": "EC", "crv": "P-256", "d": "AA", "x": "AA", "y": "AA"}
PASSWORD = "correct horse ☃".encode()


@pytest.fixture(scope="module")
def ours() -> str:
    return encrypt_jwk(JWK, PASSWORD)


def opened_by_hand(compact: str) -> object:
    """The JWK in ``compact``, opened with pyca's primitives alone, as RFC 7518 §4.8 and §5.3 describe it."""
    protected, *rest = compact.split(".")
    header = json.loads(decode(protected))
    wrapped, nonce, ciphertext, tag = map(decode, rest)
    salt = b"PBES2-HS256+A128KW\x00" + decode(header["p2s"])
    kek = PBKDF2HMAC(hashes.SHA256(), length=16, salt=salt, iterations=header["p2c"]).derive(PASSWORD)
    content_key = aes_key_unwrap(kek, wrapped)
    return json.loads(AESGCM(content_key).decrypt(nonce, ciphertext + tag, protected.encode()))


def theirs(rounds: object = 1000, *, enc: str = "A256GCM", alg: str = "PBES2-HS256+A128KW", **more: object) -> str:
    header = {"alg": alg, "enc": enc, "p2c": rounds, "p2s": encode(bytes(16)), **more}
    made = jwcrypto_jwe.JWE(json.dumps(JWK).encode(), json.dumps(header))
    made.add_recipient(jwcrypto_jwk.JWK.from_password(PASSWORD.decode()))
    return str(made.serialize(compact=True))


def test_what_is_encrypted_here_is_opened_by_hand(ours: str) -> None:
    assert opened_by_hand(ours) == JWK


def test_the_header_is_the_one_that_step_writes(ours: str) -> None:
    header = json.loads(decode(ours.partition(".")[0]))
    assert len(decode(header.pop("p2s"))) == 16
    assert header == {"alg": "PBES2-HS256+A128KW", "cty": "jwk+json", "enc": "A256GCM", "p2c": 600_000}
    assert ROUNDS == 600_000


def test_what_is_encrypted_elsewhere_is_decrypted_here() -> None:
    assert decrypt_jwk(theirs(100_000), PASSWORD) == JWK


def test_two_encryptions_share_nothing(ours: str) -> None:
    parts = zip(ours.split("."), encrypt_jwk(JWK, PASSWORD).split("."), strict=True)
    assert all(one != other for one, other in parts)


def test_a_wrong_password_and_a_damaged_key_do_not_open(ours: str) -> None:
    head, _, tag = ours.rpartition(".")
    damaged = f"{head}.{encode(bytes([decode(tag)[0] ^ 1]) + decode(tag)[1:])}"
    for sealed, password in ((ours, b"wrong"), (damaged, PASSWORD)):
        with pytest.raises(WrongPassword):
            decrypt_jwk(sealed, password)


def test_an_empty_password_is_refused() -> None:
    with pytest.raises(ValueError, match="must not be empty"):
        encrypt_jwk(JWK, b"")


@pytest.mark.parametrize("rounds", [1_000_001, 2**63, 0, -1, "1000", 1000.0, True, None])
def test_rounds_that_would_keep_the_processor_busy_are_refused(rounds: object) -> None:
    _, *rest = theirs().split(".")
    header = {"alg": "PBES2-HS256+A128KW", "enc": "A256GCM", "p2c": rounds, "p2s": encode(bytes(16))}
    with pytest.raises(ValueError, match="p2c"):
        decrypt_jwk(".".join((encode(json.dumps(header).encode()), *rest)), PASSWORD)


@pytest.mark.parametrize(
    "change",
    [{"alg": "dir"}, {"alg": "PBES2-HS512+A256KW"}, {"enc": "A128CBC-HS256"}, {"zip": "DEF"}, {"crit": ["exp"]},
     {"p2s": "AA"}, {"p2s": None}, {"p2s": 1}],
)  # fmt: skip
def test_anything_but_what_step_writes_is_refused(change: dict[str, object]) -> None:
    _, *rest = theirs().split(".")
    header = {"alg": "PBES2-HS256+A128KW", "enc": "A256GCM", "p2c": 1000, "p2s": encode(bytes(16)), **change}
    with pytest.raises(ValueError, match="the encrypted key"):
        decrypt_jwk(".".join((encode(json.dumps(header).encode()), *rest)), PASSWORD)


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.text(), st.from_regex(r"([A-Za-z0-9_-]{0,80}\.){4}[A-Za-z0-9_-]{0,80}")))
def test_arbitrary_text_is_no_encrypted_key(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        decrypt_jwk(text, PASSWORD)


def test_the_json_form_is_read_by_another_library_and_both_forms_are_one_token(ours: str) -> None:
    opened = jwcrypto_jwe.JWE()
    opened.deserialize(json.dumps(expand(ours)))
    opened.decrypt(jwcrypto_jwk.JWK.from_password(PASSWORD.decode()))
    assert json.loads(opened.payload) == JWK
    assert decrypt_jwk(json.dumps(expand(ours)), PASSWORD) == JWK


@pytest.mark.parametrize("lacking", ["protected", "encrypted_key", "iv", "ciphertext", "tag"])
def test_json_that_lacks_a_part_is_no_encrypted_key(ours: str, lacking: str) -> None:
    for value in (None, 1, "", "!"):
        with pytest.raises((ValueError, WrongPassword)):
            decrypt_jwk(json.dumps({**expand(ours), lacking: value}), PASSWORD)


def test_what_another_library_writes_as_json_is_decrypted_for_one_recipient_only() -> None:
    made = jwcrypto_jwe.JWE(json.dumps(JWK).encode(), json.dumps({"enc": "A256GCM"}))
    for _ in range(2):
        made.add_recipient(
            jwcrypto_jwk.JWK.from_password(PASSWORD.decode()),
            json.dumps({"alg": "PBES2-HS256+A128KW", "p2c": 1000}),
        )
        if len(made.objects.get("recipients", ())) < 2:
            assert decrypt_jwk(made.serialize(), PASSWORD) == JWK
    with pytest.raises(ValueError, match="for one password"):
        decrypt_jwk(made.serialize(), PASSWORD)
