"""An SSH certificate that continues another: a host's, on record, its key in hand, not revoked."""

import asyncio
import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from core.tests.sshorders import HOST, decoded, held, host, order
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from mica import sshsignatures
from mica.authority import Authority
from mica.client import jws
from mica.errors import (
    CertificateRevoked,
    MalformedRequest,
    MicaError,
    Refused,
    TokenReused,
    Unauthorized,
)
from mica.keyfiles import PrivateKey, dump_private_key, generate
from mica.records import Query
from mica.renewal import renew_by_token
from mica.requests import SSHRenewRequest, SSHRevokeRequest
from mica.sshcert import CertType, SSHCertificate, TBSSSHCertificate
from mica.sshissuance import sign_ssh_token
from mica.sshkeys import SSHPublicKey
from mica.sshrenewal import renew_ssh
from mica.sshrevocation import revoke_ssh
from mica.testing.ca import TestCA

RENEW, REKEY = "/ssh/renew", "/ssh/rekey"


async def _renew(ca: TestCA, authority: Authority, old: SSHCertificate, key: PrivateKey) -> SSHCertificate:
    return decoded(await renew_ssh(authority, SSHRenewRequest(), held(ca, old, key, RENEW)))


async def _rekey(
    ca: TestCA, authority: Authority, old: SSHCertificate, key: PrivateKey, new: PrivateKey
) -> SSHCertificate:
    request = SSHRenewRequest(public_key=SSHPublicKey.of(new.public_key()))
    return decoded(await renew_ssh(authority, request, held(ca, old, key, REKEY)))


async def test_a_renewed_certificate_differs_only_where_it_must(ca: TestCA, authority: Authority) -> None:
    key = generate("Ed25519")
    old = await host(ca, authority, key)
    ca.clock.advance(timedelta(days=20))
    new = await _renew(ca, authority, old, key)
    names = [field.name for field in dataclasses.fields(old.tbs)]
    differing = {name for name in names if getattr(old.tbs, name) != getattr(new.tbs, name)}
    assert differing == {"nonce", "serial", "valid_after", "valid_before"}
    assert new.tbs.valid_after == ca.clock().replace(microsecond=0) - timedelta(minutes=1)
    assert old.tbs.valid_before is not None and new.tbs.valid_before is not None
    assert new.tbs.valid_before - new.tbs.valid_after == old.tbs.valid_before - old.tbs.valid_after


async def test_the_record_says_what_was_continued_and_who_had_vouched(ca: TestCA, authority: Authority) -> None:
    key = generate("EC-P256")
    old = await host(ca, authority, key)
    await _renew(ca, authority, old, key)
    newest, oldest = (row.issuance for row in (await authority.store.search(Query(now=ca.clock()))).rows)
    assert newest.replaces == oldest.id
    assert newest.provisioner == oldest.provisioner
    assert newest.provisioner.name == "admin"


@pytest.mark.parametrize("algorithm", ["EC-P256", "EC-P384", "EC-P521", "Ed25519", "RSA-2048"])
async def test_every_kind_of_host_key_proves_itself(ca: TestCA, authority: Authority, algorithm: str) -> None:
    key, new = generate(algorithm), generate("Ed25519")
    old = await host(ca, authority, key)
    renewed = await _renew(ca, authority, old, key)
    assert renewed.tbs.public_key == old.tbs.public_key
    rekeyed = await _rekey(ca, authority, renewed, key, new)
    assert rekeyed.tbs.public_key == SSHPublicKey.of(new.public_key())


async def test_a_users_certificate_is_never_renewed(ca: TestCA, authority: Authority) -> None:
    key = generate("EC-P256")
    token = ca.ssh_token("alice@example", "user", ["alice"])
    old = decoded(await sign_ssh_token(authority, order(key), token))
    for path, request in ((RENEW, SSHRenewRequest()), (REKEY, SSHRenewRequest(public_key=order().public_key))):
        with pytest.raises(MalformedRequest, match="must be a host ssh certificate"):
            await renew_ssh(authority, request, held(ca, old, key, path))


async def test_a_revoked_certificate_is_not_renewed(ca: TestCA, authority: Authority) -> None:
    key = generate("EC-P256")
    old = await host(ca, authority, key)
    serial = old.tbs.serial
    await revoke_ssh(authority, SSHRevokeRequest(serial_number=serial), held(ca, old, key, "/ssh/revoke"))
    with pytest.raises(CertificateRevoked):
        await _renew(ca, authority, old, key)


