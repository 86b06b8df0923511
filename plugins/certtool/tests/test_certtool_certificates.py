"""``certificate create`` without ``--csr``: openssl and pyca verify what it makes, and bad issuers are refused."""

import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pexpect
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import verification

Run = Callable[..., subprocess.CompletedProcess[str]]
OpenSSL = Callable[..., str]
BARE = ("--no-password", "--insecure")
CA = ("--ca", "int.crt", "--ca-key", "int.key", "--ca-password-file", "ca-password")
KINDS = [
    pytest.param([], id="P-256"),
    pytest.param(["--kty", "EC", "--curve", "P-384"], id="P-384"),
    pytest.param(["--kty", "EC", "--curve", "P-521"], id="P-521"),
    pytest.param(["--kty", "RSA"], id="RSA"),
    pytest.param(["--kty", "OKP"], id="Ed25519"),
]


def create(mica: Run, *arguments: str, code: int = 0) -> str:
    """What the command said on stderr."""
    result = mica("certificate", "create", *arguments)
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr
    return result.stderr


def leaf(mica: Run, *arguments: str, code: int = 0) -> str:
    return create(mica, "svc.example", "svc.crt", "svc.key", *CA, *BARE, *arguments, code=code)


def load(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def clean(mica: Run, *files: str) -> bool:
    """Whether mica's own rules find nothing."""
    return all(mica("certificate", "lint", file).returncode == 0 for file in files)


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_chain_is_made_and_openssl_verifies_it(
    mica: Run, openssl: OpenSSL, tmp_path: Path, kind: list[str]
) -> None:
    create(mica, "Root", "root.crt", "root.key", "--profile", "root-ca", *BARE, *kind)
    root = ("--ca", "root.crt", "--ca-key", "root.key")
    create(mica, "Intermediate", "int.crt", "int.key", "--profile", "intermediate-ca", *root, *BARE, *kind)
    create(mica, "svc.example", "svc.crt", "svc.key", "--ca", "int.crt", "--ca-key", "int.key", *BARE, *kind)
    for purpose in ("sslserver", "sslclient"):
        openssl(
            "verify", "-x509_strict", "-purpose", purpose, "-verify_hostname", "svc.example",
            "-CAfile", "root.crt", "-untrusted", "int.crt", "svc.crt",
        )  # fmt: skip
    assert openssl("pkey", "-in", "svc.key", "-pubout") == openssl("x509", "-in", "svc.crt", "-noout", "-pubkey")
    assert clean(mica, "root.crt", "int.crt", "svc.crt")


@pytest.mark.parametrize("kind", KINDS[:2])
def test_pyca_verifies_the_chain_as_that_of_a_web_server(mica: Run, tmp_path: Path, kind: list[str]) -> None:
    create(mica, "Root", "root.crt", "root.key", "--profile", "root-ca", *BARE, *kind)
    issuer = ("--ca", "root.crt", "--ca-key", "root.key")
    create(mica, "Intermediate", "int.crt", "int.key", "--profile", "intermediate-ca", *issuer, *BARE, *kind)
    create(mica, "svc.example", "svc.crt", "svc.key", "--ca", "int.crt", "--ca-key", "int.key", *BARE, *kind)
    verifier = (
        verification.PolicyBuilder()
        .store(verification.Store([load(tmp_path / "root.crt")]))
        .build_server_verifier(x509.DNSName("svc.example"))
    )
    assert len(verifier.verify(load(tmp_path / "svc.crt"), [load(tmp_path / "int.crt")])) == 3


def test_a_leaf_of_a_stranger_says_what_a_leaf_says(mica: Run, openssl: OpenSSL, pki: Path) -> None:
    said = leaf(mica)
    assert said == "Your certificate has been saved in svc.crt.\nYour private key has been saved in svc.key.\n"
    openssl("verify", "-x509_strict", "-CAfile", "root.crt", "-untrusted", "int.crt", "svc.crt")
    text = openssl("x509", "-in", "svc.crt", "-noout", "-text")
    assert re.search(r"Key Usage: critical\n +Digital Signature\n", text)
    assert "TLS Web Server Authentication, TLS Web Client Authentication\n" in text
    assert "DNS:svc.example\n" in text
    assert "Basic Constraints" not in text
    made, issuer = load(pki / "svc.crt"), load(pki / "int.crt")
    assert made.issuer.public_bytes() == issuer.subject.public_bytes()
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    assert made.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier == identifier
    assert made.not_valid_after_utc - made.not_valid_before_utc == timedelta(hours=24)
    assert abs(made.not_valid_before_utc - datetime.now(UTC)) < timedelta(minutes=1)
    assert [stat.S_IMODE((pki / name).stat().st_mode) for name in ("svc.crt", "svc.key")] == [0o644, 0o600]


def test_an_rsa_leaf_may_also_encipher_keys(mica: Run, openssl: OpenSSL, pki: Path) -> None:
    leaf(mica, "--kty", "RSA")
    text = openssl("x509", "-in", "svc.crt", "-noout", "-text")
    assert re.search(r"Key Usage: critical\n +Digital Signature, Key Encipherment\n", text)


def test_names_are_classified(mica: Run, openssl: OpenSSL, pki: Path) -> None:
    names = ["b.example", "10.0.0.1", "ops@x.example", "https://x.example/a"]
    leaf(mica, *[word for name in names for word in ("--san", name)])
    shown = openssl("x509", "-in", "svc.crt", "-noout", "-ext", "subjectAltName")
    assert "DNS:b.example, IP Address:10.0.0.1, email:ops@x.example, URI:https://x.example/a\n" in shown
    assert "svc.example" not in shown


def test_an_empty_subject_makes_the_names_critical(mica: Run, openssl: OpenSSL, pki: Path) -> None:
    create(mica, "", "svc.crt", "svc.key", *CA, *BARE, "--san", "a.example")
    assert "critical" in openssl("x509", "-in", "svc.crt", "-noout", "-ext", "subjectAltName")
    openssl("verify", "-x509_strict", "-CAfile", "root.crt", "-untrusted", "int.crt", "svc.crt")


def test_serial_numbers_are_random_positive_and_short_enough(mica: Run, pki: Path) -> None:
    serials = set()
    for _ in range(4):
        leaf(mica, "--force")
        serials.add(load(pki / "svc.crt").serial_number)
    assert len(serials) == 4
    assert all(0 < serial < 1 << 128 for serial in serials)
    assert max(serial.bit_length() for serial in serials) > 100


@pytest.mark.parametrize(
    ("profile", "flags", "limit"),
    [
        ("root-ca", [], 1),
        ("root-ca", ["--path-len", "3"], 3),
        ("root-ca", ["--path-len", "-1"], None),
        ("intermediate-ca", [], 0),
        ("intermediate-ca", ["--path-len", "0"], 0),
        ("intermediate-ca", ["--path-len", "-1"], None),
    ],
)
def test_a_ca_says_how_many_may_stand_below_it(
    mica: Run, openssl: OpenSSL, pki: Path, profile: str, flags: list[str], limit: int | None
) -> None:
    issuer = ["--ca", "root.crt", "--ca-key", "root.key"] if profile == "intermediate-ca" else []
    create(mica, "New CA", "ca.crt", "ca.key", "--profile", profile, *issuer, *BARE, *flags)
    text = openssl("x509", "-in", "ca.crt", "-noout", "-text")
    assert re.search(
        r"Basic Constraints: critical\n +CA:TRUE" + ("\n" if limit is None else f", pathlen:{limit}"), text
    )
    assert re.search(r"Key Usage: critical\n +Certificate Sign, CRL Sign\n", text)
    assert "Alternative Name" not in text
    assert clean(mica, "ca.crt")


def test_a_root_lasts_ten_years_and_what_it_issues_ends_with_it(mica: Run, openssl: OpenSSL, pki: Path) -> None:
    create(mica, "Root", "new.crt", "new.key", "--profile", "root-ca", *BARE)
    made = load(pki / "new.crt")
    assert made.not_valid_after_utc - made.not_valid_before_utc == timedelta(days=3650)
    issuer = ("--ca", "root.crt", "--ca-key", "root.key")
    said = create(mica, "CA", "ca.crt", "ca.key", "--profile", "intermediate-ca", *issuer, *BARE)
    root = load(pki / "root.crt").not_valid_after_utc
    assert f"The certificate ends with its issuer, at {root:%Y-%m-%dT%H:%M:%SZ}.\n" in said
    assert load(pki / "ca.crt").not_valid_after_utc == root


def test_durations_count_from_now_and_times_are_taken_as_they_are(mica: Run, pki: Path) -> None:
    leaf(mica, "--not-before", "2h", "--not-after", "10h")
    made = load(pki / "svc.crt")
    assert made.not_valid_after_utc - made.not_valid_before_utc == timedelta(hours=8)
    end = (datetime.now(UTC) + timedelta(days=3)).replace(microsecond=0)
    leaf(mica, "--force", "--not-after", f"{end:%Y-%m-%dT%H:%M:%SZ}")
    assert load(pki / "svc.crt").not_valid_after_utc == end


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--not-after", "52w"], "ends at .*, and nothing outlives its issuer"),
        (["--not-before", "2020-01-01T00:00:00Z"], "is not valid before"),
        (["--not-before", "2h", "--not-after", "1h"], "a certificate cannot be valid from"),
        (["--not-after", "0"], "a certificate cannot be valid from"),
        (["--not-after", "9999999w"], "leads out of the calendar|too long a duration"),
        (["--not-after", "tomorrow"], "'tomorrow' is neither an RFC 3339 time nor a duration"),
    ],
)
def test_a_validity_that_cannot_be_is_a_usage_error(mica: Run, pki: Path, flags: list[str], message: str) -> None:
    assert re.search(message, leaf(mica, *flags, code=2))
    assert not (pki / "svc.key").exists()


