"""Each fault planted in an otherwise good certificate is found, with its citation, and good ones pass."""

import ipaddress
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from mica import der
from mica.keyfiles import generate
from mica.lint import lint
from mica.pkix import (
    Extension,
    SubjectPublicKey,
    TBSCertificate,
    encode_common_name,
    encode_general_names,
    encode_oids,
    tbs_parts,
)
from mica.testing.issuers import Issuer, key_usage, make_ca

ROOT = make_ca("Root")
CA = make_ca("Intermediate", issuer=ROOT, path_length=0)
KEY = generate("EC-P256").public_key()
RSA_KEY = generate("RSA-2048").public_key()
SPKI = SubjectPublicKey.of(KEY)
ECDSA_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")
NOW = datetime(2031, 3, 14, 9, 26, 53, tzinfo=UTC)

SAN, EKU, KU, SKI, AKI, BC, NC = (f"2.5.29.{n}" for n in (17, 37, 15, 14, 35, 19, 30))


def extension(value: x509.ExtensionType, *, critical: bool = False) -> Extension:
    return Extension(value.oid.dotted_string, critical, value.public_bytes())


def aki(issuer: Issuer = CA) -> Extension:
    identifier = issuer.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier))


EXTENSIONS = {
    KU: extension(key_usage("digital_signature"), critical=True),
    EKU: Extension(EKU, False, encode_oids([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])),
    SKI: extension(x509.SubjectKeyIdentifier(SPKI.identifier)),
    AKI: aki(),
    SAN: Extension(SAN, False, encode_general_names([x509.DNSName("svc.example")])),
}
CA_EXTENSIONS = {
    BC: extension(x509.BasicConstraints(ca=True, path_length=None), critical=True),
    KU: extension(key_usage("key_cert_sign", "crl_sign"), critical=True),
    EKU: None,
    SAN: None,
    AKI: aki(ROOT),
}
OTHER_SPKI = SubjectPublicKey.of(CA.key.public_key())
ANY_USAGE = Extension(
    EKU, False, encode_oids([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE, ExtendedKeyUsageOID.SERVER_AUTH])
)
CONSTRAINTS = extension(x509.NameConstraints([x509.DNSName("example")], None), critical=True)
OTHER_NAME = der.tlv(0xA0, der.oid("1.2.3") + der.tlv(0xA0, b"\x05\x00"))
LATE_FORM = (b"\x30\x1e\x17\x0d31", b"\x30\x20\x18\x0f2031")  # a GeneralizedTime before 2050


def make(extensions: dict[str, Extension | None] | None = None, **fields: Any) -> TBSCertificate:
    """A good leaf but for what is given; an extension None is left out."""
    kept = tuple(value for value in (EXTENSIONS | (extensions or {})).values() if value)
    good = TBSCertificate(
        serial_number=(1 << 120) + 12345,
        signature=ECDSA_SHA256,
        issuer=tbs_parts(CA.certificate)[5],
        not_before=NOW,
        not_after=NOW + timedelta(days=1),
        subject=encode_common_name("svc.example"),
        subject_public_key=SPKI,
        extensions=kept,
    )
    return replace(good, **fields)


def ca(extensions: dict[str, Extension | None] | None = None, **fields: Any) -> TBSCertificate:
    """A good CA below the root but for what is given."""
    fields = {"issuer": tbs_parts(ROOT.certificate)[5], "subject": encode_common_name("Sub CA")} | fields
    return make(CA_EXTENSIONS | (extensions or {}), **fields)


def san(*names: x509.GeneralName, critical: bool = False) -> dict[str, Extension | None]:
    return {SAN: Extension(SAN, critical, x509.SubjectAlternativeName(names).public_bytes())}


def raw_san(*encoded: bytes) -> dict[str, Extension | None]:
    return {SAN: Extension(SAN, False, der.sequence(*encoded))}


