"""``crypto keypair``: openssl reads both halves, and nothing is written when something is wrong."""

import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pexpect
import pytest
from jwcrypto import jwk as jwcrypto_jwk

Run = Callable[..., subprocess.CompletedProcess[str]]
OpenSSL = Callable[..., str]
BARE = ("--no-password", "--insecure")


@pytest.fixture
def password(tmp_path: Path) -> Path:
    (tmp_path / "password").write_text("secret\n")
    return tmp_path / "password"


@pytest.mark.parametrize(
    ("flags", "described"),
    [
        ([], "NIST CURVE: P-256"),
        (["--kty", "EC", "--crv", "P-384"], "NIST CURVE: P-384"),
        (["--kty", "ec", "--curve", "p-521"], "NIST CURVE: P-521"),
        (["--kty", "RSA"], r"\(2048 bit"),
        (["--kty", "RSA", "--size", "3072"], r"\(3072 bit"),
        (["--kty", "OKP", "--crv", "Ed25519"], "ED25519"),
    ],
)
def test_openssl_reads_every_kind(
    mica: Run, openssl: OpenSSL, tmp_path: Path, password: Path, flags: list[str], described: str
) -> None:
    result = mica("crypto", "keypair", "pub", "key", "--password-file", "password", *flags)
    assert (result.returncode, result.stdout) == (0, "")
    assert result.stderr == "Your public key has been saved in pub.\nYour private key has been saved in key.\n"
    assert (tmp_path / "key").read_text().startswith("-----BEGIN ENCRYPTED PRIVATE KEY-----")
    assert re.search(described, openssl("pkey", "-in", "key", "-passin", "file:password", "-noout", "-text"))
    assert openssl("pkey", "-in", "key", "-passin", "file:password", "-pubout") == (tmp_path / "pub").read_text()
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("pub", "key")] == [0o644, 0o600]


def test_without_a_password_the_key_is_plain_pkcs8(mica: Run, openssl: OpenSSL, tmp_path: Path) -> None:
    assert mica("crypto", "keypair", "pub", "key", *BARE).returncode == 0
    assert (tmp_path / "key").read_text().startswith("-----BEGIN PRIVATE KEY-----")
    assert openssl("pkey", "-in", "key", "-pubout") == (tmp_path / "pub").read_text()


@pytest.mark.parametrize("kind", [{"kty": "EC", "crv": "P-521"}, {"kty": "RSA"}, {"kty": "OKP", "crv": "Ed25519"}])
def test_the_key_of_another_librarys_jwk_is_taken_over(
    mica: Run, openssl: OpenSSL, tmp_path: Path, kind: dict[str, str]
) -> None:
    theirs = jwcrypto_jwk.JWK.generate(**kind)
    (tmp_path / "key.json").write_text(theirs.export_private())
    assert mica("crypto", "keypair", "--from-jwk", "key.json", "pub", "key", *BARE).returncode == 0
    assert openssl("pkey", "-in", "key", "-pubout") == theirs.export_to_pem().decode()