def test_years_beyond_2049_are_written_as_generalized_time(mica: Run, openssl: OpenSSL, tmp_path: Path) -> None:
    end = ("--not-before", "1999-12-31T23:59:59Z", "--not-after", "2061-01-02T03:04:05Z")
    create(mica, "Root", "root.crt", "root.key", "--profile", "root-ca", *BARE, *end)
    parsed = openssl("asn1parse", "-in", "root.crt")
    assert "UTCTIME           :991231235959Z" in parsed
    assert "GENERALIZEDTIME   :20610102030405Z" in parsed


def test_a_certificate_that_has_expired_already_is_made_and_told(mica: Run, tmp_path: Path) -> None:
    flags = ("--not-before", "-48h", "--not-after", "-24h")
    said = create(mica, "Old", "old.crt", "old.key", "--profile", "root-ca", *BARE, *flags)
    assert "The certificate has expired already, at " in said


def test_a_self_signed_certificate_needs_subtle_and_serves_a_host(mica: Run, openssl: OpenSSL, tmp_path: Path) -> None:
    arguments = ("localhost", "s.crt", "s.key", "--profile", "self-signed", "--san", "127.0.0.1", *BARE)
    assert "it requires the '--subtle' flag" in create(mica, *arguments, code=2)
    create(mica, *arguments, "--subtle")
    openssl("verify", "-x509_strict", "-purpose", "sslserver", "-verify_ip", "127.0.0.1", "-CAfile", "s.crt", "s.crt")
    assert "CA:TRUE" not in openssl("x509", "-in", "s.crt", "-noout", "-text")
    assert clean(mica, "s.crt")


