"""A chain is believed when RFC 5280 §6.1 believes it, and when others do: pyca's verifier, openssl, and nobody else."""

import random
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Literal

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, x448, x25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import Criticality, ExtensionPolicy, PolicyBuilder, Store, VerificationError

from mica import der
from mica.testing.issuers import key_usage, name, usual_digest
from mica_x5c import paths

NOW = datetime(2026, 3, 4, 12, 0, 30, tzinfo=UTC)
DAY, SECOND = timedelta(days=1), timedelta(seconds=1)
CLIENTS = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
SERVERS = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
EC_KEYS = [ec.generate_private_key(curve) for curve in (ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1())]
ED_KEYS = [ed25519.Ed25519PrivateKey.generate() for _ in range(4)]
RSA_KEYS = [rsa.generate_private_key(65537, 2048) for _ in range(2)]
P256 = EC_KEYS[0]


@dataclass(frozen=True, kw_only=True)
class Made:
    """A certificate as somebody made it, and its key."""

    certificate: x509.Certificate
    key: Any = field(repr=False)


def make(
    subject: str | x509.Name,
    key: Any,
    by: Made | None = None,
    *extensions: tuple[x509.ExtensionType, bool],
    start: datetime = NOW - DAY,
    end: datetime = NOW + DAY,
    serial: int | None = None,
    digest: Any = None,
    pss: bool = False,
) -> Made:
    """With these extensions, each critical or not, and no others; a root unless somebody else signs it."""
    whole = name(subject) if isinstance(subject, str) else subject
    builder = x509.CertificateBuilder(
        by.certificate.subject if by else whole,
        whole,
        key.public_key(),
        serial or x509.random_serial_number(),
        start,
        end,
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    signer = by.key if by else key
    how = padding.PSS(padding.MGF1(hashes.SHA256()), 32) if pss else None
    return Made(certificate=builder.sign(signer, digest or usual_digest(signer), rsa_padding=how), key=key)


def ca(
    subject: str | x509.Name,
    by: Made | None = None,
    *more: tuple[x509.ExtensionType, bool],
    key: Any = P256,
    length: int | None = None,
    **window: Any,
) -> Made:
    basic, usage = x509.BasicConstraints(ca=True, path_length=length), key_usage("key_cert_sign", "crl_sign")
    return make(subject, key, by, (basic, True), (usage, True), *more, **window)


def leaf(
    by: Made, *more: tuple[x509.ExtensionType, bool], subject: str | x509.Name = "edge.example", **other: Any
) -> Made:
    key = other.pop("key", P256)
    return make(subject, key, by, (key_usage("digital_signature"), True), (CLIENTS, False), *more, **other)


def refusal(chain: Sequence[Made], *roots: Made, now: datetime = NOW) -> str:
    """Why the chain is refused; empty when it is believed."""
    try:
        paths.verify(
            [one.certificate for one in chain], paths.Roots(tuple(root.certificate for root in roots or (ROOT,))), now
        )
    except paths.InvalidPath as error:
        return str(error)
    return ""


def names(*san: x509.GeneralName) -> tuple[x509.ExtensionType, bool]:
    return (x509.SubjectAlternativeName(san), False)


def within(*permitted: x509.GeneralName, without: Sequence[x509.GeneralName] = ()) -> tuple[x509.ExtensionType, bool]:
    return (x509.NameConstraints(permitted or None, without or None), True)


def organized(organization: str, *more: tuple[x509.ObjectIdentifier, str]) -> x509.Name:
    pairs = ((NameOID.ORGANIZATION_NAME, organization), *more)
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in pairs])


ROOT = ca("Root")
ISSUER = ca("Issuer", ROOT)

# ---- keys and algorithms