async def test_an_expired_certificate_is_renewed_only_where_the_claims_say_so(ca: TestCA, authority: Authority) -> None:
    key = generate("EC-P256")
    old = await host(ca, authority, key)
    assert old.tbs.valid_before is not None
    ca.clock.advance(old.tbs.valid_before - ca.clock())  # it is valid before that moment, and not in it
    with pytest.raises(Unauthorized, match="certificate expired on") as caught:
        await _renew(ca, authority, old, key)
    assert old.tbs.valid_before is not None
    told = f"to be completed: certificate expired on {old.tbs.valid_before:%Y-%m-%d %H:%M:%S} +0000 UTC"
    assert caught.value.public == f"The request lacked necessary authorization {told}"
    file = ca.directory / "ca.toml"
    file.write_text(file.read_text() + "\n[claims]\nallow_renewal_after_expiry = true\n")
    lenient = ca.authority()
    await lenient.start()
    await _renew(ca, lenient, old, key)
    with pytest.raises(Unauthorized, match="expired on"):
        await _rekey(ca, lenient, old, key, generate("EC-P256"))
    await lenient.aclose()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace('name = "admin"', 'name = "other"'), "'admin' does not exist any more"),
        (lambda text: text + "\n[claims]\ndisable_renewal = true\n", "renewal is disabled"),
        (lambda text: _disabled(text, "admin"), "enable_ssh_ca is not set in the claims of the provisioner admin"),
        (lambda text: _disabled(text, "sshpop"), "enable_ssh_ca is not set in the claims of the provisioner sshpop"),
    ],
)
async def test_whoever_once_vouched_must_still_be_there_and_willing(
    ca: TestCA, authority: Authority, change: Callable[[str], str], message: str
) -> None:
    key = generate("EC-P256")
    old = await host(ca, authority, key)
    file = ca.directory / "ca.toml"
    file.write_text(change(file.read_text()))
    later = ca.authority()
    await later.start()
    with pytest.raises(Unauthorized, match=message):
        await _renew(ca, later, old, key)
    await later.aclose()


async def test_a_certificate_that_is_not_on_record_is_not_renewed(ca: TestCA, authority: Authority) -> None:
    """Not even where the CA's own key has signed it: what counts is the record."""
    key = generate("EC-P256")
    old = await host(ca, authority, key)
    ca_key = ca.ssh_keys[CertType.HOST].key
    other = dataclasses.replace(old.tbs, valid_principals=("bank.example",))
    forged = SSHCertificate.decode(_signed(other, ca_key))
    with pytest.raises(Unauthorized, match="not on record"):
        await _renew(ca, authority, forged, key)


async def test_an_earlier_cas_certificate_is_renewed_where_the_operator_says_so(ca: TestCA) -> None:
    """The CA's key signed it, before there was this record: it came from another CA's software."""
    key, ca_key = generate("EC-P256"), ca.ssh_keys[CertType.HOST].key
    now = ca.clock().replace(microsecond=0)
    tbs = TBSSSHCertificate(
        nonce=b"earlier",
        public_key=SSHPublicKey.of(key.public_key()),
        serial=4711,
        cert_type=CertType.HOST,
        key_id=HOST,
        valid_principals=(HOST,),
        valid_after=now - timedelta(days=20),
        valid_before=now + timedelta(days=10),
        signature_key=SSHPublicKey.of(ca_key.public_key()),
    )
    old = SSHCertificate.decode(_signed(tbs, ca_key))
    strict = ca.authority()
    await strict.start()
    with pytest.raises(Unauthorized, match="not on record"):
        await _renew(ca, strict, old, key)
    await strict.aclose()
    file = ca.directory / "ca.toml"
    file.write_text(file.read_text().replace("[signers.ssh]\n", "[signers.ssh]\nrenew_unrecorded = true\n"))
    lenient = ca.authority()
    await lenient.start()
    new = await _renew(ca, lenient, old, key)
    assert (new.tbs.key_id, new.tbs.valid_principals) == (HOST, (HOST,))
    forged = dataclasses.replace(tbs, valid_principals=("bank.example",))
    with pytest.raises(Unauthorized):
        await _renew(ca, lenient, SSHCertificate.decode(forged.assemble(old.signature_blob)), key)
    boundless = dataclasses.replace(tbs, valid_after=datetime(1970, 1, 1, tzinfo=UTC))
    with pytest.raises(MalformedRequest, match="without a validity period"):
        await _renew(ca, lenient, SSHCertificate.decode(_signed(boundless, ca_key)), key)
    request = SSHRevokeRequest(serial_number=4711)
    await revoke_ssh(lenient, request, ca.token("4711", "/1.0/ssh/revoke"))
    with pytest.raises(CertificateRevoked):
        await _renew(ca, lenient, old, key)
    await lenient.aclose()


async def test_a_strangers_ca_cannot_borrow_a_serial(ca: TestCA, authority: Authority) -> None:
    key, stranger = generate("EC-P256"), generate("EC-P256")
    old = await host(ca, authority, key)
    forged = dataclasses.replace(old.tbs, signature_key=SSHPublicKey.of(stranger.public_key()))
    with pytest.raises(Unauthorized, match="not signed by a key of this authority"):
        await _renew(ca, authority, SSHCertificate.decode(_signed(forged, stranger)), key)


