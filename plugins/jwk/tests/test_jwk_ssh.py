"""What a JWK token orders of SSH: exactly what its claim says, and nothing of X.509."""

import json
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwcrypto import jwk as jwcrypto_jwk
from jwcrypto import jws as jwcrypto_jws

from mica import (
    AddUser,
    CertificateKind,
    Exactly,
    Operation,
    Revoke,
    RevokeKeyId,
    SignSSH,
    Unauthorized,
    UnverifiedToken,
)
from mica.sshcert import CertType
from mica.testing.contexts import URL, Clock, make_context
from mica.testing.makers import ABSENT, Maker
from mica.testing.provisioners import verdict
from mica_jwk.provisioner import JWKConfig, JWKProvisioner

SIGN, REVOKE = Operation.SSH_SIGN, Operation.SSH_REVOKE
KEY = ec.generate_private_key(ec.SECP256R1())
PEM = KEY.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
JWK = jwcrypto_jwk.JWK.from_pem(PEM)
HEADER = {"alg": "ES256", "kid": JWK.thumbprint(), "typ": "JWT"}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def admin(clock: Clock) -> JWKProvisioner:
    key = {**JWK.export_public(as_dict=True), "kid": JWK.thumbprint()}
    return JWKProvisioner(JWKConfig(name="admin", key=key), make_context(clock))


def claims(clock: Clock, path: str, **more: Any) -> dict[str, Any]:
    moment = int(clock().timestamp())
    return {
        "iss": "admin", "iat": moment, "nbf": moment, "exp": moment + 300, "jti": secrets.token_hex(32),
        "aud": f"{URL}/1.0{path}", "sub": "ann@harbour.example", **more,
    }  # fmt: skip


@pytest.fixture
def maker(clock: Clock) -> Maker:
    return Maker(key=KEY, header=HEADER, payload=claims(clock, "/ssh/sign"), now=clock())


@pytest.fixture
def revoker(clock: Clock) -> Maker:
    return Maker(key=KEY, header=HEADER, payload=claims(clock, "/ssh/revoke"), now=clock())


async def signed(admin: JWKProvisioner, maker: Maker, ssh: dict[str, Any], **more: Any) -> tuple[object, ...]:
    return (await verdict(admin, maker.token(step={"ssh": ssh}, **more), SIGN)).permits


async def test_the_claim_says_it_all(admin: JWKProvisioner, maker: Maker) -> None:
    ssh = {
        "certType": "host", "keyID": "web 1", "principals": ["web.example", "10.0.0.1"],
        "validAfter": "5m", "validBefore": "2031-04-01T00:00:00+02:00",
        "criticalOptions": {"source-address": "10.0.0.0/8", "force-command": "date"},
    }  # fmt: skip
    assert await signed(admin, maker, ssh) == (
        SignSSH(
            cert_type=CertType.HOST,
            key_id="web 1",
            principals=Exactly(names=("web.example", "10.0.0.1")),
            valid_after=timedelta(minutes=5),
            valid_before=datetime(2031, 3, 31, 22, tzinfo=UTC),
            critical_options=(("force-command", "date"), ("source-address", "10.0.0.0/8")),
        ),
    )


@pytest.mark.parametrize(
    "ssh",
    [
        {},
        {"certType": "", "keyID": "", "principals": [], "validAfter": "", "validBefore": ""},
        {"certType": None, "keyID": None, "principals": None, "validAfter": None, "validBefore": None},
        {"certType": "user", "comment": ["what", "else"], "extensions": {"permit-pty": ""}},
    ],
)
async def test_what_the_claim_leaves_open_follows_from_the_subject(
    admin: JWKProvisioner, maker: Maker, ssh: dict[str, Any]
) -> None:
    permit, add_user = await signed(admin, maker, ssh)
    assert permit == SignSSH(
        cert_type=CertType.USER, key_id="ann@harbour.example", principals=Exactly(names=("ann@harbour.example",))
    )
    assert add_user == AddUser(account="ann@harbour.example")


@pytest.mark.parametrize(
    ("cert_type", "principals", "account"),
    [
        ("user", ["ann"], "ann"),
        ("user", ["ann", "ann@harbour.example"], "ann"),
        ("user", ["ann", "a@"], "ann"),
        ("user", ["ann", "@ann"], None),
        ("user", ["ann", "root"], None),
        ("user", ["ann@harbour.example", "ann"], None),
        ("user", ["ann", "a@b", "c@d"], None),
        ("host", ["web.example"], None),
    ],
)
async def test_an_account_is_made_for_one_user_alone(
    admin: JWKProvisioner, maker: Maker, cert_type: str, principals: list[str], account: str | None
) -> None:
    _, *others = await signed(admin, maker, {"certType": cert_type, "principals": principals})
    assert others == ([] if account is None else [AddUser(account=account)])


