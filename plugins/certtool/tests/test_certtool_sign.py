"""``certificate sign``: requests that openssl made become certificates that openssl verifies, or are refused."""

import json
import os
import re
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

Run = Callable[..., subprocess.CompletedProcess[str]]
OpenSSL = Callable[..., str]
ISSUER = ("int.crt", "int.key", "--password-file", "ca-password")
ROOT = ("root.crt", "root.key")
EC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")


@pytest.fixture
def csr(openssl: OpenSSL, pki: Path) -> Callable[..., Path]:
    """Makes ``svc.csr`` with openssl: its subject, and the extensions that it asks for."""

    def csr(*extensions: str, subject: str = "/CN=svc.example", kind: tuple[str, ...] = EC) -> Path:
        wanted = [word for extension in extensions for word in ("-addext", extension)]
        openssl("req", "-new", *kind, "-noenc", "-keyout", "svc.key", "-out", "svc.csr", "-subj", subject, *wanted)
        return pki / "svc.csr"

    return csr


def sign(mica: Run, *arguments: str, code: int = 0, file: str = "svc.csr") -> str:
    """What is on stdout, or on stderr when it fails; ``svc.crt`` has the former."""
    result = mica("certificate", "sign", file, *arguments)
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr
    return result.stderr if code else result.stdout


def signed(mica: Run, folder: Path, *arguments: str) -> x509.Certificate:
    text = sign(mica, *arguments)
    (folder / "svc.crt").write_text(text)
    assert mica("certificate", "lint", "svc.crt").stdout == ""
    return x509.load_pem_x509_certificate(text.encode())


def names(openssl: OpenSSL) -> str:
    return openssl("x509", "-in", "svc.crt", "-noout", "-ext", "subjectAltName").strip().splitlines()[-1].strip()


@pytest.mark.parametrize(
    "kind",
    [
        EC,
        ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-521"),
        ("-newkey", "rsa:2048"),
        ("-newkey", "ed25519"),
    ],
)
def test_a_request_of_any_kind_of_key_becomes_a_leaf(
    mica: Run, openssl: OpenSSL, csr: Callable[..., Path], pki: Path, kind: tuple[str, ...]
) -> None:
    csr("subjectAltName=DNS:svc.example,DNS:svc.internal,IP:10.0.0.1", kind=kind)
    made = signed(mica, pki, *ISSUER)
    openssl(
        "verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname", "svc.internal",
        "-CAfile", "root.crt", "-untrusted", "int.crt", "svc.crt",
    )  # fmt: skip
    assert openssl("pkey", "-in", "svc.key", "-pubout") == openssl("x509", "-in", "svc.crt", "-noout", "-pubkey")
    assert made.not_valid_after_utc - made.not_valid_before_utc == timedelta(hours=24)
    assert names(openssl) == "DNS:svc.example, DNS:svc.internal, IP Address:10.0.0.1"


def test_nothing_but_the_certificate_is_on_stdout_and_no_file_is_written(
    mica: Run, csr: Callable[..., Path], pki: Path
) -> None:
    csr("subjectAltName=DNS:svc.example")
    before = sorted(os.listdir(pki))
    result = mica("certificate", "sign", "svc.csr", *ISSUER)
    assert re.fullmatch(r"-----BEGIN CERTIFICATE-----\n[A-Za-z0-9+/=\n]+-----END CERTIFICATE-----\n", result.stdout)
    assert (result.stderr, sorted(os.listdir(pki))) == ("", before)


def test_the_common_name_is_added_to_the_names_unless_it_is_omitted(
    mica: Run, openssl: OpenSSL, csr: Callable[..., Path], pki: Path
) -> None:
    csr("subjectAltName=DNS:other.example")
    signed(mica, pki, *ISSUER)
    assert names(openssl) == "DNS:other.example, DNS:svc.example"
    signed(mica, pki, *ISSUER, "--omit-cn-san")
    assert names(openssl) == "DNS:other.example"


def test_a_common_name_that_is_no_name_is_not_added_and_its_absence_is_told(
    mica: Run, csr: Callable[..., Path], pki: Path
) -> None:
    csr(subject="/CN=My Service")
    result = mica("certificate", "sign", "svc.csr", *ISSUER)
    made = x509.load_pem_x509_certificate(result.stdout.encode())
    assert "warning: svc.csr has no names that a client could compare" in result.stderr
    with pytest.raises(x509.ExtensionNotFound):
        made.extensions.get_extension_for_class(x509.SubjectAlternativeName)


def test_the_subject_is_kept_octet_by_octet(mica: Run, csr: Callable[..., Path], pki: Path) -> None:
    path = csr("subjectAltName=DNS:svc.example", subject="/C=CH/O=Harbour Works/OU=Piers+OU=Docks/CN=svc.example")
    asked = x509.load_pem_x509_csr(path.read_bytes())
    assert signed(mica, pki, *ISSUER).subject.public_bytes() == asked.subject.public_bytes()


