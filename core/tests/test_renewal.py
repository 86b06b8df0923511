"""A certificate that continues another: on record byte for byte, its key in hand, not revoked."""

import asyncio
import base64
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from mica import profile
from mica.authority import Authority
from mica.errors import AlreadyRevoked, CertificateRevoked, MalformedRequest, Refused, TokenReused, Unauthorized
from mica.issuance import IssuedX509, sign_token
from mica.keyfiles import PrivateKey, generate
from mica.pkix import tbs_parts
from mica.records import ProvisionerRef, Query
from mica.renewal import renew, renew_by_token
from mica.requests import RenewRequest, RevokeRequest, SignRequest
from mica.revocation import revoke_by_certificate, revoke_by_token
from mica.testing import earlier
from mica.testing.ca import TestCA, csr
from mica.testing.plugins import set_signer


async def _issue(ca: TestCA, authority: Authority, key: PrivateKey | None = None) -> x509.Certificate:
    issued = await sign_token(authority, SignRequest(csr=csr("svc.example", key=key)), ca.token("svc.example"))
    return x509.load_der_x509_certificate(issued.certificate)


def _certificate(issued: IssuedX509) -> x509.Certificate:
    return x509.load_der_x509_certificate(issued.certificate)


def _renew_token(ca: TestCA, certificate: x509.Certificate, key: PrivateKey, **changes: Any) -> str:
    now = int(ca.clock().timestamp())
    payload = {
        "iss": "step-ca-client/1.0", "sub": "svc.example", "aud": f"{ca.url}/renew", "iat": now, "nbf": now,
        "exp": now + 300, **changes,
    }  # fmt: skip
    header = {"x5cInsecure": [base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()]}
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return jwt.encode({k: v for k, v in payload.items() if v is not None}, key, "ES256", header)


async def test_a_renewed_certificate_differs_only_where_it_must(ca: TestCA, authority: Authority) -> None:
    old = await _issue(ca, authority)
    ca.clock.advance(timedelta(hours=16))
    new = _certificate(await renew(authority, RenewRequest(certificate=old)))
    same = [part for part, other in zip(tbs_parts(old), tbs_parts(new), strict=True) if part != other]
    assert len(same) == 2  # serial number and validity
    assert new.serial_number != old.serial_number
    assert new.not_valid_after_utc - new.not_valid_before_utc == old.not_valid_after_utc - old.not_valid_before_utc
    assert new.not_valid_before_utc == ca.clock().replace(microsecond=0) - timedelta(minutes=1)


async def test_the_record_says_what_was_replaced(ca: TestCA, authority: Authority) -> None:
    old = await _issue(ca, authority)
    issued = await renew(authority, RenewRequest(certificate=old))
    assert issued.issuance.replaces is not None
    assert issued.issuance.replaces.serial_number == old.serial_number


async def test_rekey_changes_the_key_and_its_identifier(ca: TestCA, authority: Authority) -> None:
    old, key = await _issue(ca, authority), generate("EC-P384")
    new = _certificate(await renew(authority, RenewRequest(certificate=old, csr=csr(key=key))))
    assert new.public_key() == key.public_key()
    identifier = new.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    assert identifier == x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    assert tbs_parts(new)[5] == tbs_parts(old)[5]


async def test_a_certificate_of_another_ca_is_not_renewed(ca: TestCA, authority: Authority, tmp_path: Path) -> None:
    other = TestCA.found(tmp_path / "other")
    elsewhere = other.authority()
    await elsewhere.start()
    foreign = await _issue(other, elsewhere)
    await elsewhere.aclose()
    # Its issuer has the same name as ours: only the bytes tell them apart.
    with pytest.raises(Unauthorized, match="not on record"):
        await renew(authority, RenewRequest(certificate=foreign))


async def test_a_certificate_with_a_recorded_serial_but_other_bytes_is_not_renewed(
    ca: TestCA, authority: Authority
) -> None:
    old = await _issue(ca, authority)
    key = ec.generate_private_key(ec.SECP256R1())
    forged = (
        x509.CertificateBuilder()
        .subject_name(old.subject)
        .issuer_name(old.issuer)
        .public_key(key.public_key())
        .serial_number(old.serial_number)
        .not_valid_before(old.not_valid_before_utc)
        .not_valid_after(old.not_valid_after_utc)
        .sign(key, hashes.SHA256())
    )
    with pytest.raises(Unauthorized, match="not on record"):
        await renew(authority, RenewRequest(certificate=forged))


