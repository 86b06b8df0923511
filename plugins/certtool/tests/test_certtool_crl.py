"""Revocation lists that openssl makes: shown by ``inspect``, and looked into by ``verify --crl``."""

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

Run = Callable[..., subprocess.CompletedProcess[str]]

CONF = """\
[ca]
default_ca = d
[d]
database = index.txt
crlnumber = number
default_md = sha256
default_crl_days = 7
crl_extensions = e
[e]
authorityKeyIdentifier = keyid
[point]
issuingDistributionPoint = critical, @idp
[idp]
onlyCA = TRUE
"""
CA_CONF = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n"


@pytest.fixture
def ca(openssl: Callable[..., str], tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """A CA ``root`` with the certificates ``good`` and ``bad``, which is revoked; makes the list ``crl.pem``."""
    (tmp_path / "conf").write_text(CONF)
    (tmp_path / "index.txt").touch()
    (tmp_path / "number").write_text("2A\n")
    (tmp_path / "ext").write_text(CA_CONF)
    _new(openssl, "root", "/CN=Crl Root", "-signkey", "root.key", "-extfile", "ext")
    for number, name in enumerate(("good", "bad"), 0xBAD0):
        issuer = ("-CA", "root", "-CAkey", "root.key", "-set_serial", hex(number))
        _new(openssl, name, f"/CN={name}", *issuer)
    arguments = ("ca", "-config", "conf", "-cert", "root", "-keyfile", "root.key")
    openssl(*arguments, "-revoke", "bad", "-crl_reason", "keyCompromise")

    def crl(name: str = "crl.pem", *more: str) -> Path:
        openssl(*arguments, "-gencrl", "-out", name, *more)
        return tmp_path / name

    crl()
    yield crl


def _new(openssl: Callable[..., str], name: str, subject: str, *arguments: str) -> None:
    openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key",
            "-out", "r", "-subj", subject)  # fmt: skip
    openssl("x509", "-req", "-in", "r", "-out", name, "-days", "9", *arguments)


def test_the_long_layout_has_what_openssl_reads(
    mica: Run, openssl: Callable[..., str], ca: Callable[..., Path]
) -> None:
    result = mica("certificate", "inspect", "crl.pem")
    assert (result.returncode, result.stderr) == (0, "")
    rows, theirs = (
        result.stdout.splitlines(),
        openssl("crl", "-in", "crl.pem", "-noout", "-text", "-fingerprint", "-sha256"),
    )
    assert rows[:5] == [
        "Certificate Revocation List:", "    Data:", "        Version: 2 (0x1)",
        "        Signature Algorithm: ECDSA-SHA256", "        Issuer: CN=Crl Root",
    ]  # fmt: skip
    fingerprint = re.findall(r"Fingerprint=([0-9A-F:]+)", theirs)[0].replace(":", "").lower()
    assert f"    SHA-256 Fingerprint: {fingerprint}" in rows
    for row in (
        "            X509v3 CRL Number:", "                42", "        Revoked Certificates: 1",
        "            Serial Number: 47825 (0xbad1)", "                Reason: Key Compromise",
        "    Status: current, 6d 23h remaining",
    ):  # fmt: skip
        assert row in rows
    signature = result.stdout.split("Signature Algorithm: ECDSA-SHA256\n")[2].split("    SHA-256")[0]
    assert re.sub(r"[\s:]", "", signature) in re.sub(r"[\s:]", "", theirs)
    revoked = re.findall(r"Revocation Date: (\w+ +\d+ [\d:]+ \d+)", theirs)[0]
    assert f"                Revocation Date: {re.sub(' +', ' ', revoked)} UTC" in rows


def test_the_short_layout_and_json(mica: Run, ca: Callable[..., Path], openssl: Callable[..., str]) -> None:
    short = mica("certificate", "inspect", "--short", "crl.pem").stdout.splitlines()
    assert short[:2] == [
        "X.509v2 Certificate Revocation List (ECDSA-SHA256) [1 revoked]", "  Issuer:      Crl Root"
    ]  # fmt: skip
    openssl("crl", "-in", "crl.pem", "-outform", "DER", "-out", "crl.der")
    for arguments in (("--format", "json", "crl.pem"), ("--json", "crl.der")):
        found = json.loads(mica("certificate", "inspect", *arguments).stdout)
        assert (found["version"], found["issuer_dn"], found["crl_number"]) == (2, "CN=Crl Root", "42")
        (entry,) = found["revoked"]
        assert (entry["serial_number"], entry["reason"]) == (str(0xBAD1), "keyCompromise")
    pem = mica("certificate", "inspect", "--format", "pem", "crl.der").stdout
    assert pem == openssl("crl", "-in", "crl.der", "-inform", "DER")