def test_a_bundle_has_the_issuer_behind_the_leaf_and_no_root(mica: Run, openssl: OpenSSL, pki: Path) -> None:
    (pki / "chain.crt").write_bytes((pki / "int.crt").read_bytes() + (pki / "root.crt").read_bytes())
    leaf(mica, "--bundle", "--ca", "chain.crt")
    subjects = [c.subject.rfc4514_string() for c in x509.load_pem_x509_certificates((pki / "svc.crt").read_bytes())]
    assert subjects == ["CN=svc.example", "CN=Intermediate,O=Harbour Works"]
    openssl("verify", "-CAfile", "root.crt", "-untrusted", "svc.crt", "svc.crt")


def test_a_new_key_is_encrypted_with_its_own_password(mica: Run, openssl: OpenSSL, pki: Path) -> None:
    (pki / "password").write_text("leaf secret\n")
    create(mica, "svc.example", "svc.crt", "svc.key", *CA, "--password-file", "password")
    assert (pki / "svc.key").read_text().startswith("-----BEGIN ENCRYPTED PRIVATE KEY-----\n")
    public = openssl("pkey", "-in", "svc.key", "-passin", "file:password", "-pubout")
    assert public == openssl("x509", "-in", "svc.crt", "-noout", "-pubkey")


@pytest.mark.parametrize("key", ["own.key", "file:own.key"])
def test_an_existing_key_is_used_be_it_a_file_or_a_uri(mica: Run, openssl: OpenSSL, pki: Path, key: str) -> None:
    openssl("genpkey", "-algorithm", "ED25519", "-out", "own.key")
    create(mica, "svc.example", "svc.crt", "--key", key, *CA)
    assert openssl("pkey", "-in", "own.key", "-pubout") == openssl("x509", "-in", "svc.crt", "-noout", "-pubkey")


