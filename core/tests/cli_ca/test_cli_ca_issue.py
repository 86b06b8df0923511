"""Certificates for new keys and for requests; tokens that carry everything; nothing lost when something is wrong."""

import json
import os
import re
import stat
import subprocess
import sys
from typing import Any

import jwt
import pexpect
import pytest

NOWHERE = ["--ca-url", "https://127.0.0.1:1"]


def verify(machine: Any, ca: Any, file: str) -> None:
    assert (
        machine.openssl("verify", "-x509_strict", "-CAfile", str(ca.root), "-untrusted", file, file) == f"{file}: OK\n"
    )


def files(machine: Any) -> set[str]:
    return {path.name for path in machine.folder.iterdir()} - {"password"}


def test_a_certificate_and_its_key(ca: Any, machine: Any) -> None:
    ran = machine.mica("ca", "certificate", "svc.example", "svc.crt", "svc.key")
    assert ran.out == ""
    lines = ran.err.splitlines()
    assert re.fullmatch(r"✔ Provisioner: admin \(JWK\) \[kid: [\w-]{43}\]", lines[0])
    assert lines[1:] == [f"✔ CA: {ca.url}", "✔ Certificate: svc.crt", "✔ Private Key: svc.key"]
    verify(machine, ca, "svc.crt")
    assert machine.path("svc.crt").read_text().count("BEGIN CERTIFICATE") == 2
    public = machine.openssl("x509", "-in", "svc.crt", "-noout", "-pubkey")
    assert machine.openssl("pkey", "-in", "svc.key", "-pubout") == public
    for name in ("svc.crt", "svc.key"):
        assert stat.S_IMODE(machine.path(name).stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--kty", "RSA", "--size", "3072"], "(3072 bit)"),
        (["--kty", "EC", "--curve", "P-384"], "ASN1 OID: secp384r1"),
        (["--kty", "OKP"], "ED25519"),
    ],
)
def test_the_key_is_of_the_kind_that_was_asked_for(machine: Any, flags: list[str], said: str) -> None:
    machine.mica("ca", "certificate", "svc.example", "svc.crt", "svc.key", *flags)
    assert said in machine.openssl("x509", "-in", "svc.crt", "-noout", "-text")


def test_names_and_dates_are_those_asked_for_and_reported_as_json(ca: Any, machine: Any) -> None:
    ran = machine.mica(
        "ca", "certificate", "Service", "svc.crt", "svc.key", "--json", "--not-after", "2h",
        "--san", "a.example", "--san", "10.0.0.1", "--san", "::1", "--san", "a@example.org", "--san", "spiffe://x/y",
    )  # fmt: skip
    told = json.loads(ran.out)
    assert told["subject"] == "Service"
    assert told["names"] == ["a.example", "10.0.0.1", "::1", "a@example.org", "spiffe://x/y"]
    assert told["files"] == {"certificate": "svc.crt", "private_key": "svc.key"}
    serial = machine.openssl("x509", "-in", "svc.crt", "-noout", "-serial").strip().removeprefix("serial=")
    assert int(told["serial_number"]) == int(serial, 16)
    assert machine.openssl("x509", "-in", "svc.crt", "-noout", "-checkend", "7000")


def test_the_new_key_may_be_encrypted(machine: Any) -> None:
    machine.write("secret", "correct horse")
    machine.mica("ca", "certificate", "svc.example", "svc.crt", "svc.key", "--key-password-file", "secret")
    assert "BEGIN ENCRYPTED PRIVATE KEY" in machine.path("svc.key").read_text()
    machine.openssl("pkey", "-in", "svc.key", "-passin", "pass:correct horse", "-noout")


def test_a_request_is_signed_with_all_its_names(ca: Any, machine: Any) -> None:
    machine.openssl(
        "req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", "foo.key", "-out", "foo.csr",
        "-subj", "/CN=foo.example", "-addext", "subjectAltName=DNS:foo.example,DNS:b.example,IP:10.0.0.1",
    )  # fmt: skip
    ran = machine.mica("ca", "sign", "foo.csr", "foo.crt")
    assert ran.err.splitlines()[1:] == [f"✔ CA: {ca.url}", "✔ Certificate: foo.crt"]
    verify(machine, ca, "foo.crt")
    text = machine.openssl("x509", "-in", "foo.crt", "-noout", "-ext", "subjectAltName")
    assert "DNS:foo.example, DNS:b.example, IP Address:10.0.0.1" in text


