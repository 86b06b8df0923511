"""``certificate key``: the public key that openssl finds in the same file."""

import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]
OpenSSL = Callable[..., str]


@pytest.mark.parametrize("kind", ["rsa:2048", "ed25519", "ed448", "ec:prime256v1", "ec:secp521r1", "ec:secp256k1"])
def test_the_key_of_a_certificate_and_of_a_request_of_any_kind(mica: Run, openssl: OpenSSL, kind: str) -> None:
    name, _, curve = kind.partition(":")
    flags = ["ec", "-pkeyopt", f"ec_paramgen_curve:{curve}"] if name == "ec" else [kind]
    new = ("-newkey", *flags, "-noenc", "-keyout", "k", "-subj", "/CN=svc.example")
    openssl("req", "-x509", *new, "-out", "c.crt")
    openssl("req", "-new", "-key", "k", "-subj", "/CN=svc.example", "-out", "c.csr")
    expected = openssl("pkey", "-in", "k", "-pubout")
    assert mica("certificate", "key", "c.crt").stdout == expected
    assert mica("certificate", "key", "c.csr").stdout == expected


def test_a_compressed_point_stays_compressed(mica: Run, openssl: OpenSSL) -> None:
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-conv_form", "compressed", "-out", "k")
    openssl("req", "-x509", "-key", "k", "-subj", "/CN=svc.example", "-out", "c.crt")
    public = openssl("x509", "-in", "c.crt", "-noout", "-pubkey")
    assert mica("certificate", "key", "c.crt").stdout == public


def test_stdin_is_read_and_der_too(mica: Run, openssl: OpenSSL, pki: Path) -> None:
    openssl("x509", "-in", "int.crt", "-outform", "DER", "-out", "int.der")
    expected = openssl("x509", "-in", "int.crt", "-noout", "-pubkey")
    assert mica("certificate", "key", "int.der").stdout == expected
    for arguments in ([], ["-"]):
        assert mica("certificate", "key", *arguments, input=(pki / "int.crt").read_bytes()).stdout == expected


@pytest.mark.parametrize("flag", ["--out", "--output-file"])
def test_a_file_is_written_for_everybody_to_read(mica: Run, openssl: OpenSSL, pki: Path, flag: str) -> None:
    result = mica("certificate", "key", "int.crt", flag, "int.pub")
    assert (result.stdout, result.stderr) == ("", "Your public key has been saved in int.pub.\n")
    assert (pki / "int.pub").read_text() == openssl("x509", "-in", "int.crt", "-noout", "-pubkey")
    assert stat.S_IMODE((pki / "int.pub").stat().st_mode) == 0o644
    assert mica("certificate", "key", "root.crt", flag, "int.pub").returncode == 6
    assert mica("certificate", "key", "root.crt", flag, "int.pub", "-f").returncode == 0
    assert (pki / "int.pub").read_text() == openssl("x509", "-in", "root.crt", "-noout", "-pubkey")


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("int.key", "int.key: holds an encrypted private key, not a certificate"),
        ("int.pub", "int.pub: holds a public key, not a certificate"),
        ("empty", "empty: is empty"),
        ("none", "none: there is no such file"),
        ("cut", "cut: is cut off"),
    ],
)
def test_what_has_no_public_key_is_told(mica: Run, openssl: OpenSSL, pki: Path, file: str, message: str) -> None:
    (pki / "empty").touch()
    (pki / "int.pub").write_text(openssl("x509", "-in", "int.crt", "-noout", "-pubkey"))
    (pki / "cut").write_bytes((pki / "int.crt").read_bytes()[:-30])
    result = mica("certificate", "key", file)
    assert (result.returncode, result.stdout) == (5, "")
    assert message in result.stderr