def test_the_key_of_the_issuer_may_be_a_uri(mica: Run, openssl: OpenSSL, pki: Path) -> None:
    leaf(mica, "--ca-key", "file:int.key")
    openssl("verify", "-CAfile", "root.crt", "-untrusted", "int.crt", "svc.crt")


def test_an_issuer_in_der_with_windows_line_ends_in_its_key_is_read(mica: Run, openssl: OpenSSL, pki: Path) -> None:
    openssl("x509", "-in", "int.crt", "-outform", "DER", "-out", "int.der")
    (pki / "dos.key").write_bytes(b"\xef\xbb\xbf" + (pki / "int.key").read_bytes().replace(b"\n", b"\r\n"))
    leaf(mica, "--ca", "int.der", "--ca-key", "dos.key")
    openssl("verify", "-CAfile", "root.crt", "-untrusted", "int.crt", "svc.crt")


def test_json_reports_the_certificate_with_its_serial_as_text(mica: Run, openssl: OpenSSL, pki: Path) -> None:
    result = mica("certificate", "create", "svc.example", "svc.crt", "svc.key", *CA, *BARE, "--json")
    report = json.loads(result.stdout)
    made = load(pki / "svc.crt")
    assert report == {
        "certificate": "svc.crt",
        "key": "svc.key",
        "profile": "leaf",
        "serial_number": str(made.serial_number),
        "subject": "svc.example",
        "subject_dn": "CN=svc.example",
        "names": ["svc.example"],
        "not_before": f"{made.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ}",
        "not_after": f"{made.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}",
        "fingerprint": made.fingerprint(hashes.SHA256()).hex(),
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.example", "c", "k"], "the profile leaf requires the '--ca' flag"),
        (["a.example", "c", "k", "--ca", "int.crt"], "the profile leaf requires the '--ca-key' flag"),
        (["a", "c", "k", "--profile", "intermediate-ca"], "the profile intermediate-ca requires the '--ca' flag"),
        (["a", "c", "k", "--profile", "root-ca", "--ca", "x"], "'--ca' is incompatible with '--profile root-ca'"),
        (["a", "c", "k", "--profile", "root-ca", "--san", "x"], "'--san' is incompatible with '--profile root-ca'"),
        (["a", "c", "k", "--profile", "root-ca", "--bundle"], "'--bundle' is incompatible with '--profile root-ca'"),
        (["a", "c", "k", "--profile", "self-signed", "--subtle", "--ca-key", "x"], "'--ca-key' is incompatible with"),
        (["", "c", "k", "--profile", "root-ca"], "a CA must have a name"),
        (["", "c", "k", "--profile", "self-signed", "--subtle", "--san", "a.example"], "must have a name"),
        (["a", "c", "k", "--profile", "root-ca", "--path-len", "-2"], "invalid value -2 for flag '--path-len'"),
        (["a.example", "c", "k", *CA, "--path-len", "1"], "'--path-len' is incompatible with the profile leaf"),
        (["a b", "c", "k", *CA, *BARE], "'a b' is not a DNS name"),
        (["a.example", "root.key", "--key", "root.key", *CA, "-f"], "root.key would take the place of root.key, which"),
        (["a.example", "c", "int.key", *CA, *BARE, "-f"], "int.key would take the place of int.key, which is read"),
        (["a.example", "c", "k", "--profile", "server"], "'server' is not one of"),
        (["a.example", "c", *CA], "missing argument 'KEY'"),
        (["x" * 65, "c", "k", "--profile", "root-ca", *BARE], "SUBJECT is longer than 64 characters"),
    ],
)
def test_flags_that_do_not_fit_are_told_before_anything_is_done(
    mica: Run, pki: Path, arguments: list[str], message: str
) -> None:
    before = sorted(os.listdir(pki))
    assert message in create(mica, *arguments, code=2)
    assert sorted(os.listdir(pki)) == before


