"""Keys that never leave the place where they are kept: what a key backend returns signs like any other."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from mica import SubjectPublicKey
from mica.cli.kit import FileProblem
from mica_certtool.making import archives, contents, issuing, requests
from mica_certtool.making.issuers import Issuer


class KeptKey(ec.EllipticCurvePrivateKey):
    """A key that signs, and that nobody can copy."""

    def __init__(self) -> None:
        self._inside = ec.generate_private_key(ec.SECP384R1())

    def sign(self, data: Any, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        return self._inside.sign(data, signature_algorithm)

    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self._inside.public_key()

    @property
    def curve(self) -> ec.EllipticCurve:
        return self._inside.curve

    @property
    def key_size(self) -> int:
        return self._inside.key_size

    def exchange(self, *_: Any) -> bytes:
        raise NotImplementedError

    def private_numbers(self) -> ec.EllipticCurvePrivateNumbers:
        raise NotImplementedError

    def private_bytes(self, *_: Any) -> bytes:
        raise NotImplementedError

    def __copy__(self) -> "KeptKey":
        return self

    def __deepcopy__(self, _: dict[int, Any]) -> "KeptKey":
        return self


def wanted(key: KeptKey, *, ca: bool) -> issuing.Wanted:
    public = SubjectPublicKey.of(key.public_key())
    names = requests.named("svc.example", ())
    extensions = contents.of_ca(0) if ca else contents.of_leaf(public, names, subject_is_empty=False)
    subject = requests.common_name("svc.example" if not ca else "CA").public_bytes()
    return issuing.Wanted(subject=subject, key=public, extensions=tuple(extensions))


def test_a_kept_key_signs_requests_roots_and_leaves_that_openssl_verifies(openssl: Any, tmp_path: Path) -> None:
    root_key, leaf_key = KeptKey(), KeptKey()
    now = datetime.now(UTC).replace(microsecond=0)
    valid = issuing.Validity(not_before=now, not_after=now + timedelta(hours=1))
    root = issuing.certify_itself(wanted(root_key, ca=True), root_key, valid)
    issuer = Issuer(certificate=root, above=(), key=root_key, place="root.crt")
    leaf = issuing.certify(wanted(leaf_key, ca=False), issuer, valid)
    (tmp_path / "root.crt").write_bytes(root.public_bytes(Encoding.PEM))
    (tmp_path / "svc.crt").write_bytes(leaf.public_bytes(Encoding.PEM))
    (tmp_path / "svc.csr").write_bytes(requests.make("svc.example", requests.named("svc.example", ()), leaf_key))
    openssl("verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", "root.crt", "svc.crt")
    assert "verify OK" in openssl("req", "-in", "svc.csr", "-verify", "-noout")
    assert "ecdsa-with-SHA384" in openssl("x509", "-in", "svc.crt", "-noout", "-text")


def test_a_kept_key_cannot_go_into_a_p12_and_that_is_told() -> None:
    key = KeptKey()
    now = datetime.now(UTC).replace(microsecond=0)
    root = issuing.certify_itself(
        wanted(key, ca=True), key, issuing.Validity(not_before=now, not_after=now + timedelta(hours=1))
    )
    with pytest.raises(FileProblem, match="the key cannot be copied out of where it is kept"):
        archives.write([root], key, b"secret", legacy=False)


def test_the_issuer_is_named_octet_by_octet_as_it_names_itself(tmp_path: Path) -> None:
    """Not every name comes out as it went in when it is encoded again: here a PrintableString."""
    key, leaf_key = KeptKey(), KeptKey()
    printable = x509.NameAttribute(x509.NameOID.COMMON_NAME, "CA", x509.name._ASN1Type.PrintableString)
    now = datetime.now(UTC).replace(microsecond=0)
    valid = issuing.Validity(not_before=now, not_after=now + timedelta(hours=1))
    subject = x509.Name([printable]).public_bytes()
    ca = issuing.Wanted(subject=subject, key=SubjectPublicKey.of(key.public_key()), extensions=tuple(contents.of_ca(0)))
    root = issuing.certify_itself(ca, key, valid)
    leaf = issuing.certify(
        wanted(leaf_key, ca=False), Issuer(certificate=root, above=(), key=key, place="root.crt"), valid
    )
    assert subject in leaf.tbs_certificate_bytes