@pytest.mark.parametrize("key", [ED_KEYS[0], RSA_KEYS[0], *EC_KEYS], ids=["Ed25519", "RSA", "P-256", "P-384", "P-521"])
def test_roots_and_issuers_have_any_kind_of_key(key: Any) -> None:
    root = ca("Any Root", key=key)
    issuer = ca("Any Issuer", root, key=key)
    assert refusal([leaf(issuer, key=key), issuer], root) == ""
    assert refusal([leaf(issuer, key=key), issuer, root], root) == ""
    assert "not signed by" in refusal([leaf(issuer, key=key), issuer], ca("Any Root", key=ED_KEYS[1]))
    assert list(paths.Roots((root.certificate,)).check()) == []


def test_an_issuer_that_only_has_the_name_of_the_one_that_signed_is_refused() -> None:
    for theirs, ours in ((ED_KEYS[0], ED_KEYS[1]), (P256, EC_KEYS[1]), (RSA_KEYS[0], RSA_KEYS[1]), (P256, ED_KEYS[0])):
        genuine, other = ca("Issuer", ROOT, key=ours), ca("Issuer", ROOT, key=theirs)
        assert "CN=edge.example is not signed by CN=Issuer" in refusal([leaf(other), genuine])


def test_signatures_by_rsassa_pss_are_believed() -> None:
    root = ca("RSA", key=RSA_KEYS[0])
    assert refusal([leaf(root, pss=True)], root) == ""


@pytest.mark.parametrize("digest", [hashes.SHA224(), hashes.SHA3_256()], ids=lambda digest: digest.name)
def test_digests_beyond_sha_2_with_256_bits_and_more_are_refused(digest: hashes.HashAlgorithm) -> None:
    root = ca("RSA", key=RSA_KEYS[0])
    assert "is signed with an algorithm" in refusal([leaf(root, digest=digest)], root)
    issuer = ca("Issuer", root, digest=digest)
    assert "is signed with an algorithm" in refusal([leaf(issuer), issuer], root)


def test_a_signature_by_sha_1_is_refused(tmp_path: Path) -> None:
    """pyca makes none any more; openssl does."""
    root = ca("RSA", key=RSA_KEYS[0])
    (tmp_path / "root.pem").write_bytes(root.certificate.public_bytes(Encoding.PEM))
    (tmp_path / "root.key").write_bytes(pem_of(root.key))
    (tmp_path / "leaf.key").write_bytes(pem_of(P256))
    (tmp_path / "ext").write_text("keyUsage=critical,digitalSignature\n")
    openssl(tmp_path, "req", "-new", "-key", "leaf.key", "-subj", "/CN=edge", "-out", "leaf.csr")
    openssl(
        tmp_path, "x509", "-req", "-in", "leaf.csr", "-CA", "root.pem", "-CAkey", "root.key", "-sha1", "-days", "1",
        "-extfile", "ext", "-set_serial", "7", "-out", "old.pem",
    )  # fmt: skip
    old = Made(certificate=x509.load_pem_x509_certificate((tmp_path / "old.pem").read_bytes()), key=P256)
    now = old.certificate.not_valid_before_utc + SECOND
    lasting = ca("RSA", key=RSA_KEYS[0], start=now - DAY, end=now + DAY)
    assert "is signed with an algorithm" in refusal([old], lasting, now=now)


def test_a_key_that_is_for_rsassa_pss_alone_is_refused(tmp_path: Path) -> None:
    openssl(tmp_path, "genpkey", "-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048", "-out", "leaf.key")
    (tmp_path / "root.pem").write_bytes(ROOT.certificate.public_bytes(Encoding.PEM))
    (tmp_path / "root.key").write_bytes(pem_of(ROOT.key))
    (tmp_path / "ext").write_text("keyUsage=critical,digitalSignature\n")
    openssl(tmp_path, "req", "-new", "-key", "leaf.key", "-subj", "/CN=edge", "-out", "leaf.csr")
    openssl(
        tmp_path, "x509", "-req", "-in", "leaf.csr", "-CA", "root.pem", "-CAkey", "root.key", "-days", "1",
        "-extfile", "ext", "-set_serial", "7", "-out", "leaf.pem",
    )  # fmt: skip
    made = Made(certificate=x509.load_pem_x509_certificate((tmp_path / "leaf.pem").read_bytes()), key=None)
    assert "for which there is no use" in refusal([made], now=made.certificate.not_valid_before_utc + SECOND)