def test_a_leaf_cannot_issue(mica: Run, pki: Path) -> None:
    leaf(mica)
    said = create(mica, "a.example", "c", "k", "--ca", "svc.crt", "--ca-key", "svc.key", *BARE, code=5)
    assert "svc.crt: 'svc.example' is no CA, and may not issue" in said


def test_a_ca_with_path_length_zero_makes_no_ca(mica: Run, pki: Path) -> None:
    said = create(mica, "CA", "c", "k", "--profile", "intermediate-ca", *CA, *BARE, code=5)
    assert "may issue leaves only: its path length is 0" in said


def test_a_ca_below_cannot_have_the_path_length_of_its_issuer(mica: Run, pki: Path) -> None:
    issuer = ("--ca", "root.crt", "--ca-key", "root.key")
    said = create(mica, "CA", "c", "k", "--profile", "intermediate-ca", *issuer, *BARE, "--path-len", "1", code=2)
    assert "the issuer, root.crt, has the path length 1" in said


@pytest.mark.parametrize(
    ("basic", "usage", "message"),
    [("CA:TRUE", "cRLSign", "its keyUsage lacks keyCertSign"), ("CA:FALSE", "keyCertSign", "is no CA")],
)
def test_an_issuer_that_may_not_issue_is_refused(
    mica: Run, openssl: OpenSSL, tmp_path: Path, basic: str, usage: str, message: str
) -> None:
    openssl(
        "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-keyout", "ca.key",
        "-out", "ca.crt", "-subj", "/CN=CA",
        "-addext", f"basicConstraints=critical,{basic}", "-addext", f"keyUsage=critical,{usage}",
    )  # fmt: skip
    said = create(mica, "a.example", "c", "k", "--ca", "ca.crt", "--ca-key", "ca.key", *BARE, code=5)
    assert message in said
    assert sorted(os.listdir(tmp_path)) == ["ca.crt", "ca.key"]


def test_an_issuer_that_has_expired_is_refused(mica: Run, tmp_path: Path) -> None:
    past = ("--not-before", "-48h", "--not-after", "-24h")
    create(mica, "Old", "ca.crt", "ca.key", "--profile", "root-ca", *BARE, *past)
    said = create(mica, "a.example", "c", "k", "--ca", "ca.crt", "--ca-key", "ca.key", *BARE, *past, code=5)
    assert re.search(r"ca.crt: 'Old' expired at 20\d\d-\S+Z, and may not issue", said)