def test_an_encrypted_jwk_has_a_password_of_its_own(
    mica: Run, openssl: OpenSSL, tmp_path: Path, password: Path
) -> None:
    (tmp_path / "old").write_text("older")
    mica("crypto", "jwk", "create", "k.pub", "k.json", "--password-file", "old")
    given = ("--jwk-password-file", "old", "--password-file", "password")
    assert mica("crypto", "keypair", "--from-jwk", "k.json", "pub", "key", *given).returncode == 0
    theirs = jwcrypto_jwk.JWK.from_json((tmp_path / "k.pub").read_text())
    assert openssl("pkey", "-in", "key", "-passin", "file:password", "-pubout") == theirs.export_to_pem().decode()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["p"], 2, "missing argument 'PRIV'"),
        (["p", "k", "--no-password"], 2, "flag '--no-password' requires the '--insecure' flag"),
        (["p", "k", *BARE, "--password-file", "x"], 2, "'--no-password' is incompatible with '--password-file'"),
        (["p", "k", "--curve", "P-256", *BARE], 2, "flag '--curve' requires the '--kty' flag"),
        (["p", "k", "--kty", "OKP", "--curve", "P-256", *BARE], 2, "invalid value 'P-256' for flag '--curve'"),
        (["p", "k", "--kty", "RSA", "--size", "1024", *BARE], 2, "invalid value 1024"),
        (["p", "k", "--kty", "EC", "--from-jwk", "j", *BARE], 2, "'--kty' is incompatible with '--from-jwk'"),
        (["p", "k", "--from-jwk", "none", *BARE], 5, "none: there is no such file"),
        (["p", "k", "--from-jwk", "/dev/null", *BARE], 5, "/dev/null: is empty"),
        (["f", "f", *BARE], 2, "f and f are the same file"),
        (["no/p", "k", *BARE], 5, "no/p: there is no directory"),
        (["p", ".", *BARE], 5, ".: is a directory"),
        (["p", "k", "--password-file", "/dev/null"], 5, "/dev/null: holds no password"),
        (["p", "k"], 6, "there is no terminal to ask on"),
    ],
)
def test_what_is_wrong_is_told_and_nothing_is_written(
    mica: Run, tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    result = mica("crypto", "keypair", *arguments)
    assert (result.returncode, result.stdout) == (code, "")
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert os.listdir(tmp_path) == []


def test_a_file_that_is_no_private_jwk_is_refused(mica: Run, openssl: OpenSSL, tmp_path: Path) -> None:
    openssl("genpkey", "-algorithm", "ED25519", "-out", "pem")
    (tmp_path / "public").write_text(jwcrypto_jwk.JWK.generate(kty="EC").export_public())
    (tmp_path / "oct").write_text(jwcrypto_jwk.JWK.generate(kty="oct", size=256).export())
    (tmp_path / "set").write_text('{"keys": []}')
    (tmp_path / "broken").write_text('{"kty": "EC"')
    (tmp_path / "lacking").write_text('{"kty": "EC", "crv": "P-256"}')
    for name, message in (
        ("pem", "pem: is not a JWK"),
        ("public", "public: is a public key, not a private key"),
        ("oct", "oct: is a symmetric key, not a private key"),
        ("set", "set: is a set of keys"),
        ("broken", "broken: is not JSON"),
        ("lacking", "lacking: is not a JWK that can be used"),
    ):
        result = mica("crypto", "keypair", "--from-jwk", name, "p", "k", *BARE)
        assert (result.returncode, result.stdout) == (5, "")
        assert message in result.stderr
        assert not (tmp_path / "k").exists()


def test_files_are_overwritten_with_force_only(mica: Run, tmp_path: Path) -> None:
    (tmp_path / "pub").write_text("old")
    assert mica("crypto", "keypair", "pub", "key", *BARE).returncode == 6
    assert ((tmp_path / "pub").read_text(), (tmp_path / "key").exists()) == ("old", False)
    assert mica("crypto", "keypair", "pub", "key", *BARE, "--force").returncode == 0
    assert (tmp_path / "pub").read_text().startswith("-----BEGIN PUBLIC KEY-----")


def test_json_reports_what_was_made(mica: Run) -> None:
    report = json.loads(mica("crypto", "keypair", "pub", "key", *BARE, "--json").stdout)
    assert report == {"public_key": "pub", "private_key": "key", "key": "ECDSA P-256"}


def test_the_new_password_is_asked_for_twice_and_shown_nowhere(openssl: OpenSSL, tmp_path: Path) -> None:
    command = ["-m", "mica.cli", "crypto", "keypair", "pub", "key"]
    child = pexpect.spawn(sys.executable, command, cwd=str(tmp_path), encoding="utf-8", timeout=30)
    for first, second in (("one", "two"), ("s3cret", "s3cret")):
        child.expect("Please enter the password to encrypt the private key: ")
        child.sendline(first)
        child.expect("The same once more: ")
        child.sendline(second)
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    assert "s3cret" not in child.before
    openssl("pkey", "-in", "key", "-passin", "pass:s3cret", "-noout")
