"""``certificate lint``: what mica makes is clean, and faults that others make are found with their sections."""

import json
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from mica.testing.issuers import Issuer, key_usage, make_ca, name, usual_digest

Run = Callable[..., subprocess.CompletedProcess[str]]

IDS = "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
CA = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n" + IDS


@pytest.fixture
def pki(mica: Run, tmp_path: Path) -> Path:
    """What ``mica ca init`` makes."""
    (tmp_path / "pw").write_text("a password\n")
    made = mica("ca", "init", "--pki", "--name", "Works", "--ca-password-file", "pw", MICAPATH=str(tmp_path / "ca"))
    assert made.returncode == 0, made.stderr
    return tmp_path / "ca" / "certs"


def test_the_cas_of_mica_ca_init_are_clean(mica: Run, pki: Path, tmp_path: Path) -> None:
    for file in ("root_ca.crt", "intermediate_ca.crt"):
        result = mica("certificate", "lint", pki / file)
        assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    (tmp_path / "both").write_bytes((pki / "intermediate_ca.crt").read_bytes() + (pki / "root_ca.crt").read_bytes())
    found = json.loads(mica("certificate", "lint", "both", "--bundle", "--json").stdout)
    assert found["clean"] is True
    assert [one["findings"] for one in found["certificates"]] == [[], []]


@pytest.mark.parametrize("kty", [["EC"], ["RSA"], ["OKP"], ["EC", "--curve", "P-384"], ["EC", "--curve", "P-521"]])
def test_what_certificate_create_makes_is_clean_and_verifies(mica: Run, tmp_path: Path, kty: list[str]) -> None:
    plain = ("--no-password", "--insecure", "--kty", *kty)
    root, inter = ("--ca", "root.crt", "--ca-key", "root.key"), ("--ca", "inter.crt", "--ca-key", "inter.key")
    for arguments in (
        ("--profile", "root-ca", "Root", "root.crt", "root.key"),
        ("--profile", "intermediate-ca", *root, "Inter", "inter.crt", "inter.key"),
        (*inter, "svc.example", "leaf.crt", "leaf.key", "--bundle", "--san", "svc.example", "--san", "10.0.0.1"),
        ("--profile", "self-signed", "--subtle", "svc.example", "self.crt", "self.key"),
    ):
        made = mica("certificate", "create", *plain, *arguments)
        assert made.returncode == 0, made.stderr
    (tmp_path / "all").write_text("".join((tmp_path / f"{file}.crt").read_text() for file in ("leaf", "root")))
    for file in ("all", "self.crt"):
        result = mica("certificate", "lint", file, "--bundle")
        assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    verified = mica(
        "certificate", "verify", "leaf.crt", "--roots", "root.crt", "--purpose", "server", "--host", "10.0.0.1"
    )
    assert (verified.returncode, verified.stderr) == (0, "")


