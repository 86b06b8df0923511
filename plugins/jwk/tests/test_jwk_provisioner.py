"""The JWK provisioner keeps the contracts of mica.testing, for every kind of key, and says exactly what it grants."""

import base64
import json
import secrets
import subprocess
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwcrypto import jwk as jwcrypto_jwk
from jwcrypto import jws as jwcrypto_jws

from mica import (
    CertificateKind,
    Context,
    CSRNames,
    Exactly,
    Operation,
    ProvisionerRef,
    Revoke,
    SignX509,
    Unauthorized,
    UnverifiedToken,
)
from mica.testing.contexts import URL, Clock, make_context
from mica.testing.makers import Maker, SigningKey, encode
from mica.testing.provisioners import (
    RenewalProvisionerContract,
    TokenProvisionerContract,
    make_issuance,
    verdict,
)
from mica_jwk.plugin import register_provisioners
from mica_jwk.provisioner import JWKConfig, JWKProvisioner

SIGN, REVOKE = Operation.X509_SIGN, Operation.X509_REVOKE
SSH_SIGN, SSH_REVOKE = Operation.SSH_SIGN, Operation.SSH_REVOKE
P256 = ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(65537, 2048)
ED25519 = ed25519.Ed25519PrivateKey.generate()
ENCRYPTED = "eyJhbGciOiJQQkVTMi1IUzI1NitBMTI4S1cifQ.AA.AA.AA.AA"


def public_jwk(key: SigningKey, alg: str = "") -> dict[str, str]:
    """The public JWK as another library writes it."""
    pem = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    members = jwcrypto_jwk.JWK.from_pem(pem)
    jwk: dict[str, str] = members.export_public(as_dict=True)
    return {**jwk, "kid": members.thumbprint(), "use": "sig"} | ({"alg": alg} if alg else {})


def claims(operation: Operation, now: datetime) -> dict[str, Any]:
    """What step's command line puts in a token."""
    moment = int(now.timestamp())
    shared = {"iss": "admin", "iat": moment, "nbf": moment, "exp": moment + 300, "jti": secrets.token_hex(32)}
    if operation is REVOKE:
        return {**shared, "sub": "4711", "aud": f"{URL}/1.0/revoke"}
    if operation is SSH_SIGN:
        ssh = {
            "certType": "user",
            "keyID": "ann@harbour.example",
            "principals": ["ann"],
            "validAfter": "",
            "validBefore": "",
        }
        return {**shared, "sub": "ann@harbour.example", "aud": f"{URL}/1.0/ssh/sign", "step": {"ssh": ssh}}
    if operation is SSH_REVOKE:
        return {**shared, "sub": "18446744073709551615", "aud": f"{URL}/1.0/ssh/revoke"}
    return {**shared, "sub": "svc.example", "sans": ["svc.example"], "aud": f"{URL}/1.0/sign"}


class Suite(TokenProvisionerContract, RenewalProvisionerContract):
    """Both contracts, for one key and algorithm."""

    ordered = (SIGN, REVOKE, SSH_SIGN, SSH_REVOKE)
    key: ClassVar[SigningKey] = P256
    alg: ClassVar[str] = "ES256"

    def build(self, context: Context) -> JWKProvisioner:
        config = JWKConfig(name="admin", key=public_jwk(self.key, self.alg), encrypted_key=ENCRYPTED)
        return JWKProvisioner(config, context)

    def maker(self, operation: Operation, now: datetime) -> Maker:
        header = {"alg": self.alg, "kid": public_jwk(self.key)["kid"], "typ": "JWT"}
        return Maker(key=self.key, header=header, payload=claims(operation, now), now=now)

    def secrets(self) -> Iterator[str]:
        pem = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        yield json.loads(jwcrypto_jwk.JWK.from_pem(pem).export_private())["d"]


class TestP256(Suite):
    pass


class TestP384(Suite):
    key = ec.generate_private_key(ec.SECP384R1())
    alg = "ES384"


class TestP521(Suite):
    key = ec.generate_private_key(ec.SECP521R1())
    alg = "ES512"


class TestRSA(Suite):
    key = RSA
    alg = "RS256"