# ---- order, number, roots


def test_a_certificate_that_is_there_twice_is_refused() -> None:
    own = ca("Root", ROOT, key=EC_KEYS[1])  # self-issued, so that it may follow itself by name
    assert refusal([leaf(own), own]) == ""
    assert "is there twice" in refusal([leaf(own), own, own])


def test_a_root_stands_at_the_end_or_nowhere() -> None:
    crossed = ca("Root", ROOT, key=EC_KEYS[1])
    again = ca("Root", crossed, key=P256)  # the root's own key and name, certified by the one that it certified
    assert refusal([leaf(ROOT), again, crossed]) == ""
    assert "ends with its root" in refusal([leaf(ROOT), ROOT, crossed])


def test_a_path_has_eight_certificates_with_its_root() -> None:
    line = [ROOT]
    for number in range(7):
        line.append(ca(f"Issuer {number}", line[-1]))
    assert refusal([leaf(line[6]), *line[6:0:-1], ROOT]) == ""
    assert refusal([leaf(line[6]), *line[6:0:-1]]) == ""
    assert "the root included" in refusal([leaf(line[7]), *line[7:0:-1]])
    assert "one to 8" in refusal([leaf(line[7]), *line[7:0:-1], ROOT])


def test_a_cross_signed_root_leads_to_the_root_that_is_trusted() -> None:
    new_root = ca("New Root", key=EC_KEYS[1])
    crossed = ca("New Root", ROOT, key=EC_KEYS[1])
    issuer = ca("Issuer", new_root)
    assert refusal([leaf(issuer), issuer, crossed]) == ""
    assert refusal([leaf(issuer), issuer], new_root) == ""
    assert "not the path itself" in refusal([leaf(issuer), issuer, crossed, new_root])
    assert "no path to a root" in refusal([leaf(issuer), issuer, new_root])


def test_of_roots_with_one_name_any_may_be_the_one() -> None:
    others = [ca("Root", key=key) for key in EC_KEYS[1:]]
    expired = ca("Root", start=NOW - 2 * DAY, end=NOW - DAY)
    for order in ([*others, expired, ROOT], [ROOT, expired, *others]):
        assert refusal([leaf(ISSUER), ISSUER], *order) == ""
    said = refusal([leaf(ISSUER), ISSUER], *others, expired)
    assert "is not signed by" in said
    assert "has expired" in said


def test_a_root_keeps_the_rules_for_issuers() -> None:
    unknown = (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True)
    for more, said in (((SERVERS, False), "clientAuth"), (unknown, "not understood, 1.2.3.4")):
        root = ca("Odd Root", None, more)
        assert f"the root CN=Odd Root {'issues' if more[0] is SERVERS else 'has'}" in refusal([leaf(root)], root)
        (fault,) = paths.Roots((root.certificate,)).check()
        assert said in fault


# ---- validity


@pytest.mark.parametrize("who", ["leaf", "issuer", "root"])
def test_each_certificate_is_valid_from_its_first_moment_to_its_last(who: str) -> None:
    window = {"start": NOW, "end": NOW + SECOND}
    root = ca("Root", **(window if who == "root" else {}))
    issuer = ca("Issuer", root, **(window if who == "issuer" else {}))
    chain = [leaf(issuer, **(window if who == "leaf" else {})), issuer]
    assert refusal(chain, root, now=NOW) == refusal(chain, root, now=NOW + SECOND) == ""
    assert "is not valid before" in refusal(chain, root, now=NOW - SECOND)
    assert "has expired on" in refusal(chain, root, now=NOW + 2 * SECOND)