def test_an_issuer_that_is_not_valid_yet_is_refused(mica: Run, tmp_path: Path) -> None:
    later = ("--not-before", "24h", "--not-after", "2000h")
    create(mica, "Later", "ca.crt", "ca.key", "--profile", "root-ca", *BARE, *later)
    issuer = ("--ca", "ca.crt", "--ca-key", "ca.key")
    assert "ca.crt: is not valid before" in create(mica, "a.example", "c", "k", *issuer, *BARE, code=5)
    create(mica, "a.example", "c", "k", *issuer, *BARE, "--not-before", "25h", "--not-after", "30h")


def constrained_ca(folder: Path) -> None:
    """``ca.crt``: a root whose names lie below ``inside.example``, made by pyca."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Constrained")])
    now = datetime.now(UTC)
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 5, now - timedelta(hours=1), now + timedelta(days=9))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.NameConstraints([x509.DNSName("inside.example")], None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "ca.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    encoding = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "ca.key").write_bytes(key.private_bytes(*encoding))


def test_the_name_constraints_of_the_issuer_are_honoured(mica: Run, openssl: OpenSSL, tmp_path: Path) -> None:
    constrained_ca(tmp_path)
    issuer = ("--ca", "ca.crt", "--ca-key", "ca.key", *BARE)
    said = create(mica, "a.example", "c", "k", *issuer, code=1)
    assert "this certificate must not be made: RFC 5280 §4.2.1.10: a.example is outside" in said
    assert sorted(os.listdir(tmp_path)) == ["ca.crt", "ca.key"]
    create(mica, "a.inside.example", "c", "k", *issuer)
    openssl("verify", "-CAfile", "ca.crt", "c")


def test_name_constraints_further_up_in_the_file_of_the_issuer_hold_as_well(mica: Run, tmp_path: Path) -> None:
    constrained_ca(tmp_path)
    root = ("--ca", "ca.crt", "--ca-key", "ca.key")
    create(mica, "CA", "int.crt", "int.key", "--profile", "intermediate-ca", *root, *BARE)
    (tmp_path / "chain.crt").write_bytes((tmp_path / "int.crt").read_bytes() + (tmp_path / "ca.crt").read_bytes())
    chain = ("--ca", "chain.crt", "--ca-key", "int.key", *BARE)
    assert "§4.2.1.10" in create(mica, "a.example", "c", "k", *chain, code=1)
    create(mica, "a.inside.example", "c", "k", *chain)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--ca-key", "root.key"], "root.key: is not the key of int.crt, 'Intermediate'"),
        (["--ca", "swapped.crt"], "int.key: is not the key of swapped.crt, 'Root'"),
        (["--ca-password-file", "wrong"], "int.key: the key cannot be decrypted: the password is wrong"),
        (["--ca-password-file", "none"], "none: there is no such file"),
        (["--ca-key", "int.crt"], "int.crt: the file holds a certificate, not a private key"),
        (["--ca-key", "int.pub"], "int.pub: the file holds a public key"),
        (["--ca", "int.key"], "int.key: holds an encrypted private key, not a certificate"),
        (["--ca", "int.p12"], "int.p12: holds a PKCS #12 file, not a certificate"),
        (["--ca", "empty"], "empty: is empty"),
        (["--ca", "cut.crt"], "cut.crt: is cut off"),
        (["--ca", "none"], "none: there is no such file"),
        (["--ca-key", "."], ".: is a directory"),
        (["--ca-key", "weak.key"], "RSA key must be at least 2048 bits"),
        (["--ca-key", "pkcs99:token=x"], "pkcs99:token=x: there is no such file"),
    ],
)
def test_files_of_the_issuer_that_are_not_what_they_should_be(
    mica: Run, openssl: OpenSSL, pki: Path, flags: list[str], message: str
) -> None:
    (pki / "wrong").write_text("guess")
    (pki / "empty").touch()
    (pki / "cut.crt").write_bytes((pki / "int.crt").read_bytes()[:-40])
    (pki / "swapped.crt").write_bytes((pki / "root.crt").read_bytes() + (pki / "int.crt").read_bytes())
    openssl("pkey", "-in", "int.key", "-passin", "file:ca-password", "-pubout", "-out", "int.pub")
    openssl(
        "pkcs12", "-export", "-in", "int.crt", "-inkey", "int.key", "-passin", "file:ca-password", "-passout", "pass:x",
        "-out", "int.p12",
    )  # fmt: skip
    openssl("genrsa", "-out", "weak.key", "1024")
    assert message in leaf(mica, *flags, code=5)
    assert not (pki / "svc.key").exists()


@pytest.mark.parametrize("flags", [["--profile", "root-ca"], list(CA)])
def test_a_weak_key_is_not_certified(mica: Run, openssl: OpenSSL, pki: Path, flags: list[str]) -> None:
    openssl("genrsa", "-out", "weak.key", "1024")
    said = create(mica, "svc.example", "svc.crt", "--key", "weak.key", *flags, code=5)
    assert "RSA key must be at least 2048 bits" in said
    assert not (pki / "svc.crt").exists()


def test_a_certificate_for_the_key_of_its_issuer_is_refused(mica: Run, pki: Path) -> None:
    said = create(
        mica, "svc.example", "svc.crt", "--key", "root.key", "--ca", "root.crt", "--ca-key", "root.key", code=1
    )
    assert "the certificate would be for the key of its issuer, root.crt" in said


def test_without_a_terminal_the_flag_for_the_password_of_the_issuer_is_named(mica: Run, pki: Path) -> None:
    said = create(mica, "svc.example", "svc.crt", "svc.key", "--ca", "int.crt", "--ca-key", "int.key", *BARE, code=6)
    assert "hint: answer it with --ca-password-file\n" in said


def test_a_pair_that_exists_stays_a_pair_when_something_fails(mica: Run, pki: Path) -> None:
    leaf(mica)
    before = [(pki / name).read_bytes() for name in ("svc.crt", "svc.key")]
    leaf(mica, code=6)
    leaf(mica, "--force", "--not-after", "52w", code=2)
    assert [(pki / name).read_bytes() for name in ("svc.crt", "svc.key")] == before


def spawn(folder: Path, *arguments: str) -> "pexpect.spawn[str]":
    return pexpect.spawn(
        sys.executable,
        ["-m", "mica.cli", "certificate", "create", "svc.example", "svc.crt", "svc.key", *arguments],
        cwd=str(folder),
        encoding="utf-8",
        timeout=30,
    )


def test_overwriting_then_both_passwords_are_asked_for_in_that_order(openssl: OpenSSL, pki: Path) -> None:
    (pki / "svc.crt").write_text("old")
    child = spawn(pki, "--ca", "int.crt", "--ca-key", "int.key")
    child.expect(r"Would you like to overwrite svc.crt \[y/n\]")
    child.sendline("y")
    child.expect("Please enter the password to decrypt int.key: ")
    child.sendline("ca secret")
    child.expect("Please enter the password to encrypt the private key: ")
    child.sendline("s3cret")
    child.expect("The same once more: ")
    child.sendline("s3cret")
    child.expect("Your certificate has been saved in svc.crt")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    openssl("verify", "-CAfile", "root.crt", "-untrusted", "int.crt", "svc.crt")
    openssl("pkey", "-in", "svc.key", "-passin", "pass:s3cret", "-noout")


def test_no_to_overwriting_and_ctrl_c_at_the_password_leave_everything(pki: Path) -> None:
    (pki / "svc.crt").write_text("old")
    child = spawn(pki, *CA)
    child.expect(r"\[y/n\]")
    child.sendline("n")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 6
    child = spawn(pki, *CA, "--force")
    child.expect("encrypt the private key: ")
    child.sendintr()
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 6
    assert (pki / "svc.crt").read_text() == "old"
    assert not (pki / "svc.key").exists()