class TestRSAPSS(Suite):
    key = RSA
    alg = "PS384"


class TestEd25519(Suite):
    key = ED25519
    alg = "EdDSA"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def admin(clock: Clock) -> JWKProvisioner:
    return Suite().build(make_context(clock))


@pytest.fixture
def maker(clock: Clock) -> Maker:
    return Suite().maker(SIGN, clock())


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
    grant = await verdict(admin, Suite().maker(REVOKE, clock()).token(sub=sub), REVOKE)
    assert grant.permits == (Revoke(kind=CertificateKind.X509, serial_numbers=(serial,)),)


@pytest.mark.parametrize("sub", ["svc.example", "-1", "+1", "1_0", "0b1", "0x", " 1", "1.0", "٤", "9" * 60])
async def test_a_revocation_of_something_else_than_a_serial_number_says_so(
    admin: JWKProvisioner, clock: Clock, sub: str
) -> None:
    with pytest.raises(Unauthorized) as caught:
        await verdict(admin, Suite().maker(REVOKE, clock()).token(sub=sub), REVOKE)
    assert caught.value.public is not None
    assert "serial number" in caught.value.public


async def test_a_token_for_renewal_is_refused_although_certificates_can_be_renewed(
    admin: JWKProvisioner, maker: Maker
) -> None:
    assert Operation.X509_RENEW in admin.operations
    with pytest.raises(Unauthorized):
        await verdict(admin, maker.token(aud=f"{URL}/1.0/renew"), Operation.X509_RENEW)


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
    other = JWKProvisioner(JWKConfig(name="admin", key=public_jwk(ED25519)), make_context(clock))
    assert not other.recognizes(UnverifiedToken.parse(maker.good()))


async def test_the_listing_has_the_members_that_step_reads(admin: JWKProvisioner) -> None:
    description = admin.describe()
    assert description["encryptedKey"] == ENCRYPTED
    assert description["key"].keys() == {"use", "kty", "kid", "crv", "alg", "x", "y"}
    assert description["key"]["alg"] == "ES256"


async def test_a_renewal_names_the_key_that_vouches_now(admin: JWKProvisioner, clock: Clock) -> None:
    issuance = make_issuance(ProvisionerRef(name="admin", type="JWK", credential_id="former"), clock())
    grant = await admin.authorize_renewal(issuance, Operation.X509_REKEY)
    assert grant.provisioner.credential_id == public_jwk(P256)["kid"]


async def test_tokens_of_other_libraries_are_accepted(clock: Clock) -> None:
    for key, alg in ((P256, "ES256"), (RSA, "RS256"), (RSA, "PS256"), (RSA, "RS512"), (ED25519, "EdDSA")):
        jwk = public_jwk(key, alg)
        provisioner = JWKProvisioner(JWKConfig(name="admin", key=jwk), make_context(clock))
        payload, header = claims(SIGN, clock()), {"kid": jwk["kid"]}
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        signed = jwcrypto_jws.JWS(json.dumps(payload))
        signed.add_signature(jwcrypto_jwk.JWK.from_pem(pem), None, json.dumps({"alg": alg, **header}))
        for raw in (jwt.encode(payload, key, alg, headers=header), signed.serialize(compact=True)):
            assert await verdict(provisioner, raw, SIGN)


async def test_a_token_signed_by_openssl_is_accepted(admin: JWKProvisioner, maker: Maker, tmp_path: Path) -> None:
    key, message, signature = (tmp_path / name for name in ("key.pem", "message", "signature"))
    key.write_bytes(
        P256.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    header, payload, _ = maker.parts()
    message.write_text(f"{header}.{payload}")
    subprocess.run(["openssl", "dgst", "-sha256", "-sign", key, "-out", signature, message], check=True)
    parsed = subprocess.run(
        ["openssl", "asn1parse", "-inform", "DER", "-in", signature], check=True, capture_output=True, text=True
    )
    r, s = (int(line.rpartition(":")[2], 16) for line in parsed.stdout.splitlines() if "INTEGER" in line)
    raw = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    assert await verdict(admin, f"{header}.{payload}.{base64.urlsafe_b64encode(raw).rstrip(b'=').decode()}", SIGN)
