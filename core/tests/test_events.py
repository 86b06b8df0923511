"""What listeners hear says who it was, and how that is known, as the grant had it; nobody can change it."""

from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from mica.authority import Authority
from mica.errors import Refused
from mica.events import Denied, Event, Issued, Revoked
from mica.hookspecs import hookimpl
from mica.issuance import issue_own, sign_token
from mica.keyfiles import generate
from mica.renewal import renew
from mica.requests import RenewRequest, RevokeRequest, SignRequest
from mica.revocation import revoke_by_certificate, revoke_by_token
from mica.testing.ca import TestCA, csr


class Ear:
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    @hookimpl
    def notify(self, event: Event) -> None:
        self.heard.append(event)


async def _issue(ca: TestCA, authority: Authority) -> x509.Certificate:
    issued = await sign_token(authority, SignRequest(csr=csr("svc.example")), ca.token("svc.example", jti="the order"))
    return x509.load_der_x509_certificate(issued.certificate)


@pytest.fixture
def ear() -> Ear:
    return Ear()


@pytest.fixture
async def listened(ca: TestCA, ear: Ear) -> Authority:
    authority = ca.authority({"ear": ear})
    await authority.start()
    return authority


async def test_an_issued_certificate_comes_with_subject_and_evidence(ca: TestCA, listened: Authority, ear: Ear) -> None:
    await _issue(ca, listened)
    await listened.aclose()
    (event,) = ear.heard
    assert isinstance(event, Issued)
    assert (event.subject, event.evidence["jti"]) == ("svc.example", "the order")
    with pytest.raises(TypeError):
        event.evidence["jti"] = "another"  # type: ignore[index]


async def test_a_renewal_comes_with_what_the_provisioner_said(ca: TestCA, listened: Authority, ear: Ear) -> None:
    await renew(listened, RenewRequest(certificate=await _issue(ca, listened)))
    await listened.aclose()
    assert [event.subject for event in ear.heard] == ["svc.example", "svc.example"]


async def test_the_authoritys_own_certificate_is_told_as_its_own(listened: Authority, ear: Ear) -> None:
    key = generate("EC-P256")
    await issue_own(listened, key)  # type: ignore[arg-type]
    await listened.aclose()
    (event,) = ear.heard
    assert event.issuance.provisioner.name == "mica"
    assert event.subject == listened.settings.core.common_name


async def test_a_revocation_by_token_comes_with_the_tokens_evidence(ca: TestCA, listened: Authority, ear: Ear) -> None:
    number = (await _issue(ca, listened)).serial_number
    token = ca.token(str(number), "/1.0/revoke", jti="the end")
    await revoke_by_token(listened, RevokeRequest(serial_number=number), token)
    await listened.aclose()
    event = ear.heard[-1]
    assert isinstance(event, Revoked)
    assert (event.subject, event.evidence["jti"]) == (str(number), "the end")


async def test_a_revocation_by_the_certificate_itself_names_the_certificate(
    ca: TestCA, listened: Authority, ear: Ear
) -> None:
    held = await _issue(ca, listened)
    await revoke_by_certificate(listened, RevokeRequest(serial_number=held.serial_number), held)
    await listened.aclose()
    event = ear.heard[-1]
    assert isinstance(event, Revoked)
    assert event.subject == "svc.example"
    assert event.evidence == {"certificate": held.fingerprint(hashes.SHA256()).hex()}


async def test_a_denial_comes_with_evidence_once_it_is_known_who_asked(
    ca: TestCA, listened: Authority, ear: Ear
) -> None:
    with pytest.raises(Refused):
        await sign_token(listened, SignRequest(csr=csr("evil.example")), ca.token("svc.example", jti="refused"))
    await listened.aclose()
    (event,) = ear.heard
    assert isinstance(event, Denied)
    assert (event.subject, event.evidence["jti"]) == ("svc.example", "refused")
