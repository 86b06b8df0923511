"""The table of a new provisioner holds a key that other libraries agree with, however the key came."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519
from jwcrypto import jwe as jwcrypto_jwe
from jwcrypto import jwk as jwcrypto_jwk

from mica.client import KeyProblem, TableMaker
from mica.jwe import decrypt_jwk, encrypt_jwk
from mica.testing.contexts import Clock, make_context
from mica_jwk.client import JWKTokenSource
from mica_jwk.provisioner import JWKConfig, JWKProvisioner

PASSWORD = b"correct horse"


@dataclass
class Desk:
    """A desk with one password on it."""

    password: bytes = PASSWORD
    asked: list[str] = field(default_factory=list)

    def read(self, path: Path) -> bytes:
        return path.read_bytes()

    def passwords(self, label: str) -> Iterator[bytes]:
        self.asked.append(label)
        yield self.password

    def new_password(self, label: str, flag: str) -> bytes:
        self.asked.append(flag)
        return self.password


def make(options: dict[str, Any], desk: Desk | None = None) -> dict[str, Any]:
    table = dict(JWKTokenSource().table("admin", options, desk or Desk()))
    sealed = {"encrypted_key": table["encrypted_key"]} if table["encrypted_key"] else {}
    JWKProvisioner(JWKConfig(name="admin", key=table["key"], **sealed), make_context(Clock()))  # the server takes it
    return table


def openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


@pytest.fixture
def pem(tmp_path: Path) -> Path:
    """An EC key in PEM; its public half lies beside it."""
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", f"{tmp_path}/ec.pem")
    openssl("pkey", "-in", f"{tmp_path}/ec.pem", "-pubout", "-out", f"{tmp_path}/ec.pub")
    return tmp_path / "ec.pem"


def of_library(pem: Path) -> jwcrypto_jwk.JWK:
    return jwcrypto_jwk.JWK.from_pem(pem.read_bytes())


def test_the_token_source_can_make_tables() -> None:
    source = JWKTokenSource()
    assert isinstance(source, TableMaker)
    assert {option.key for option in source.options} == {"create", "public_key", "private_key"}


def test_a_created_key_pair_is_one_that_another_library_opens() -> None:
    desk = Desk()
    table = make({"create": True}, desk)
    sealed = jwcrypto_jwe.JWE()
    sealed.deserialize(table["encrypted_key"], jwcrypto_jwk.JWK.from_password(PASSWORD.decode()))
    key = jwcrypto_jwk.JWK.from_json(sealed.payload.decode())
    assert desk.asked == ["--password-file"]
    assert key.export_public(as_dict=True) == table["key"]
    assert table["key"]["kid"] == key.thumbprint()
    assert (table["key"]["use"], table["key"]["alg"], table["key"]["crv"]) == ("sig", "ES256", "P-256")
    header = json.loads(sealed.objects["protected"])
    assert (header["alg"], header["enc"]) == ("PBES2-HS256+A128KW", "A256GCM")
    assert (header["cty"], header["p2c"], len(header["p2s"])) == ("jwk+json", 600_000, 22)


def test_two_created_key_pairs_differ() -> None:
    assert make({"create": True})["key"]["kid"] != make({"create": True})["key"]["kid"]


def test_a_public_key_in_pem_stands_alone(pem: Path) -> None:
    table = make({"public_key": pem.with_suffix(".pub")})
    assert table["encrypted_key"] is None
    assert table["key"]["kid"] == of_library(pem).thumbprint()


def test_a_public_jwk_keeps_its_name_and_its_algorithm(tmp_path: Path) -> None:
    key = jwcrypto_jwk.JWK.generate(kty="RSA", size=2048, kid="ours", alg="PS512", use="sig")
    file, secret = tmp_path / "pub.json", tmp_path / "key.json"
    file.write_text(key.export_public())
    secret.write_text(key.export_private())
    assert make({"public_key": file})["key"] == key.export_public(as_dict=True)
    table = make({"public_key": file, "private_key": secret})
    assert table["key"] == key.export_public(as_dict=True)
    assert decrypt_jwk(table["encrypted_key"], PASSWORD)["kid"] == "ours"


def test_of_a_private_jwk_only_the_public_half_is_listed(tmp_path: Path) -> None:
    file = tmp_path / "key.json"
    file.write_text(jwcrypto_jwk.JWK.generate(kty="EC", crv="P-384").export_private())
    assert "d" not in make({"public_key": file})["key"]
    assert "d" not in make({"private_key": file})["key"]


@pytest.mark.parametrize(
    ("key", "alg"),
    [
        (ec.generate_private_key(ec.SECP521R1()), "ES512"),
        (rsa.generate_private_key(65537, 2048), "RS256"),
        (ed25519.Ed25519PrivateKey.generate(), "EdDSA"),
    ],
    ids=["P-521", "RSA", "Ed25519"],
)
def test_every_type_of_key_is_taken_from_pem(key: Any, alg: str, tmp_path: Path) -> None:
    private, public = tmp_path / "key.pem", tmp_path / "pub.pem"
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    public.write_bytes(
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    table = make({"private_key": private, "public_key": public})
    assert table["key"]["alg"] == alg
    assert table["key"]["kid"] == of_library(private).thumbprint()
    assert jwcrypto_jwk.JWK(**decrypt_jwk(table["encrypted_key"], PASSWORD)).has_private


def test_an_encrypted_key_is_kept_under_the_password_that_opens_it(pem: Path) -> None:
    sealed = pem.with_name("sealed.pem")
    openssl("pkey", "-in", str(pem), "-aes256", "-passout", "pass:correct horse", "-out", str(sealed))
    desk = Desk()
    table = make({"private_key": sealed}, desk)
    assert "--password-file" not in desk.asked
    assert decrypt_jwk(table["encrypted_key"], PASSWORD)["kid"] == of_library(pem).thumbprint()


def test_an_encrypted_jwk_is_taken_and_the_wrong_password_is_told(tmp_path: Path) -> None:
    file = tmp_path / "key.jwe"
    key = jwcrypto_jwk.JWK.generate(kty="EC", crv="P-256")
    file.write_text(encrypt_jwk(key.export_private(as_dict=True), PASSWORD))
    assert make({"private_key": file})["key"]["kid"] == key.thumbprint()
    with pytest.raises(KeyProblem, match="does not decrypt"):
        make({"private_key": file}, Desk(password=b"wrong"))


@pytest.mark.parametrize("options", [{}, {"create": True, "public_key": Path("x")}, {"create": False}])
def test_options_that_do_not_fit_together_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="--create"):
        make(options)


def test_the_two_files_must_be_one_pair(pem: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text(jwcrypto_jwk.JWK.generate(kty="EC", crv="P-256").export_public())
    with pytest.raises(KeyProblem, match="is not the private key of"):
        make({"private_key": pem, "public_key": other})


X25519 = x25519.X25519PrivateKey.generate().public_key()
SECP256K1 = ec.generate_private_key(ec.SECP256K1()).public_key()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b'{"kty": "oct", "k": "AA"}',
        b'{"kty": []}',
        b'{"kty": "EC", "crv": "P-256", "x": "AA"}',
        b"[" * 100_000,
        b"\xff\xfe",
        b"-----BEGIN PUBLIC KEY-----\nAA\n-----END PUBLIC KEY-----\n",
        b"-----BEGIN EC PRIVATE KEY-----\n-----END EC PRIVATE KEY-----\n",
        *(
            key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
            for key in (X25519, SECP256K1)
        ),
    ],
)
def test_what_is_no_public_key_is_refused_in_words(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "pub"
    file.write_bytes(content)
    with pytest.raises(KeyProblem, match=f"{file}: is not a public key: ") as refusal:
        make({"public_key": file})
    assert "JWK" in refusal.value.hint