# ---- what issuers may issue


@pytest.mark.parametrize(
    ("lengths", "believed"),
    [
        ((None, None, None), True), ((2, 1, 0), True), ((0, None, None), False), ((1, None, None), False),
        ((2, None, None), True), ((None, 0, None), False), ((None, 1, None), True), ((None, None, 0), True),
    ],
)  # fmt: skip
def test_path_lengths_are_kept(lengths: tuple[int | None, ...], believed: bool) -> None:
    root = ca("Root", length=lengths[0])
    first = ca("First", root, length=lengths[1])
    second = ca("Second", first, length=lengths[2])
    assert (refusal([leaf(second), second, first], root) == "") is believed


def test_an_issuer_that_issues_for_itself_adds_nothing_to_the_path_length() -> None:
    issuer = ca("Issuer", ROOT, length=0)
    rolled = ca("Issuer", issuer, key=EC_KEYS[1], length=0)
    assert refusal([leaf(rolled), rolled, issuer]) == ""
    below = ca("Below", rolled)
    assert "path length of 0" in refusal([leaf(below), below, rolled, issuer])


@pytest.mark.parametrize(
    ("extensions", "said"),
    [
        ([(x509.BasicConstraints(True, None), True)], ""),
        ([(x509.BasicConstraints(True, None), False)], ""),
        ([(x509.BasicConstraints(False, None), True)], "is no CA's"),
        ([], "is no CA's"),
        ([(x509.BasicConstraints(True, None), True), (key_usage(), True)], "keyCertSign"),
        ([(x509.BasicConstraints(True, None), True), (key_usage("crl_sign"), False)], "keyCertSign"),
        ([(x509.BasicConstraints(True, None), True), (SERVERS, False)], "clientAuth"),
        ([(x509.BasicConstraints(True, None), True), (CLIENTS, True)], ""),
        ([(x509.BasicConstraints(True, None), True), (x509.PolicyConstraints(0, None), True)], "2.5.29.36"),
        ([(x509.BasicConstraints(True, None), True), (x509.InhibitAnyPolicy(0), True)], "2.5.29.54"),
        ([(x509.BasicConstraints(True, None), True), (x509.TLSFeature([x509.TLSFeatureType.status_request]), True)],
         "critical extension"),
    ],
    ids=range(11),
)  # fmt: skip
def test_an_issuer_may_issue(extensions: list[tuple[x509.ExtensionType, bool]], said: str) -> None:
    issuer = make("Some", P256, ROOT, *extensions)
    found = refusal([leaf(issuer), issuer])
    assert said in found
    assert bool(said) == bool(found)


def test_an_issuer_without_a_name_is_refused() -> None:
    nobody = ca(x509.Name([]), ROOT)
    assert "has no subject" in refusal([leaf(nobody), nobody])


# ---- leaves


@pytest.mark.parametrize(
    ("extensions", "said"),
    [
        ([(key_usage("digital_signature"), True)], ""),
        ([(key_usage("digital_signature"), False)], ""),
        ([], "digitalSignature"),
        ([(key_usage(), True)], "digitalSignature"),
        ([(key_usage("key_encipherment"), True), (CLIENTS, False)], "digitalSignature"),
        ([(key_usage("digital_signature"), True), (SERVERS, False)], "clientAuth"),
        ([(key_usage("digital_signature"), True), (SERVERS, True)], "clientAuth"),
        ([(key_usage("digital_signature"), True), (x509.BasicConstraints(False, None), True)], ""),
        ([(key_usage("digital_signature"), True), (x509.BasicConstraints(True, None), False)], "CA's certificate"),
        ([(key_usage("digital_signature"), True), (x509.NameConstraints([x509.DNSName("a")], None), True)], "critical"),
        ([(key_usage("digital_signature"), True), (x509.PrecertPoison(), True)], "critical"),
    ],
    ids=range(11),
)  # fmt: skip
def test_a_leaf_may_prove_an_identity(extensions: list[tuple[x509.ExtensionType, bool]], said: str) -> None:
    found = refusal([make("x", P256, ISSUER, *extensions), ISSUER])
    assert said in found
    assert bool(said) == bool(found)


