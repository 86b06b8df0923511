"""NIST's tests of path validation (PKITS 1.0.1): every invalid path is refused, and docs/x5c.md says what else is.

Each test's path comes out of the signed mail that NIST made for it (package ``cryptography-vectors``). Revocation is
the one thing that a path is not asked about here: a path that only a CRL makes invalid is a valid one.
"""

import base64
import email
import re
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import cryptography_vectors
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from mica import Unauthorized, UnverifiedToken
from mica_x5c import chains, paths

DATA = Path(cryptography_vectors.__file__).parent / "x509/PKITS_data"
ROOT = x509.load_der_x509_certificate((DATA / "certs/TrustAnchorRootCertificate.crt").read_bytes())
NOW = datetime(2011, 6, 1, tzinfo=UTC)
TESTS = sorted(path.stem.removeprefix("Signed") for path in (DATA / "smime").glob("*.eml"))
#: Of the page's table: what only a CRL says.
BY_REVOCATION = "invalid by a CRL alone"
_CRLS = re.compile(
    r"(?!.*(UserCertsCRLTest11|SigningKeyTest8))"  # their leaves are CAs', which are refused anyway
    r"Invalid(Revoked|.*CRL|keyUsage.*cRLSign|BasicSelfIssued|SeparateCertificate|onlySome|onlyContains|distributionPoint|IDP|cRLIssuer"
    r"|LongSerial)"
)
#: Valid paths that are refused, by the row of the page's table that has the reason.
REFUSED = {
    "certificate policies that must be processed": r"Valid(PolicyMapping|RequireExplicit|inhibit).*"
    r"|ValidSelfIssued(inhibit|require).*|inhibitAnyPolicyTest3",
    "names equal but for case, white space or string type": r"ValidNameChaining(Cap|White).*|ValidRollover.*"
    r"|ValidUTF8StringCase.*",
    "DSA": r"ValidDSA.*",
    "a CA's certificate at the end": r"ValidpathLenConstraintTest(8|14)|ValidonlyContainsCACertsCRL.*"
    r"|DifferentPoliciesTest[78]|OverlappingPolicies.*",
}
PAGE = (Path(__file__).parents[3] / "docs/x5c.md").read_text()


def certificates(name: str) -> list[x509.Certificate]:
    """What came with the mail, the leaf last; raises ValueError when pyca cannot read it."""
    mail = email.message_from_bytes((DATA / f"smime/Signed{name}.eml").read_bytes())
    (signature,) = (part for part in mail.walk() if part.get_content_type() == "application/pkcs7-signature")
    with warnings.catch_warnings(action="ignore"):
        return pkcs7.load_der_pkcs7_certificates(signature.get_payload(decode=True))  # type: ignore[arg-type]


def path(found: list[x509.Certificate]) -> Iterator[x509.Certificate]:
    """The leaf and its issuers, as their key identifiers say, without the root."""
    by_key = {_identifier(one, x509.SubjectKeyIdentifier): one for one in found if one != ROOT}
    current: x509.Certificate | None = found[-1]
    while current is not None:
        yield current
        current = by_key.pop(_identifier(current, x509.AuthorityKeyIdentifier), None)


def _identifier(certificate: x509.Certificate, kind: type[x509.ExtensionType]) -> bytes | None:
    value = certificate.extensions.get_extension_for_class(kind).value
    return getattr(value, "digest", None) or getattr(value, "key_identifier", None)


def reason(name: str) -> str | None:
    """Why the path is refused, None when it is accepted."""
    try:
        header = [base64.b64encode(one.public_bytes(Encoding.DER)).decode() for one in path(certificates(name))]
        chain = chains.read(UnverifiedToken("", {"x5c": header}, {}, b""))
        paths.verify(chain, paths.Roots((ROOT,)), NOW)
    except (Unauthorized, ValueError) as error:
        return str(error)
    return None


@pytest.fixture(scope="module")
def refused() -> set[str]:
    return {name for name in TESTS if reason(name) is not None}


def invalid() -> set[str]:
    """Paths that are invalid, CRLs left out of account."""
    return {name for name in TESTS if name.startswith("Invalid") and not _CRLS.match(name)}


def by_revocation() -> set[str]:
    return {name for name in TESTS if _CRLS.match(name)}


def listed(row: str) -> set[str]:
    return {name for name in TESTS if re.fullmatch(REFUSED[row], name)}


def test_all_of_nists_tests_are_here() -> None:
    assert len(TESTS) == 224


def test_every_invalid_path_is_refused(refused: set[str]) -> None:
    assert invalid() - refused == set()


def test_what_a_crl_alone_makes_invalid_is_a_path(refused: set[str]) -> None:
    assert by_revocation() & refused == set()


def test_of_the_valid_paths_those_that_the_page_lists_are_refused_and_no_others(refused: set[str]) -> None:
    assert refused - invalid() == set().union(*map(listed, REFUSED))


def test_the_table_has_the_numbers_that_there_are(refused: set[str]) -> None:
    rows = {
        "invalid": len(invalid()),
        "valid": len(set(TESTS) - refused - by_revocation()),
        BY_REVOCATION: len(by_revocation()),
        **{row: len(listed(row)) for row in REFUSED},
    }
    assert sum(rows.values()) == len(TESTS)
    table = dict(re.findall(r"^\| ([^|]+?) \| (\d+) \|", PAGE, re.MULTILINE))
    assert table == {row: str(number) for row, number in rows.items()}