def test_a_token_is_all_that_a_stranger_needs_and_serves_once(ca: Any, machine: Any, stranger: Any) -> None:
    ran = machine.mica("ca", "token", "svc.example")
    token = ran.out.strip()
    assert ran.out == token + "\n"
    assert "✔ Provisioner: admin" in ran.err
    first = stranger.mica("ca", "certificate", "--token", token, "SVC.example", "svc.crt", "svc.key")
    assert first.err.splitlines() == [f"✔ CA: {ca.url}", "✔ Certificate: svc.crt", "✔ Private Key: svc.key"]
    verify(stranger, ca, "svc.crt")
    assert not stranger.home.exists()
    again = stranger.mica("ca", "certificate", "--token", token, "svc.example", "b.crt", "b.key", code=4)
    assert "the token may have been used already" in again.err
    assert re.search(r"^request id: [0-9a-f-]{36}$", again.err, re.MULTILINE)
    assert files(stranger) == {"svc.crt", "svc.key"}


def test_a_refused_request_costs_no_files_and_no_token(machine: Any, stranger: Any) -> None:
    stranger.write("svc.crt", "old certificate")
    stranger.write("svc.key", "old key")
    token = machine.mica("ca", "token", "svc.example").out.strip()
    arguments = ["ca", "certificate", "--token", token, "svc.example", "svc.crt", "svc.key", "--force"]
    ran = stranger.mica(*arguments, "--not-after", "48h", code=4)
    assert "more than the authorized maximum certificate duration" in ran.err
    assert stranger.path("svc.key").read_text() == "old key"
    assert stranger.path("svc.crt").read_text() == "old certificate"
    stranger.mica(*arguments)


@pytest.mark.parametrize(
    ("crt", "key", "code"),
    [("missing/a.crt", "a.key", 5), ("a.crt", "a.crt", 2), ("a.crt", ".", 5), ("a.crt", "old", 6)],
)
def test_files_are_settled_before_the_ca_is_asked(machine: Any, crt: str, key: str, code: int) -> None:
    machine.write("old", "")
    ran = machine.mica("ca", "certificate", "a.example", crt, key, "--ca-url", "https://127.0.0.1:1", code=code)
    assert "refused" not in ran.err


def test_passwords_are_settled_before_the_ca_is_asked(machine: Any) -> None:
    for flag in ("--provisioner-password-file", "--key-password-file"):
        arguments = ["ca", "certificate", "a.example", "a.crt", "a.key", "--ca-url", "https://127.0.0.1:1"]
        assert "nowhere: there is no such file" in machine.mica(*arguments, flag, "nowhere", code=5).err


def test_a_wrong_password_is_told(machine: Any) -> None:
    machine.write("password", "wrong")
    ran = machine.mica("ca", "certificate", "a.example", "a.crt", "a.key", code=5)
    assert "the password does not decrypt the key of the provisioner admin" in ran.err
    assert files(machine) == set()


def test_of_several_provisioners_one_must_be_named_without_a_terminal(machine: Any) -> None:
    del machine.environment["MICA_PROVISIONER"]
    ran = machine.mica("ca", "certificate", "a.example", "a.crt", "a.key", code=6)
    assert "--provisioner; one of admin (JWK) [kid: " in ran.err
    assert "late (JWK)" in ran.err


def test_without_a_terminal_the_flag_that_would_answer_is_named(machine: Any) -> None:
    del machine.environment["MICA_PROVISIONER_PASSWORD_FILE"]
    ran = machine.mica("ca", "certificate", "a.example", "a.crt", "a.key", code=6)
    assert "--provisioner-password-file" in ran.err