def test_a_leaf_that_signs_itself_is_refused() -> None:
    own = make("edge.example", P256, None, (key_usage("digital_signature"), True))
    assert "no path to a root" in refusal([own])
    assert "no path to a root" in refusal([make("Root", EC_KEYS[1], None, (key_usage("digital_signature"), True))])


def test_a_serial_number_longer_than_twenty_octets_is_refused() -> None:
    longest = leaf(ROOT, serial=2**159 - 1).certificate
    assert refusal([Made(certificate=longest, key=None)]) == ""
    parts = der.children(longest.public_bytes(Encoding.DER))
    tbs = der.children(parts[0])
    tbs[1] = der.integer(2**160)
    long = der.sequence(der.sequence(*tbs), *parts[1:])
    assert "20 octets" in refusal([Made(certificate=x509.load_der_x509_certificate(long), key=None)])


# ---- name constraints

URI, DNS, MAIL, IP, DN = (
    x509.UniformResourceIdentifier, x509.DNSName, x509.RFC822Name, x509.IPAddress, x509.DirectoryName,
)  # fmt: skip


@pytest.mark.parametrize(
    ("constraints", "san", "believed"),
    [
        (within(URI("harbour.example")), URI("https://harbour.example/edge"), True),
        (within(URI("harbour.example")), URI("https://edge.harbour.example/"), False),
        (within(URI(".harbour.example")), URI("spiffe://edge.harbour.example/ns"), True),
        (within(URI(".harbour.example")), URI("https://harbour.example/"), False),
        (within(URI("harbour.example")), URI("https://harbour.example.net/"), False),
        (within(URI("harbour.example")), URI("https://harbour.example@evil.example/"), False),
        (within(URI("harbour.example")), URI("urn:edge"), False),
        (within(URI("harbour.example")), URI("https://10.0.0.1/"), False),
        (within(URI("harbour.example")), URI("https://[::bad/"), False),
        (within(without=[URI("harbour.example")]), URI("https://HARBOUR.example/"), False),
        (within(without=[URI("harbour.example")]), URI("https://other.example/"), True),
        (within(URI("harbour.example")), DNS("elsewhere.example"), True),
        (within(DNS("harbour.example")), DNS("edge.harbour.example"), True),
        (within(DNS("harbour.example")), DNS("edge.example"), False),
        (within(without=[DNS("svc.example")]), DNS("*.example"), False),
        (within(MAIL(".harbour.example")), MAIL("ann@edge.harbour.example"), True),
        (within(MAIL(".harbour.example")), MAIL("ann@harbour.example"), False),
        (within(IP(ip_network("10.0.0.0/8"))), IP(ip_network("10.1.2.3/32").network_address), True),
        (within(IP(ip_network("10.0.0.0/8"))), IP(ip_network("11.1.2.3/32").network_address), False),
        (within(x509.OtherName(x509.ObjectIdentifier("1.2.3.4"), b"\x0c\x01a")),
         x509.OtherName(x509.ObjectIdentifier("1.2.3.4"), b"\x0c\x01a"), False),
        (within(x509.RegisteredID(x509.ObjectIdentifier("1.2.3"))),
         x509.RegisteredID(x509.ObjectIdentifier("1.2.3.4")), False),
    ],
    ids=range(21),
)  # fmt: skip
@pytest.mark.parametrize("where", ["issuer", "root"])
def test_subject_alternative_names_lie_within_the_constraints_above(
    constraints: tuple[x509.ExtensionType, bool], san: x509.GeneralName, believed: bool, where: str
) -> None:
    root = ca("Bounded Root", None, constraints) if where == "root" else ROOT
    issuer = ca("Bounded", root, *([constraints] if where == "issuer" else []))
    assert (refusal([leaf(issuer, names(san)), issuer], root) == "") is believed