async def test_a_revoked_certificate_is_not_renewed(ca: TestCA, authority: Authority) -> None:
    old = await _issue(ca, authority)
    await revoke_by_token(
        authority, RevokeRequest(serial_number=old.serial_number), ca.token(str(old.serial_number), "/1.0/revoke")
    )
    with pytest.raises(CertificateRevoked):
        await renew(authority, RenewRequest(certificate=old))


async def test_a_renewal_raced_with_a_revocation_never_survives_it(ca: TestCA, authority: Authority) -> None:
    for _ in range(40):
        old = await _issue(ca, authority)
        outcome, revoked = await asyncio.gather(
            renew(authority, RenewRequest(certificate=old)),
            revoke_by_certificate(authority, RevokeRequest(serial_number=old.serial_number), old),
            return_exceptions=True,
        )
        assert revoked is None
        # Either the renewal was first, or it was refused: what it must not do is to come after.
        if isinstance(outcome, IssuedX509):
            assert await authority.store.find(outcome.issuance.id) is not None
        else:
            assert isinstance(outcome, CertificateRevoked)
        with pytest.raises(CertificateRevoked):
            await renew(authority, RenewRequest(certificate=old))


async def test_a_certificate_whose_provisioner_is_gone_is_not_renewed(ca: TestCA, authority: Authority) -> None:
    old = await _issue(ca, authority)
    configuration = ca.directory / "ca.toml"
    configuration.write_text(configuration.read_text().replace('name = "admin"', 'name = "other"'))
    successor = ca.authority()
    await successor.start()
    with pytest.raises(Unauthorized, match="does not exist any more"):
        await renew(successor, RenewRequest(certificate=old))
    await successor.aclose()


@pytest.mark.parametrize("claim", ["disable_renewal"])
async def test_the_claim_disables_renewal_and_rekey(tmp_path: Path, claim: str) -> None:
    ca = TestCA.found(tmp_path / "ca", claims={claim: True})
    authority = ca.authority()
    await authority.start()
    old = await _issue(ca, authority)
    for request in (RenewRequest(certificate=old), RenewRequest(certificate=old, csr=csr(common_name=""))):
        with pytest.raises(Unauthorized, match="renewal is disabled"):
            await renew(authority, request)
    await authority.aclose()


async def test_an_expired_certificate_is_renewed_only_where_the_claim_allows(
    ca: TestCA, authority: Authority, tmp_path: Path
) -> None:
    key = generate("EC-P256")
    old = await _issue(ca, authority, key)
    ca.clock.advance(timedelta(hours=25))
    with pytest.raises(Unauthorized, match="certificate expired on") as refused:
        await renew_by_token(authority, _renew_token(ca, old, key))
    assert refused.value.public is not None
    lenient = TestCA.found(tmp_path / "lenient", claims={"allow_renewal_after_expiry": True})
    authority_2 = lenient.authority()
    await authority_2.start()
    old = await _issue(lenient, authority_2, key)
    lenient.clock.advance(timedelta(hours=25))
    renewed = _certificate(await renew_by_token(authority_2, _renew_token(lenient, old, key)))
    assert renewed.not_valid_after_utc > lenient.clock()
    await authority_2.aclose()


async def test_a_renew_token_serves_once(ca: TestCA, authority: Authority) -> None:
    key = generate("EC-P256")
    token = _renew_token(ca, await _issue(ca, authority, key), key)
    await renew_by_token(authority, token)
    with pytest.raises(TokenReused):
        await renew_by_token(authority, token)


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "{url}/sign"},
        {"aud": "https://elsewhere.example/renew"},
        {"sub": "other.example"},
        {"iss": "somebody"},
        {"exp": 1},
        {"exp": None},
        {"nbf": 99999999999},
        {"iat": 99999999999},
    ],
)
async def test_a_renew_token_that_is_not_quite_right_is_refused(
    ca: TestCA, authority: Authority, changes: dict[str, Any]
) -> None:
    key = generate("EC-P256")
    certificate = await _issue(ca, authority, key)
    if "aud" in changes:
        changes = {"aud": changes["aud"].format(url=ca.url)}
    with pytest.raises(Unauthorized, match="error validating renew token"):
        await renew_by_token(authority, _renew_token(ca, certificate, key, **changes))


async def test_a_renew_token_signed_by_another_key_is_refused(ca: TestCA, authority: Authority) -> None:
    certificate = await _issue(ca, authority)
    with pytest.raises(Unauthorized, match="invalid signature"):
        await renew_by_token(authority, _renew_token(ca, certificate, generate("EC-P256")))


