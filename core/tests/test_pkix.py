"""The encoder writes, octet for octet, what pyca's CertificateBuilder writes from the same input."""

import ipaddress
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given, settings
from hypothesis import strategies as st

from mica import der
from mica.errors import MalformedRequest
from mica.keyfiles import PrivateKey, generate
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
from mica.testing.issuers import Issuer, key_usage, make_ca, name, usual_digest

_ALGORITHMS = ("EC-P256", "EC-P384", "EC-P521", "RSA-2048", "Ed25519")
_KEYS = {algorithm: generate(algorithm) for algorithm in _ALGORITHMS}
_YEAR_2200 = timedelta(days=175 * 365)
_ISSUERS = {
    algorithm: make_ca(f"{algorithm} CA", algorithm=algorithm, lifetime=_YEAR_2200) for algorithm in _ALGORITHMS
}

_HOSTS = st.from_regex(r"(\*\.)?[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?(\.[a-z]{2,10}){1,3}", fullmatch=True)
_PLAIN_HOSTS = _HOSTS.filter(lambda host: not host.startswith("*"))
_NAMES = st.one_of(
    _HOSTS.map(x509.DNSName),
    st.ip_addresses().map(x509.IPAddress),
    _PLAIN_HOSTS.map(lambda host: x509.RFC822Name(f"Ops@{host}")),
    _PLAIN_HOSTS.map(lambda host: x509.UniformResourceIdentifier(f"spiffe://{host}/Workload?a=1#b")),
)
_USAGES = st.lists(
    st.sampled_from(
        [
            ExtendedKeyUsageOID.SERVER_AUTH,
            ExtendedKeyUsageOID.CLIENT_AUTH,
            ExtendedKeyUsageOID.EMAIL_PROTECTION,
            x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.2"),
            x509.ObjectIdentifier("2.999.1234567890123456789"),
        ]
    ),
    min_size=1,
    unique=True,
)
_MOMENTS = st.integers(0, 165 * 365 * 86400).map(
    lambda seconds: datetime(2025, 1, 2, tzinfo=UTC) + timedelta(seconds=seconds)
)
# The builder counts octets, where RFC 5280 counts characters.
_COMMON_NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=64).filter(
    lambda text: len(text.encode()) <= 64
)


@st.composite
def leaves(draw: st.DrawFn) -> tuple[x509.CertificateBuilder, Issuer, PrivateKey]:
    """An ordinary leaf, as pyca's builder would make it, and who signs it."""
    key, issuer = _KEYS[draw(st.sampled_from(_ALGORITHMS))], _ISSUERS[draw(st.sampled_from(_ALGORITHMS))]
    common_name, not_before = draw(_COMMON_NAMES), draw(_MOMENTS)
    bits = ("digital_signature", "key_encipherment") if isinstance(key, rsa.RSAPrivateKey) else ("digital_signature",)
    provisioner = x509.UnrecognizedExtension(
        x509.ObjectIdentifier("1.3.6.1.4.1.37476.9000.64.1"), draw(st.binary(min_size=1, max_size=200))
    )
    builder = (
        x509.CertificateBuilder()
        .serial_number(draw(st.integers(1 << 63, (1 << 159) - 1)))
        .issuer_name(issuer.certificate.subject)
        .subject_name(name(common_name) if common_name else x509.Name([]))
        .not_valid_before(not_before)
        .not_valid_after(not_before + draw(st.timedeltas(timedelta(seconds=1), timedelta(days=3650))))
        .public_key(key.public_key())
        .add_extension(key_usage(*bits), critical=True)
        .add_extension(x509.ExtendedKeyUsage(draw(_USAGES)), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False)
        .add_extension(
            x509.SubjectAlternativeName(draw(st.lists(_NAMES, min_size=1, max_size=6))), critical=not common_name
        )
        .add_extension(provisioner, critical=False)
    )
    return builder, issuer, key


def rewritten(certificate: x509.Certificate, key: PrivateKey) -> TBSCertificate:
    """What the encoder makes of the values in ``certificate``; only the algorithm and the issuer come as DER."""
    common_names = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    extensions = []
    for extension in certificate.extensions:
        value: object = extension.value
        if isinstance(value, x509.SubjectAlternativeName):
            encoded = encode_general_names(list(value))
        elif isinstance(value, x509.ExtendedKeyUsage):
            encoded = encode_oids(value)
        else:
            encoded = extension.value.public_bytes()
        extensions.append(Extension(extension.oid.dotted_string, extension.critical, encoded))
    parts = tbs_parts(certificate)
    return TBSCertificate(
        serial_number=certificate.serial_number,
        signature=parts[2],
        issuer=parts[3],
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        subject=encode_common_name(str(common_names[0].value) if common_names else ""),
        subject_public_key=SubjectPublicKey.of(key.public_key()),
        extensions=tuple(extensions),
    )


