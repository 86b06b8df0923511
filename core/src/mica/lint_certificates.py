"""The rules of ``mica.lint`` on certificates that are signed already, whoever made them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import cast

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from mica import der
from mica.errors import MalformedRequest
from mica.lint import examine
from mica.lint_issuer import SIGNATURES, Issuer, issuer_of
from mica.pkix import UNREADABLE, PublicKey, SubjectPublicKey

_SIGNATURE, _ISSUER, _KEY = 2, 3, 6  # in the TBSCertificate (RFC 5280 §4.1)
_UNREADABLE: tuple[type[Exception], ...] = (MalformedRequest, *UNREADABLE)  # pyca reads names when they are asked for
_NOT_ISSUED: tuple[type[Exception], ...] = (*UNREADABLE, InvalidSignature)
#: What others may sign with as well: RSASSA-PSS (RFC 4055 §3.1) and Ed448 (RFC 8410 §3).
_STRANGERS_ALGORITHMS = frozenset({"1.2.840.113549.1.1.10", "1.3.101.113"})


@dataclass(frozen=True)
class _Signed:
    """A certificate as ``mica.lint.Examined`` has it."""

    octets: bytes

    @cached_property
    def parts(self) -> list[bytes]:
        return der.children(der.children(self.octets)[0])

    @cached_property
    def parsed(self) -> x509.Certificate:
        try:
            return x509.load_der_x509_certificate(self.octets)
        except UNREADABLE as error:
            raise MalformedRequest(str(error)) from error

    @cached_property
    def found(self) -> Mapping[x509.ObjectIdentifier, x509.Extension[x509.ExtensionType]]:
        return {extension.oid: extension for extension in self.parsed.extensions}

    @cached_property
    def subject_public_key(self) -> SubjectPublicKey:
        try:
            key = self.parsed.public_key()
        except UNREADABLE as error:
            raise MalformedRequest(f"the subject public key: {error}") from error
        return SubjectPublicKey(self.parts[_KEY], cast("PublicKey", key))


def lint_certificate(certificate: bytes, others: Sequence[bytes] = ()) -> list[str]:
    """Every rule that ``certificate`` (DER) breaks, as ``RFC 5280 §…: what must be``; empty when it is good.

    Its issuers are looked for in ``others`` (DER). Where there is none, the rules that need the issuer's certificate
    do not apply; a self-signed certificate is its own issuer.
    """
    signed = _Signed(certificate)
    try:
        issuers = _issuers(signed.parsed, others)
        own = issuers[:1] == [signed.parsed]
        findings = examine(signed, lambda: _facts(signed, issuers), self_signed=own)
        return findings + list(_algorithms(signed))
    except _UNREADABLE as error:
        return [f"RFC 5280 §4.1: the certificate must be readable: {error}"]


def _facts(signed: _Signed, issuers: list[x509.Certificate]) -> Issuer:
    facts = issuer_of(issuers[0], tuple(issuers[1:])) if issuers else _unknown_issuer(signed)
    if issuers[:1] == [signed.parsed]:
        facts = replace(facts, faults=())  # rules on itself find them; and what signs itself alone need not be a CA
    algorithm = signed.parts[_SIGNATURE]
    if der.decode_oid(der.children(algorithm)[0]) in _STRANGERS_ALGORITHMS:
        facts = replace(facts, algorithms=facts.algorithms | {algorithm})
    return facts


def _issuers(certificate: x509.Certificate, others: Sequence[bytes]) -> list[x509.Certificate]:
    """The issuer, the issuer's issuer …, as far as they are known; the certificate itself when it is self-signed."""
    if _issued(certificate, certificate):
        return [certificate]
    known = [_Signed(other).parsed for other in others]
    found: list[x509.Certificate] = []
    child = certificate
    while issuer := next((one for one in known if one not in found and _issued(child, one)), None):
        found.append(issuer)
        child = issuer
    return found


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    if certificate.issuer != issuer.subject:
        return False
    try:
        certificate.verify_directly_issued_by(issuer)
    except _NOT_ISSUED:
        return False
    return True


def _unknown_issuer(signed: _Signed) -> Issuer:
    """What ``signed`` says of its issuer is taken for true: so only rules on ``signed`` itself find something."""
    authority = signed.found.get(x509.AuthorityKeyIdentifier.oid)
    identifier = cast("x509.AuthorityKeyIdentifier", authority.value).key_identifier if authority else None
    return Issuer(
        subject=signed.parts[_ISSUER],
        algorithms=SIGNATURES,
        not_before=signed.parsed.not_valid_before_utc,
        not_after=signed.parsed.not_valid_after_utc,
        key_identifier=identifier or b"",
        path_length=None,
        constraints=(),
        faults=(),
    )


def _algorithms(signed: _Signed) -> Iterator[str]:
    if der.children(signed.octets)[1] != signed.parts[_SIGNATURE]:
        yield "RFC 5280 §4.1.1.2: the signature algorithm must be the same inside and outside of what is signed"
