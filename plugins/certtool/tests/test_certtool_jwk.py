"""``crypto jwk``: jwcrypto reads what is made here and the reverse, and agrees about the thumbprints."""

import json
import os
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jwcrypto import jwa
from jwcrypto import jwe as jwcrypto_jwe
from jwcrypto import jwk as jwcrypto_jwk

Run = Callable[..., subprocess.CompletedProcess[str]]
OpenSSL = Callable[..., str]
BARE = ("--no-password", "--insecure")


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A password; and jwcrypto, which would refuse what step has written for years."""
    monkeypatch.setattr(jwa, "default_max_pbkdf2_iterations", 600_000)
    (tmp_path / "password").write_text("secret\n")


def opened(file: Path, password: str = "secret") -> dict[str, Any]:
    """The JWK in an encrypted file, as jwcrypto opens it."""
    sealed = jwcrypto_jwe.JWE()
    sealed.deserialize(file.read_text(), jwcrypto_jwk.JWK.from_password(password))
    members: dict[str, Any] = json.loads(sealed.payload)
    return members


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([], {"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig"}),
        (["--kty", "EC", "--crv", "P-384"], {"kty": "EC", "crv": "P-384", "alg": "ES384"}),
        (["--type", "EC", "--curve", "P-521"], {"kty": "EC", "crv": "P-521", "alg": "ES512"}),
        (["--kty", "OKP"], {"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA"}),
        (["--kty", "RSA"], {"kty": "RSA", "alg": "RS256"}),
        (["--kty", "RSA", "--alg", "PS512"], {"kty": "RSA", "alg": "PS512"}),
        (["--use", "enc"], {"kty": "EC", "alg": "ECDH-ES", "use": "enc"}),
        (["--kty", "RSA", "--use", "enc"], {"kty": "RSA", "alg": "RSA-OAEP-256", "use": "enc"}),
        (["--alg", "X-OWN", "--subtle"], {"kty": "EC", "alg": "X-OWN"}),
    ],
)
def test_another_library_reads_both_halves(
    mica: Run, tmp_path: Path, flags: list[str], expected: dict[str, str]
) -> None:
    result = mica("crypto", "jwk", "create", "pub", "key", "--password-file", "password", *flags)
    assert (result.returncode, result.stdout) == (0, "")
    public, private = json.loads((tmp_path / "pub").read_text()), opened(tmp_path / "key")
    theirs = jwcrypto_jwk.JWK(**private)
    assert theirs.has_private
    assert not jwcrypto_jwk.JWK(**public).has_private
    assert public == json.loads(theirs.export_public())
    assert public.items() >= expected.items()
    assert public["kid"] == theirs.thumbprint()
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("pub", "key")] == [0o644, 0o600]


def test_the_encrypted_file_has_the_header_and_the_form_that_step_writes(mica: Run, tmp_path: Path) -> None:
    mica("crypto", "jwk", "create", "pub", "key", "--password-file", "password")
    text = (tmp_path / "key").read_text()
    assert list(json.loads(text)) == ["protected", "encrypted_key", "iv", "ciphertext", "tag"]
    assert text.startswith('{\n  "protected": "')
    sealed = jwcrypto_jwe.JWE()
    sealed.deserialize(text)
    header = sealed.jose_header
    assert header.pop("p2s")
    assert header == {"alg": "PBES2-HS256+A128KW", "cty": "jwk+json", "enc": "A256GCM", "p2c": 600_000}


@pytest.mark.parametrize(
    ("flags", "octets", "alg"),
    [
        ([], 32, "HS256"),
        (["--size", "64"], 64, "HS256"),
        (["--alg", "HS512"], 64, "HS512"),
        (["--use", "enc"], 32, "A256GCMKW"),
        (["--use", "enc", "--size", "16"], 16, "A128GCMKW"),
    ],
)
def test_a_symmetric_key_stands_in_both_files_encrypted_and_without_its_digest(
    mica: Run, tmp_path: Path, flags: list[str], octets: int, alg: str
) -> None:
    given = ("--kty", "oct", "--password-file", "password", *flags)
    assert mica("crypto", "jwk", "create", "pub", "key", *given).returncode == 0
    members = opened(tmp_path / "key")
    assert members == opened(tmp_path / "pub")
    assert (members["kty"], members["alg"], "kid" in members) == ("oct", alg, False)
    assert len(jwcrypto_jwk.base64url_decode(members["k"])) == octets


@pytest.mark.parametrize(
    "generate",
    [["EC", "-pkeyopt", "ec_paramgen_curve:P-384"], ["RSA"], ["ED25519"]],
    ids=["EC", "RSA", "Ed25519"],
)
def test_a_key_of_openssl_is_taken_over(mica: Run, openssl: OpenSSL, tmp_path: Path, generate: list[str]) -> None:
    openssl("genpkey", "-algorithm", *generate, "-aes256", "-pass", "file:password", "-out", "pem")
    given = ("--from-pem", "pem", "--pem-password-file", "password", "--kid", "mine", *BARE)
    assert mica("crypto", "jwk", "create", "pub", "key", *given).returncode == 0
    theirs = jwcrypto_jwk.JWK.from_json((tmp_path / "key").read_text())
    assert theirs.export_to_pem().decode() == openssl("pkey", "-in", "pem", "-passin", "file:password", "-pubout")
    assert theirs.has_private
    assert theirs["kid"] == json.loads((tmp_path / "pub").read_text())["kid"] == "mine"


@pytest.mark.parametrize("kind", [{"kty": "EC", "crv": "P-521"}, {"kty": "RSA"}, {"kty": "OKP", "crv": "Ed25519"}])
def test_the_public_half_and_the_thumbprint_are_those_of_another_library(
    mica: Run, tmp_path: Path, kind: dict[str, str]
) -> None:
    theirs = jwcrypto_jwk.JWK.generate(**kind, kid="mine", use="sig")
    for data in (theirs.export_private(), theirs.export_public()):
        assert json.loads(mica("crypto", "jwk", "public", input=data).stdout) == json.loads(theirs.export_public())
        assert mica("crypto", "jwk", "thumbprint", input=data).stdout == theirs.thumbprint() + "\n"
    (tmp_path / "bom").write_bytes(b"\xef\xbb\xbf" + theirs.export_private().encode().replace(b",", b",\r\n"))
    reported = json.loads(mica("crypto", "jwk", "thumbprint", "bom", "--json").stdout)
    assert reported == {"thumbprint": theirs.thumbprint(), "kid": "mine"}


def test_the_thumbprint_of_rfc_7638(mica: Run) -> None:
    example = {  # RFC 7638 §3.1
        "kty": "RSA",
        "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCi"
        "FV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7"
        "d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44"
        "-csFCur-kEgU8awapJzKnqDKgw",
        "e": "AQAB",
        "alg": "RS256",
        "kid": "2011-04-29",
    }
    printed = mica("crypto", "jwk", "thumbprint", input=json.dumps(example)).stdout
    assert printed == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs\n"


def test_the_thumbprint_of_a_symmetric_key_is_that_of_another_library(mica: Run) -> None:
    theirs = jwcrypto_jwk.JWK.generate(kty="oct", size=256)
    assert mica("crypto", "jwk", "thumbprint", input=theirs.export()).stdout == theirs.thumbprint() + "\n"
    result = mica("crypto", "jwk", "public", input=theirs.export())
    assert (result.returncode, result.stdout) == (5, "")
    assert "is a symmetric key, which has no public half" in result.stderr


def test_an_encrypted_key_is_opened_for_its_public_half(mica: Run, tmp_path: Path) -> None:
    mica("crypto", "jwk", "create", "pub", "key", "--password-file", "password")
    shown = mica("crypto", "jwk", "public", "key", "--password-file", "password").stdout
    assert json.loads(shown) == json.loads((tmp_path / "pub").read_text())
    (tmp_path / "other").write_text("other")
    result = mica("crypto", "jwk", "public", "key", "--password-file", "other")
    assert (result.returncode, result.stdout) == (5, "")
    assert "key: the key cannot be decrypted: the password is wrong" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["p"], 2, "missing argument 'PRIV'"),
        (["p", "k", "--no-password"], 2, "flag '--no-password' requires the '--insecure' flag"),
        (["p", "k", "--curve", "P-256", *BARE], 2, "flag '--curve' requires the '--kty' flag"),
        (["p", "k", "--kty", "oct", "--curve", "P-256", *BARE], 2, "'--curve' is incompatible with '--kty oct'"),
        (["p", "k", "--kty", "oct", "--size", "8", *BARE], 2, "invalid value 8 for flag '--size'"),
        (["p", "k", "--kty", "oct", "--size", "16", *BARE], 2, "'--use sig' does not suit a key of the type oct"),
        (["p", "k", "--kty", "oct", "--alg", "HS512", "--size", "32", *BARE], 2, "'--alg HS512' does not suit"),
        (["p", "k", "--kty", "OKP", "--use", "enc", *BARE], 2, "'--use enc' does not suit a key of the type OKP"),
        (["p", "k", "--alg", "RS256", *BARE], 2, "flag '--alg RS256' does not suit a key of the type EC"),
        (["p", "k", "--alg", "ES384", *BARE], 2, "hint: one of ES256; --subtle allows it"),
        (["p", "k", "--alg", "None", "--subtle", *BARE], 2, "invalid value 'none' for flag '--alg'"),
        (["p", "k", "--from-pem", "x", "--kty", "RSA", *BARE], 2, "'--kty' is incompatible with '--from-pem'"),
        (["p", "k", "--from-pem", "none", *BARE], 5, "none: there is no such file"),
        (["p", "k", "--from-pem", "password", *BARE], 5, "password: holds no key that can be read"),
        (["f", "f", *BARE], 2, "f and f are the same file"),
        (["p", "no/k", *BARE], 5, "no/k: there is no directory"),
        (["p", "k"], 6, "there is no terminal to ask on"),
    ],
)
def test_what_is_wrong_is_told_and_nothing_is_written(
    mica: Run, tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    result = mica("crypto", "jwk", "create", *arguments)
    assert (result.returncode, result.stdout) == (code, "")
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert os.listdir(tmp_path) == ["password"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("", "stdin: is empty"),
        ("{}", "stdin: is not a JWK that can be used"),
        ("[]", "stdin: holds no key that can be read"),
        ("{", "stdin: is not JSON"),
        ('{"kty": "EC", "kty": "EC"}', "stdin: is not JSON: error decoding json: an object has the same member twice"),
        ('{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}', "stdin: is not a JWK that can be used"),
        ('{"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"}', "stdin: is not a JWK that can be used"),
        ('{"kty": "oct", "k": ""}', "stdin: is not a JWK that can be used: the key is empty"),
        ('{"keys": []}', "stdin: is a set of keys, not a key"),
        ('{"ciphertext": ""}', "stdin: is not a JWK that can be opened"),
        ('{"kty": ' + "[" * 10_000, "stdin: is not JSON"),
    ],
)
def test_what_is_no_jwk_is_told_in_one_line(mica: Run, tmp_path: Path, data: str, message: str) -> None:
    for command in ("public", "thumbprint"):
        result = mica("crypto", "jwk", command, "--password-file", "password", input=data)
        assert (result.returncode, result.stdout) == (5, "")
        assert message in result.stderr
        assert result.stderr.count("\n") <= 2


def test_json_reports_what_was_made(mica: Run, tmp_path: Path) -> None:
    report = json.loads(mica("crypto", "jwk", "create", "pub", "key", *BARE, "--json").stdout)
    kid = json.loads((tmp_path / "pub").read_text())["kid"]
    members = {"kid": kid, "kty": "EC", "alg": "ES256", "use": "sig"}
    assert report == {"public_key": "pub", "private_key": "key", **members}
