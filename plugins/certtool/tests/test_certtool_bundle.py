"""``certificate bundle``: the certificate first, then whoever issued it."""

import json
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509

Run = Callable[..., subprocess.CompletedProcess[str]]
OpenSSL = Callable[..., str]


def test_the_issuer_follows_and_openssl_reads_both(mica: Run, openssl: OpenSSL, pki: Path) -> None:
    result = mica("certificate", "bundle", "int.crt", "root.crt", "bundle.crt")
    assert (result.returncode, result.stdout) == (0, "")
    assert result.stderr == "Your certificate has been bundled with its issuer in bundle.crt.\n"
    expected = (pki / "int.crt").read_bytes() + (pki / "root.crt").read_bytes()
    assert (pki / "bundle.crt").read_bytes() == expected
    assert stat.S_IMODE((pki / "bundle.crt").stat().st_mode) == 0o644
    assert openssl("crl2pkcs7", "-nocrl", "-certfile", "bundle.crt").startswith("-----BEGIN PKCS7-----")


def test_of_each_file_the_first_certificate_counts_and_der_is_read(mica: Run, openssl: OpenSSL, pki: Path) -> None:
    openssl("x509", "-in", "root.crt", "-outform", "DER", "-out", "root.der")
    chain = (pki / "int.crt").read_bytes() + (pki / "root.crt").read_bytes()
    (pki / "chain.crt").write_bytes(b"\xef\xbb\xbf" + chain.replace(b"\n", b"\r\n"))
    assert mica("certificate", "bundle", "chain.crt", "root.der", "bundle.crt").returncode == 0
    assert (pki / "bundle.crt").read_bytes() == chain


def test_a_key_in_the_same_file_does_not_come_along(mica: Run, pki: Path) -> None:
    (pki / "both.pem").write_bytes((pki / "int.key").read_bytes() + (pki / "int.crt").read_bytes())
    assert mica("certificate", "bundle", "both.pem", "root.crt", "bundle.crt").returncode == 0
    assert "PRIVATE" not in (pki / "bundle.crt").read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["root.crt", "int.crt", "b"], 5, "int.crt: 'Intermediate' did not issue 'Root' in root.crt\nhint: the cert"),
        (["int.crt", "int.key", "b"], 5, "int.key: holds an encrypted private key, not a certificate"),
        (["none", "root.crt", "b"], 5, "none: there is no such file"),
        (["empty", "root.crt", "b"], 5, "empty: is empty"),
        (["int.crt", "root.crt", "no/b"], 5, "no/b: there is no directory"),
        (["int.crt", "root.crt", "there"], 6, "there is no terminal to ask on"),
        (["int.crt", "root.crt"], 2, "Missing argument 'BUNDLE'"),
    ],
)
def test_what_is_wrong_is_told_and_nothing_is_written(
    mica: Run, pki: Path, arguments: list[str], code: int, message: str
) -> None:
    (pki / "empty").touch()
    (pki / "there").write_text("old")
    result = mica("certificate", "bundle", *arguments)
    assert (result.returncode, result.stdout) == (code, "")
    assert message.lower() in result.stderr.lower()
    assert not (pki / "b").exists()
    assert (pki / "there").read_text() == "old"


def test_a_forged_issuer_of_the_same_name_is_refused(mica: Run, pki: Path) -> None:
    bare = ("--no-password", "--insecure")
    mica("certificate", "create", "Root", "forged.crt", "forged.key", "--profile", "root-ca", *bare)
    assert mica("certificate", "bundle", "int.crt", "forged.crt", "b").returncode == 5
    assert not (pki / "b").exists()


def test_json_names_the_file_and_its_certificates(mica: Run, pki: Path) -> None:
    result = mica("certificate", "bundle", "int.crt", "root.crt", "b", "--json")
    report = json.loads(result.stdout)
    made = x509.load_pem_x509_certificates((pki / "b").read_bytes())
    assert report["bundle"] == "b"
    assert [each["subject"] for each in report["certificates"]] == ["Intermediate", "Root"]
    assert [each["serial_number"] for each in report["certificates"]] == [str(each.serial_number) for each in made]