async def test_revoking_twice_is_told_and_changes_nothing(ca: TestCA, authority: Authority) -> None:
    old = await _issue(ca, authority)
    request = RevokeRequest(serial_number=old.serial_number, reason_code=1, reason="lost")
    await revoke_by_certificate(authority, request, old)
    token = ca.token(str(old.serial_number), "/1.0/revoke")
    with pytest.raises(AlreadyRevoked, match="is already revoked"):
        await revoke_by_token(authority, RevokeRequest(serial_number=old.serial_number), token)
    with pytest.raises(AlreadyRevoked):
        await revoke_by_certificate(authority, RevokeRequest(serial_number=old.serial_number), old)
    (row,) = (await authority.store.search(Query(now=ca.clock()))).rows
    assert row.revocation is not None
    assert row.revocation.reason == "lost"


async def test_a_token_for_one_serial_does_not_revoke_another(ca: TestCA, authority: Authority) -> None:
    mine, theirs = await _issue(ca, authority), await _issue(ca, authority)
    token = ca.token(str(mine.serial_number), "/1.0/revoke")
    with pytest.raises(Refused, match="do not match"):
        await revoke_by_token(authority, RevokeRequest(serial_number=theirs.serial_number), token)
    with pytest.raises(Refused, match="do not match"):
        await revoke_by_certificate(authority, RevokeRequest(serial_number=theirs.serial_number), mine)
    await renew(authority, RenewRequest(certificate=theirs))


async def test_openssl_verifies_what_was_renewed(ca: TestCA, authority: Authority, tmp_path: Path) -> None:
    new = _certificate(await renew(authority, RenewRequest(certificate=await _issue(ca, authority))))
    (tmp_path / "new.crt").write_bytes(new.public_bytes(Encoding.PEM))
    certs = tmp_path / "certs"
    subprocess.run(
        ["openssl", "verify", "-x509_strict", "-CAfile", certs / "root_ca.crt", "-untrusted",
         certs / "intermediate_ca.crt", tmp_path / "new.crt"],
        check=True,
        capture_output=True,
    )  # fmt: skip


@pytest.mark.parametrize(
    "type_", ["JWK", "OIDC", "GCP", "AWS", "Azure", "ACME", "X5C", "K8sSA", "SSHPOP", "SCEP", "Nebula"]
)
def test_the_provisioner_extension_is_read_as_it_is_written(type_: str) -> None:
    reference = ProvisionerRef(name="ops@harbour.example é", type=type_, credential_id="kid")
    assert profile.decode_provisioner(profile.provisioner(reference).value) == reference


def test_facts_behind_the_credential_id_and_types_without_a_number_do_not_matter() -> None:
    # A GCP instance: type 3, name "vm", credential "1", then the pair "InstanceID", "x".
    instance = bytes.fromhex("301b 020103 0402766d 040131 300f 130a496e7374616e63654944 130178")
    assert profile.decode_provisioner(instance) == ProvisionerRef(name="vm", type="GCP", credential_id="1")
    foreign = profile.provisioner(ProvisionerRef(name="own", type="OWN")).value
    assert profile.decode_provisioner(foreign).type == ""


@pytest.mark.parametrize(
    "octets", ["", "30", "3000", "0500", "3003020101", "30060201010c0161", "3008020101040161 0500"]
)
def test_what_is_no_provisioner_extension_is_refused(octets: str) -> None:
    with pytest.raises(MalformedRequest, match="provisioner extension"):
        profile.decode_provisioner(bytes.fromhex(octets))


async def test_an_issuer_renews_what_is_not_on_record_only_where_it_is_told_to(tmp_path: Path) -> None:
    ca = TestCA.found(tmp_path / "ca")
    set_signer(ca, "renew_unrecorded = true")
    authority = ca.authority()
    await authority.start()
    old = earlier.leaf(
        ca.intermediate.certificate,
        ca.intermediate.key,
        generate("EC-P256"),
        provisioner=earlier.provisioner_extension("admin"),
        not_before=ca.clock() - timedelta(hours=1),
    )
    issued = await renew(authority, RenewRequest(certificate=old))
    assert issued.issuance.replaces == authority.issuer.id_of(old.serial_number)
    assert issued.issuance.subject == "svc.example"
    await authority.aclose()
    plain = TestCA.found(tmp_path / "plain").authority()
    assert not plain.issuer.renew_unrecorded