async def test_another_key_than_the_certificates_proves_nothing(ca: TestCA, authority: Authority) -> None:
    key = generate("EC-P256")
    old = await host(ca, authority, key)
    header, payload, _ = held(ca, old, key, RENEW).split(".")
    signature = jws.sign(generate("EC-P256"), "ES256", f"{header}.{payload}".encode())
    with pytest.raises(Unauthorized):
        await renew_ssh(authority, SSHRenewRequest(), f"{header}.{payload}.{jws.encode(signature)}")


async def test_a_token_serves_once_and_for_its_operation_alone(ca: TestCA, authority: Authority) -> None:
    key = generate("EC-P256")
    old = await host(ca, authority, key)
    token = held(ca, old, key, RENEW)
    rekey = SSHRenewRequest(public_key=order().public_key)
    for request in (rekey, SSHRevokeRequest(serial_number=old.tbs.serial)):
        with pytest.raises(Unauthorized, match="audience"):
            if isinstance(request, SSHRevokeRequest):
                await revoke_ssh(authority, request, token)
            else:
                await renew_ssh(authority, request, token)
    await renew_ssh(authority, SSHRenewRequest(), token)
    with pytest.raises(TokenReused):
        await renew_ssh(authority, SSHRenewRequest(), token)


async def test_rekeying_obeys_the_claims_and_the_rules_for_keys(ca: TestCA, authority: Authority) -> None:
    key = generate("EC-P256")
    old = await host(ca, authority, key)
    with pytest.raises(Refused, match="is a key of the authority itself"):
        await _rekey(ca, authority, old, key, ca.ssh_keys[CertType.USER].key)
    file = ca.directory / "ca.toml"
    limits = 'max_host_ssh_cert_duration = "24h"\ndefault_host_ssh_cert_duration = "24h"\n'
    file.write_text(f"{file.read_text()}\n[claims]\n{limits}")
    strict = ca.authority()
    await strict.start()
    await _renew(ca, strict, old, key)
    with pytest.raises(Refused, match="greater than maximum accepted duration"):
        await _rekey(ca, strict, old, key, generate("EC-P256"))
    await strict.aclose()


async def test_after_a_rotation_hosts_of_the_old_ca_key_get_certificates_by_the_new_one(
    ca: TestCA, authority: Authority
) -> None:
    key = generate("EC-P256")
    old = await host(ca, authority, key)
    _rotate_host_key(ca)
    rotated = ca.authority()
    await rotated.start()
    new = await _renew(ca, rotated, old, key)
    assert new.tbs.signature_key != old.tbs.signature_key
    assert new.tbs.signature_key == rotated.ssh.key(CertType.HOST)  # type: ignore[union-attr]
    await rotated.aclose()


async def test_renewal_never_overtakes_revocation(ca: TestCA, authority: Authority) -> None:
    key = generate("EC-P256")
    for _ in range(8):
        old = await host(ca, authority, key)
        request = SSHRevokeRequest(serial_number=old.tbs.serial)
        outcomes = await asyncio.gather(
            _renew(ca, authority, old, key),
            revoke_ssh(authority, request, held(ca, old, key, "/ssh/revoke")),
            return_exceptions=True,
        )
        assert outcomes[1] is None
        assert isinstance(outcomes[0], SSHCertificate | CertificateRevoked)
        with pytest.raises(CertificateRevoked):
            await _renew(ca, authority, old, key)


async def test_an_x509_renewal_is_no_use_for_ssh_and_the_reverse(ca: TestCA, authority: Authority) -> None:
    key = generate("EC-P256")
    old = await host(ca, authority, key)
    with pytest.raises(MicaError):
        await renew_by_token(authority, held(ca, old, key, RENEW))
    with pytest.raises(Unauthorized):
        await renew_ssh(authority, SSHRenewRequest(), ca.token(HOST, RENEW))


def _signed(tbs: TBSSSHCertificate, key: PrivateKey) -> bytes:
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    signature = key.sign(tbs.wire, ec.ECDSA(hashes.SHA256()))
    return tbs.assemble(sshsignatures.encode(SSHPublicKey.of(key.public_key()), signature))


def _disabled(text: str, name: str) -> str:
    """``ca.toml``, where this provisioner may not order for SSH any more."""
    before, here, behind = text.partition(f'name = "{name}"')
    assert "enable_ssh_ca = true" in behind
    return before + here + behind.replace("enable_ssh_ca = true", "enable_ssh_ca = false", 1)


def _rotate_host_key(ca: TestCA) -> None:
    """The CA signs for hosts with a new key, and believes in the old one still."""
    old = ca.ssh_keys[CertType.HOST]
    secret: Path = ca.directory / "secrets/new_host_ca_key"
    secret.write_bytes(dump_private_key(generate("Ed25519"), None))
    secret.chmod(0o600)
    file = ca.directory / "ca.toml"
    file.write_text(
        file.read_text().replace(
            f'host_key = "file:{old.path}"',
            f'host_key = "file:secrets/new_host_ca_key"\nfurther_host_keys = ["{old.public_path}"]',
        )
    )