@settings(max_examples=200, deadline=None)
@given(leaves())
def test_the_encoder_and_the_builder_write_the_same_octets(
    leaf: tuple[x509.CertificateBuilder, Issuer, PrivateKey],
) -> None:
    builder, issuer, key = leaf
    certificate = builder.sign(issuer.key, usual_digest(issuer.key))
    tbs = rewritten(certificate, key)
    assert tbs.der == certificate.tbs_certificate_bytes
    assert tbs.assemble(certificate.signature) == certificate.public_bytes(serialization.Encoding.DER)
    assert tbs.names == tuple(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    assert lint(tbs, issuer.certificate) == []


@pytest.mark.parametrize("algorithm", _ALGORITHMS)
def test_the_key_identifier_is_the_one_that_pyca_computes(algorithm: str) -> None:
    key = _KEYS[algorithm].public_key()
    assert SubjectPublicKey.of(key).identifier == x509.SubjectKeyIdentifier.from_public_key(key).digest


def odd_keys(tmp_path: Path) -> list[bytes]:
    """SubjectPublicKeyInfos that pyca reads and would write differently."""
    key = _KEYS["EC-P256"]
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    point = key.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint)
    algorithm = der.sequence(der.oid("1.2.840.10045.2.1"), der.oid("1.2.840.10045.3.1.7"))
    pss = [
        "openssl",
        "genpkey",
        "-algorithm",
        "RSA-PSS",
        "-pkeyopt",
        "rsa_keygen_bits:2048",
        "-out",
        str(tmp_path / "k"),
    ]
    subprocess.run(pss, check=True, capture_output=True)
    shown = subprocess.run(
        ["openssl", "pkey", "-in", tmp_path / "k", "-pubout", "-outform", "DER"], check=True, capture_output=True
    )
    return [der.sequence(algorithm, der.bit_string(point)), shown.stdout]


def test_a_key_is_written_in_the_octets_in_which_it_came(tmp_path: Path) -> None:
    for spki in odd_keys(tmp_path):
        key = serialization.load_der_public_key(spki)
        assert isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey)
        assert SubjectPublicKey.of(key).spki != spki
        carried = SubjectPublicKey(spki, key)
        tbs = make_tbs(subject_public_key=carried)
        assert tbs_parts(tbs.parsed)[6] == spki
        bits = der.children(spki)[1]
        assert carried.identifier == x509.SubjectKeyIdentifier(_sha1(bits[bits.index(b"\x00") + 1 :])).digest


def _sha1(octets: bytes) -> bytes:
    return subprocess.run(["openssl", "sha1", "-binary"], input=octets, check=True, capture_output=True).stdout


def make_tbs(
    *, subject_public_key: SubjectPublicKey | None = None, extensions: tuple[Extension, ...] = ()
) -> TBSCertificate:
    return TBSCertificate(
        serial_number=1 << 100,
        signature=tbs_parts(_ISSUERS["EC-P256"].certificate)[2],
        issuer=encode_common_name("CA"),
        not_before=datetime(2031, 1, 1, tzinfo=UTC),
        not_after=datetime(2031, 1, 2, tzinfo=UTC),
        subject=encode_common_name("svc"),
        subject_public_key=subject_public_key or SubjectPublicKey.of(_KEYS["EC-P256"].public_key()),
        extensions=extensions,
    )


def test_what_cannot_be_read_back_is_a_fault_of_the_request() -> None:
    broken = SubjectPublicKey(b"\x30\x00", _KEYS["EC-P256"].public_key())
    with pytest.raises(MalformedRequest):
        _ = make_tbs(subject_public_key=broken).parsed


def test_names_are_none_without_the_extension() -> None:
    assert make_tbs(extensions=(Extension("1.2.3", False, b"\x05\x00"),)).names == ()


@pytest.mark.parametrize(
    "general_name",
    [
        x509.OtherName(x509.ObjectIdentifier("1.2.3"), b"\x05\x00"),
        x509.DirectoryName(x509.Name([])),
        x509.RegisteredID(x509.ObjectIdentifier("1.2.3")),
        x509.IPAddress(ipaddress.ip_network("10.0.0.0/8")),
    ],
)
def test_kinds_of_name_that_are_never_issued_are_not_encoded(general_name: x509.GeneralName) -> None:
    with pytest.raises(MalformedRequest):
        encode_general_names([general_name])


def test_openssl_prints_what_is_written(tmp_path: Path) -> None:
    issuer = _ISSUERS["EC-P256"]
    names = [x509.DNSName("svc.example"), x509.IPAddress(ipaddress.ip_address("2001:db8::7"))]
    san = Extension("2.5.29.17", False, encode_general_names(names))
    tbs = make_tbs(extensions=(san, Extension("2.5.29.37", False, encode_oids([ExtendedKeyUsageOID.SERVER_AUTH]))))
    assert isinstance(issuer.key, ec.EllipticCurvePrivateKey)
    (tmp_path / "leaf").write_bytes(tbs.assemble(issuer.key.sign(tbs.der, ec.ECDSA(usual_digest(issuer.key)))))  # type: ignore[arg-type]
    shown = subprocess.run(
        ["openssl", "x509", "-inform", "DER", "-in", tmp_path / "leaf", "-noout", "-text"],
        check=True,
        capture_output=True,
    ).stdout.decode()
    for expected in ("DNS:svc.example, IP Address:2001:DB8:0:0:0:0:0:7", "TLS Web Server Authentication", "Version: 3"):
        assert expected in shown