def with_octets(change: Callable[[bytes], bytes]) -> TBSCertificate:
    """A good leaf whose octets an encoder got wrong."""
    tbs = make()
    changed = change(b"".join(der.children(tbs.der)))
    tbs.__dict__["der"] = der.sequence(changed)  # where cached_property keeps it
    return tbs


def subject(oid: str, tag: int, value: bytes) -> bytes:
    return der.sequence(der.tlv(der.SET, der.sequence(der.oid(oid), der.tlv(tag, value))))


def found(tbs: TBSCertificate, issuer: Issuer | None = CA, **options: Any) -> str:
    findings = lint(tbs, issuer.certificate if issuer else None, **options)
    assert all(finding.startswith(("RFC ", "CA/Browser Forum BR ")) for finding in findings)
    return "\n".join(findings)


def test_an_ordinary_leaf_is_good() -> None:
    assert found(make()) == ""


def test_an_ordinary_leaf_for_an_rsa_key_is_good() -> None:
    key = SubjectPublicKey.of(RSA_KEY)
    usage = extension(key_usage("digital_signature", "key_encipherment"), critical=True)
    ski = extension(x509.SubjectKeyIdentifier(key.identifier))
    assert found(make({KU: usage, SKI: ski}, subject_public_key=key)) == ""


def test_every_kind_of_name_is_good() -> None:
    names = (
        x509.DNSName("*.svc.example"),
        x509.DNSName("my_service"),
        x509.IPAddress(ipaddress.ip_address("10.20.0.7")),
        x509.RFC822Name("Ops@svc.example"),
        x509.UniformResourceIdentifier("spiffe://svc.example/a"),
    )
    assert found(make(san(*names))) == ""


def test_an_empty_subject_is_good_when_the_alternative_name_is_critical() -> None:
    assert found(make(san(x509.DNSName("svc.example"), critical=True), subject=encode_common_name(""))) == ""


def test_a_leaf_without_optional_extensions_is_good() -> None:
    assert found(make(dict.fromkeys([KU, EKU, SKI, SAN]))) == ""


def test_a_ca_below_the_root_is_good() -> None:
    assert found(ca(), ROOT) == ""


@pytest.mark.parametrize("algorithm", ["EC-P256", "EC-P384", "EC-P521", "RSA-2048", "Ed25519"])
def test_a_root_is_good_as_its_own_issuer(algorithm: str) -> None:
    root = make_ca("Root", algorithm=algorithm)
    parts = tbs_parts(root.certificate)
    extensions = tuple(
        Extension(e.oid.dotted_string, e.critical, e.value.public_bytes()) for e in root.certificate.extensions
    )
    tbs = TBSCertificate(
        serial_number=root.certificate.serial_number,
        signature=parts[2],
        issuer=parts[3],
        not_before=root.certificate.not_valid_before_utc,
        not_after=root.certificate.not_valid_after_utc,
        subject=parts[5],
        subject_public_key=SubjectPublicKey.of(root.key.public_key()),
        extensions=extensions,
    )
    assert tbs.der == root.certificate.tbs_certificate_bytes
    assert found(tbs, None) == ""
    assert found(replace(tbs, extensions=tuple(e for e in extensions if e.oid != AKI)), None) == ""
    assert "§4.1.2.4" in found(replace(tbs, subject=encode_common_name("Other")), None)
    assert "§4.2.1.1" in found(replace(tbs, extensions=(*(e for e in extensions if e.oid != AKI), aki())), None)


