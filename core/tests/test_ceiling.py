"""The ceiling: what is signed is what was granted, whatever composed it."""

import dataclasses
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from mica import der, profile
from mica.authority import Authority
from mica.authorization import authorize
from mica.ceiling import Approval, Draft, check
from mica.errors import Refused
from mica.grants import Operation, SignX509
from mica.issuance import compose
from mica.keyfiles import generate
from mica.pkix import Extension, SubjectPublicKey, TBSCertificate, encode_common_name
from mica.requests import SignRequest
from mica.testing.ca import TestCA, csr

CA_TRUE = Extension("2.5.29.19", True, bytes.fromhex("30030101ff"))
SIGN_CERTIFICATES = Extension("2.5.29.15", True, bytes.fromhex("03020204"))


async def _draft(ca: TestCA, authority: Authority) -> Draft:
    """A good draft for ``svc.example``."""
    grant, entry = await authorize(authority, ca.token("svc.example"), Operation.X509_SIGN)
    (permit,) = grant.permits
    assert isinstance(permit, SignX509)
    request = SignRequest(csr=csr("svc.example"))
    tbs = compose(request, grant, permit, entry.claims, authority.issuer, ca.clock())
    return Draft(request=request, tbs=tbs, grant=grant, claims=entry.claims, issuer=authority.issuer, now=ca.clock())


def _with(tbs: TBSCertificate, *extensions: Extension) -> TBSCertificate:
    """``tbs`` with these extensions in the place of those of the same kind, or behind the others."""
    given = {extension.oid: extension for extension in extensions}
    kept = [given.pop(extension.oid, extension) for extension in tbs.extensions]
    return dataclasses.replace(tbs, extensions=(*kept, *given.values()))


async def test_a_draft_that_is_as_granted_is_approved(ca: TestCA, authority: Authority) -> None:
    draft = await _draft(ca, authority)
    approval = await check(authority, draft)
    assert approval.der == draft.tbs.der


def _names(*names: str) -> Extension:
    return profile.subject_alternative_name(tuple(map(x509.DNSName, names)), critical=False)


MISTAKES: list[tuple[str, Any]] = [
    ("another name", lambda tbs: _with(tbs, _names("evil.example"))),
    ("one more name", lambda tbs: _with(tbs, _names("svc.example", "evil.example"))),
    ("a subject", lambda tbs: dataclasses.replace(tbs, subject=encode_common_name("evil.example"))),
    ("a CA", lambda tbs: _with(tbs, CA_TRUE)),
    ("a signer of certificates", lambda tbs: _with(tbs, SIGN_CERTIFICATES)),
    ("one more usage", lambda tbs: _with(tbs, profile.extended_key_usage((ExtendedKeyUsageOID.CODE_SIGNING,)))),
    ("any usage", lambda tbs: _with(tbs, profile.extended_key_usage((ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,)))),
    (
        "no usage",
        lambda tbs: dataclasses.replace(
            tbs, extensions=tuple(e for e in tbs.extensions if e.oid != profile.EXTENDED_KEY_USAGE)
        ),
    ),
    (
        "another key",
        lambda tbs: dataclasses.replace(tbs, subject_public_key=SubjectPublicKey.of(generate("EC-P256").public_key())),
    ),
    ("a longer life", lambda tbs: dataclasses.replace(tbs, not_after=tbs.not_after + timedelta(hours=1))),
    ("a longer life than its issuer", lambda tbs: dataclasses.replace(tbs, not_after=tbs.not_after.replace(year=2099))),
    ("a serial number of nothing", lambda tbs: dataclasses.replace(tbs, serial_number=0)),
    ("another issuer", lambda tbs: dataclasses.replace(tbs, issuer=encode_common_name("Other"))),
    ("another algorithm", lambda tbs: dataclasses.replace(tbs, signature=der.sequence(der.oid("1.3.101.112")))),
    ("an extension twice", lambda tbs: dataclasses.replace(tbs, extensions=(*tbs.extensions, tbs.extensions[0]))),
    ("no key identifier of the issuer", lambda tbs: _with(tbs, Extension("2.5.29.35", False, b"\x30\x00"))),
]


@pytest.mark.parametrize(("what", "mistake"), MISTAKES, ids=[what for what, _ in MISTAKES])
async def test_a_draft_with_more_than_was_granted_is_refused(
    ca: TestCA, authority: Authority, what: str, mistake: Any
) -> None:
    draft = await _draft(ca, authority)
    with pytest.raises(Refused):
        await check(authority, dataclasses.replace(draft, tbs=mistake(draft.tbs)))


async def test_nobody_else_makes_an_approval(ca: TestCA, authority: Authority) -> None:
    approval = await check(authority, await _draft(ca, authority))
    members = {field.name: getattr(approval, field.name) for field in dataclasses.fields(Approval)}
    with pytest.raises(TypeError, match="only mica.ceiling.check"):
        Approval(**{**members, "seal": object()})
    with pytest.raises(TypeError):
        Approval(**{name: value for name, value in members.items() if name != "seal"})
