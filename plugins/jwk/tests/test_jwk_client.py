"""The token source makes tokens that the provisioner and other libraries accept, with keys however they are kept."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwcrypto import jwk as jwcrypto_jwk

from mica import Operation, RevokeKeyId, SignSSH, SignX509, keyfiles
from mica.client import KeyProblem, TokenOrder
from mica.client.jws import PrivateKey
from mica.jwe import encrypt_jwk
from mica.jwk import dump, load
from mica.sshcert import CertType
from mica.testing.contexts import URL, Clock, make_context
from mica.testing.provisioners import verdict
from mica_jwk.client import JWKTokenSource, new_key, public_key
from mica_jwk.provisioner import JWKConfig, JWKProvisioner

PASSWORD = b"correct horse"
NOW = datetime(2031, 3, 14, 9, 26, 53, tzinfo=UTC)
ORDER = TokenOrder(
    operation=Operation.X509_SIGN,
    subject="svc.example",
    sans=("svc.example", "10.0.0.1"),
    audience=f"{URL}/1.0/sign",
    root_fingerprint="ab" * 32,
    issued_at=NOW,
    not_before=NOW,
    not_after=NOW + timedelta(minutes=5),
    confirmation=bytes(range(32)),
)


@dataclass
class Desk:
    """A desk with the given passwords on it; remembers what it was asked for."""

    key_file: Path | None = None
    certificate_file: Path | None = None
    kept: str = ""
    given: list[bytes] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def read(self, path: Path) -> bytes:
        return path.read_bytes()

    def encrypted_key(self, kid: str) -> str:
        self.asked.append(kid)
        return self.kept

    def passwords(self, label: str) -> Iterator[bytes]:
        self.asked.append(label)
        yield from self.given


def listed(jwk: dict[str, str]) -> dict[str, Any]:
    return {"type": "JWK", "name": "admin", "key": public_key(jwk), "encryptedKey": "not.the.one.to.use"}


def verified(raw: str, key: Any, alg: str) -> dict[str, Any]:
    """The claims of a token whose signature another library has verified; its time is not now."""
    claims: dict[str, Any] = jwt.decode(
        raw,
        key,
        [alg],
        audience=ORDER.audience,
        options={"verify_exp": False, "verify_nbf": False, "verify_iat": False},
    )
    return claims


@pytest.fixture(scope="module")
def jwk() -> dict[str, str]:
    return new_key()


@pytest.fixture(scope="module")
def jwe(jwk: dict[str, str]) -> str:
    return encrypt_jwk(jwk, PASSWORD)


async def test_the_key_that_the_ca_keeps_makes_tokens_that_the_ca_accepts(jwk: dict[str, str], jwe: str) -> None:
    desk = Desk(kept=jwe, given=[PASSWORD])
    raw = JWKTokenSource().token(ORDER, listed(jwk), desk)
    provisioner = JWKProvisioner(JWKConfig(name="admin", key=public_key(jwk)), make_context(Clock(NOW)))
    (permit,) = (await verdict(provisioner, raw, Operation.X509_SIGN)).permits
    assert isinstance(permit, SignX509)
    assert permit.confirmation == ORDER.confirmation
    assert desk.asked[0] == jwk["kid"]


def test_a_token_says_what_steps_would_say_in_alphabetical_order(jwk: dict[str, str], jwe: str) -> None:
    raw = JWKTokenSource().token(ORDER, listed(jwk), Desk(kept=jwe, given=[PASSWORD]))
    public = jwcrypto_jwk.JWK(**public_key(jwk)).export_to_pem().decode()
    claims = verified(raw, public, "ES256")
    assert jwt.get_unverified_header(raw) == {"alg": "ES256", "kid": jwk["kid"], "typ": "JWT"}
    assert list(claims) == sorted(claims)
    assert len(bytes.fromhex(claims.pop("jti"))) == 32
    moment = int(NOW.timestamp())
    assert claims == {
        "aud": f"{URL}/1.0/sign",
        "cnf": {"x5rt#S256": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"},
        "exp": moment + 300,
        "iat": moment,
        "iss": "admin",
        "nbf": moment,
        "sans": ["svc.example", "10.0.0.1"],
        "sha": "ab" * 32,
        "sub": "svc.example",
    }


def test_a_token_has_no_claim_that_was_not_ordered(jwk: dict[str, str], jwe: str) -> None:
    order = replace(ORDER, sans=(), root_fingerprint="", confirmation=None, extra={"user": {"team": "harbour"}})
    raw = JWKTokenSource().token(order, listed(jwk), Desk(kept=jwe, given=[PASSWORD]))
    claims = jwt.decode(raw, options={"verify_signature": False})
    assert claims.keys() == {"aud", "exp", "iat", "iss", "jti", "nbf", "sub", "user"}


@pytest.mark.parametrize("operation", [Operation.SSH_SIGN, Operation.SSH_REVOKE])
async def test_an_order_for_ssh_is_passed_on_and_has_no_names_of_x509(
    jwk: dict[str, str], jwe: str, operation: Operation
) -> None:
    ssh = {"certType": "host", "keyID": "web.example", "principals": ["web.example"], "validBefore": "48h0m0s"}
    order = TokenOrder(
        operation=operation,
        subject="web.example",
        audience=f"{URL}/1.0/ssh/{operation.removeprefix('ssh-')}",
        issued_at=NOW,
        not_before=NOW,
        not_after=NOW + timedelta(minutes=5),
        extra={"step": {"ssh": ssh}},
    )
    raw = JWKTokenSource().token(order, listed(jwk), Desk(kept=jwe, given=[PASSWORD]))
    claims = jwt.decode(raw, options={"verify_signature": False})
    assert claims["step"] == {"ssh": ssh}
    assert claims.keys() == {"aud", "exp", "iat", "iss", "jti", "nbf", "step", "sub"}
    provisioner = JWKProvisioner(JWKConfig(name="admin", key=public_key(jwk)), make_context(Clock(NOW)))
    (permit,) = (await verdict(provisioner, raw, operation)).permits
    if operation is Operation.SSH_REVOKE:
        assert permit == RevokeKeyId(key_id="web.example")
    else:
        assert isinstance(permit, SignSSH)
        assert (permit.cert_type, permit.key_id, permit.valid_before) == (
            CertType.HOST,
            "web.example",
            timedelta(days=2),
        )


def test_no_two_tokens_are_the_same(jwk: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "key.json"
    file.write_text(json.dumps(jwk))
    tokens = {JWKTokenSource().token(ORDER, listed(jwk), Desk(key_file=file)) for _ in range(10)}
    assert len({jwt.decode(raw, options={"verify_signature": False})["jti"] for raw in tokens}) == 10


def test_a_wrong_password_may_be_corrected(jwk: dict[str, str], jwe: str) -> None:
    assert JWKTokenSource().token(ORDER, listed(jwk), Desk(kept=jwe, given=[b"wrong", PASSWORD]))


def test_wrong_passwords_are_said_to_be_wrong(jwk: dict[str, str], jwe: str) -> None:
    with pytest.raises(KeyProblem, match="the password does not decrypt the key of the provisioner admin") as caught:
        JWKTokenSource().token(ORDER, listed(jwk), Desk(kept=jwe, given=[b"wrong", b"wronger"]))
    assert "wrong" not in str(caught.value).replace("wrongly", "")


@pytest.mark.parametrize("kept", ["", "no jwe", "a.b.c.d.e", "....", '{"ciphertext": 1}', "é.é.é.é.é"])
def test_what_is_no_key_at_all_is_reported(jwk: dict[str, str], kept: str) -> None:
    with pytest.raises(KeyProblem, match="cannot be used"):
        JWKTokenSource().token(ORDER, listed(jwk), Desk(kept=kept, given=[PASSWORD]))


def test_another_key_than_the_provisioners_is_noticed_before_the_ca_is_asked(
    jwk: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "key.json"
    file.write_text(json.dumps(new_key()))
    with pytest.raises(KeyProblem, match=r"key\.json is not the key of the provisioner admin"):
        JWKTokenSource().token(ORDER, listed(jwk), Desk(key_file=file))


KEYS: list[tuple[PrivateKey, str]] = [
    (ec.generate_private_key(ec.SECP256R1()), "ES256"),
    (ec.generate_private_key(ec.SECP384R1()), "ES384"),
    (ec.generate_private_key(ec.SECP521R1()), "ES512"),
    (rsa.generate_private_key(65537, 2048), "RS256"),
    (ed25519.Ed25519PrivateKey.generate(), "EdDSA"),
]


@pytest.mark.parametrize(("key", "alg"), KEYS)
def test_every_kind_of_key_signs_and_another_library_verifies(key: PrivateKey, alg: str, tmp_path: Path) -> None:
    file = tmp_path / "key.json"
    file.write_text(json.dumps(dump(key)))
    raw = JWKTokenSource().token(ORDER, {"type": "JWK", "name": "admin"}, Desk(key_file=file))
    assert jwt.get_unverified_header(raw)["kid"] == dump(key)["kid"]
    assert verified(raw, key.public_key(), alg)["sub"] == "svc.example"


def test_an_rsa_provisioner_may_want_another_algorithm(tmp_path: Path) -> None:
    key = KEYS[3][0]
    file = tmp_path / "key.json"
    file.write_text(json.dumps(dump(key)))
    entry = {"name": "admin", "key": {**public_key(dump(key)), "alg": "PS512"}}
    raw = JWKTokenSource().token(ORDER, entry, Desk(key_file=file))
    assert verified(raw, key.public_key(), "PS512")


@pytest.mark.parametrize("key", [key for key, _ in KEYS])
def test_keys_written_as_jwk_are_read_by_another_library_and_back(key: PrivateKey) -> None:
    theirs = jwcrypto_jwk.JWK(**dump(key))
    assert theirs.thumbprint() == dump(key)["kid"]
    back = load(json.loads(theirs.export_private()))
    assert back.public_key() == key.public_key()


def test_an_rsa_key_without_its_factors_is_read() -> None:
    members = {name: value for name, value in dump(KEYS[3][0]).items() if name in ("kty", "n", "e", "d")}
    assert load(members).public_key() == KEYS[3][0].public_key()


@pytest.mark.parametrize(
    "members",
    [{}, {"kty": "EC"}, {"kty": "oct", "k": "AA"}, {"kty": "EC", "crv": "P-256", "d": 1},
     {"kty": "OKP", "crv": "X25519"}, {"kty": "EC", "crv": "P-256", "d": ""},
     {"kty": "RSA", "n": "AQ", "e": "AQ", "d": "AQ"}, {"kty": []},
     {"kty": "OKP", "crv": "Ed25519", "d": "A" * 43, "x": "A" * 43}],
)  # fmt: skip
def test_what_is_no_private_key_is_refused(members: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        load(members)


def _files(private: dict[str, str], jwe: str) -> dict[str, bytes]:
    key = load(private)
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    parts = dict(zip(("protected", "encrypted_key", "iv", "ciphertext", "tag"), jwe.split("."), strict=True))
    return {
        "plain JWK": json.dumps(private).encode(),
        "encrypted JWK, compact": jwe.encode() + b"\n",
        "encrypted JWK, JSON": json.dumps(parts).encode(),
        "PEM": key.private_bytes(pem, pkcs8, serialization.NoEncryption()),
        "DER": key.private_bytes(serialization.Encoding.DER, pkcs8, serialization.NoEncryption()),
        "encrypted DER": keyfiles.dump_private_key_der(key, PASSWORD),
        "encrypted OpenSSH": key.private_bytes(
            pem, serialization.PrivateFormat.OpenSSH, serialization.BestAvailableEncryption(PASSWORD)
        ),
        "encrypted PEM": key.private_bytes(pem, pkcs8, serialization.BestAvailableEncryption(PASSWORD)),
    }


def test_the_key_may_be_a_file_of_any_usual_form(jwk: dict[str, str], jwe: str, tmp_path: Path) -> None:
    for name, data in _files(jwk, jwe).items():
        file = tmp_path / "key"
        file.write_bytes(data)
        desk = Desk(key_file=file, given=[PASSWORD])
        assert JWKTokenSource().token(ORDER, listed(jwk), desk), name
        assert bool(desk.asked) == ("encrypted" in name)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"nonsense", b"{}", b"[]", b"null", b"\xff\xfe", b"a.b.c.d.e",
        b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----",
    ],
)  # fmt: skip
def test_a_file_that_is_no_key_is_reported_by_its_name(jwk: dict[str, str], data: bytes, tmp_path: Path) -> None:
    file = tmp_path / "thing"
    file.write_bytes(data)
    with pytest.raises(KeyProblem, match="thing"):
        JWKTokenSource().token(ORDER, listed(jwk), Desk(key_file=file, given=[PASSWORD]))


def test_the_client_side_imports_nothing_of_the_server() -> None:
    code = (
        "import sys, mica_jwk.client; "
        "server = ('pluggy', 'asyncio', 'starlette', 'cattrs', 'jwt', 'jwcrypto', 'mica.hookspecs', 'mica.roles', "
        "'mica_jwk.plugin', 'mica_jwk.provisioner'); "
        "print([name for name in server if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