def test_an_empty_subject_makes_the_names_critical(
    mica: Run, openssl: OpenSSL, csr: Callable[..., Path], pki: Path
) -> None:
    csr("subjectAltName=DNS:svc.example", subject="/")
    signed(mica, pki, *ISSUER)
    assert "Alternative Name: critical" in openssl("x509", "-in", "svc.crt", "-noout", "-ext", "subjectAltName")


def test_a_request_comes_from_stdin_in_der_or_pem(mica: Run, openssl: OpenSSL, csr: Callable[..., Path]) -> None:
    path = csr("subjectAltName=DNS:svc.example")
    openssl("req", "-in", "svc.csr", "-outform", "DER", "-out", "svc.der")
    for data in (path.read_bytes(), path.with_name("svc.der").read_bytes(), path.read_bytes().replace(b"\n", b"\r\n")):
        result = mica("certificate", "sign", "-", *ISSUER, input=data)
        assert result.stdout.startswith("-----BEGIN CERTIFICATE-----\n")


def test_a_leaf_is_no_ca_whatever_its_request_asks_for(
    mica: Run, openssl: OpenSSL, csr: Callable[..., Path], pki: Path
) -> None:
    csr("basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign", "subjectAltName=DNS:svc.example")
    signed(mica, pki, *ROOT)
    text = openssl("x509", "-in", "svc.crt", "-noout", "-text")
    assert "CA:TRUE" not in text
    assert "Certificate Sign" not in text


def test_an_intermediate_is_made_below_a_root(mica: Run, openssl: OpenSSL, csr: Callable[..., Path], pki: Path) -> None:
    csr(subject="/CN=New CA")
    signed(mica, pki, *ROOT, "--profile", "intermediate-ca")
    text = openssl("x509", "-in", "svc.crt", "-noout", "-text")
    assert re.search(r"Basic Constraints: critical\n +CA:TRUE, pathlen:0\n", text)
    assert re.search(r"Key Usage: critical\n +Certificate Sign, CRL Sign\n", text)
    openssl("verify", "-x509_strict", "-CAfile", "root.crt", "svc.crt")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([*ISSUER, "--profile", "intermediate-ca"], 5, "may issue leaves only: its path length is 0"),
        ([*ROOT, "--profile", "intermediate-ca", "--path-len", "1"], 2, "the issuer, root.crt, has the path length 1"),
        ([*ISSUER, "--path-len", "0"], 2, "'--path-len' is incompatible with the profile leaf"),
        ([*ROOT, "--profile", "csr", "--omit-cn-san"], 2, "'--omit-cn-san' is incompatible with '--profile csr'"),
        ([*ROOT, "--not-after", "52w"], 2, "nothing outlives its issuer"),
        ([*ROOT, "--profile", "root-ca"], 2, "'root-ca' is not one of"),
        (["int.crt", "root.key"], 5, "root.key: is not the key of int.crt"),
        (["int.crt", "int.key"], 6, "hint: answer it with --password-file"),
        (["svc.csr", "root.key"], 5, "svc.csr: holds a certificate signing request, not a certificate"),
    ],
)
def test_what_cannot_be_signed_is_refused(
    mica: Run, csr: Callable[..., Path], arguments: list[str], code: int, message: str
) -> None:
    csr()
    assert message in sign(mica, *arguments, code=code)


def test_the_profile_csr_copies_what_was_asked_for(
    mica: Run, openssl: OpenSSL, csr: Callable[..., Path], pki: Path
) -> None:
    csr(
        "subjectAltName=URI:spiffe://Harbour.example/pier,DNS:B.example",
        "keyUsage=digitalSignature,nonRepudiation",
        "extendedKeyUsage=emailProtection,1.3.6.1.4.1.99999.1",
        "certificatePolicies=1.2.3.4",
        "1.3.6.1.4.1.99999.2=DER:0401FF",
        "subjectKeyIdentifier=hash",
    )
    made = signed(mica, pki, *ISSUER, "--profile", "csr")
    text = openssl("x509", "-in", "svc.crt", "-noout", "-text")
    assert re.search(r"Key Usage: critical\n +Digital Signature, Non Repudiation\n", text)
    assert "E-mail Protection, 1.3.6.1.4.1.99999.1\n" in text
    assert "Policy: 1.2.3.4\n" in text
    assert names(openssl) == "DNS:b.example, URI:spiffe://harbour.example/pier"
    assert made.extensions.get_extension_for_oid(x509.ObjectIdentifier("1.3.6.1.4.1.99999.2")).value.public_bytes() == (
        b"\x04\x01\xff"
    )
    openssl("verify", "-CAfile", "root.crt", "-untrusted", "int.crt", "svc.crt")


def test_the_profile_csr_makes_a_ca_where_the_issuer_may_and_says_so(
    mica: Run, openssl: OpenSSL, csr: Callable[..., Path], pki: Path
) -> None:
    csr("basicConstraints=CA:TRUE,pathlen:0", "keyUsage=keyCertSign", subject="/CN=New CA")
    result = mica("certificate", "sign", "svc.csr", *ROOT, "--profile", "csr")
    assert "warning: svc.csr asks for a CA, and becomes one" in result.stderr
    (pki / "svc.crt").write_text(result.stdout)
    openssl("verify", "-x509_strict", "-CAfile", "root.crt", "svc.crt")
    assert "Basic Constraints: critical" in openssl("x509", "-in", "svc.crt", "-noout", "-text")