def test_a_list_is_no_certificate(mica: Run, ca: Callable[..., Path]) -> None:
    for command in ("fingerprint", "verify", "needs-renewal", "lint"):
        result = mica("certificate", command, "crl.pem")
        assert result.returncode == (255 if command == "needs-renewal" else 5)
        assert "crl.pem: holds a certificate revocation list, not a certificate" in result.stderr


def test_verify_finds_the_revoked_certificate_as_openssl_does(
    mica: Run, ca: Callable[..., Path], tmp_path: Path
) -> None:
    for name in ("good", "bad"):
        result = mica("certificate", "verify", name, "--roots", "root", "--crl", "crl.pem")
        command = ["openssl", "verify", "-CAfile", "root", "-crl_check", "-CRLfile", "crl.pem", name]
        judge = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert (result.returncode == 0) == (judge.returncode == 0) == (name == "good")
    assert re.search(r"not valid: it was revoked on 20[0-9T:Z-]+ \(key compromise\)\n", result.stderr)
    assert mica("certificate", "verify", "bad", "--roots", "root").returncode == 0  # nobody asked for revocation


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        ("stranger", "it is on no revocation list of its issuer 'Crl Root': none given"),
        ("forged", "it has an unknown state of revocation: the list of its issuer 'Crl Root' is not signed by it"),
        ("old", "the list of its issuer 'Crl Root' was to be replaced on 20"),
        ("future", "the list of its issuer 'Crl Root' is not yet valid: it begins on 20"),
        ("scope", "the list of its issuer 'Crl Root' covers other certificates, or only some reasons"),
        ("delta", "the list of its issuer 'Crl Root' has a critical extension that is not understood (2.5.29.27)"),
    ],
)
def test_a_list_that_says_nothing_is_a_reason_to_refuse(
    mica: Run, ca: Callable[..., Path], tmp_path: Path, make: str, reason: str
) -> None:
    if make == "scope":
        ca("other.pem", "-crlexts", "point")
    else:
        (tmp_path / "other.pem").write_bytes(_crl(tmp_path, make))
    result = mica("certificate", "verify", "good", "--roots", "root", "--crl", "other.pem")
    assert (result.returncode, result.stdout) == (1, "")
    assert reason in result.stderr
    assert (
        mica("certificate", "verify", "good", "--roots", "root", "--crl", "other.pem", "--crl", "crl.pem").returncode
        == 0
    )


def _crl(folder: Path, make: str) -> bytes:
    """A list that is wrong in one way, made by pyca: openssl makes no such thing."""
    now, day = datetime.now(UTC), timedelta(days=1)
    signer = "good" if make == "forged" else "root"
    key = serialization.load_pem_private_key((folder / f"{signer}.key").read_bytes(), None)
    issuer = x509.load_pem_x509_certificate((folder / ("good" if make == "stranger" else "root")).read_bytes()).subject
    start = {"old": now - 3 * day, "future": now + day}.get(make, now - day)
    builder = x509.CertificateRevocationListBuilder(issuer, start, start + 2 * day)
    if make == "delta":
        builder = builder.add_extension(x509.DeltaCRLIndicator(1), critical=True)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)  # type: ignore[arg-type]


def test_what_is_no_list_is_told(mica: Run, ca: Callable[..., Path]) -> None:
    result = mica("certificate", "verify", "good", "--roots", "root", "--crl", "root")
    assert (result.returncode, result.stdout) == (5, "")
    assert "error: root: holds a certificate, not a certificate revocation list" in result.stderr


def test_a_list_of_thousands_is_shown(mica: Run, ca: Callable[..., Path], tmp_path: Path) -> None:
    key = serialization.load_pem_private_key((tmp_path / "root.key").read_bytes(), None)
    now = datetime.now(UTC)
    entries = [x509.RevokedCertificateBuilder(1000 + n, now).build() for n in range(20_000)]
    issuer = x509.load_pem_x509_certificate((tmp_path / "root").read_bytes()).subject
    crl = x509.CertificateRevocationListBuilder(issuer, now, now + timedelta(days=1), revoked_certificates=entries)
    signed = crl.sign(key, hashes.SHA256())  # type: ignore[arg-type]
    (tmp_path / "large").write_bytes(signed.public_bytes(serialization.Encoding.DER))
    assert "        Revoked Certificates: 20000\n" in mica("certificate", "inspect", "large").stdout
    assert len(json.loads(mica("certificate", "inspect", "--json", "large").stdout)["revoked"]) == 20_000