def test_three_tries_at_the_terminal(machine: Any) -> None:
    environment = {**os.environ, "MICAPATH": str(machine.home), "NO_COLOR": "1", "MICA_PROVISIONER": "admin"}
    arguments = ["-m", "mica.cli", "ca", "certificate", "a.example", "a.crt", "a.key"]
    child = pexpect.spawn(
        sys.executable, arguments, cwd=str(machine.folder), env=environment, encoding="utf-8", timeout=30
    )
    for attempt in ("wrong", "wronger", machine.path("password").read_text().strip()):
        child.expect("Please enter the password to decrypt the key of the provisioner admin")
        child.sendline(attempt)
    child.expect("Private Key: a.key")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["certificate", "a b", "a.crt", "a.key"], "'a b' is not a DNS name"),
        (["certificate", "a", "a.crt", "a.key", "--san", "*.*.b"], "is not a DNS name"),
        (["certificate", "a", "a.crt", "a.key", "--size", "2048"], "requires the '--kty' flag"),
        (["certificate", "a", "a.crt", "a.key", "--token", "nonsense"], "invalid value for flag '--token'"),
        (["certificate", "a", "a.crt", "a.key", "--provisioner", "x"], "invalid value 'x' for flag '--provisioner'"),
        (["certificate", "a" * 65, "a.crt", "a.key", "--san", "b"], "longer than 64 characters"),
        (["certificate", "a", "a.crt"], "missing argument 'KEY_FILE'"),
        (["certificate", "", "a.crt", "a.key", "--san", "b"], "missing argument 'SUBJECT'"),
        (["certificate", "a", "a.crt", "a.key", "--not-after", "tomorrow"], "'tomorrow'"),
        (["certificate", "a", "a.crt", "a.key", "--ca-url", "http://x"], "https only"),
    ],
)
def test_a_wrong_command_line_is_told(machine: Any, arguments: list[str], said: str) -> None:
    assert said in machine.mica("ca", *arguments, code=2).err
    assert files(machine) == set()


def test_a_token_and_the_names_asked_for_must_agree(machine: Any) -> None:
    token = machine.mica("ca", "token", "svc.example").out.strip()
    base = ["ca", "certificate", "--token", token]
    assert "not for 'other'" in machine.mica(*base, "other", "a.crt", "a.key", code=2).err
    ran = machine.mica(*base, "svc.example", "a.crt", "a.key", "--san", "b.example", code=2)
    assert "flag '--san' is incompatible with this token" in ran.err


def test_a_request_of_another_subject_than_the_tokens_is_not_sent(machine: Any) -> None:
    token = machine.mica("ca", "token", "svc.example").out.strip()
    machine.openssl(
        "req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", "k", "-out", "o.csr", "-subj", "/CN=other"
    )
    assert "the request is for 'other'" in machine.mica("ca", "sign", "--token", token, "o.csr", "o.crt", code=2).err


DAMAGED = "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty"),
        ("nonsense", "holds neither PEM nor DER"),
        (DAMAGED, "is damaged"),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "holds a private key"),
    ],
)
def test_a_file_that_is_no_request_is_told(machine: Any, content: str, said: str) -> None:
    machine.write("a.csr", content)
    ran = machine.mica("ca", "sign", "a.csr", "a.crt", *NOWHERE, code=5)
    assert ran.err.startswith("error: a.csr: ")
    assert said in ran.err


