"""``certificate p12``: openssl reads what it writes, it reads what openssl writes, with modern and old algorithms."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pexpect
import pytest
from cryptography import x509

Run = Callable[..., subprocess.CompletedProcess[str]]
OpenSSL = Callable[..., str]
KINDS = ["rsa:2048", "ed25519", "ec:P-256", "ec:P-384", "ec:P-521"]
PASSWORD = ("--password-file", "password")
BARE = ("--no-password", "--insecure")


@pytest.fixture
def pair(stock: Callable[..., Path], strangers_pki: Path, pki: Path) -> Callable[..., Path]:
    """``svc.crt`` (below the root), ``svc.key`` and ``theirs.p12``, by openssl; ``password`` has "secret"."""

    def pair(kind: str = "ec:P-256", *encryption: str) -> Path:
        name, _, curve = kind.partition(":")
        flags = f"ec -pkeyopt ec_paramgen_curve:{curve}" if name == "ec" else kind
        stock(
            f"req -x509 -newkey {flags} {' '.join(encryption or ('-noenc',))} -keyout svc.key -out svc.crt"
            " -subj /CN=svc.example -CA root.crt -CAkey root.key -addext basicConstraints=CA:FALSE",
            "pkcs12 -export -in svc.crt -inkey svc.key -passin pass:another -passout pass:secret -out theirs.p12",
            beside=strangers_pki,
        )
        (pki / "password").write_text("secret\n")
        return pki

    return pair


def p12(mica: Run, *arguments: str, code: int = 0) -> str:
    """What the command said on stderr."""
    result = mica("certificate", "p12", *arguments)
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr
    return result.stderr


def certificates(path: Path) -> list[str]:
    """The subjects in a PEM file, in their order."""
    return [each.subject.rfc4514_string() for each in x509.load_pem_x509_certificates(path.read_bytes())]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("legacy", [False, True])
def test_openssl_reads_what_mica_writes(
    mica: Run, openssl: OpenSSL, pair: Callable[..., Path], kind: str, legacy: bool
) -> None:
    folder = pair(kind)
    flags, theirs = (["--legacy"], ["-legacy"]) if legacy else ([], [])
    said = p12(mica, "svc.p12", "svc.crt", "svc.key", "--ca", "root.crt", *PASSWORD, *flags)
    assert said == "Your .p12 file has been saved in svc.p12.\n"
    openssl("pkcs12", "-in", "svc.p12", *theirs, "-passin", "file:password", "-noenc", "-out", "all.pem")
    assert openssl("pkey", "-in", "all.pem") == openssl("pkey", "-in", "svc.key")
    assert sorted(certificates(folder / "all.pem")) == ["CN=Root", "CN=svc.example"]
    assert "friendlyName: svc.example" in (folder / "all.pem").read_text()
    assert stat.S_IMODE((folder / "svc.p12").stat().st_mode) == 0o600


def test_the_algorithms_are_todays_unless_legacy_is_asked_for(
    mica: Run, openssl: OpenSSL, pair: Callable[..., Path]
) -> None:
    pair()
    look = ("-noout", "-info", "-passin", "file:password")
    p12(mica, "new.p12", "svc.crt", "svc.key", *PASSWORD)
    modern = openssl("pkcs12", "-in", "new.p12", *look)
    assert modern.count("PBES2, PBKDF2, AES-256-CBC, Iteration 600000, PRF hmacWithSHA256") == 2
    assert "MAC: sha256" in modern
    p12(mica, "old.p12", "svc.crt", "svc.key", *PASSWORD, "--legacy")
    old = openssl("pkcs12", "-in", "old.p12", *look, "-legacy")
    assert old.count("pbeWithSHA1And3-KeyTripleDES-CBC") == 2
    assert "MAC: sha1" in old


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "flags",
    [
        pytest.param([], id="modern"),
        pytest.param(["-legacy"], id="RC2 and 3DES"),
        pytest.param(["-legacy", "-descert"], id="3DES"),
        pytest.param(["-keypbe", "AES-128-CBC", "-certpbe", "NONE", "-macalg", "sha512"], id="mixed"),
    ],
)
def test_mica_reads_what_openssl_writes(
    mica: Run, openssl: OpenSSL, pair: Callable[..., Path], kind: str, flags: list[str]
) -> None:
    folder = pair(kind)
    openssl(
        "pkcs12", "-export", "-in", "svc.crt", "-inkey", "svc.key", "-certfile", "root.crt", *flags,
        "-passout", "file:password", "-out", "svc.p12",
    )  # fmt: skip
    p12(mica, "--extract", "svc.p12", "new.crt", "new.key", *PASSWORD, *BARE)
    assert openssl("pkey", "-in", "new.key") == openssl("pkey", "-in", "svc.key")
    assert certificates(folder / "new.crt") == ["CN=svc.example", "CN=Root"]
    modes = [stat.S_IMODE((folder / name).stat().st_mode) for name in ("new.crt", "new.key")]
    assert modes == [0o644, 0o600]


def test_an_extracted_key_is_encrypted_with_a_password_of_its_own(
    mica: Run, openssl: OpenSSL, pair: Callable[..., Path]
) -> None:
    folder = pair()
    (folder / "other").write_text("another\n")
    p12(mica, "svc.p12", "svc.crt", "svc.key", *PASSWORD)
    said = p12(mica, "--extract", "svc.p12", "new.crt", "new.key", *PASSWORD, code=6)
    assert "answer it with --key-password-file, or --no-password --insecure" in said
    assert not (folder / "new.crt").exists()
    p12(mica, "--extract", "svc.p12", "new.crt", "new.key", *PASSWORD, "--key-password-file", "other")
    assert (folder / "new.key").read_text().startswith("-----BEGIN ENCRYPTED PRIVATE KEY-----")
    assert openssl("pkey", "-in", "new.key", "-passin", "pass:another") == openssl("pkey", "-in", "svc.key")


def test_an_encrypted_key_goes_in_without_a_terminal(mica: Run, openssl: OpenSSL, pair: Callable[..., Path]) -> None:
    folder = pair("ec:P-256", "-passout", "pass:another")
    (folder / "other").write_text("another\n")
    p12(mica, "svc.p12", "svc.crt", "svc.key", *PASSWORD, "--key-password-file", "other")
    inside = openssl("pkcs12", "-in", "svc.p12", "-passin", "file:password", "-noenc", "-nocerts")
    assert "BEGIN PRIVATE KEY" in inside
    said = p12(mica, "x.p12", "svc.crt", "svc.key", *PASSWORD, code=6)
    assert "hint: answer it with --key-password-file" in said


def test_passwords_come_from_stdin_and_from_descriptors(mica: Run, openssl: OpenSSL, pair: Callable[..., Path]) -> None:
    pair()
    result = mica("certificate", "p12", "svc.p12", "svc.crt", "svc.key", "--password-file", "-", input="piped\n")
    assert result.returncode == 0
    openssl("pkcs12", "-in", "svc.p12", "-passin", "pass:piped", "-noout")


def test_without_a_password_nobody_is_asked_for_one(mica: Run, openssl: OpenSSL, pair: Callable[..., Path]) -> None:
    folder = pair()
    p12(mica, "svc.p12", "svc.crt", "svc.key", *BARE)
    openssl("pkcs12", "-in", "svc.p12", "-passin", "pass:", "-noout")
    p12(mica, "--extract", "svc.p12", "new.crt", "new.key", *BARE)
    assert (folder / "new.crt").read_bytes() == (folder / "svc.crt").read_bytes()
    openssl("pkcs12", "-export", "-in", "svc.crt", "-inkey", "svc.key", "-passout", "pass:", "-out", "theirs.p12")
    p12(mica, "--extract", "theirs.p12", "new.crt", "--force")


def test_a_chain_comes_out_in_order_whatever_order_it_went_in(
    mica: Run, openssl: OpenSSL, pair: Callable[..., Path]
) -> None:
    folder = pair()
    bare = ("--ca", "int.crt", "--ca-key", "int.key", "--ca-password-file", "ca-password", *BARE)
    mica("certificate", "create", "leaf.example", "leaf.crt", "leaf.key", *bare)
    (folder / "mixed.crt").write_bytes(b"".join((folder / f"{n}.crt").read_bytes() for n in ("root", "leaf", "int")))
    p12(mica, "leaf.p12", "mixed.crt", "leaf.key", *PASSWORD)
    p12(mica, "--extract", "leaf.p12", "out.crt", *PASSWORD)
    assert certificates(folder / "out.crt") == ["CN=leaf.example", "CN=Intermediate,O=Harbour Works", "CN=Root"]


def test_authorities_alone_make_a_trust_store(mica: Run, openssl: OpenSSL, pair: Callable[..., Path]) -> None:
    folder = pair()
    p12(mica, "trust.p12", "--ca", "root.crt", "--ca", "int.crt", *PASSWORD)
    shown = openssl("pkcs12", "-in", "trust.p12", "-passin", "file:password")
    assert "PRIVATE KEY" not in shown
    assert shown.count("BEGIN CERTIFICATE") == 2
    assert "2.16.840.1.113894.746875.1.1" in shown or "Trusted key usage (Oracle)" in shown
    p12(mica, "--extract", "trust.p12", "out.crt", *PASSWORD)
    assert sorted(certificates(folder / "out.crt")) == ["CN=Intermediate,O=Harbour Works", "CN=Root"]
    assert "trust.p12: holds no private key" in p12(
        mica, "--extract", "trust.p12", "out.crt", "out.key", *PASSWORD, *BARE, "--force", code=5
    )


@pytest.mark.parametrize("flags", [[], ["-legacy"], ["-nomac"]])
def test_a_file_that_would_hash_for_hours_is_refused_at_once(
    mica: Run, openssl: OpenSSL, pair: Callable[..., Path], flags: list[str]
) -> None:
    folder = pair()
    openssl(
        "pkcs12", "-export", "-in", "svc.crt", "-inkey", "svc.key", "-iter", str(0x123456), *flags,
        "-passout", "file:password", "-out", "svc.p12",
    )  # fmt: skip
    patient = (folder / "svc.p12").read_bytes()
    (folder / "slow.p12").write_bytes(patient.replace(b"\x02\x03\x12\x34\x56", b"\x02\x03\x7f\xff\xff"))
    p12(mica, "--extract", "svc.p12", "out.crt", *PASSWORD)
    said = p12(mica, "--extract", "slow.p12", "out2.crt", *PASSWORD, code=5)
    assert "slow.p12: wants its password hashed more than 5,000,000 times" in said


def test_json_reports_what_is_inside(mica: Run, pair: Callable[..., Path]) -> None:
    folder = pair()
    result = mica("certificate", "p12", "svc.p12", "svc.crt", "svc.key", *PASSWORD, "--json")
    report = json.loads(result.stdout)
    made = x509.load_pem_x509_certificate((folder / "svc.crt").read_bytes())
    assert report["p12"] == "svc.p12"
    assert [each["serial_number"] for each in report["certificates"]] == [str(made.serial_number)]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["x.p12"], 2, "missing arguments 'CRT' and 'KEY'"),
        (
            ["svc.key", "svc.crt", "svc.key", *PASSWORD, "-f"],
            2,
            "svc.key would take the place of svc.key, which is read",
        ),
        (["--extract", "svc.p12", "svc.p12", *PASSWORD, "-f"], 2, "svc.p12 would take the place of svc.p12, which is"),
        (["x.p12", "svc.crt"], 2, "missing argument 'KEY'"),
        (["x.p12", "svc.crt", "svc.key", "--no-password"], 2, "flag '--no-password' requires the '--insecure' flag"),
        (
            ["x.p12", "svc.crt", "svc.key", *BARE, *PASSWORD],
            2,
            "'--no-password' is incompatible with '--password-file'",
        ),
        (["--extract", "svc.p12"], 2, "missing argument 'CRT'"),
        (["--extract", "svc.p12", "x", "--legacy"], 2, "'--legacy' is incompatible with '--extract'"),
        (["--extract", "svc.p12", "x", "--ca", "root.crt"], 2, "'--ca' is incompatible with '--extract'"),
        (["--extract", "svc.p12", "x", "x", *PASSWORD], 2, "x and x are the same file"),
        (["x.p12", "root.crt", "svc.key", *PASSWORD], 5, "svc.key: is not the key of 'Root'"),
        (["x.p12", "svc.crt", "svc.crt", *PASSWORD], 5, "svc.crt: the file holds a certificate, not a private key"),
        (["x.p12", "svc.key", "svc.key", *PASSWORD], 5, "svc.key: holds a private key, not a certificate"),
        (["x.p12", "--ca", "empty", *PASSWORD], 5, "empty: is empty"),
        (["x.p12", "--ca", "root.crt", "--password-file", "latin"], 5, "the password is not UTF-8"),
        (["no/x.p12", "svc.crt", "svc.key", *PASSWORD], 5, "no/x.p12: there is no directory"),
        (["x.p12", "svc.crt", "svc.key"], 6, "there is no terminal to ask on"),
        (["svc.p12", "svc.crt", "svc.key", *PASSWORD], 6, "Would you like to overwrite svc.p12"),
        (["--extract", "svc.p12", "x"], 6, "hint: answer it with --password-file"),
        (["--extract", "svc.p12", "x", "--password-file", "empty"], 5, "empty: holds no password"),
        (["--extract", "svc.p12", "x", "--password-file", "latin"], 5, "svc.p12: cannot be opened: the password is"),
        (["--extract", "cut.p12", "x", *PASSWORD], 5, "cut.p12: cannot be opened: the password is wrong, or the file"),
        (["--extract", "svc.crt", "x", *PASSWORD], 5, "svc.crt: holds a certificate, not a PKCS #12 file"),
        (["--extract", "svc.der", "x", *PASSWORD], 5, "svc.der: holds a certificate, not a PKCS #12 file"),
        (["--extract", "svc.key", "x", *PASSWORD], 5, "svc.key: holds a private key, not a PKCS #12 file"),
        (["--extract", "empty", "x", *PASSWORD], 5, "empty: is empty"),
        (["--extract", "none", "x", *PASSWORD], 5, "none: there is no such file"),
        (["--extract", "password", "x", *PASSWORD], 5, "password: holds neither PEM nor DER"),
    ],
)
def test_what_is_wrong_is_told_and_nothing_is_written(
    mica: Run, openssl: OpenSSL, pair: Callable[..., Path], arguments: list[str], code: int, message: str
) -> None:
    folder = pair()
    (folder / "theirs.p12").rename(folder / "svc.p12")
    openssl("x509", "-in", "svc.crt", "-outform", "DER", "-out", "svc.der")
    (folder / "cut.p12").write_bytes((folder / "svc.p12").read_bytes()[:-20])
    (folder / "empty").touch()
    (folder / "latin").write_bytes("größe".encode("latin-1"))
    before = {name: (folder / name).read_bytes() for name in os.listdir(folder)}
    assert message in p12(mica, *arguments, code=code)
    assert {name: (folder / name).read_bytes() for name in os.listdir(folder)} == before


def test_the_terminal_is_asked_for_a_new_password_twice_and_for_an_old_one_once(
    openssl: OpenSSL, pair: Callable[..., Path]
) -> None:
    folder = pair()

    def spawn(*arguments: str) -> "pexpect.spawn[str]":
        command = ["-m", "mica.cli", "certificate", "p12", *arguments]
        return pexpect.spawn(sys.executable, command, cwd=str(folder), encoding="utf-8", timeout=30)

    child = spawn("svc.p12", "svc.crt", "svc.key")
    child.expect("Please enter the password to encrypt the .p12 file: ")
    child.sendline("s3cret")
    child.expect("The same once more: ")
    child.sendline("s3creT")
    child.expect(">> the two are not the same")
    child.expect("Please enter the password to encrypt the .p12 file: ")
    child.sendline("s3cret")
    child.expect("The same once more: ")
    child.sendline("s3cret")
    child.expect(pexpect.EOF)
    openssl("pkcs12", "-in", "svc.p12", "-passin", "pass:s3cret", "-noout")
    child = spawn("--extract", "svc.p12", "new.crt")
    child.expect("Please enter the password to decrypt svc.p12: ")
    child.sendline("s3cret")
    child.expect("Your certificate has been saved in new.crt")
    child.expect(pexpect.EOF)
    assert (folder / "new.crt").read_bytes() == (folder / "svc.crt").read_bytes()
