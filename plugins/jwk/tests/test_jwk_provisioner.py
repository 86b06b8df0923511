"""The JWK provisioner says exactly what it grants, and takes the tokens of other libraries."""

import base64
import json
import secrets
import subprocess
from datetime import timedelta
from pathlib import Path

import jwt
import pytest
from cryptography import x509
from jwcrypto import jwk as jwcrypto_jwk
from jwcrypto import jws as jwcrypto_jws

from mica import (
    CertificateKind,
    CSRNames,
    Exactly,
    Operation,
    ProvisionerRef,
    Revoke,
    SignX509,
    Unauthorized,
    UnverifiedToken,
)
from mica.testing.algorithms import signing_key
from mica.testing.contexts import URL, Clock, make_context
from mica.testing.makers import Maker, encode
from mica.testing.renewals import make_issuance
from mica.testing.verdicts import verdict
from mica_jwk.contracts import ENCRYPTED, NAME, P256, REVOKE, SIGN, Tokens, claims, pem_of, public_jwk
from mica_jwk.plugin import register_provisioners
from mica_jwk.provisioner import JWKConfig, JWKProvisioner


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def admin(clock: Clock) -> JWKProvisioner:
    return Tokens().build(make_context(clock))


@pytest.fixture
def maker(clock: Clock) -> Maker:
    return Tokens().maker(SIGN, clock())


def test_the_plugin_offers_one_kind() -> None:
    (only,) = register_provisioners()
    assert (only.name, only.config, only.build) == ("jwk", JWKConfig, JWKProvisioner)


async def test_a_token_for_signing_grants_exactly_its_names(admin: JWKProvisioner, maker: Maker) -> None:
    raw = maker.token(sub="Service", sans=["B.example", "::1", "a@example", "spiffe://x/y", "a.example", "b.example"])
    grant = await verdict(admin, raw, SIGN)
    (permit,) = grant.permits
    assert isinstance(permit, SignX509)
    assert isinstance(permit.names, Exactly)
    assert [str(name.value) for name in permit.names.names] == [
        "b.example", "a.example", "::1", "a@example", "spiffe://x/y",
    ]  # fmt: skip
    assert permit.subject_common_name == "Service"
    assert permit.common_names is not None
    assert "Service" in permit.common_names
    assert permit.csr_names is CSRNames.MUST_MATCH
    assert permit.confirmation is None
    assert not permit.ca
    assert grant.evidence["jti"] == grant.claims["jti"] == maker.payload["jti"]


async def test_without_sans_the_subject_is_the_only_name(admin: JWKProvisioner, maker: Maker) -> None:
    for sans in (list[str](), None):
        (permit,) = (await verdict(admin, maker.token(sans=sans), SIGN)).permits
        assert isinstance(permit, SignX509)
        assert permit.names == Exactly(names=(x509.DNSName("svc.example"),))


async def test_the_confirmation_is_the_digest_in_cnf(admin: JWKProvisioner, maker: Maker) -> None:
    digest = secrets.token_bytes(32)
    (permit,) = (await verdict(admin, maker.token(cnf={"x5rt#S256": encode(digest)}), SIGN)).permits
    assert isinstance(permit, SignX509)
    assert permit.confirmation == digest


@pytest.mark.parametrize(("sub", "serial"), [("4711", 4711), ("0x1267", 4711), ("0X1267", 4711), ("0", 0)])
async def test_a_token_for_revoking_grants_the_end_of_its_subject(
    admin: JWKProvisioner, clock: Clock, sub: str, serial: int
) -> None:
    grant = await verdict(admin, Tokens().maker(REVOKE, clock()).token(sub=sub), REVOKE)
    assert grant.permits == (Revoke(kind=CertificateKind.X509, serial_numbers=(serial,)),)


@pytest.mark.parametrize("sub", ["svc.example", "-1", "+1", "1_0", "0b1", "0x", " 1", "1.0", "٤", "9" * 60])
async def test_a_revocation_of_something_else_than_a_serial_number_says_so(
    admin: JWKProvisioner, clock: Clock, sub: str
) -> None:
    with pytest.raises(Unauthorized) as caught:
        await verdict(admin, Tokens().maker(REVOKE, clock()).token(sub=sub), REVOKE)
    assert caught.value.public is not None
    assert "serial number" in caught.value.public