@pytest.mark.parametrize(
    ("constraints", "subject", "believed"),
    [
        (within(DN(organized("Harbour"))), organized("Harbour", (NameOID.COMMON_NAME, "edge")), True),
        (within(DN(organized("Harbour"))), organized(" harbour ", (NameOID.COMMON_NAME, "edge")), True),
        (within(DN(organized("Harbour"))), organized("Harbours", (NameOID.COMMON_NAME, "edge")), False),
        (within(DN(organized("Harbour"))), name("edge"), False),
        (within(DN(organized("Harbour"))), x509.Name([]), True),
        (within(without=[DN(organized("Harbour"))]), organized("HARBOUR", (NameOID.COMMON_NAME, "edge")), False),
        (within(without=[DN(organized("Harbour"))]), organized("Other"), True),
        (within(MAIL("harbour.example")), organized("x", (NameOID.EMAIL_ADDRESS, "ann@harbour.example")), True),
        (within(MAIL("harbour.example")), organized("x", (NameOID.EMAIL_ADDRESS, "ann@evil.example")), False),
        (within(MAIL("harbour.example")), organized("x", (NameOID.EMAIL_ADDRESS, "änn@harbour.example")), False),
        (within(MAIL("harbour.example")), organized("x", (NameOID.EMAIL_ADDRESS, "Ann <ann@harbour.example>")), False),
    ],
    ids=range(11),
)  # fmt: skip
def test_subjects_lie_within_the_constraints_above(
    constraints: tuple[x509.ExtensionType, bool], subject: x509.Name, believed: bool
) -> None:
    bounded = ca("Bounded", ROOT, constraints)
    assert (refusal([leaf(bounded, subject=subject), bounded]) == "") is believed


def test_an_issuer_in_between_lies_within_the_constraints_too() -> None:
    bounded = ca("Bounded", ROOT, within(DN(organized("Harbour"))))
    inside = ca(organized("Harbour", (NameOID.COMMON_NAME, "Sub")), bounded)
    outside = ca("Sub", bounded)
    harbour = organized("Harbour", (NameOID.COMMON_NAME, "edge"))
    assert refusal([leaf(inside, subject=harbour), inside, bounded]) == ""
    assert "outside the issuer's" in refusal([leaf(outside, subject=harbour), outside, bounded])


def test_constraints_bind_beyond_an_issuer_that_issues_for_itself() -> None:
    bounded = ca("Bounded", ROOT, within(DN(organized("Harbour"))))
    rolled = ca("Bounded", bounded, key=EC_KEYS[1])
    harbour = organized("Harbour", (NameOID.COMMON_NAME, "edge"))
    assert refusal([leaf(rolled, subject=harbour), rolled, bounded]) == ""
    assert "outside the issuer's" in refusal([leaf(rolled), rolled, bounded])
    # RFC 5280 §6.1.3 (b): the last certificate is not exempt, whoever issued it
    assert "outside the issuer's" in refusal([leaf(rolled, subject="Bounded"), rolled, bounded])


def test_constraints_that_are_not_critical_bind_as_well() -> None:
    constraints, _ = within(DNS("harbour.example"))
    bounded = ca("Bounded", ROOT, (constraints, False))
    assert refusal([leaf(bounded, names(DNS("svc.example"))), bounded])


