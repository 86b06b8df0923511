"""``crypto change-pass``: the key is the same, in the same form, under another password; or nothing has changed."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pexpect
import pytest
from jwcrypto import jwa
from jwcrypto import jwe as jwcrypto_jwe
from jwcrypto import jwk as jwcrypto_jwk

Run = Callable[..., subprocess.CompletedProcess[str]]
OpenSSL = Callable[..., str]
OLD_NEW = ("--password-file", "old", "--new-password-file", "new")


@pytest.fixture(autouse=True)
def passwords(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("old-secret\n")
    (tmp_path / "new").write_text("new secret\n")


@pytest.fixture(autouse=True)
def many_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """jwcrypto would refuse what step has written for years."""
    monkeypatch.setattr(jwa, "default_max_pbkdf2_iterations", 600_000)


Stock = Callable[..., Path]


def encrypted(stock: Stock, *form: str) -> str:
    """``key``: a key that openssl encrypted under the old password, and its public half; ``plain`` is not encrypted."""
    commands = (f"{' '.join(form)} -in plain -passout pass:old-secret -out key", "pkey -in plain -pubout -out public")
    return (stock("genpkey -algorithm RSA -out plain", *commands) / "public").read_text()


@pytest.mark.parametrize(
    "form",
    [
        ("pkcs8", "-topk8"),
        ("rsa", "-traditional", "-aes256"),
        ("rsa", "-traditional", "-aes128"),
        ("rsa", "-traditional", "-des3"),
    ],
    ids=" ".join,
)
def test_what_openssl_encrypted_openssl_reads_with_the_new_password(
    mica: Run, openssl: OpenSSL, stock: Stock, tmp_path: Path, form: tuple[str, ...]
) -> None:
    public = encrypted(stock, *form)
    result = mica("crypto", "change-pass", "key", *OLD_NEW, "--force")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "Your key has been saved in key.\n")
    assert openssl("pkey", "-in", "key", "-passin", "file:new", "-pubout") == public
    assert (tmp_path / "key").read_text().startswith("-----BEGIN ENCRYPTED PRIVATE KEY-----")


def test_der_stays_der(mica: Run, openssl: OpenSSL, stock: Stock) -> None:
    public = encrypted(stock, "pkcs8", "-topk8", "-outform", "DER")
    assert mica("crypto", "change-pass", "key", *OLD_NEW, "--force").returncode == 0
    assert openssl("pkey", "-inform", "DER", "-in", "key", "-passin", "file:new", "-pubout") == public


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_openssh_keys_stay_openssh_keys(mica: Run, ssh_keygen: Callable[..., str], tmp_path: Path, kind: str) -> None:
    ssh_keygen("-q", "-t", kind, "-N", "old-secret", "-C", "", "-f", "key")
    assert mica("crypto", "change-pass", "key", *OLD_NEW, "--force").returncode == 0
    assert (tmp_path / "key").read_text().startswith("-----BEGIN OPENSSH PRIVATE KEY-----")
    opened = ssh_keygen("-y", "-P", "new secret", "-f", "key")
    assert opened.split()[:2] == (tmp_path / "key.pub").read_text().split()[:2]


@pytest.mark.parametrize("compact", [False, True])
def test_a_jwk_keeps_its_members_and_its_form(mica: Run, tmp_path: Path, compact: bool) -> None:
    members = {**json.loads(jwcrypto_jwk.JWK.generate(kty="EC").export()), "kid": "mine", "use": "sig", "x-own": "1"}
    header = {"alg": "PBES2-HS256+A128KW", "enc": "A256GCM", "p2c": 1000}
    sealed = jwcrypto_jwe.JWE(json.dumps(members).encode(), json.dumps(header))
    sealed.add_recipient(jwcrypto_jwk.JWK.from_password("old-secret"))
    (tmp_path / "key").write_text(sealed.serialize(compact=compact))
    assert mica("crypto", "change-pass", "key", *OLD_NEW, "--force").returncode == 0
    text = (tmp_path / "key").read_text().strip()
    assert text.startswith("{") != compact
    opened = jwcrypto_jwe.JWE()
    opened.deserialize(text, jwcrypto_jwk.JWK.from_password("new secret"))
    assert json.loads(opened.payload) == members


def test_a_key_without_a_password_gets_one_and_loses_it_again(mica: Run, openssl: OpenSSL, tmp_path: Path) -> None:
    openssl("genpkey", "-algorithm", "ED25519", "-out", "key")
    before = (tmp_path / "key").read_text()
    assert mica("crypto", "change-pass", "key", "--new-password-file", "new", "-f").returncode == 0
    openssl("pkey", "-in", "key", "-passin", "file:new", "-noout")
    bare = ("--password-file", "new", "--no-password", "--insecure", "-f")
    assert mica("crypto", "change-pass", "key", *bare).returncode == 0
    assert (tmp_path / "key").read_text() == before


def test_a_private_key_is_never_wider_than_0600_and_the_original_stays_with_out(
    mica: Run, stock: Stock, tmp_path: Path
) -> None:
    encrypted(stock, "pkcs8", "-topk8")
    before = (tmp_path / "key").read_bytes()
    for mode in (0o644, 0o640, 0o600):
        (tmp_path / "key").chmod(mode)
        result = mica("crypto", "change-pass", "key", *OLD_NEW, "--out", f"copy{mode}")
        assert result.returncode == 0
        assert stat.S_IMODE((tmp_path / f"copy{mode}").stat().st_mode) == 0o600
    assert (tmp_path / "key").read_bytes() == before
    (tmp_path / "key").chmod(0o644)
    assert mica("crypto", "change-pass", "key", *OLD_NEW, "-f").returncode == 0
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    (tmp_path / "key").chmod(0o400)
    assert mica("crypto", "change-pass", "key", "--password-file", "new", "--new-password-file", "old", "-f")
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o400


def test_passwords_come_through_stdin_and_descriptors_too(
    mica: Run, openssl: OpenSSL, stock: Stock, tmp_path: Path
) -> None:
    encrypted(stock, "pkcs8", "-topk8")
    given = ("--password-file", "-", "--new-password-file", "new", "-f")
    assert mica("crypto", "change-pass", "key", *given, input="old-secret\n").returncode == 0
    openssl("pkey", "-in", "key", "-passin", "file:new", "-noout")


@pytest.mark.parametrize(
    "arguments",
    [
        ["key", "--password-file", "-", "--new-password-file", "-", "--force"],
        ["-", "--password-file", "-", "--new-password-file", "new", "--out", "made"],
    ],
)
def test_stdin_is_not_taken_for_two_things(mica: Run, stock: Stock, tmp_path: Path, arguments: list[str]) -> None:
    encrypted(stock, "pkcs8", "-topk8")
    before = (tmp_path / "key").read_bytes()
    result = mica("crypto", "change-pass", *arguments, input=before if "-" in arguments[:1] else b"old-secret\n")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("error: stdin is read twice\nhint: ")
    assert (tmp_path / "key").read_bytes() == before
    assert not (tmp_path / "made").exists()


def test_the_key_itself_may_come_from_stdin(mica: Run, openssl: OpenSSL, stock: Stock, tmp_path: Path) -> None:
    public = encrypted(stock, "pkcs8", "-topk8")
    data = (tmp_path / "key").read_bytes()
    assert mica("crypto", "change-pass", "-", *OLD_NEW, "--out", "made", input=data).returncode == 0
    assert openssl("pkey", "-in", "made", "-passin", "file:new", "-pubout") == public
    result = mica("crypto", "change-pass", "-", *OLD_NEW, input=data)
    assert (result.returncode, result.stdout) == (2, "")
    assert "stdin cannot be changed in place" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["key", "--password-file", "new", "--new-password-file", "old", "-f"], 5, "the password is wrong"),
        (["key", *OLD_NEW], 6, "Would you like to overwrite key"),
        (["key", *OLD_NEW, "--out", "no/key"], 5, "no/key: there is no directory"),
        (["key", *OLD_NEW, "--out", "."], 5, ".: is a directory"),
        (["key", "--no-password", "-f"], 2, "flag '--no-password' requires the '--insecure' flag"),
        (["key", "--no-password", "--insecure", "--new-password-file", "new"], 2, "incompatible with '--new-password"),
        (["none", *OLD_NEW, "-f"], 5, "none: there is no such file"),
        (["public", *OLD_NEW, "-f"], 5, "public: is a public key, not a private key"),
        (["csr", *OLD_NEW, "-f"], 5, "csr: is a public key, not a private key"),
        (["old", *OLD_NEW, "-f"], 5, "old: holds no key that can be read"),
        (["/dev/null", *OLD_NEW, "--out", "x"], 5, "/dev/null: is empty"),
        (["key", "--password-file", "old", "-f"], 6, "there is no terminal to ask on"),
        (["key", "--new-password-file", "new", "-f"], 6, "Please enter the password to decrypt key"),
    ],
)
def test_what_is_wrong_is_told_and_nothing_has_changed(
    mica: Run, openssl: OpenSSL, stock: Stock, tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    encrypted(stock, "pkcs8", "-topk8")
    openssl("req", "-new", "-key", "plain", "-subj", "/CN=x", "-out", "csr")
    before = {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)}
    result = mica("crypto", "change-pass", *arguments)
    assert (result.returncode, result.stdout) == (code, "")
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)} == before


def test_json_reports_what_was_written(mica: Run, stock: Stock) -> None:
    encrypted(stock, "pkcs8", "-topk8")
    report = json.loads(mica("crypto", "change-pass", "key", *OLD_NEW, "-f", "--json").stdout)
    assert report == {"file": "key", "form": "pem", "encrypted": True}


@contextmanager
def changing(folder: Path, *arguments: str) -> Iterator[pexpect.spawn]:
    child = pexpect.spawn(
        sys.executable,
        ["-m", "mica.cli", "crypto", "change-pass", *arguments],
        cwd=str(folder),
        env={name: value for name, value in os.environ.items() if not name.startswith("MICA")},
        encoding="utf-8",
        timeout=30,
    )
    try:
        yield child
    finally:
        child.close(force=True)


def test_it_asks_whether_to_overwrite_then_for_the_old_then_twice_for_the_new(
    openssl: OpenSSL, stock: Stock, tmp_path: Path
) -> None:
    public = encrypted(stock, "pkcs8", "-topk8")
    with changing(tmp_path, "key") as child:
        child.expect(r"Would you like to overwrite key \[y/n\]")
        child.sendline("y")
        child.expect("Please enter the password to decrypt key: ")
        child.sendline("old-secret")
        for again in ("another", "s3cret"):
            child.expect("Please enter the password to encrypt key: ")
            child.sendline("s3cret")
            child.expect("The same once more: ")
            child.sendline(again)
        child.expect("Your key has been saved in key.")
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == 0
    assert openssl("pkey", "-in", "key", "-passin", "pass:s3cret", "-pubout") == public


def test_no_and_ctrl_c_leave_the_file_as_it_is(stock: Stock, tmp_path: Path) -> None:
    encrypted(stock, "pkcs8", "-topk8")
    before = (tmp_path / "key").read_bytes()
    with changing(tmp_path, "key") as child:
        child.expect(r"\[y/n\]")
        child.sendline("n")
        child.expect("key: exists, and is left as it is")
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == 6
    with changing(tmp_path, "key", "--force", "--password-file", "old") as child:
        child.expect("Please enter the password to encrypt key: ")
        child.sendintr()
        child.expect("cancelled")
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == 6
    assert (tmp_path / "key").read_bytes() == before


def test_the_password_of_a_jwk_may_be_tried_three_times(mica: Run, tmp_path: Path) -> None:
    mica("crypto", "jwk", "create", "key.pub", "key", "--password-file", "old")
    with changing(tmp_path, "key", "--force", "--new-password-file", "new") as child:
        for typed in ("wrong", "wronger"):
            child.expect("Please enter the password to decrypt key: ")
            child.sendline(typed)
            child.expect("That is not the password.")
        child.expect("Please enter the password to decrypt key: ")
        child.sendline("old-secret")
        child.expect("Your key has been saved in key.")
    with changing(tmp_path, "key", "--force", "--new-password-file", "new") as child:
        for _ in range(3):
            child.expect("Please enter the password to decrypt key: ")
            child.sendline("wrong")
        child.expect("the password is wrong")
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == 5
