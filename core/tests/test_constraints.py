"""Name constraints let pass what RFC 5280 §4.2.1.10 lets pass, and openssl agrees."""

import ipaddress
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from mica import names
from mica.constraints import violations
from mica.testing.issuers import Issuer, make_ca, name, usual_digest


def tree(text: str) -> x509.GeneralName:
    """A subtree as people write it: ``DNS:…``, ``IP:…``, ``email:…``, ``URI:…``."""
    kind, _, value = text.partition(":")
    if kind == "IP":
        return x509.IPAddress(ipaddress.ip_network(value))
    if kind == "email":
        return x509.RFC822Name(value)
    return x509.DNSName(value) if kind == "DNS" else x509.UniformResourceIdentifier(value)


def allowed(text: str, *, permitted: str = "", excluded: str = "") -> bool:
    constraints = x509.NameConstraints(
        [tree(part) for part in permitted.split()] or None, [tree(part) for part in excluded.split()] or None
    )
    findings = violations([names.classify(text)], [constraints])
    assert all(finding.startswith("RFC 5280 §4.2.1.10: ") for finding in findings)
    return not findings


CASES = [
    # name, permitted, excluded, allowed
    ("svc.example", "DNS:example", "", True),
    ("example", "DNS:example", "", True),
    ("notexample", "DNS:example", "", False),
    ("svc.example.net", "DNS:example", "", False),
    ("svc.example", "DNS:EXAMPLE", "", True),
    ("svc.example", "DNS:.example", "", True),
    ("example", "DNS:.example", "", False),
    ("svc.example", "DNS:a.example DNS:svc.example", "", True),
    ("*.example", "DNS:example", "", True),
    ("*.example", "DNS:svc.example", "", False),
    ("svc.example", "", "DNS:example", False),
    ("svc.example", "", "DNS:a.example", True),
    ("svc.example", "DNS:example", "DNS:svc.example", False),
    # CVE-2025-61727: the wildcard could stand for the excluded host
    ("*.example", "", "DNS:svc.example", False),
    ("*.example", "", "DNS:a.svc.example", True),
    ("*.svc.example", "", "DNS:example", False),
    ("*.example", "", "DNS:svc.other", True),
    ("10.1.2.3", "IP:10.0.0.0/8", "", True),
    ("11.1.2.3", "IP:10.0.0.0/8", "", False),
    ("::ffff:10.1.2.3", "IP:10.0.0.0/8", "", False),
    ("2001:db8::1", "IP:2001:db8::/32", "", True),
    ("10.1.2.3", "", "IP:10.1.2.3/32", False),
    ("10.1.2.3", "IP:2001:db8::/32", "", False),
    ("ops@example", "email:example", "", True),
    ("ops@svc.example", "email:example", "", False),
    ("ops@svc.example", "email:.example", "", True),
    ("ops@example", "email:.example", "", False),
    ("ops@example", "email:ops@example", "", True),
    ("Ops@example", "email:ops@example", "", False),
    ("dev@example", "email:ops@example", "", False),
    ("ops@example", "", "email:example", False),
    ("https://svc.example/a", "URI:svc.example", "", True),
    ("https://user@svc.example:8443/a", "URI:svc.example", "", True),
    ("https://a.svc.example/a", "URI:svc.example", "", False),
    ("https://a.svc.example/a", "URI:.svc.example", "", True),
    ("https://svc.example@evil.net/a", "URI:svc.example", "", False),
    ("https://svc.example/a", "", "URI:svc.example", False),
    # RFC 5280 §4.2.1.10: "MUST reject" a URI without a host, or whose host is an address
    ("urn:a:b", "URI:svc.example", "", False),
    ("urn:a:b", "", "URI:svc.example", False),
    ("https://10.0.0.1/", "", "URI:svc.example", False),
    # a kind of name without a subtree of its kind is free
    ("10.1.2.3", "DNS:example", "", True),
    ("svc.example", "IP:10.0.0.0/8", "IP:11.0.0.0/8", True),
]


