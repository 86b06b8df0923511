"""``certificate create --csr``: openssl reads what it writes, and nothing is written when something is wrong."""

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

Run = Callable[..., subprocess.CompletedProcess[str]]
OpenSSL = Callable[..., str]
BARE = ("--no-password", "--insecure")


@pytest.fixture
def password(tmp_path: Path) -> Path:
    (tmp_path / "password").write_text("secret\n")
    return tmp_path / "password"


def create(mica: Run, *arguments: str) -> subprocess.CompletedProcess[str]:
    return mica("certificate", "create", "--csr", *arguments)


def test_key_and_request_are_read_by_openssl(mica: Run, openssl: OpenSSL, tmp_path: Path, password: Path) -> None:
    result = create(mica, "svc.example", "svc.csr", "svc.key", "--password-file", "password")
    assert (result.returncode, result.stdout) == (0, "")
    assert result.stderr == (
        "Your certificate signing request has been saved in svc.csr.\nYour private key has been saved in svc.key.\n"
    )
    text = openssl("req", "-in", "svc.csr", "-verify", "-noout", "-text")
    assert "self-signature verify OK" in text
    assert re.search(r"Subject: CN ?= ?svc.example", text)
    assert "DNS:svc.example\n" in text
    public = openssl("pkey", "-in", "svc.key", "-passin", "file:password", "-pubout")
    assert public == openssl("req", "-in", "svc.csr", "-noout", "-pubkey")
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("svc.csr", "svc.key")] == [0o644, 0o600]


def test_the_key_is_pkcs8_with_pbes2_and_600000_rounds(
    mica: Run, openssl: OpenSSL, tmp_path: Path, password: Path
) -> None:
    create(mica, "svc.example", "svc.csr", "svc.key", "--password-file", "password")
    parsed = openssl("asn1parse", "-in", "svc.key")
    assert (tmp_path / "svc.key").read_text().startswith("-----BEGIN ENCRYPTED PRIVATE KEY-----\n")
    for text in ("PBES2", "PBKDF2", ":0927C0", "hmacWithSHA256", "aes-256-cbc"):
        assert text in parsed


@pytest.mark.parametrize(
    ("flags", "described"),
    [
        ([], "NIST CURVE: P-256"),
        (["--kty", "EC", "--crv", "P-384"], "NIST CURVE: P-384"),
        (["--kty", "ec", "--curve", "p-521"], "NIST CURVE: P-521"),
        (["--kty", "RSA"], r"\(2048 bit\)"),
        (["--kty", "RSA", "--size", "3072"], r"\(3072 bit\)"),
        (["--kty", "OKP"], "ED25519"),
    ],
)
def test_every_kind_of_key(mica: Run, openssl: OpenSSL, flags: list[str], described: str) -> None:
    assert create(mica, "svc.example", "svc.csr", "svc.key", *BARE, *flags).returncode == 0
    text = openssl("req", "-in", "svc.csr", "-verify", "-noout", "-text")
    assert re.search(described, text)
    assert "verify OK" in text
    assert openssl("pkey", "-in", "svc.key", "-pubout") == openssl("req", "-in", "svc.csr", "-noout", "-pubkey")


def test_names_are_classified_and_replace_the_subject(mica: Run, openssl: OpenSSL) -> None:
    sans = ["ops@x.example", "https://x.example/a", "10.0.0.1", "::1", "B.example", "*.c.example", "b.example"]
    create(mica, "My Service", "svc.csr", "svc.key", *BARE, *[word for san in sans for word in ("--san", san)])
    text = openssl("req", "-in", "svc.csr", "-noout", "-text")
    assert (
        "DNS:b.example, DNS:*.c.example, IP Address:10.0.0.1, IP Address:0:0:0:0:0:0:0:1, email:ops@x.example, "
        "URI:https://x.example/a\n" in text
    )
    assert re.search("CN ?= ?My Service", text)


def test_an_empty_subject_makes_the_names_critical(mica: Run, openssl: OpenSSL) -> None:
    assert create(mica, "", "svc.csr", "svc.key", *BARE, "--san", "a.example").returncode == 0
    assert "X509v3 Subject Alternative Name: critical" in openssl("req", "-in", "svc.csr", "-noout", "-text")