def test_a_request_with_the_line_ends_and_the_mark_of_windows_is_read(machine: Any) -> None:
    machine.openssl(
        "req", "-new", "-newkey", "ed25519", "-nodes", "-keyout", "k", "-out", "a.csr", "-subj", "/CN=a.example"
    )
    text = machine.path("a.csr").read_bytes()
    machine.path("windows.csr").write_bytes(b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n"))
    machine.mica("ca", "sign", "windows.csr", "a.crt")


def test_a_request_with_a_weak_key_or_a_broken_signature_is_not_sent(machine: Any) -> None:
    machine.openssl(
        "req", "-new", "-newkey", "rsa:1024", "-nodes", "-keyout", "k", "-out", "weak.csr", "-subj", "/CN=a"
    )
    assert "2048" in machine.mica("ca", "sign", "weak.csr", "a.crt", code=5).err
    machine.openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", "k", "-out", "a.csr", "-subj", "/CN=a")
    machine.openssl("req", "-in", "a.csr", "-outform", "DER", "-out", "a.der")
    octets = bytearray(machine.path("a.der").read_bytes())
    octets[-5] ^= 1
    machine.path("a.der").write_bytes(octets)
    machine.mica("ca", "sign", "a.der", "a.crt", code=5)


def test_a_token_bound_to_a_request_serves_no_other(machine: Any) -> None:
    for name in ("a", "b"):
        machine.openssl(
            "req",
            "-new",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-keyout",
            "k",
            "-out",
            f"{name}.csr",
            "-subj",
            "/CN=a.example",
        )
    token = machine.mica("ca", "token", "a.example", "--cnf-file", "a.csr").out.strip()
    assert "fingerprint does not match" in machine.mica("ca", "sign", "--token", token, "b.csr", "b.crt", code=4).err
    machine.mica("ca", "sign", "--token", token, "a.csr", "a.crt")


def test_what_can_be_seen_of_a_refusal_is_told(ca: Any, machine: Any, stranger: Any) -> None:
    token = machine.mica("ca", "token", "--revoke", "4711").out.strip()
    ran = stranger.mica("ca", "certificate", "--token", token, "4711", "a.crt", "a.key", code=4)
    assert "the token is for /1.0/revoke, and was used for /sign" in ran.err
    claims = jwt.decode(token, options={"verify_signature": False})
    late = jwt.encode({**claims, "exp": 1, "nbf": 1, "aud": "https://ca.example/1.0/sign", "sub": "a"}, "k" * 32)
    ran = stranger.mica("ca", "certificate", "--token", late, "--ca-url", ca.url, "a", "a.crt", "a.key", code=4)
    assert "the token expired at 1970-01-01 00:00:01 UTC" in ran.err
    assert "the token is for ca.example, and was sent to localhost" in ran.err


def test_a_token_of_another_ca_is_told_by_its_root(ca: Any, machine: Any, stranger: Any) -> None:
    claims = {"sub": "a", "aud": f"{ca.url}/1.0/sign", "sha": "ab" * 32}
    token = jwt.encode(claims, "k" * 32)
    assert "was not found" in stranger.mica("ca", "certificate", "--token", token, "a", "a.crt", "a.key", code=4).err
    root = ["--root", str(ca.root)]
    ran = machine.mica("ca", "certificate", "--token", token, "a", "a.crt", "a.key", *root, code=4)
    assert f"the token is for a CA whose root is {'ab' * 32}" in ran.err


def test_the_defaults_of_another_ca_do_not_mislead_a_token(ca: Any, machine: Any, stranger: Any) -> None:
    token = machine.mica("ca", "token", "svc.example").out.strip()
    stranger.home.mkdir()
    (stranger.home / "defaults.json").write_text('{"ca-url": "https://127.0.0.1:1", "root": "/nowhere"}')
    stranger.mica("ca", "certificate", "--token", token, "svc.example", "svc.crt", "svc.key")


def test_issuing_with_a_token_imports_no_server_and_nothing_that_is_slow(machine: Any, stranger: Any) -> None:
    token = machine.mica("ca", "token", "svc.example").out.strip()
    code = (
        "import sys; from mica.cli import main; "
        f"code = main(['ca', 'certificate', '--token', {token!r}, 'svc.example', 'a.crt', 'a.key']); "
        "heavy = ('asyncio', 'pluggy', 'starlette', 'uvicorn', 'cattrs', 'jwt', 'jwcrypto', 'idna', 'tomlkit',"
        " 'importlib.metadata', 'mica_jwk', 'mica.hooks', 'mica.roles', 'mica.authority', 'mica.web'); "
        "print(code, [name for name in heavy if name in sys.modules])"
    )
    environment = {**os.environ, "MICAPATH": str(stranger.home)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=stranger.folder, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "0 []\n", done.stderr