@pytest.mark.parametrize(
    ("issuer", "extensions", "message"),
    [
        (
            ISSUER,
            ["basicConstraints=CA:TRUE", "keyUsage=keyCertSign"],
            "RFC 5280 §4.2.1.9: the issuer allows CAs below",
        ),
        (ROOT, ["basicConstraints=CA:TRUE,pathlen:1", "keyUsage=keyCertSign"], "to a depth of 1 only"),
        (ROOT, ["keyUsage=keyCertSign"], "keyCertSign must be set for a CA, and only for a CA"),
        (ROOT, ["keyUsage=keyEncipherment"], "keyEncipherment and dataEncipherment must be set for RSA keys only"),
    ],
)
def test_the_profile_csr_makes_nothing_that_the_issuer_may_not_or_the_rules_forbid(
    mica: Run, csr: Callable[..., Path], issuer: tuple[str, ...], extensions: list[str], message: str
) -> None:
    csr(*extensions)
    said = sign(mica, *issuer, "--profile", "csr", code=1)
    assert "this certificate must not be made: " in said
    assert message in said


def test_a_bundle_ends_with_the_issuer(mica: Run, csr: Callable[..., Path]) -> None:
    csr()
    made = x509.load_pem_x509_certificates(sign(mica, *ISSUER, "--bundle").encode())
    assert [each.subject.rfc4514_string() for each in made] == ["CN=svc.example", "CN=Intermediate,O=Harbour Works"]


def test_json_reports_the_certificate(mica: Run, csr: Callable[..., Path]) -> None:
    csr()
    report = json.loads(sign(mica, *ISSUER, "--json", "--not-after", "1h"))
    made = x509.load_pem_x509_certificate(report["certificate"].encode())
    assert report["serial_number"] == str(made.serial_number)
    assert (report["profile"], report["subject"], report["names"]) == ("leaf", "svc.example", ["svc.example"])
    assert made.not_valid_after_utc - made.not_valid_before_utc == timedelta(hours=1)


def test_a_request_that_was_changed_after_it_was_signed_is_refused(
    mica: Run, openssl: OpenSSL, csr: Callable[..., Path], pki: Path
) -> None:
    csr()
    openssl("req", "-in", "svc.csr", "-outform", "DER", "-out", "svc.der")
    forged = (pki / "svc.der").read_bytes().replace(b"svc.example", b"adm.example")
    (pki / "svc.der").write_bytes(forged)
    assert "svc.der: was not signed by the key that it names" in sign(mica, *ISSUER, code=5, file="svc.der")


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (("-newkey", "rsa:1024"), "svc.csr: RSA key must be at least 2048 bits"),
        (("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:secp256k1"), "EC key must be on P-256, P-384 or P-521"),
        (("-newkey", "dsa:params"), "svc.csr: key must be EC, RSA or Ed25519, not DSA"),
        (("-newkey", "ed448"), "svc.csr: key must be EC, RSA or Ed25519, not Ed448"),
    ],
)
def test_weak_and_unknown_keys_are_refused(
    mica: Run, openssl: OpenSSL, csr: Callable[..., Path], kind: tuple[str, ...], message: str
) -> None:
    if "dsa:params" in kind:
        openssl("genpkey", "-genparam", "-algorithm", "DSA", "-pkeyopt", "dsa_paramgen_bits:1024", "-out", "params")
    csr(kind=kind)
    assert message in sign(mica, *ISSUER, code=5)


def test_a_name_that_is_never_issued_is_refused(mica: Run, csr: Callable[..., Path]) -> None:
    csr("subjectAltName=otherName:1.2.3.4;UTF8:root")
    assert "svc.csr: asks for what is not issued: a name of the kind OtherName" in sign(mica, *ISSUER, code=5)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("int.crt", "int.crt: holds a certificate, not a certificate signing request"),
        ("int.key", "int.key: holds an encrypted private key, not a certificate signing request"),
        ("empty", "empty: is empty"),
        ("none", "none: there is no such file"),
        ("cut", "cut: is cut off"),
        (".", ".: is a directory"),
    ],
)
def test_files_that_are_no_request_are_told_apart(
    mica: Run, csr: Callable[..., Path], pki: Path, file: str, message: str
) -> None:
    (pki / "empty").touch()
    (pki / "cut").write_bytes(csr().read_bytes()[:-30])
    assert message in sign(mica, *ISSUER, code=5, file=file)


def test_the_key_of_the_issuer_may_be_a_uri(mica: Run, csr: Callable[..., Path], pki: Path) -> None:
    csr()
    signed(mica, pki, "int.crt", "file:int.key", "--password-file", "ca-password")