@pytest.mark.parametrize("sans", [["root"], "root", [1], None])
async def test_names_of_x509_say_nothing_of_ssh(admin: JWKProvisioner, maker: Maker, sans: object) -> None:
    permit, *_ = await signed(admin, maker, {"principals": ["ann"]}, sans=sans)
    assert isinstance(permit, SignSSH)
    assert permit.principals == Exactly(names=("ann",))


@pytest.mark.parametrize(
    ("ssh", "reason"),
    [
        ({"certType": "both"}, "certType must be user or host"),
        ({"certType": 1}, "certType must be text"),
        ({"keyID": ["ann"]}, "keyID must be text"),
        ({"keyID": "a\nb"}, "keyID must be text without control characters"),
        ({"principals": "root"}, "principals must be an array of strings"),
        ({"principals": ["ann", ""]}, "none of them empty"),
        ({"validAfter": 300}, "validAfter must be text"),
        ({"validBefore": "tomorrow"}, "validBefore is neither a time nor a duration"),
        ({"criticalOptions": ["force-command"]}, "criticalOptions must be an object whose members are strings"),
        ({"criticalOptions": {"force-command": 1}}, "criticalOptions must be an object whose members are strings"),
    ],
)
async def test_a_claim_that_orders_nothing_possible_is_refused_in_words(
    admin: JWKProvisioner, maker: Maker, ssh: dict[str, Any], reason: str
) -> None:
    with pytest.raises(Unauthorized) as refusal:
        await signed(admin, maker, ssh)
    assert reason in (refusal.value.public or "")


async def test_a_digest_of_a_certificate_request_is_refused_for_ssh(admin: JWKProvisioner, maker: Maker) -> None:
    with pytest.raises(Unauthorized, match="cnf"):
        await signed(admin, maker, {}, cnf={"x5rt#S256": "A" * 43})


@pytest.mark.parametrize("serial", [1, 4711, 2**63, 2**64 - 1])
async def test_a_serial_number_is_revoked(admin: JWKProvisioner, revoker: Maker, serial: int) -> None:
    for step in (ABSENT, None, {}, {"ssh": None}, {"ssh": {}}, {"ra": {"authorityId": "1"}}):
        grant = await verdict(admin, revoker.token(sub=str(serial), step=step), REVOKE)
        assert grant.permits == (Revoke(kind=CertificateKind.SSH, serial_numbers=(serial,)),)


@pytest.mark.parametrize("key_id", ["ann@harbour.example", "4711", "0", "web 1", "Ünal"])
async def test_a_key_id_is_revoked_when_the_claim_says_that_it_is_one(
    admin: JWKProvisioner, revoker: Maker, key_id: str
) -> None:
    grant = await verdict(admin, revoker.token(sub=key_id, step={"ssh": {"keyID": key_id}}), REVOKE)
    assert grant.permits == (RevokeKeyId(key_id=key_id),)


async def test_a_revocation_of_neither_says_so(admin: JWKProvisioner, revoker: Maker) -> None:
    for sub, step, reason in (
        ("ann", ABSENT, "not the serial number of an SSH certificate"),
        (str(2**64), ABSENT, "of 64 bits"),
        ("4711", {"ssh": {"keyID": "4712"}}, "not the same key id"),
    ):
        with pytest.raises(Unauthorized) as refusal:
            await verdict(admin, revoker.token(sub=sub, step=step), REVOKE)
        assert reason in (refusal.value.public or "")


@pytest.mark.parametrize("aud", [f"{URL}/ssh/sign", "https://ca.example/1.0/ssh/sign", [f"{URL}/1.0/ssh/sign"]])
async def test_audiences_with_and_without_port_and_version_are_accepted(
    admin: JWKProvisioner, maker: Maker, aud: object
) -> None:
    assert (await verdict(admin, maker.token(aud=aud, step={"ssh": {}}), SIGN)).operation is SIGN


@pytest.mark.parametrize("operation", [Operation.SSH_RENEW, Operation.SSH_REKEY])
async def test_a_token_renews_nothing(admin: JWKProvisioner, maker: Maker, operation: Operation) -> None:
    raw = maker.token(aud=f"{URL}/1.0/ssh/{operation.removeprefix('ssh-')}", step={"ssh": {}})
    assert operation not in admin.operations
    with pytest.raises(Unauthorized):
        await admin.authorize(UnverifiedToken.parse(raw), operation)


async def test_tokens_of_other_libraries_are_accepted(admin: JWKProvisioner, clock: Clock) -> None:
    ssh = {"certType": "user", "keyID": "ann", "principals": ["ann"]}
    for path, operation, more in (
        ("/ssh/sign", SIGN, {"step": {"ssh": ssh}}),
        ("/ssh/revoke", REVOKE, {"sub": "4711"}),
    ):
        payload = claims(clock, path, **more)
        signed = jwcrypto_jws.JWS(json.dumps(payload))
        signed.add_signature(JWK, None, json.dumps(HEADER))
        for raw in (jwt.encode(payload, KEY, "ES256", headers=HEADER), signed.serialize(compact=True)):
            assert (await verdict(admin, raw, operation)).operation is operation