def test_a_leaf_that_openssl_believes_under_strict_rules_is_good(tmp_path: Path) -> None:
    tbs = make()
    assert found(tbs) == ""
    assert isinstance(CA.key, ec.EllipticCurvePrivateKey)
    certificate = tbs.assemble(CA.key.sign(tbs.der, ec.ECDSA(hashes.SHA256())))
    (tmp_path / "root").write_bytes(ROOT.certificate.public_bytes(Encoding.PEM))
    (tmp_path / "ca").write_bytes(CA.certificate.public_bytes(Encoding.PEM))
    (tmp_path / "leaf").write_bytes(x509.load_der_x509_certificate(certificate).public_bytes(Encoding.PEM))
    command: list[str | Path] = [
        "openssl",
        "verify",
        "-x509_strict",
        "-attime",
        str(int(NOW.timestamp()) + 60),
        "-CAfile",
    ]
    command += [tmp_path / "root", "-untrusted", tmp_path / "ca", tmp_path / "leaf"]
    assert subprocess.run(command, capture_output=True, text=True, check=False).stdout.endswith("leaf: OK\n")


V3 = b"\xa0\x03\x02\x01\x02"
CN = "2.5.4.3"
DNS, EMAIL, URI, IP, DIRECTORY = 0x82, 0x81, 0x86, 0x87, 0xA4


