"""The end of SSH certificates: by serial, by key id, by their own key."""

import asyncio
from datetime import timedelta

import pytest
from core.tests.sshorders import HOST, decoded, held, host, order, user

from mica.authority import Authority
from mica.errors import (
    AlreadyRevoked,
    CertificateRevoked,
    MalformedRequest,
    NotFound,
    Refused,
    TokenReused,
    Unauthorized,
)
from mica.issuance import sign_token
from mica.keyfiles import generate
from mica.records import CertificateId, CertificateKind, Query, Status
from mica.requests import RevokeRequest, SignRequest, SSHRenewRequest, SSHRevokeRequest
from mica.revocation import revoke_by_token
from mica.sshcert import SSHCertificate
from mica.sshissuance import sign_ssh_token
from mica.sshissuers import id_of
from mica.sshrenewal import renew_ssh
from mica.sshrevocation import revoke_ssh
from mica.testing.ca import TestCA, csr

PATH = "/1.0/ssh/revoke"


async def _with(ca: TestCA, *changes: tuple[str, str]) -> Authority:
    """The authority, started, with these words of its ``ca.toml`` replaced; of an empty one, at its end."""
    file = ca.directory / "ca.toml"
    text = file.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new) if old else text + new
    file.write_text(text)
    authority = ca.authority()
    await authority.start()
    return authority


def _id(certificate: SSHCertificate) -> CertificateId:
    return id_of(certificate.tbs.signature_key, certificate.tbs.serial)


def _by_key_id(ca: TestCA, key_id: str) -> str:
    return ca.token(key_id, PATH, step={"ssh": {"keyID": key_id}})


async def test_a_token_ends_the_certificate_that_its_subject_names(ca: TestCA, authority: Authority) -> None:
    certificate, other = await user(ca, authority), await user(ca, authority)
    serial = certificate.tbs.serial
    request = SSHRevokeRequest(serial_number=serial, reason_code=1, reason="stolen")
    await revoke_ssh(authority, request, ca.token(str(serial), PATH))
    revocation = await authority.store.revocation(_id(certificate))
    assert revocation is not None
    assert (revocation.reason_code, revocation.reason, revocation.provisioner.name) == (1, "stolen", "admin")
    assert await authority.store.revocation(_id(other)) is None


async def test_a_second_time_is_told(ca: TestCA, authority: Authority) -> None:
    serial = (await user(ca, authority)).tbs.serial
    await revoke_ssh(authority, SSHRevokeRequest(serial_number=serial), ca.token(str(serial), PATH))
    with pytest.raises(AlreadyRevoked, match=f"certificate with serial number '{serial}' is already revoked"):
        await revoke_ssh(authority, SSHRevokeRequest(serial_number=serial), ca.token(str(serial), PATH))


async def test_another_serial_than_the_tokens_is_refused_and_burns_nothing(ca: TestCA, authority: Authority) -> None:
    mine, yours = (await user(ca, authority)).tbs.serial, (await user(ca, authority)).tbs.serial
    token = ca.token(str(mine), PATH)
    with pytest.raises(Refused, match=f'request serial number "{yours}" and token subject "{mine}" do not match'):
        await revoke_ssh(authority, SSHRevokeRequest(serial_number=yours), token)
    await revoke_ssh(authority, SSHRevokeRequest(serial_number=mine), token)
    with pytest.raises(TokenReused):
        await revoke_ssh(authority, SSHRevokeRequest(serial_number=mine), token)


async def test_a_serial_that_is_not_on_record_is_revoked_for_both_ca_keys(ca: TestCA, authority: Authority) -> None:
    serial = 2**64 - 5
    await revoke_ssh(authority, SSHRevokeRequest(serial_number=serial), ca.token(str(serial), PATH))
    assert authority.ssh is not None
    for _, key in authority.ssh.all_keys():
        assert await authority.store.revocation(id_of(key, serial)) is not None