async def test_a_token_without_jti_is_known_by_its_digest(admin: JWKProvisioner, maker: Maker) -> None:
    raw = maker.token(jti=None)
    grant = await verdict(admin, raw, SIGN)
    assert grant.evidence["jti"] == UnverifiedToken.parse(raw).digest


@pytest.mark.parametrize(
    "aud", [f"{URL}/sign", "https://ca.example/1.0/sign", ["https://other.example", f"{URL}/sign"]]
)
async def test_audiences_with_and_without_port_and_version_are_accepted(
    admin: JWKProvisioner, maker: Maker, aud: str | list[str]
) -> None:
    assert (await verdict(admin, maker.token(aud=aud), SIGN)).operation is SIGN


async def test_a_minute_of_skew_is_forgiven(admin: JWKProvisioner, maker: Maker, clock: Clock) -> None:
    raw = maker.good()
    for skew in (-timedelta(seconds=60), timedelta(seconds=300 + 59)):
        clock.moment = maker.now + skew
        assert await verdict(admin, raw, SIGN)
    clock.moment = maker.now + timedelta(seconds=360)
    with pytest.raises(Unauthorized):
        await verdict(admin, raw, SIGN)


async def test_a_provisioner_of_another_key_does_not_recognise_the_token(clock: Clock, maker: Maker) -> None:
    other = JWKProvisioner(JWKConfig(name=NAME, key=public_jwk(signing_key("EdDSA"))), make_context(clock))
    assert not other.recognizes(UnverifiedToken.parse(maker.good()))


async def test_the_listing_has_the_members_that_step_reads(admin: JWKProvisioner) -> None:
    description = admin.describe()
    assert description["encryptedKey"] == ENCRYPTED
    assert description["key"].keys() == {"use", "kty", "kid", "crv", "alg", "x", "y"}
    assert description["key"]["alg"] == "ES256"


async def test_a_renewal_names_the_key_that_vouches_now(admin: JWKProvisioner, clock: Clock) -> None:
    issuance = make_issuance(ProvisionerRef(name=NAME, type="JWK", credential_id="former"), clock())
    grant = await admin.authorize_renewal(issuance, Operation.X509_REKEY)
    assert grant.provisioner.credential_id == public_jwk(P256)["kid"]


async def test_tokens_of_other_libraries_are_accepted(clock: Clock) -> None:
    for alg in ("ES256", "RS256", "PS256", "RS512", "EdDSA"):
        key = signing_key(alg)
        jwk = public_jwk(key, alg)
        provisioner = JWKProvisioner(JWKConfig(name=NAME, key=jwk), make_context(clock))
        payload, header = claims(SIGN, clock()), {"kid": jwk["kid"]}
        pem = pem_of(key)
        signed = jwcrypto_jws.JWS(json.dumps(payload))
        signed.add_signature(jwcrypto_jwk.JWK.from_pem(pem), None, json.dumps({"alg": alg, **header}))
        for raw in (jwt.encode(payload, key, alg, headers=header), signed.serialize(compact=True)):
            assert await verdict(provisioner, raw, SIGN)


async def test_a_token_signed_by_openssl_is_accepted(admin: JWKProvisioner, maker: Maker, tmp_path: Path) -> None:
    key, message, signature = (tmp_path / name for name in ("key.pem", "message", "signature"))
    key.write_bytes(pem_of(P256))
    header, payload, _ = maker.parts()
    message.write_text(f"{header}.{payload}")
    subprocess.run(["openssl", "dgst", "-sha256", "-sign", key, "-out", signature, message], check=True)
    parsed = subprocess.run(
        ["openssl", "asn1parse", "-inform", "DER", "-in", signature], check=True, capture_output=True, text=True
    )
    r, s = (int(line.rpartition(":")[2], 16) for line in parsed.stdout.splitlines() if "INTEGER" in line)
    raw = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    assert await verdict(admin, f"{header}.{payload}.{base64.urlsafe_b64encode(raw).rstrip(b'=').decode()}", SIGN)
