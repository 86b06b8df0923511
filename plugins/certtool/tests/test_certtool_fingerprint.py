"""``certificate fingerprint``, with openssl and coreutils as judges."""

import base64
import hashlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

Run = Callable[..., subprocess.CompletedProcess[str]]


def test_the_default_is_the_hex_sha256_that_openssl_prints(
    mica: Run, openssl: Callable[..., str], sample: Path
) -> None:
    printed = openssl("x509", "-in", sample, "-noout", "-fingerprint", "-sha256").strip().split("=")[1]
    assert mica("certificate", "fingerprint", sample).stdout == printed.replace(":", "").lower() + "\n"


@pytest.mark.parametrize(
    ("layout", "encode"),
    [
        ("hex", bytes.hex),
        ("base64", lambda digest: base64.b64encode(digest).decode()),
        ("base64-url", lambda digest: base64.urlsafe_b64encode(digest).decode()),
        ("base64-raw", lambda digest: base64.b64encode(digest).decode().strip("=")),
        ("base64-url-raw", lambda digest: base64.urlsafe_b64encode(digest).decode().strip("=")),
    ],
)
def test_every_encoding(mica: Run, sample: Path, layout: str, encode: Callable[[bytes], str]) -> None:
    der = x509.load_pem_x509_certificate(sample.read_bytes()).public_bytes(serialization.Encoding.DER)
    assert (
        mica("certificate", "fingerprint", "--format", layout, sample).stdout
        == encode(hashlib.sha256(der).digest()) + "\n"
    )


def test_sha1_needs_insecure(mica: Run, openssl: Callable[..., str], sample: Path) -> None:
    refused = mica("certificate", "fingerprint", "--sha1", sample)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "flag '--sha1' requires the '--insecure' flag" in refused.stderr
    printed = openssl("x509", "-in", sample, "-noout", "-fingerprint", "-sha1").strip().split("=")[1]
    result = mica("certificate", "fingerprint", "--sha1", "--insecure", sample)
    assert result.stdout == printed.replace(":", "").lower() + "\n"


def test_a_bundle_is_numbered(mica: Run, sample: Path) -> None:
    one = mica("certificate", "fingerprint", sample).stdout
    twice = sample.read_bytes() * 2
    assert mica("certificate", "fingerprint", "--bundle", input=twice).stdout == f"0: {one}1: {one}"
    assert mica("certificate", "fingerprint", input=twice).stdout == one


def test_json_has_the_list(mica: Run, sample: Path) -> None:
    one = mica("certificate", "fingerprint", sample).stdout.strip()
    found = json.loads(mica("certificate", "fingerprint", "--json", "--bundle", input=sample.read_bytes() * 2).stdout)
    assert found == {"algorithm": "sha256", "format": "hex", "fingerprints": [one, one]}


def test_a_request_has_a_fingerprint(mica: Run, openssl: Callable[..., str], tmp_path: Path) -> None:
    openssl(
        "req", "-new", "-newkey", "ed25519", "-nodes", "-keyout", "k", "-out", "r", "-outform", "DER", "-subj", "/CN=a"
    )
    expected = hashlib.sha256((tmp_path / "r").read_bytes()).hexdigest()
    assert mica("certificate", "fingerprint", "r").stdout == expected + "\n"