def make(folder: Path, file: str, issuer: Issuer | None, *extensions: tuple[x509.ExtensionType, bool]) -> None:
    """A certificate for a new key, signed by ``issuer`` or by itself, made by pyca."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    signer = issuer.key if issuer else key
    builder = x509.CertificateBuilder(
        issuer.certificate.subject if issuer else name("svc.example"), name("svc.example"), key.public_key(),
        x509.random_serial_number(), now, now + timedelta(days=1),
    )  # fmt: skip
    standard = [
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), False),
    ]
    for extension, critical in (*standard, *extensions):
        builder = builder.add_extension(extension, critical)
    pem = builder.sign(signer, usual_digest(signer)).public_bytes(serialization.Encoding.PEM)
    (folder / file).write_bytes(pem + (_pem(issuer) if issuer else b""))


def _pem(issuer: Issuer) -> bytes:
    return issuer.certificate.public_bytes(serialization.Encoding.PEM)


POLICY = x509.PolicyInformation(x509.ObjectIdentifier("1.2.3"), None)
ACCESS = x509.AccessDescription(
    x509.AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier("http://o.example")
)
IS_CA = (x509.BasicConstraints(ca=True, path_length=None), True), (key_usage("key_cert_sign"), True)


@pytest.mark.parametrize(
    ("extensions", "finding"),
    [
        ([(key_usage("digital_signature"), False)], "RFC 5280 §4.2.1.3: the keyUsage must be critical"),
        ([(key_usage("key_cert_sign"), True)], "RFC 5280 §4.2.1.9: keyCertSign must be set for a CA"),
        ([(x509.BasicConstraints(ca=True, path_length=None), False)], "RFC 5280 §4.2.1.9: the basicConstraints"),
        ([(x509.BasicConstraints(ca=True, path_length=None), True)], "RFC 5280 §4.2.1.3: a CA must have a keyUsage"),
        ([*IS_CA, (x509.NameConstraints([x509.DNSName("example")], None), False)],
         "RFC 5280 §4.2.1.10: nameConstraints must be critical"),
        ([*IS_CA, (x509.PolicyConstraints(0, None), False)], "RFC 5280 §4.2.1.11: policyConstraints must be critical"),
        ([*IS_CA, (x509.InhibitAnyPolicy(0), False)], "RFC 5280 §4.2.1.14: inhibitAnyPolicy must be critical"),
        ([(x509.AuthorityInformationAccess([ACCESS]), True)], "RFC 5280 §4.2.2.1: authorityInfoAccess must not be"),
        ([(x509.SubjectAlternativeName([x509.DNSName("a.example")]), True)], "RFC 5280 §4.2.1.6: the subjectAltName"),
        ([(x509.SubjectAlternativeName([x509.DNSName("A.example")]), False)], "RFC 5280 §4.2.1.6: 'A.example' must be"),
    ],
)  # fmt: skip
def test_a_fault_is_found_with_its_section(
    mica: Run, tmp_path: Path, extensions: list[tuple[x509.ExtensionType, bool]], finding: str
) -> None:
    make(tmp_path, "c", make_ca("Root"), *extensions)
    result = mica("certificate", "lint", "c")
    assert (result.returncode, result.stderr) == (1, "")
    assert any(row.startswith(finding) for row in result.stdout.splitlines())
    found = json.loads(mica("certificate", "lint", "c", "--json").stdout)
    texts = [f"{one['rule']}: {one['message']}" for one in found["certificates"][0]["findings"]]
    assert (found["clean"], texts) == (False, result.stdout.splitlines())


def test_the_issuer_in_the_file_is_taken_into_account(mica: Run, tmp_path: Path) -> None:
    narrow = make_ca("Narrow", constraints=x509.NameConstraints([x509.DNSName("inside.example")], None))
    make(tmp_path, "c", narrow, (x509.SubjectAlternativeName([x509.DNSName("outside.example")]), False))
    finding = "RFC 5280 §4.2.1.10: outside.example is outside the issuer's name constraints (permitted: inside.example)"
    assert finding in mica("certificate", "lint", "c").stdout
    leaf = (tmp_path / "c").read_bytes().partition(b"-----END CERTIFICATE-----\n")
    (tmp_path / "alone").write_bytes(leaf[0] + leaf[1])
    assert mica("certificate", "lint", "alone").returncode == 0
    short = make_ca("Short", lifetime=timedelta(days=1))
    make(tmp_path, "long", short)
    assert "RFC 5280 §6.1.3: notAfter must not be later than the issuer's" in mica("certificate", "lint", "long").stdout


def test_a_request_of_openssl_with_good_extensions_is_clean(
    mica: Run, openssl: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "ext").write_text(CA)
    for kind in (["rsa:2048"], ["ed25519"], ["ed448"], ["rsa:2048", "-sigopt", "rsa_padding_mode:pss"]):
        key, options = kind[0], kind[1:]
        openssl("req", "-new", "-newkey", key, "-nodes", "-keyout", "k", "-out", "r", "-subj", "/CN=Root")
        openssl("x509", "-req", "-in", "r", "-signkey", "k", "-out", "c", "-extfile", "ext", "-days", "9", *options)
        result = mica("certificate", "lint", "c")
        assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_an_old_version_and_a_small_serial_number_are_found(
    mica: Run, openssl: Callable[..., str], tmp_path: Path
) -> None:
    openssl("req", "-new", "-newkey", "ed25519", "-nodes", "-keyout", "k", "-out", "r", "-subj", "/CN=Root")
    openssl("x509", "-req", "-in", "r", "-signkey", "k", "-out", "v1", "-days", "9")
    assert "RFC 5280 §4.1.2: the certificate must be v3" in mica("certificate", "lint", "v1").stdout
    (tmp_path / "ext").write_text(CA)
    openssl("x509", "-req", "-in", "r", "-signkey", "k", "-out", "c", "-extfile", "ext", "-set_serial", "7")
    assert mica("certificate", "lint", "c").stdout == (
        "CA/Browser Forum BR §7.1: the serial number must have at least 64 bits\n"
    )


def test_every_certificate_of_this_system_is_judged_or_told_unreadable(mica: Run) -> None:
    bundle = Path("/etc/ssl/certs/ca-certificates.crt")
    if not bundle.exists():
        pytest.skip("this system has no such file")
    result = mica("certificate", "lint", bundle, "--bundle")
    assert (result.returncode, result.stderr) == (1, "")
    assert all(": RFC " in row or ": CA/Browser Forum BR " in row for row in result.stdout.splitlines())


def test_what_cannot_be_read_is_no_finding(mica: Run, tmp_path: Path) -> None:
    assert mica("certificate", "lint", "none").returncode == 5
    assert mica("certificate", "lint", input=b"").returncode == 5