@pytest.mark.parametrize(
    ("citation", "tbs"),
    [
        # §4.1: the certificate itself
        ("RFC 5280 §4.1.2: ", with_octets(lambda octets: octets.removeprefix(V3))),
        ("RFC 5280 §4.1.2: ", with_octets(lambda octets: octets.replace(V3, b"\xa0\x03\x02\x01\x01"))),
        ("RFC 5280 §4.1.2: ", with_octets(lambda octets: octets + b"\x81\x02\x00\x01")),
        ("RFC 5280 §4.1.2.2: ", make(serial_number=0)),
        ("RFC 5280 §4.1.2.2: ", with_octets(lambda octets: octets.replace(b"\x02\x10\x01", b"\x02\x10\x81", 1))),
        ("RFC 5280 §4.1.2.2: ", make(serial_number=1 << 159)),
        ("BR §7.1: ", make(serial_number=1)),
        ("BR §7.1: ", make(serial_number=(1 << 63) - 1)),
        ("RFC 5280 §4.1.2.3: ", make(signature=der.sequence(der.oid("1.3.101.112")))),
        ("RFC 5280 §4.1: ", make(signature=der.sequence(der.oid("1.2.840.10045.4.3.2"), b"\x05\x00"))),  # parameters
        ("RFC 5280 §4.1.2.3: ", make(signature=der.sequence(der.oid("1.2.840.10045.4.1")))),  # SHA-1
        ("RFC 5280 §4.1.2.4: ", make(issuer=encode_common_name("intermediate"))),
        ("RFC 5280 §4.1.2.4: ", make(issuer=subject(CN, der.PRINTABLE_STRING, b"Intermediate"))),
        ("RFC 5280 §4.1.2.5: ", make(not_after=NOW)),
        ("RFC 5280 §4.1.2.5: ", make(not_after=NOW - timedelta(hours=1))),
        ("RFC 5280 §4.1.2.5: ", with_octets(lambda octets: octets.replace(*LATE_FORM, 1))),
        ("RFC 5280 §6.1.3: ", make(not_before=datetime(2024, 12, 31, tzinfo=UTC))),
        ("RFC 5280 §6.1.3: ", make(not_after=datetime(2060, 1, 1, tzinfo=UTC))),
        ("RFC 5280 §4.1.2.7: ", with_octets(lambda octets: octets.replace(SPKI.spki, OTHER_SPKI.spki))),
        ("RFC 5280 §4.1: ", make(subject_public_key=SubjectPublicKey(b"\x30\x00", KEY))),
        ("RFC 5280 §4.1.2: ", make(issuer=b"\x30\x05ab")),  # swallows what follows
        # §4.1.2.6: the subject
        ("RFC 5280 appendix A.1: ", make(subject=subject(CN, der.UTF8_STRING, b"a" * 65))),
        ("RFC 5280 appendix A.1: ", make(subject=subject(CN, der.UTF8_STRING, b""))),
        ("RFC 5280 §4.1.2.4: ", make(subject=subject(CN, der.UTF8_STRING, b"\xff"))),
        ("RFC 5280 §4.1: ", make(subject=subject(CN, der.PRINTABLE_STRING, b"a@b"))),
        ("RFC 5280 §4.1.2.4: ", make(subject=subject(CN, 0x1E, b"\x00a"))),  # BMPString
        ("RFC 5280 §4.1.2.4: ", make(subject=subject(CN, 0x14, b"a"))),  # TeletexString
        ("RFC 5280 §4.1.2.4: ", make(subject=subject(CN, 0x16, b"a"))),  # IA5String
        ("RFC 5280 §4.1.2.4: ", make(subject=subject("1.2.840.113549.1.9.1", der.UTF8_STRING, b"a@svc.example"))),
        # §4.2: extensions
        ("RFC 5280 §4.2: ", make({"again": EXTENSIONS[EKU]})),
        ("RFC 5280 §4.2.1.1: ", make({AKI: None})),
        ("RFC 5280 §4.2.1.1: ", make({AKI: aki(ROOT)})),
        ("RFC 5280 §4.2.1.1: ", make({AKI: replace(aki(), critical=True)})),
        ("RFC 5280 §4.2.1.1: ", make({AKI: Extension(AKI, False, b"\x30\x00")})),
        ("RFC 5280 §4.2.1.2: ", make({SKI: extension(x509.SubjectKeyIdentifier(b"\x00" * 20))})),
        ("RFC 5280 §4.2.1.2: ", make({SKI: extension(x509.SubjectKeyIdentifier(SPKI.identifier), critical=True)})),
        ("RFC 5280 §4.2.1.3: ", make({KU: extension(key_usage("digital_signature"))})),
        ("RFC 5280 §4.2.1.3: ", make({KU: extension(key_usage(), critical=True)})),
        ("RFC 5280 §4.2.1.9: ", make({KU: extension(key_usage("digital_signature", "key_cert_sign"), critical=True)})),
        ("RFC 5480 §3", make({KU: extension(key_usage("digital_signature", "key_encipherment"), critical=True)})),
        ("RFC 5480 §3", make({KU: extension(key_usage("data_encipherment"), critical=True)})),
        ("RFC 5280 §4.2.1.12: ", make({EKU: ANY_USAGE})),
        ("RFC 5280 §4.1: ", make({EKU: Extension(EKU, False, b"\x30\x00")})),
        ("RFC 5280 §4.1: ", make({BC: Extension(BC, True, bytes.fromhex("3003020100"))})),  # a path length, yet no CA
        ("RFC 5280 §4.2.1.10: ", make({NC: CONSTRAINTS})),
        # §4.2.1.6: the alternative names
        ("RFC 5280 §4.2.1.6: ", make({SAN: None}, subject=encode_common_name(""))),
        ("RFC 5280 §4.2.1.6: ", make(subject=encode_common_name(""))),
        ("RFC 5280 §4.2.1.6: ", make(san(x509.DNSName("svc.example"), critical=True))),
        ("RFC 5280 §4.2.1.6: ", make(raw_san())),
        *(
            ("RFC 5280 §4.2.1.6: ", make(raw_san(der.tlv(DNS, name))))
            for name in (
                b"", b".", b".example", b"a..example", b"SVC.example", b"svc.example.", b"-a.example",
                b"a-.example", b"a b.example",
                b"a.*.example", b"a*.example", b"*", b"*.", b"**.example", b"a\x00.example", b"a" * 64, b"10.0.0.1/8",
                b"a,b",
            )
        ),
        *(
            ("RFC 5280 §4.2.1.6: ", make(raw_san(der.tlv(EMAIL, name))))
            for name in (b"", b"a", b"@example", b"a@", b"a@b@example", b"a@EXAMPLE", b"a\n@example", b"<a>@a", b"a@.b")
        ),
        *(
            ("RFC 5280 §4.2.1.6: ", make(raw_san(der.tlv(URI, name))))
            for name in (b"", b"a", b"/path", b"//host/", b"https:", b"https://", b"HTTPS://a/", b"https://A/", b"a: ")
        ),
        ("RFC 5280 §4.2.1.6: ", make(raw_san(der.tlv(DIRECTORY, encode_common_name("x"))))),
        ("RFC 5280 §4.2.1.6: ", make(raw_san(der.tlv(0x88, b"\x2a\x03")))),  # registeredID
        ("RFC 5280 §4.2.1.6: ", make(raw_san(OTHER_NAME))),
        ("RFC 5280 §4.1: ", make(raw_san(der.tlv(IP, b"\x01\x02")))),
        ("RFC 5280 §4.2.1.6: ", make(raw_san(der.tlv(DNS, b"\xc3\xa4.example")))),
        ("RFC 5280 §4.1: ", make(raw_san(der.tlv(0xA3, b"\x30\x00")))),  # x400Address
    ],
)  # fmt: skip
def test_a_fault_in_a_leaf_is_found(citation: str, tbs: TBSCertificate) -> None:
    assert citation in found(tbs)