@pytest.mark.parametrize("bound", [b"\x80\x01\x01", b"\x81\x01\x02"], ids=["minimum", "maximum"])
def test_a_subtree_with_a_bound_is_refused(bound: bytes) -> None:
    """pyca's value does not show it."""
    base = der.tlv(0x82, b"example")
    encoded = der.sequence(der.tlv(0xA0, der.sequence(base, bound)))
    bounded = ca("Bounded", ROOT, (x509.UnrecognizedExtension(x509.NameConstraints.oid, encoded), True))
    holder = leaf(bounded, names(DNS("svc.example")))
    assert "are not understood" in refusal([holder, bounded])
    plain = der.sequence(der.tlv(0xA0, der.sequence(base)))
    bounded = ca("Bounded", ROOT, (x509.UnrecognizedExtension(x509.NameConstraints.oid, plain), True))
    assert refusal([leaf(bounded, names(DNS("svc.example"))), bounded]) == ""


def test_many_names_below_many_constraints_are_not_compared() -> None:
    trees = [DNS(f"t{number}.example") for number in range(200)]
    bounded = ca("Bounded", ROOT, within(without=trees))
    few, many = ([DNS(f"n{number}") for number in range(count)] for count in (80, 100))
    assert refusal([leaf(bounded, names(*few)), bounded]) == ""
    assert "comparisons" in refusal([leaf(bounded, names(*many)), bounded])


# ---- two other judges, over chains made at random


def pem_of(key: Any) -> bytes:
    from cryptography.hazmat.primitives.serialization import NoEncryption, PrivateFormat

    pem: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem


def openssl(folder: Path, *arguments: str, good: bool = True) -> bool:
    done = subprocess.run(["openssl", *arguments], cwd=folder, capture_output=True)
    assert done.returncode == 0 or not good, done.stderr
    return done.returncode == 0


Sort = Literal["RSA, EC", "all"]
COMMON: tuple[tuple[x509.GeneralName, x509.GeneralName], ...] = (
    (DNS("harbour.example"), DNS("edge.harbour.example")),
    (DNS("svc.example"), DNS("svc.example")),
    (IP(ip_network("10.0.0.0/8")), IP(ip_network("10.1.2.3/32").network_address)),
    (MAIL("harbour.example"), MAIL("ann@harbour.example")),
)
ONLY_OURS: tuple[tuple[x509.GeneralName, x509.GeneralName], ...] = (
    (URI("harbour.example"), URI("https://harbour.example/edge")),
    (URI(".harbour.example"), URI("https://edge.harbour.example/")),
    (DN(organized("Harbour")), DN(organized("Harbour", (NameOID.COMMON_NAME, "x")))),
)


def identifiers(key: Any, by: Made | None) -> list[tuple[x509.ExtensionType, bool]]:
    """By which openssl tells issuers of one name apart."""
    above = by.certificate.public_key() if by else key.public_key()
    assert not isinstance(above, x25519.X25519PublicKey | x448.X448PublicKey)
    return [
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(above), False),
    ]