@pytest.mark.parametrize(("text", "permitted", "excluded", "expected"), CASES)
def test_a_name_is_allowed_where_the_rfc_allows_it(text: str, permitted: str, excluded: str, expected: bool) -> None:
    assert allowed(text, permitted=permitted, excluded=excluded) == expected


#: Where openssl judges otherwise: it ignores what a wildcard could stand for, and compares user@host and addresses.
OPENSSL_DIFFERS = {
    ("*.example", "", "DNS:svc.example"),
    ("https://user@svc.example:8443/a", "URI:svc.example", ""),
    ("https://10.0.0.1/", "", "URI:svc.example"),
}


def test_openssl_judges_alike(tmp_path: Path) -> None:
    differences = set()
    for text, permitted, excluded, expected in CASES:
        constraints = x509.NameConstraints(
            [tree(part) for part in permitted.split()] or None, [tree(part) for part in excluded.split()] or None
        )
        if openssl_accepts(make_ca(constraints=constraints), names.classify(text), tmp_path) != expected:
            differences.add((text, permitted, excluded))
    assert differences == OPENSSL_DIFFERS


def openssl_accepts(issuer: Issuer, general_name: x509.GeneralName, folder: Path) -> bool:
    moment = datetime(2031, 3, 14, tzinfo=UTC)
    leaf = (
        x509.CertificateBuilder()
        .serial_number(x509.random_serial_number())
        .issuer_name(issuer.certificate.subject)
        .subject_name(name("leaf"))
        .not_valid_before(moment)
        .not_valid_after(moment.replace(day=15))
        .public_key(issuer.key.public_key())
        .add_extension(x509.SubjectAlternativeName([general_name]), critical=False)
        .sign(issuer.key, usual_digest(issuer.key))
    )
    (folder / "ca").write_bytes(issuer.certificate.public_bytes(Encoding.PEM))
    (folder / "leaf").write_bytes(leaf.public_bytes(Encoding.PEM))
    command: list[str | Path] = ["openssl", "verify", "-no_check_time", "-CAfile", folder / "ca", folder / "leaf"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_a_constrained_kind_that_nobody_can_compare_is_refused() -> None:
    other = x509.OtherName(x509.ObjectIdentifier("1.2.3"), b"\x05\x00")
    constraints = x509.NameConstraints([x509.DNSName("example")], [other])
    assert violations([other], [constraints])
    assert not violations([x509.DNSName("svc.example")], [constraints])


def test_every_constraint_of_a_chain_holds() -> None:
    chain = [x509.NameConstraints([x509.DNSName(host)], None) for host in ("example", "svc.example")]
    assert len(violations([x509.DNSName("a.example"), x509.DNSName("a.net")], chain)) == 3
    assert violations([x509.DNSName("a.svc.example")], chain) == []


def test_a_directory_name_is_compared_without_case_and_double_blanks() -> None:
    def directory(*values: str) -> x509.DirectoryName:
        oids = (x509.NameOID.ORGANIZATION_NAME, x509.NameOID.COMMON_NAME)
        return x509.DirectoryName(
            x509.Name([x509.NameAttribute(oid, value) for oid, value in zip(oids, values, strict=False)])
        )

    within = [x509.NameConstraints([directory("Harbour Works")], None)]
    assert violations([directory("HARBOUR  works", "svc")], within) == []
    assert violations([directory("Harbour", "svc")], within)
    assert violations([directory()], within)


_HOSTS = st.lists(st.sampled_from(["a", "b", "example", "*"]), min_size=1, max_size=4).map(".".join)


@given(_HOSTS.filter(lambda host: "*" not in host[1:] and host != "*"), _HOSTS.filter(lambda host: "*" not in host))
def test_what_is_permitted_by_a_subtree_is_also_excluded_by_it(host: str, subtree: str) -> None:
    if allowed(host, permitted=f"DNS:{subtree}"):
        assert not allowed(host, excluded=f"DNS:{subtree}")