@pytest.mark.parametrize("form", ["plain", "encrypted", "sec1"])
def test_an_existing_key_is_used_and_left_alone(
    mica: Run, openssl: OpenSSL, tmp_path: Path, password: Path, form: str
) -> None:
    flags = {
        "plain": ["genpkey", "-algorithm", "RSA"],
        "encrypted": ["genpkey", "-algorithm", "RSA", "-aes256", "-pass", "file:password"],
        "sec1": ["ecparam", "-name", "prime256v1", "-genkey", "-noout"],
    }[form]
    openssl(*flags, "-out", "old.key")
    before = (tmp_path / "old.key").read_bytes()
    given = ["--password-file", "password"] if form == "encrypted" else []
    result = create(mica, "svc.example", "svc.csr", "--key", "old.key", *given)
    assert result.stderr == "Your certificate signing request has been saved in svc.csr.\n"
    assert "verify OK" in openssl("req", "-in", "svc.csr", "-verify", "-noout")
    public = openssl("pkey", "-in", "old.key", "-passin", "file:password", "-pubout")
    assert openssl("req", "-in", "svc.csr", "-noout", "-pubkey") == public
    assert (tmp_path / "old.key").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--csr", "a.example", "c"], 2, "missing argument 'KEY'"),
        (["--csr", "--profile", "self-signed", "a.example", "c", "k"], 2, "'--csr' is incompatible with '--profile"),
        (["--csr", "a.example", "c", "k", "--ca", "x"], 2, "'--ca' is incompatible with '--csr'"),
        (["--csr", "a.example", "c", "k", "--ca-key", "x"], 2, "'--ca-key' is incompatible with '--csr'"),
        (["--csr", "a.example", "c", "k", "--bundle"], 2, "'--bundle' is incompatible with '--csr'"),
        (["--csr", "a.example", "c", "k", "--not-after", "1h"], 2, "'--not-after' is incompatible with '--csr'"),
        (["--csr", "a.example", "c", "k", "--no-password"], 2, "flag '--no-password' requires the '--insecure' flag"),
        (["--csr", "a.example", "c", "k", "--curve", "P-256", *BARE], 2, "flag '--curve' requires the '--kty' flag"),
        (["--csr", "a.example", "c", "k", "--kty", "RSA", "--size", "1024", *BARE], 2, "invalid value 1024"),
        (["--csr", "a.example", "c", "k", "--key", "old"], 2, "'KEY' is incompatible with '--key'"),
        (["--csr", "a.example", "c", "--kty", "RSA", "--key", "old"], 2, "'--kty' is incompatible with '--key'"),
        (["--csr", "a b", "c", "k", *BARE], 2, "'a b' is not a DNS name"),
        (["--csr", "a.example", "c", "k", "--san", "a,b", *BARE], 2, "'a,b' is not a DNS name"),
        (["--csr", "x" * 65, "c", "k", *BARE], 2, "SUBJECT is longer than 64 characters"),
        (["--csr", "a\nb", "c", "k", *BARE], 2, "SUBJECT has a character that does not belong in a name"),
        (["--csr", "", "c", "k", *BARE], 2, "is not a DNS name"),
        (["--csr", "a.example", "f", "f", *BARE], 2, "f and f are the same file"),
        (["--csr", "a.example", "no/c", "k", *BARE], 5, "no/c: there is no directory"),
        (["--csr", "a.example", "c", ".", *BARE], 5, ".: is a directory"),
        (["--csr", "a.example", "c", "k", "--password-file", "none"], 5, "none: there is no such file"),
        (["--csr", "a.example", "c", "k", "--password-file", "/dev/null"], 5, "/dev/null: holds no password"),
        (["--csr", "a.example", "c", "--key", "none"], 5, "none: there is no such file"),
        (["--csr", "a.example", "c", "--key", "/dev/null"], 5, "/dev/null: the file is empty"),
        (["--csr", "a.example", "c", "k"], 6, "there is no terminal to ask on"),
    ],
)
def test_what_is_wrong_is_told_and_nothing_is_written(
    mica: Run, tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    result = mica("certificate", "create", *arguments)
    assert (result.returncode, result.stdout) == (code, "")
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert os.listdir(tmp_path) == []


def test_without_a_terminal_the_flags_that_answer_are_named(mica: Run) -> None:
    result = create(mica, "a.example", "c", "k")
    assert "hint: answer it with --password-file, or --no-password --insecure\n" in result.stderr


def test_a_wrong_password_for_an_existing_key_is_a_file_problem(
    mica: Run, openssl: OpenSSL, tmp_path: Path, password: Path
) -> None:
    openssl("genpkey", "-algorithm", "ED25519", "-aes256", "-pass", "pass:other", "-out", "old")
    result = create(mica, "a.example", "c", "--key", "old", "--password-file", "password")
    assert (result.returncode, result.stdout) == (5, "")
    assert "the password is wrong" in result.stderr
    assert not (tmp_path / "c").exists()


def test_files_are_overwritten_with_force_only(mica: Run, tmp_path: Path) -> None:
    (tmp_path / "c").write_text("old")
    assert create(mica, "a.example", "c", "k", *BARE).returncode == 6
    assert ((tmp_path / "c").read_text(), (tmp_path / "k").exists()) == ("old", False)
    assert create(mica, "a.example", "c", "k", *BARE, "--force").returncode == 0
    assert (tmp_path / "c").read_text().startswith("-----BEGIN CERTIFICATE REQUEST-----")


def test_json_reports_what_was_made(mica: Run) -> None:
    report = json.loads(create(mica, "a.example", "c", "k", *BARE, "--json").stdout)
    assert report == {"csr": "c", "key": "k", "subject": "a.example", "names": ["a.example"]}


def test_the_password_is_asked_for_on_the_terminal_and_shown_nowhere(openssl: OpenSSL, tmp_path: Path) -> None:
    child = pexpect.spawn(
        sys.executable,
        ["-m", "mica.cli", "certificate", "create", "--csr", "a.example", "c", "k"],
        cwd=str(tmp_path),
        encoding="utf-8",
        timeout=30,
    )
    child.expect("Please enter the password to encrypt the private key: ")
    child.sendline("s3cret")
    child.expect("The same once more: ")
    child.sendline("s3cret")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    assert "s3cret" not in child.before
    openssl("pkey", "-in", "k", "-passin", "pass:s3cret", "-noout")