async def test_serials_of_the_two_kinds_never_meet(ca: TestCA, authority: Authority) -> None:
    """An SSH serial is revoked as such alone, whatever X.509 certificate has the same number, and the reverse."""
    issued = await sign_token(authority, SignRequest(csr=csr("svc.example")), ca.token("svc.example"))
    certificate = await user(ca, authority)
    serial = certificate.tbs.serial
    await revoke_by_token(authority, RevokeRequest(serial_number=serial), ca.token(str(serial), "/1.0/revoke"))
    assert await authority.store.revocation(_id(certificate)) is None
    await revoke_ssh(authority, SSHRevokeRequest(serial_number=serial), ca.token(str(serial), PATH))
    assert await authority.store.revocation(_id(certificate)) is not None
    assert await authority.store.revocation(issued.issuance.id) is None


async def test_a_token_of_one_kind_does_not_revoke_the_other(ca: TestCA, authority: Authority) -> None:
    serial = (await user(ca, authority)).tbs.serial
    with pytest.raises(Unauthorized):
        await revoke_ssh(authority, SSHRevokeRequest(serial_number=serial), ca.token(str(serial), "/1.0/revoke"))
    with pytest.raises(Unauthorized):
        await revoke_by_token(authority, RevokeRequest(serial_number=serial), ca.token(str(serial), PATH))


async def test_every_live_certificate_of_a_key_id_ends_at_once(ca: TestCA, authority: Authority) -> None:
    mine = [await user(ca, authority) for _ in range(3)]
    other = decoded(await sign_ssh_token(authority, order(), ca.ssh_token("bob@example", "user", ["bob"])))
    first = mine[0].tbs.serial
    await revoke_ssh(authority, SSHRevokeRequest(serial_number=first), ca.token(str(first), PATH))
    await revoke_ssh(authority, SSHRevokeRequest(key_id="alice@example"), _by_key_id(ca, "alice@example"))
    for certificate in mine:
        assert await authority.store.revocation(_id(certificate)) is not None
    assert await authority.store.revocation(_id(other)) is None
    with pytest.raises(NotFound, match="no certificate with the key id 'alice@example'"):
        await revoke_ssh(authority, SSHRevokeRequest(key_id="alice@example"), _by_key_id(ca, "alice@example"))


async def test_more_certificates_of_a_key_id_than_fit_a_page_all_end(ca: TestCA, authority: Authority) -> None:
    await asyncio.gather(*(user(ca, authority) for _ in range(120)))
    await revoke_ssh(authority, SSHRevokeRequest(key_id="alice@example"), _by_key_id(ca, "alice@example"))
    live = Query(now=ca.clock(), kind=CertificateKind.SSH, status=Status.VALID)
    assert (await authority.store.search(live)).rows == ()


async def test_a_token_for_a_serial_is_none_for_a_key_id(ca: TestCA, authority: Authority) -> None:
    await sign_ssh_token(authority, order(), ca.ssh_token("4711", "user", ["alice"]))
    with pytest.raises(Refused, match='key id "4711" and token subject "4711" do not match'):
        await revoke_ssh(authority, SSHRevokeRequest(key_id="4711"), ca.token("4711", PATH))
    with pytest.raises(Refused, match='serial number "4711" and token subject "4711" do not match'):
        await revoke_ssh(authority, SSHRevokeRequest(serial_number=4711), _by_key_id(ca, "4711"))


async def test_a_permit_for_the_one_is_none_for_what_else_a_request_names(ca: TestCA, authority: Authority) -> None:
    """The routes of a plugin may give the verb anything: what is ended is what was granted."""
    mine = [await user(ca, authority) for _ in range(2)]
    serial = mine[0].tbs.serial
    both = SSHRevokeRequest(serial_number=serial, key_id="alice@example")
    for token in (ca.token(str(serial), PATH), _by_key_id(ca, "alice@example")):
        with pytest.raises(MalformedRequest, match="and not both"):
            await revoke_ssh(authority, both, token)
        with pytest.raises(MalformedRequest, match="must be given"):
            await revoke_ssh(authority, SSHRevokeRequest(), token)
    assert [await authority.store.revocation(_id(each)) for each in mine] == [None, None]