class Chance:
    """Chains as chance has it: most of them are valid, and the others break one rule or two."""

    def __init__(self, seed: int, sort: Sort) -> None:
        self.random = random.Random(seed)
        self.keys = [*EC_KEYS, *RSA_KEYS, *(ED_KEYS if sort == "all" else [])]
        self.pairs = COMMON + (ONLY_OURS if sort == "all" else ())
        self.sort = sort

    def rarely(self) -> bool:
        return self.random.random() < 0.06

    def window(self) -> dict[str, Any]:
        late, early = NOW + SECOND, NOW - SECOND
        return {"start": late if self.rarely() else NOW - DAY, "end": early if self.rarely() else NOW + DAY}

    def constraints(self) -> list[tuple[x509.ExtensionType, bool]]:
        if self.random.random() < 0.6:
            return []
        trees = [tree for tree, _ in self.random.sample(self.pairs, self.random.randint(1, 2))]
        if self.random.random() < 0.5:
            return [within(*trees)]
        return [within(without=trees)]

    def issuer(self, subject: x509.Name, by: Made | None) -> Made:
        length = self.random.choice([None, None, None, 0, 1, 2])
        basic = x509.BasicConstraints(True, length)
        key = self.random.choice([one for one in self.keys if by is None or one is not by.key])
        extensions = [(basic, not self.rarely()), *identifiers(key, by)]
        if not self.rarely():
            extensions.append((key_usage("key_cert_sign"), True))
        if self.rarely():
            extensions.append((x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True))
        if self.random.random() < 0.2:
            extensions.append((CLIENTS, False))
        extensions += self.constraints()
        return make(subject, key, by, *extensions, **(self.window() if by else {}))

    def chain(self) -> tuple[list[Made], Made]:
        """The chain, leaf first, and the root, which the chain has not."""
        line = [self.issuer(organized("Harbour", (NameOID.COMMON_NAME, "Root")), None)]
        for number in range(self.random.randint(0, 3)):
            organization = "Other" if self.rarely() else "Harbour"
            # pyca's verifier counts self-issued certificates, and exempts none of them.
            again = self.sort == "all" and self.random.random() < 0.15
            subject = organized(organization, (NameOID.COMMON_NAME, f"Issuer {number}"))
            line.append(self.issuer(line[-1].certificate.subject if again else subject, line[-1]))
        signer = line[-1]
        if self.rarely():
            signer = Made(certificate=signer.certificate, key=self.random.choice(self.keys))
        return [self.leaf(signer), *line[:0:-1]], line[0]

    def leaf(self, signer: Made) -> Made:
        san = [one for _, one in self.random.sample(self.pairs, self.random.randint(0, 2))]
        key = self.random.choice(self.keys)
        more = [*identifiers(key, signer), *([names(*san)] if san else [])]
        if self.rarely():
            more.append((x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True))
        subject = organized("Other" if self.rarely() else "Harbour", (NameOID.COMMON_NAME, "edge"))
        return leaf(signer, *more, key=key, subject=subject, **self.window())


def pyca_believes(chain: list[Made], root: Made) -> bool:
    ca_policy = ExtensionPolicy.permit_all().require_present(x509.BasicConstraints, Criticality.AGNOSTIC, None)
    builder = PolicyBuilder().store(Store([root.certificate])).time(NOW).max_chain_depth(paths.MAX_PATH)
    verifier = builder.extension_policies(ca_policy=ca_policy, ee_policy=ExtensionPolicy.permit_all())
    holder, *issuers = (one.certificate for one in chain)
    try:
        verifier.build_client_verifier().verify(holder, issuers)
    except VerificationError:
        return False
    return True


def test_pycas_verifier_is_of_the_same_mind_wherever_it_can_judge() -> None:
    verdicts = {True: 0, False: 0}
    for seed in range(600):
        chain, root = Chance(seed, "RSA, EC").chain()
        believed = pyca_believes(chain, root)
        assert (refusal(chain, root) == "") is believed, (seed, refusal(chain, root))
        verdicts[believed] += 1
    assert min(verdicts.values()) > 100  # chance has made enough of both


def test_openssl_is_of_the_same_mind_about_every_kind_of_key_and_name(tmp_path: Path) -> None:
    verdicts = {True: 0, False: 0}
    for seed in range(1000, 1150):
        chain, root = Chance(seed, "all").chain()
        for file, held in (("leaf", chain[:1]), ("issuers", chain[1:] or chain), ("root", [root])):
            (tmp_path / f"{file}.pem").write_bytes(b"".join(one.certificate.public_bytes(Encoding.PEM) for one in held))
        believed = openssl(
            tmp_path, "verify", "-CAfile", "root.pem", "-untrusted", "issuers.pem", "-purpose", "sslclient",
            "-attime", str(int(NOW.timestamp())), "leaf.pem", good=False,
        )  # fmt: skip
        assert (refusal(chain, root) == "") is believed, (seed, refusal(chain, root))
        verdicts[believed] += 1
    assert min(verdicts.values()) > 30