@pytest.mark.parametrize(
    ("citation", "tbs", "issuer"),
    [
        ("§4.2.1.9: ", ca({BC: extension(x509.BasicConstraints(ca=True, path_length=None))}), ROOT),
        ("§4.2.1.3: ", ca({KU: None}), ROOT),
        ("§4.2.1.9: ", ca({KU: extension(key_usage("crl_sign"), critical=True)}), ROOT),
        ("§4.2.1.2: ", ca({SKI: None}), ROOT),
        ("§4.1.2.6: ", ca(san(x509.DNSName("a.example"), critical=True), subject=encode_common_name("")), ROOT),
        # the issuer has path length 0
        ("§4.2.1.9: ", ca({AKI: aki()}, issuer=tbs_parts(CA.certificate)[5]), CA),
    ],
)
def test_a_fault_in_a_ca_is_found(citation: str, tbs: TBSCertificate, issuer: Issuer) -> None:
    assert f"RFC 5280 {citation}" in found(tbs, issuer)


def test_a_path_length_below_that_of_the_issuer_is_good_and_no_other() -> None:
    issuer = make_ca("Root", key=ROOT.key, path_length=2)
    for length, good in ((None, True), (0, True), (1, True), (2, False), (3, False)):
        constraints = extension(x509.BasicConstraints(ca=True, path_length=length), critical=True)
        assert (found(ca({BC: constraints}), issuer) == "") == good


def test_an_issuer_that_is_no_ca_issues_nothing() -> None:
    leaf = make_ca("Intermediate", key=CA.key, basic_constraints=x509.BasicConstraints(ca=False, path_length=None))
    assert "RFC 5280 §4.2.1.9: the issuer must be a CA" in found(make(), leaf)
    other = make_ca("Intermediate", key=CA.key, usage=key_usage("crl_sign"))
    assert "RFC 5280 §4.2.1.3: the issuer" in found(make(), other)


@pytest.mark.parametrize("algorithm", ["EC-P384", "RSA-2048", "Ed25519"])
def test_an_algorithm_of_another_kind_of_key_is_found(algorithm: str) -> None:
    issuer = make_ca("Intermediate", algorithm=algorithm)
    good = make({AKI: aki(issuer)}, signature=tbs_parts(issuer.certificate)[2])
    assert found(good, issuer) == ""
    wrong = make_ca(algorithm="Ed25519" if algorithm != "Ed25519" else "RSA-2048")
    assert "§4.1.2.3" in found(replace(good, signature=tbs_parts(wrong.certificate)[2]), issuer)


