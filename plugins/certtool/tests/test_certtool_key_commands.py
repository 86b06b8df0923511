"""``crypto key``: openssl, ssh-keygen and jwcrypto read what is converted here, and the reverse."""

import base64
import hashlib
import json
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pexpect
import pytest
from cryptography.hazmat.primitives.serialization import load_der_private_key
from jwcrypto import jwk as jwcrypto_jwk

Run = Callable[..., subprocess.CompletedProcess[str]]
OpenSSL = Callable[..., str]
Stock = Callable[..., Path]
KINDS = {
    "P-256": ["EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "P-384": ["EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
    "P-521": ["EC", "-pkeyopt", "ec_paramgen_curve:P-521"],
    "RSA": ["RSA"],
    "Ed25519": ["ED25519"],
}
FORMS = ("--pem", "--der", "--ssh", "--jwk")


@pytest.fixture(autouse=True)
def passwords(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("secret\n")
    (tmp_path / "other").write_text("other\n")


@pytest.fixture(params=KINDS)
def public(request: pytest.FixtureRequest, stock: Stock) -> str:
    """The public half of ``key``, which openssl has made, in PEM; ``locked`` is the key under the password."""
    folder = stock(
        f"genpkey -algorithm {' '.join(KINDS[request.param])} -out key",
        "pkey -in key -aes256 -passout pass:secret -out locked",
        "pkey -in key -pubout -out pub",
    )
    return (folder / "pub").read_text()


@pytest.fixture
def read_elsewhere(tmp_path: Path, openssl: OpenSSL) -> Callable[[str, str, str | None], str]:
    """The public half, in PEM, of a private key in one of the forms, as the tool that the form belongs to reads it."""

    def ssh(file: str, password: str | None) -> str:
        command = ["ssh-keygen", "-y", "-P", password or "", "-f", file]
        line = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
        return pem_of_ssh(line)

    def read_elsewhere(form: str, file: str, password: str | None) -> str:
        match form:
            case "--ssh":
                return ssh(file, password)
            case "--jwk":
                text = (tmp_path / file).read_text()
                return jwcrypto_jwk.JWK.from_json(text).export_to_pem().decode()
        options = ["-inform", form.removeprefix("--").upper(), "-passin", f"pass:{password or ''}"]
        return openssl("pkey", *options, "-in", file, "-pubout")

    return read_elsewhere


def pem_of_ssh(line: str) -> str:
    """A public key of OpenSSH in PEM."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_public_key

    key = load_ssh_public_key(line.encode())
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@pytest.mark.parametrize("form", FORMS)
def test_a_plain_key_is_converted_and_back(
    mica: Run, openssl: OpenSSL, public: str, form: str, read_elsewhere: Callable[..., str]
) -> None:
    assert mica("crypto", "key", "format", form, "key", "--out", "made").returncode == 0
    assert read_elsewhere(form, "made", None) == public
    assert mica("crypto", "key", "format", "--pem", "made", "--out", "back").returncode == 0
    assert openssl("pkey", "-in", "back", "-pubout") == public


@pytest.mark.parametrize("form", ["--pem", "--der", "--ssh"])
def test_an_encrypted_key_stays_encrypted_under_its_password(
    mica: Run, openssl: OpenSSL, tmp_path: Path, public: str, form: str, read_elsewhere: Callable[..., str]
) -> None:
    given = ("--password-file", "password")
    assert mica("crypto", "key", "format", form, "locked", *given, "--out", "made").returncode == 0
    assert read_elsewhere(form, "made", "secret") == public
    wrong = mica("crypto", "key", "format", "--pem", "made", "--password-file", "other")
    assert (wrong.returncode, wrong.stdout) == (5, "")
    assert "made: the key cannot be decrypted: the password is wrong" in wrong.stderr
    bare = ("--no-password", "--insecure", "--out", "bare")
    assert mica("crypto", "key", "format", "--pem", "made", *given, *bare).returncode == 0
    assert (tmp_path / "bare").read_text().startswith("-----BEGIN PRIVATE KEY-----")
    assert openssl("pkey", "-in", "bare", "-pubout") == public


def test_an_encrypted_key_becomes_an_encrypted_jwk_and_back(
    mica: Run, openssl: OpenSSL, tmp_path: Path, public: str
) -> None:
    given = ("--password-file", "password")
    assert mica("crypto", "key", "format", "--jwk", "locked", *given, "--out", "made").returncode == 0
    assert "ciphertext" in json.loads((tmp_path / "made").read_text())
    assert mica("crypto", "key", "format", "made", *given, "--out", "back").returncode == 0
    assert openssl("pkey", "-in", "back", "-passin", "file:password", "-pubout") == public


@pytest.mark.parametrize("form", FORMS)
def test_public_keys_are_converted_and_back(mica: Run, tmp_path: Path, public: str, form: str) -> None:
    assert mica("crypto", "key", "format", form, "pub", "--out", "made").returncode == 0
    data = (tmp_path / "made").read_bytes()
    match form:
        case "--jwk":
            assert jwcrypto_jwk.JWK.from_json(data).export_to_pem().decode() == public
        case "--ssh":
            assert pem_of_ssh(data.decode()) == public
            subprocess.run(["ssh-keygen", "-l", "-f", "made"], cwd=tmp_path, check=True, capture_output=True)
        case "--der":
            assert base64.b64encode(data).decode() == "".join(public.splitlines()[1:-1])
    assert mica("crypto", "key", "format", "--pem", "made").stdout == public


def test_without_a_flag_pem_and_der_change_places(mica: Run, openssl: OpenSSL, tmp_path: Path, public: str) -> None:
    mica("crypto", "key", "format", "key", "--out", "der")
    assert load_der_private_key((tmp_path / "der").read_bytes(), None)
    pem = mica("crypto", "key", "format", input=(tmp_path / "der").read_bytes()).stdout
    assert pem == (tmp_path / "key").read_text()
    assert mica("crypto", "key", "format", "--pkcs8", "key").stdout == pem


@pytest.mark.parametrize("cipher", ["-aes128", "-aes256", "-des3"])
def test_legacy_files_are_read_and_written_as_pkcs8(
    mica: Run, openssl: OpenSSL, stock: Stock, tmp_path: Path, cipher: str
) -> None:
    stock("genpkey -algorithm RSA -out key")
    openssl("rsa", "-traditional", "-in", "key", cipher, "-passout", "file:password", "-out", "old")
    assert "Proc-Type: 4,ENCRYPTED" in (tmp_path / "old").read_text()
    (tmp_path / "crlf").write_bytes(b"\xef\xbb\xbf" + (tmp_path / "old").read_bytes().replace(b"\n", b"\r\n"))
    for name in ("old", "crlf"):
        pem = mica("crypto", "key", "format", "--pem", name, "--password-file", "password").stdout
        (tmp_path / "new").write_text(pem)
        assert pem.startswith("-----BEGIN ENCRYPTED PRIVATE KEY-----")
        same = openssl("pkey", "-in", "key", "-pubout")
        assert openssl("pkey", "-in", "new", "-passin", "file:password", "-pubout") == same


def test_a_jwk_keeps_the_members_that_it_has(mica: Run, tmp_path: Path) -> None:
    theirs = jwcrypto_jwk.JWK.generate(kty="EC", crv="P-256", kid="mine", use="enc")
    (tmp_path / "k.json").write_text(theirs.export())
    made = json.loads(mica("crypto", "key", "format", "--jwk", "k.json").stdout)
    assert made == json.loads(theirs.export())


def test_the_mode_is_that_of_the_source_and_never_wide_for_a_secret(
    mica: Run, tmp_path: Path, openssl: OpenSSL
) -> None:
    openssl("genpkey", "-algorithm", "ED25519", "-out", "key")
    openssl("pkey", "-in", "key", "-pubout", "-out", "pub")
    for mode, secret in ((0o644, 0o600), (0o400, 0o400), (0o600, 0o600)):
        (tmp_path / "key").chmod(mode)
        (tmp_path / "pub").chmod(mode)
        mica("crypto", "key", "format", "key", "--out", "made.key", "-f")
        mica("crypto", "key", "format", "pub", "--out", "made.pub", "-f")
        assert stat.S_IMODE((tmp_path / "made.key").stat().st_mode) == secret
        assert stat.S_IMODE((tmp_path / "made.pub").stat().st_mode) == mode
        (tmp_path / "made.key").unlink()
        (tmp_path / "made.pub").unlink()


def test_public_prints_what_openssl_prints(mica: Run, openssl: OpenSSL, tmp_path: Path, public: str) -> None:
    openssl("req", "-new", "-key", "key", "-subj", "/CN=x", "-out", "csr")
    openssl("req", "-x509", "-key", "key", "-subj", "/CN=x", "-out", "crt")
    openssl("x509", "-in", "crt", "-outform", "DER", "-out", "crt.der")
    openssl("req", "-in", "csr", "-outform", "DER", "-out", "csr.der")
    for name in ("key", "pub", "csr", "crt", "crt.der", "csr.der", "file:key"):
        (tmp_path / "key").chmod(0o600)
        assert mica("crypto", "key", "public", name).stdout == public, name
    assert mica("crypto", "key", "public", "locked", "--password-file", "password").stdout == public
    result = mica("crypto", "key", "public", "-", "--out", "made", input=(tmp_path / "key").read_bytes())
    assert (result.returncode, result.stdout, (tmp_path / "made").read_text()) == (0, "", public)


def test_fingerprints_are_those_of_openssl_and_ssh_keygen(
    mica: Run, openssl: OpenSSL, tmp_path: Path, public: str
) -> None:
    spki = base64.b64decode("".join(public.splitlines()[1:-1]))
    digest = hashlib.sha256(spki)
    assert mica("crypto", "key", "fingerprint", "--pkix", "key", "--format", "hex").stdout == (
        f"SHA256:{digest.hexdigest()}\n"
    )
    assert mica("crypto", "key", "fingerprint", "--pkix", "pub").stdout == (
        f"SHA256:{base64.b64encode(digest.digest()).decode()}\n"
    )
    (tmp_path / "ssh").write_text(mica("crypto", "key", "format", "--ssh", "pub").stdout)
    shown = subprocess.run(["ssh-keygen", "-l", "-f", "ssh"], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert mica("crypto", "key", "fingerprint", "--ssh", "key").stdout.strip() == shown.stdout.split()[1]
    # RFC 5280 §4.2.1.2 (1): openssl's key identifier is the SHA-1 of the subjectPublicKey.
    openssl("req", "-x509", "-key", "key", "-subj", "/CN=x", "-addext", "subjectKeyIdentifier=hash", "-out", "crt")
    text = openssl("x509", "-in", "crt", "-noout", "-ext", "subjectKeyIdentifier")
    identifier = "".join(re.findall(r"\b[0-9A-F]{2}\b", text.split("\n", 1)[1])).lower()
    assert mica("crypto", "key", "fingerprint", "--sha1", "--insecure", "crt").stdout == f"SHA1:{identifier}\n"
    report = json.loads(mica("crypto", "key", "fingerprint", "--pkix", "key", "--json").stdout)
    assert report["digest"] == digest.hexdigest()


def test_raw_prints_what_would_be_hashed(mica: Run, openssl: OpenSSL, tmp_path: Path) -> None:
    openssl("genpkey", "-algorithm", "ED25519", "-out", "key")
    octets = jwcrypto_jwk.base64url_decode(json.loads(mica("crypto", "key", "format", "--jwk", "key").stdout)["x"])
    command = [sys.executable, "-m", "mica.cli", "crypto", "key", "fingerprint", "--raw", "key"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=True).stdout == octets
    printed = mica("crypto", "key", "fingerprint", "key").stdout
    assert printed == f"SHA256:{base64.b64encode(hashlib.sha256(octets).digest()).decode()}\n"


def test_inspect_shows_the_numbers_that_openssl_shows(mica: Run, openssl: OpenSSL, public: str) -> None:
    shown = mica("crypto", "key", "inspect", "key").stdout
    theirs = openssl("pkey", "-in", "key", "-noout", "-text").replace("\n", "").replace(" ", "").replace("00:", "")
    lines = shown.splitlines()
    assert re.fullmatch(r"(EC|RSA|Ed25519) Private-Key: \(.*\d+ bit\)", lines[0])
    rows = [line for line in lines if line.startswith("    ")]
    assert all(len(row.strip().rstrip(":").split(":")) <= 16 for row in rows)
    for label in ("private:", "private exponent:"):
        if label in lines:
            start = lines.index(label) + 1
            end = next((n for n in range(start, len(lines)) if not lines[n].startswith("    ")), len(lines))
            number = "".join(line.strip() for line in lines[start:end]).replace("00:", "")
            assert number in theirs
    assert mica("crypto", "key", "inspect", input=public).stdout.splitlines()[0].find("Public-Key") > 0


def test_inspect_as_json_shows_nothing_secret(mica: Run, openssl: OpenSSL, tmp_path: Path) -> None:
    openssl("genpkey", "-algorithm", "RSA", "-aes256", "-pass", "file:password", "-out", "key")
    report = json.loads(mica("crypto", "key", "inspect", "key", "--password-file", "password", "--json").stdout)
    assert (report["key"], report["bits"], report["private"], report["encrypted"]) == ("RSA 2048", 2048, True, True)
    assert set(report["numbers"]) == {"modulus", "exponent"}
    (tmp_path / "oct").write_text('{"kty": "oct", "k": "c2VjcmV0LXNlY3JldA"}')
    text = mica("crypto", "key", "inspect", "oct", "--json").stdout
    assert json.loads(text)["bits"] == 104
    assert "secret" not in text and "c2Vj" not in text


@pytest.mark.parametrize("command", ["format", "fingerprint"])
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none", "none: there is no such file"),
        (".", ".: is a directory"),
        ("/dev/null", "/dev/null: is empty"),
        ("password", "password: holds no key that can be read"),
        ("utf16", "utf16: is UTF-16 text"),
        ("cut", "cut: the PEM text of the key is cut off or damaged"),
        ("two", "two: the file holds 2 private keys"),
        ("p12", "p12: holds a PKCS #12 file, not a key"),
        ("ed448", "ed448: key must be EC, RSA or Ed25519, not Ed448; make a new key"),
        ("x448", "x448: is a key of the kind X448"),
        ("/dev/zero", "/dev/zero: is larger than 16 MiB"),
        ("pkcs11:token=x", "nothing that is installed finds keys of the scheme pkcs11:"),
    ],
)
def test_what_is_no_key_is_told_in_one_line(
    mica: Run, openssl: OpenSSL, tmp_path: Path, command: str, name: str, message: str
) -> None:
    openssl("genpkey", "-algorithm", "ED25519", "-out", "key")
    text = (tmp_path / "key").read_text()
    (tmp_path / "utf16").write_bytes(text.encode("utf-16"))
    (tmp_path / "cut").write_text(text[:60])
    (tmp_path / "two").write_text(text + text)
    if name == "p12":
        openssl("pkcs12", "-export", "-nocerts", "-inkey", "key", "-passout", "pass:x", "-out", "p12")
    if name == "ed448":
        openssl("genpkey", "-algorithm", "ED448", "-out", "ed448")
    if name == "x448":
        openssl("genpkey", "-algorithm", "X448", "-out", "secret")
        openssl("pkey", "-in", "secret", "-pubout", "-out", "x448")
    result = mica("crypto", "key", command, name)
    assert (result.returncode, result.stdout) == (5, "")
    assert message in result.stderr
    assert result.stderr.count("\n") <= 2


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["format", "key", "--pem", "--der"], 2, "flag '--pem' is incompatible with '--der'"),
        (["format", "key", "--ssh", "--pkcs8"], 2, "flag '--pkcs8' is incompatible with '--ssh'"),
        (["format", "key", "--no-password"], 2, "flag '--no-password' requires the '--insecure' flag"),
        (["format", "key", "--out", "no/x"], 5, "no/x: there is no directory"),
        (["format", "key", "--out", "pub"], 6, "Would you like to overwrite pub"),
        (["format", "file:key"], 5, "file:key: the private key stays where it is"),
        (["format", "oct", "--pem"], 5, "oct: is a symmetric key, for which there is no form but JWK"),
        (["public", "oct"], 5, "oct: is a symmetric key, which has no public half"),
        (["public", "key", "--out", "pub"], 6, "Would you like to overwrite pub"),
        (["fingerprint", "key", "--sha1"], 2, "flag '--sha1' requires the '--insecure' flag"),
        (["fingerprint", "key", "--pkix", "--ssh"], 2, "flag '--pkix' is incompatible with '--ssh'"),
        (["fingerprint", "key", "--raw", "--format", "hex"], 2, "flag '--raw' is incompatible with '--format'"),
        (["inspect", "locked"], 6, "Please enter the password to decrypt locked"),
        (["inspect", "locked", "--password-file", "other"], 5, "locked: the key cannot be decrypted"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_written(
    mica: Run, stock: Stock, tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    stock("genpkey -algorithm ED25519 -out key", "pkey -in key -aes256 -passout pass:secret -out locked")
    (tmp_path / "oct").write_text('{"kty": "oct", "k": "c2VjcmV0"}')
    (tmp_path / "pub").write_text("old")
    result = mica("crypto", "key", *arguments)
    assert (result.returncode, result.stdout) == (code, "")
    assert message in result.stderr
    assert (tmp_path / "pub").read_text() == "old"


@pytest.mark.parametrize("block", [b"-----BEGIN PRIVATE KEY-----\n", b"-----BEGIN X-----\n", b"-----END X-----\n"])
def test_a_file_of_marks_alone_takes_no_time_where_a_key_is_wanted(mica: Run, block: bytes) -> None:
    result = mica("crypto", "key", "inspect", input=block * 400_000)
    assert (result.returncode, result.stdout) == (5, "")
    assert "stdin: " in result.stderr


def test_what_holds_no_key_is_named(mica: Run, stock: Stock, tmp_path: Path) -> None:
    stock("genpkey -algorithm ED25519 -out key", "req -x509 -key key -subj /CN=x -out crt")
    (tmp_path / "damaged").write_text((tmp_path / "crt").read_text().replace("MII", "MIA", 1))
    (tmp_path / "token").write_text("eyJhbGciOiJFUzI1NiJ9.e30.AAAA")
    for name, message in (
        ("damaged", "damaged: holds a certificate whose key cannot be read"),
        ("token", "token: holds a token (JWT), not a key"),
    ):
        result = mica("crypto", "key", "public", name)
        assert (result.returncode, result.stdout) == (5, "")
        assert message in result.stderr


def test_a_public_key_is_for_everybody_to_read(mica: Run, stock: Stock, tmp_path: Path) -> None:
    stock("genpkey -algorithm ED25519 -out key")
    (tmp_path / "key").chmod(0o600)
    assert mica("crypto", "key", "public", "key", "--out", "pub").stderr == "Your public key has been saved in pub.\n"
    assert stat.S_IMODE((tmp_path / "pub").stat().st_mode) == 0o644


def test_der_is_not_shown_on_a_terminal(stock: Stock, tmp_path: Path) -> None:
    stock("genpkey -algorithm ED25519 -out key")
    arguments = ["-m", "mica.cli", "crypto", "key", "format", "--der", "key"]
    child = pexpect.spawn(sys.executable, arguments, cwd=str(tmp_path), encoding="utf-8", timeout=20)
    child.expect("error: DER is nothing for a terminal")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 2


@pytest.mark.parametrize("command", [["key", "inspect"], ["jwk", "thumbprint"], ["jwt", "inspect", "--insecure"]])
def test_a_closed_stdin_is_told(tmp_path: Path, command: list[str]) -> None:
    mica = " ".join([sys.executable, "-m", "mica.cli", "crypto", *command])
    result = subprocess.run(["sh", "-c", f"{mica} <&-"], cwd=tmp_path, capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (5, "")
    assert "stdin is closed" in result.stderr