async def test_of_a_stolen_host_key_no_expired_certificate_can_be_renewed_either(ca: TestCA) -> None:
    authority = await _with(ca, ("", "\n[claims]\nallow_renewal_after_expiry = true\n"))
    key = generate("EC-P256")
    old = await host(ca, authority, key)
    ca.clock.advance(timedelta(days=31))
    await host(ca, authority, generate("EC-P256"))
    await revoke_ssh(authority, SSHRevokeRequest(key_id=HOST), _by_key_id(ca, HOST))
    with pytest.raises(CertificateRevoked):
        await renew_ssh(authority, SSHRenewRequest(), held(ca, old, key, "/ssh/renew"))
    await authority.aclose()


async def test_of_a_stolen_host_key_no_certificate_of_an_earlier_ca_can_be_renewed_either(ca: TestCA) -> None:
    key = generate("EC-P256")
    earlier = await _with(ca, ("db/mica.db", "db/earlier.db"))
    old = await host(ca, earlier, key)
    await earlier.aclose()
    unrecorded = ("[signers.ssh]\n", "[signers.ssh]\nrenew_unrecorded = true\n")
    authority = await _with(ca, ("db/earlier.db", "db/mica.db"), unrecorded)
    for _ in range(2):
        await renew_ssh(authority, SSHRenewRequest(), held(ca, old, key, "/ssh/renew"))
    await revoke_ssh(authority, SSHRevokeRequest(key_id=HOST), _by_key_id(ca, HOST))
    with pytest.raises(CertificateRevoked):
        await renew_ssh(authority, SSHRenewRequest(), held(ca, old, key, "/ssh/renew"))
    with pytest.raises(NotFound):
        await revoke_ssh(authority, SSHRevokeRequest(key_id=HOST), _by_key_id(ca, HOST))
    await authority.aclose()


async def test_a_users_expired_certificate_is_left_alone(ca: TestCA, authority: Authority) -> None:
    """It is of no use to anybody, and would make the list of what is revoked longer for ever."""
    old = await user(ca, authority)
    ca.clock.advance(timedelta(days=1))
    await user(ca, authority)
    await revoke_ssh(authority, SSHRevokeRequest(key_id="alice@example"), _by_key_id(ca, "alice@example"))
    assert await authority.store.revocation(_id(old)) is None


async def test_the_holder_of_a_certificate_ends_it_and_no_other(ca: TestCA, authority: Authority) -> None:
    key = generate("EC-P256")
    mine, yours = await host(ca, authority, key), await host(ca, authority, generate("EC-P256"))
    with pytest.raises(Refused, match="do not match"):
        await revoke_ssh(
            authority, SSHRevokeRequest(serial_number=yours.tbs.serial), held(ca, mine, key, "/ssh/revoke")
        )
    await revoke_ssh(authority, SSHRevokeRequest(serial_number=mine.tbs.serial), held(ca, mine, key, "/ssh/revoke"))
    assert await authority.store.revocation(_id(yours)) is None
    with pytest.raises(AlreadyRevoked):
        await revoke_ssh(authority, SSHRevokeRequest(serial_number=mine.tbs.serial), held(ca, mine, key, "/ssh/revoke"))


async def test_of_concurrent_revocations_of_a_key_id_all_succeed_or_find_nothing(
    ca: TestCA, authority: Authority
) -> None:
    await asyncio.gather(*(user(ca, authority) for _ in range(10)))
    outcomes = await asyncio.gather(
        *(
            revoke_ssh(authority, SSHRevokeRequest(key_id="alice@example"), _by_key_id(ca, "alice@example"))
            for _ in range(5)
        ),
        return_exceptions=True,
    )
    assert None in outcomes
    assert all(outcome is None or isinstance(outcome, NotFound) for outcome in outcomes)
