"""What listeners hear of SSH certificates says who it was, as the grant had it."""

from typing import Any

import pytest
from core.tests.sshorders import HOST, held, host, order

from mica.errors import Refused, Unauthorized
from mica.events import Denied, Event, Issued, Revoked
from mica.hookspecs import hookimpl
from mica.keyfiles import generate
from mica.requests import SSHRenewRequest, SSHRevokeRequest
from mica.sshissuance import sign_ssh_token
from mica.sshrenewal import renew_ssh
from mica.sshrevocation import revoke_ssh
from mica.testing.ca import TestCA


class Ear:
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    @hookimpl
    def notify(self, event: Event) -> None:
        self.heard.append(event)


async def test_who_ordered_renewed_and_revoked_is_told(ca: TestCA) -> None:
    ear = Ear()
    authority = ca.authority({"ear": ear})
    await authority.start()
    key = generate("EC-P256")
    old = await host(ca, authority, key)
    new = await renew_ssh(authority, SSHRenewRequest(), held(ca, old, key, "/ssh/renew"))
    number = new.issuance.id.serial_number
    token = ca.token(str(number), "/1.0/ssh/revoke", jti="the revocation")
    await revoke_ssh(authority, SSHRevokeRequest(serial_number=number), token)
    await authority.aclose()
    issued, renewed, revoked = ear.heard
    assert isinstance(issued, Issued) and isinstance(renewed, Issued) and isinstance(revoked, Revoked)
    assert issued.subject == HOST and issued.evidence["kid"]
    assert renewed.issuance.replaces is not None
    assert renewed.evidence["serial"] == str(old.tbs.serial)
    assert (revoked.subject, revoked.evidence["jti"]) == (str(number), "the revocation")


async def test_a_denial_says_how_it_was_known_who_asked_once_that_was_known(ca: TestCA) -> None:
    ear = Ear()
    authority = ca.authority({"ear": ear})
    await authority.start()
    with pytest.raises(Refused):
        await sign_ssh_token(authority, order(principals=("root",)), ca.ssh_token("ann", jti="hers"))
    with pytest.raises(Unauthorized):
        await sign_ssh_token(authority, order(), ca.ssh_token("ann", iss="nobody"))
    await authority.aclose()
    known, unknown = ear.heard
    assert isinstance(known, Denied) and isinstance(unknown, Denied)
    assert (known.subject, known.evidence["jti"]) == ("ann", "hers")
    assert (unknown.subject, dict(unknown.evidence), unknown.provisioner) == ("", {}, None)