def test_times_from_2050_are_generalized_times() -> None:
    issuer = make_ca("Intermediate", key=CA.key, lifetime=timedelta(days=100 * 365))
    late = make(not_after=datetime(2060, 1, 1, tzinfo=UTC))
    assert found(late, issuer) == ""
    parts = der.children(late.der)
    times = der.children(parts[4])
    # pyca reads 60 as 1960, so that the wrong form also comes out as a wrong order.
    parts[4] = der.sequence(times[0], der.tlv(der.UTC_TIME, b"600101000000Z"))
    late = replace(late)  # without what has been read of it
    late.__dict__["der"] = der.sequence(*parts)
    assert "§4.1.2.5" in found(late, issuer)


def constrained(permitted: list[x509.GeneralName] | None, excluded: list[x509.GeneralName] | None = None) -> Issuer:
    return make_ca("Intermediate", key=CA.key, constraints=x509.NameConstraints(permitted, excluded))


def test_a_name_outside_the_issuers_constraints_is_found() -> None:
    issuer = constrained([x509.DNSName("example")])
    assert found(make(), issuer) == ""
    assert "§4.2.1.10: svc.elsewhere is outside" in found(make(san(x509.DNSName("svc.elsewhere"))), issuer)


def test_the_constraints_of_every_ca_above_hold() -> None:
    above = constrained(None, [x509.DNSName("svc.example")])
    assert "§4.2.1.10: svc.example is excluded" in found(make(), CA, above=(above.certificate, ROOT.certificate))
    assert (
        found(make(san(x509.DNSName("a.example")), subject=encode_common_name("a")), CA, above=(above.certificate,))
        == ""
    )


def test_the_mail_addresses_of_the_subject_are_constrained() -> None:
    mail = subject(NameOID.EMAIL_ADDRESS.dotted_string, 0x16, b"a@elsewhere")
    assert "a@elsewhere is outside" in found(make(subject=mail), constrained([x509.RFC822Name("example")]))


def test_a_common_name_that_openssl_takes_for_a_host_is_constrained() -> None:
    issuer = constrained([x509.DNSName("example")])
    address = san(x509.IPAddress(ipaddress.ip_address("10.0.0.1")))
    assert "svc.elsewhere is outside" in found(make(address, subject=encode_common_name("svc.elsewhere")), issuer)
    assert found(make(address, subject=encode_common_name("some words")), issuer) == ""


def test_the_subject_is_constrained() -> None:
    tree = x509.DirectoryName(x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Harbour")]))
    assert "CN=svc.example is outside" in found(make(), constrained([tree]))
    harbour = subject("2.5.4.10", der.UTF8_STRING, b"harbour ")
    assert found(make(subject=harbour), constrained([tree])) == ""


def test_every_fault_is_found_not_only_the_first() -> None:
    bad = make(san(x509.DNSName("a.b"), critical=True) | {AKI: None, KU: extension(key_usage())}, not_after=NOW)
    assert len(lint(bad, CA.certificate)) >= 4


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([SAN, EKU, KU, SKI, AKI, BC, NC, "2.5.29.31", "1.2.3"]), st.binary(max_size=60), st.booleans())
def test_arbitrary_octets_in_an_extension_are_judged_and_nothing_else(oid: str, value: bytes, critical: bool) -> None:
    assert isinstance(lint(make({oid: Extension(oid, critical, value)}), CA.certificate), list)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60))
def test_arbitrary_octets_as_subject_are_judged_and_nothing_else(octets: bytes) -> None:
    for name in (octets, der.sequence(octets), subject(CN, der.UTF8_STRING, octets), subject(CN, 0x1E, octets)):
        assert isinstance(lint(make(subject=name), CA.certificate), list)
        assert isinstance(lint(make(subject=name), constrained([x509.DNSName("example")]).certificate), list)


def test_the_length_of_a_common_name_is_counted_in_characters() -> None:
    assert found(make(subject=encode_common_name("é" * 64))) == ""
    assert "appendix A.1" in found(make(subject=encode_common_name("é" * 65)))
