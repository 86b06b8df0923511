"""The OIDC provisioner grants what an ID token's claims entitle to."""

import base64
import json
import subprocess
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from jwcrypto import jwk as jwcrypto_jwk
from jwcrypto import jws as jwcrypto_jws

from mica import (
    AddUser,
    AsRequested,
    CertificateKind,
    CertType,
    ConfigError,
    CSRNames,
    Exactly,
    OneTime,
    Operation,
    RevokeAny,
    SignSSH,
    SignSSHAsRequested,
    SignX509,
    Unauthorized,
    names,
)
from mica.testing.contexts import Clock, make_context
from mica.testing.makers import ABSENT, Maker, encode
from mica.testing.openid import CLIENT_ID, OpenIDProvider, openid_provider
from mica.testing.verdicts import verdict
from mica_oidc.config import OIDCConfig
from mica_oidc.contracts import ANN, REVOKE, SIGN, SSH_REVOKE, SSH_SIGN, config_of
from mica_oidc.mapping import MapRule
from mica_oidc.provisioner import OIDCProvisioner


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenIDProvider]:
    with openid_provider(tmp_path_factory.mktemp("provider")) as running:
        yield running


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def maker(provider: OpenIDProvider, clock: Clock) -> Maker:
    return provider.maker(clock())


@pytest.fixture
async def corp(provider: OpenIDProvider, clock: Clock) -> AsyncIterator[OIDCProvisioner]:
    provisioner = await started(provider, clock)
    yield provisioner
    await provisioner.aclose()


async def started(provider: OpenIDProvider, clock: Clock, **config: Any) -> OIDCProvisioner:
    provisioner = OIDCProvisioner(config_of(provider, **config), make_context(clock))
    await provisioner.start()
    return provisioner


async def granted(provisioner: OIDCProvisioner, raw: str, operation: Operation = SIGN) -> Any:
    permit, *_ = (await verdict(provisioner, raw, operation)).permits
    return permit


async def test_a_user_gets_address_and_identity_and_nothing_of_the_request(
    corp: OIDCProvisioner, maker: Maker, provider: OpenIDProvider
) -> None:
    grant = await verdict(corp, maker.good(), SIGN)
    assert grant.permits == (
        SignX509(
            subject_common_name="248289761001",
            names=Exactly(names=(names.email(ANN), names.uri(f"{provider.issuer}#248289761001"))),
            csr_names=CSRNames.IGNORED,
            common_names=None,
        ),
    )
    assert grant.subject == ANN
    assert grant.evidence == {
        "iss": provider.issuer, "sub": "248289761001", "email": ANN, "kid": "key-1", "admin": "false",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("sub", "fragment"), [("auth0|5f7", "auth0%7C5f7"), ("repo:o/r:ref:x", "repo:o/r:ref:x"), ("a#b", "a%23b")]
)
async def test_a_subject_is_escaped_as_a_fragment(
    corp: OIDCProvisioner, maker: Maker, provider: OpenIDProvider, sub: str, fragment: str
) -> None:
    permit = await granted(corp, maker.token(sub=sub))
    assert names.uri(f"{provider.issuer}#{fragment}") in permit.names.names


@pytest.mark.parametrize(
    ("email", "principals"),
    [
        ("Ann.B@harbour.example", ("annb", "Ann.B", "Ann.B@harbour.example")),
        ("ann@HARBOUR.example", ("ann", "ann@harbour.example")),
        ("ann+ci@harbour.example", ("ann_ci", "ann+ci", "ann+ci@harbour.example")),
    ],
)
async def test_principals_follow_from_the_address(
    corp: OIDCProvisioner, maker: Maker, email: str, principals: tuple[str, ...]
) -> None:
    permit, *more = (await verdict(corp, maker.token(email=email), SSH_SIGN)).permits
    assert permit == SignSSH(cert_type=CertType.USER, key_id=principals[-1], principals=Exactly(names=principals))
    assert more == ([AddUser(account="ann")] if len(principals) == 2 else [])


async def test_without_an_address_there_is_a_certificate_for_the_identity_and_none_for_ssh(
    corp: OIDCProvisioner, maker: Maker, provider: OpenIDProvider
) -> None:
    raw = maker.token(email=ABSENT, email_verified=ABSENT)
    permit = await granted(corp, raw)
    assert permit.names == Exactly(names=(x509.UniformResourceIdentifier(f"{provider.issuer}#248289761001"),))
    with pytest.raises(Unauthorized) as refusal:
        await granted(corp, raw, SSH_SIGN)
    assert "no email" in str(refusal.value.public)


@pytest.mark.parametrize(
    ("verified", "required", "is_let_in"),
    [
        (True, True, True), ("true", True, True), (ABSENT, False, True), (None, False, True), (ABSENT, True, False),
        (None, True, False), (False, False, False), ("false", False, False), ("True", False, False), (1, False, False),
        (0, False, False), ([True], False, False), ("", False, False),
    ],
    ids=str,
)  # fmt: skip
async def test_an_address_that_the_provider_does_not_stand_by_is_refused(
    provider: OpenIDProvider, clock: Clock, maker: Maker, verified: object, required: bool, is_let_in: bool
) -> None:
    provisioner = await started(provider, clock, require_email_verified=required)
    raw = maker.token(email_verified=verified)
    if is_let_in:
        assert await granted(provisioner, raw)
    else:
        with pytest.raises(Unauthorized, match="verified"):
            await granted(provisioner, raw)


@pytest.mark.parametrize(
    ("email", "is_let_in"),
    [
        ("ann@harbour.example", True), ("ann@HARBOUR.Example", True), ("ann@bücher.example", True),
        ("ann@xn--bcher-kva.example", True), ("ann@evil.example", False), ("ann@x.harbour.example", False),
        ("ann@harbour.example.evil.example", False), ("ann@arbour.example", False), (ABSENT, False), ("", False),
    ],
    ids=str,
)  # fmt: skip
async def test_addresses_of_other_domains_and_none_are_refused_where_domains_are_named(
    provider: OpenIDProvider, clock: Clock, maker: Maker, email: object, is_let_in: bool
) -> None:
    provisioner = await started(provider, clock, domains=("Harbour.example", "BÜCHER.example"))
    if is_let_in:
        assert await granted(provisioner, maker.token(email=email))
    else:
        with pytest.raises(Unauthorized, match="domain"):
            await granted(provisioner, maker.token(email=email))


@pytest.mark.parametrize(
    ("groups", "is_let_in"),
    [(["staff"], True), (["x", "ops"], True), (["Staff"], False), ([], False), (ABSENT, False), ("staff", False)],
    ids=str,
)
async def test_members_of_other_groups_are_refused_administrators_too(
    provider: OpenIDProvider, clock: Clock, maker: Maker, groups: object, is_let_in: bool
) -> None:
    for admins in ((), (ANN,)):
        provisioner = await started(provider, clock, groups=("staff", "ops"), admins=admins)
        if is_let_in:
            assert await granted(provisioner, maker.token(groups=groups))
        else:
            with pytest.raises(Unauthorized, match="groups"):
                await granted(provisioner, maker.token(groups=groups))


@pytest.mark.parametrize(
    ("admins", "claims", "is_admin"),
    [
        ((ANN,), {}, True),
        (("Ann.B@HARBOUR.example",), {}, True),
        (("ann.b@harbour.example",), {}, False),
        (("ops",), {"groups": ["ops"]}, True),
        (("ops",), {"groups": ["Ops"]}, False),
        (("ops",), {"groups": ["ops"], "email": ABSENT}, True),
        ((ANN,), {"email": ABSENT, "preferred_username": ANN}, False),
        ((), {"groups": [""]}, False),
    ],
)
async def test_an_administrator_gets_what_the_request_says_and_revokes(
    provider: OpenIDProvider, clock: Clock, admins: tuple[str, ...], claims: dict[str, Any], is_admin: bool
) -> None:
    provisioner = await started(provider, clock, admins=admins, domains=("elsewhere.example",) if is_admin else ())
    raw = provider.maker(clock()).token(**claims)
    permit = await granted(provisioner, raw)
    assert isinstance(permit.names, AsRequested if is_admin else Exactly)
    if is_admin:
        assert permit.names.kinds == frozenset(names.KINDS)
        assert await granted(provisioner, raw, SSH_SIGN) == SignSSHAsRequested(cert_types=frozenset(CertType))
        assert await granted(provisioner, raw, REVOKE) == RevokeAny(kind=CertificateKind.X509)
        assert await granted(provisioner, raw, SSH_REVOKE) == RevokeAny(kind=CertificateKind.SSH)
        return
    for operation in (REVOKE, SSH_REVOKE):
        with pytest.raises(Unauthorized) as refusal:
            await granted(provisioner, raw, operation)
        assert "administrators" in str(refusal.value.public)


@pytest.mark.parametrize(
    "claims", [{"azp": CLIENT_ID}, {"aud": [CLIENT_ID]}, {"aud": [CLIENT_ID, "other"], "azp": CLIENT_ID}], ids=str
)
async def test_a_token_that_was_made_for_this_client_among_others_is_accepted(
    corp: OIDCProvisioner, maker: Maker, claims: dict[str, Any]
) -> None:
    assert await granted(corp, maker.token(**claims))


@pytest.mark.parametrize("typ", [ABSENT, "jwt", "application/JWT"], ids=str)
async def test_an_id_token_may_say_that_it_is_a_jwt(corp: OIDCProvisioner, maker: Maker, typ: object) -> None:
    assert await granted(corp, maker.token({"typ": typ}))


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("https://idp.example", "https://idp.example/.well-known/openid-configuration"),
        ("https://idp.example/a/", "https://idp.example/a/.well-known/openid-configuration"),
        ("https://idp.example/a?p=1", "https://idp.example/a/.well-known/openid-configuration?p=1"),
        ("https://idp.example/a#b", "https://idp.example/a/.well-known/openid-configuration"),
        (
            "https://idp.example/.well-known/openid-configuration?p=1",
            "https://idp.example/.well-known/openid-configuration?p=1",
        ),
    ],
)
def test_where_the_discovery_document_stands(endpoint: str, url: str) -> None:
    config = OIDCConfig(name="corp", client_id="c", configuration_endpoint=endpoint)
    assert config.discovery_url == url


async def test_the_nonce_is_what_is_spent(corp: OIDCProvisioner, maker: Maker) -> None:
    for operation in (SIGN, SSH_SIGN):
        spend = (await verdict(corp, maker.good(), operation)).spend
        assert isinstance(spend, OneTime)
        assert spend.id == maker.payload["nonce"]


async def test_a_token_without_a_nonce_is_spent_however_its_signature_is_written(
    corp: OIDCProvisioner, maker: Maker
) -> None:
    raw = maker.token(nonce=ABSENT)
    message, _, signature = raw.rpartition(".")
    octets = base64.urlsafe_b64decode(signature + "==")
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256 (SEC 2 §2.4.2)
    twin = octets[:32] + (order - int.from_bytes(octets[32:], "big")).to_bytes(32, "big")
    first, second = [(await verdict(corp, each, SIGN)).spend for each in (raw, f"{message}.{encode(twin)}")]
    assert raw != f"{message}.{encode(twin)}"
    assert isinstance(first, OneTime)
    assert first == second


async def test_a_tenant_takes_its_place_in_the_issuer(provider: OpenIDProvider, clock: Clock) -> None:
    provider.describe(issuer=f"{provider.issuer}/{{tenantid}}/v2.0")
    try:
        provisioner = await started(provider, clock, tenant_id="8d2c")
    finally:
        provider.describe()
    assert await granted(provisioner, provider.maker(clock(), iss=f"{provider.issuer}/8d2c/v2.0").good())
    for other in (provider.issuer, f"{provider.issuer}/{{tenantid}}/v2.0", f"{provider.issuer}/evil/v2.0"):
        with pytest.raises(Unauthorized):
            await granted(provisioner, provider.maker(clock(), iss=other).good())


KEYS: dict[str, Any] = {
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "ES384": ec.generate_private_key(ec.SECP384R1()),
    "ES512": ec.generate_private_key(ec.SECP521R1()),
    "RS256": rsa.generate_private_key(65537, 2048),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}


@pytest.mark.parametrize(
    ("alg", "key"), [(alg, alg) for alg in KEYS] + [(alg, "RS256") for alg in ("RS384", "RS512", "PS256", "PS384")]
)
async def test_tokens_of_other_libraries_are_accepted_when_right_and_refused_when_wrong(
    provider: OpenIDProvider, clock: Clock, alg: str, key: str
) -> None:
    former = provider.key, provider.kid
    provider.rotate(f"of-{key}", KEYS[key])
    try:
        provisioner = await started(provider, clock)
    finally:
        provider.rotate(former[1], former[0])
    pem = KEYS[key].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for claims, is_right in (({}, True), ({"aud": "other"}, False), ({"iss": "https://evil.example"}, False)):
        payload, header = dict(provider.maker(clock(), **claims).payload), {"kid": f"of-{key}"}
        signed = jwcrypto_jws.JWS(json.dumps(payload))
        signed.add_signature(jwcrypto_jwk.JWK.from_pem(pem), None, json.dumps({"alg": alg, **header}))
        for raw in (jwt.encode(payload, KEYS[key], alg, headers=header), signed.serialize(compact=True)):
            if is_right:
                assert await granted(provisioner, raw)
            else:
                with pytest.raises(Unauthorized):
                    await granted(provisioner, raw)


async def test_a_token_signed_by_openssl_is_accepted(
    corp: OIDCProvisioner, maker: Maker, provider: OpenIDProvider, tmp_path: Path
) -> None:
    pem = provider.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "key.pem").write_bytes(pem)
    message = ".".join(maker.parts()[:2])
    command = ["openssl", "dgst", "-sha256", "-sign", str(tmp_path / "key.pem")]
    r, s = decode_dss_signature(subprocess.run(command, input=message.encode(), capture_output=True, check=True).stdout)
    assert await granted(corp, f"{message}.{encode(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}")


async def test_the_listing_has_the_members_that_step_reads(provider: OpenIDProvider, clock: Clock) -> None:
    bare = OIDCProvisioner(config_of(provider), make_context(clock)).describe()
    assert bare == {"clientID": CLIENT_ID, "clientSecret": "", "configurationEndpoint": provider.issuer}
    config = config_of(
        provider, client_secret="public", tenant_id="t", admins=(ANN,), domains=("a.example",), groups=("g",),
        listen_address=":10000", scopes=("openid",), auth_params=("prompt=login",), require_email_verified=True,
    )  # fmt: skip
    assert OIDCProvisioner(config, make_context(clock)).describe() == bare | {
        "clientSecret": "public", "tenantID": "t", "admins": [ANN], "domains": ["a.example"], "groups": ["g"],
        "listenAddress": ":10000", "scopes": ["openid"], "authParams": ["prompt=login"],
    }  # fmt: skip


async def test_every_mistake_in_the_table_is_named_by_its_field(provider: OpenIDProvider, clock: Clock) -> None:
    config = config_of(
        provider, client_id="", configuration_endpoint="ftp://x", issuer="https://bücher.example", jwks_uri="nowhere",
        domains=("ok.example", "*.x", "a b"), admins=("",), tenant_id="a/../b", listen_address="localhost",
        scopes=("openid", "a b"), auth_params=("hd=harbour.example", "prompt", "=x"),
        map=(MapRule(principals=("root",)), MapRule(when={"sub": ()}, claim="sub")),
    )  # fmt: skip
    with pytest.raises(ConfigError) as caught:
        OIDCProvisioner(config, make_context(clock))
    found = {fault.partition(":")[0] for fault in caught.value.faults}
    assert found == {
        "client_id", "configuration_endpoint", "issuer", "jwks_uri", "tenant_id", "listen_address", "scopes[1]",
        "auth_params[1]", "auth_params[2]", "domains[1]", "domains[2]", "admins", "map[0].when", "map[1].claim",
        "map[1].when.sub",
    }  # fmt: skip
    assert any("xn--" in fault for fault in caught.value.faults)


@pytest.mark.parametrize(
    ("address", "is_sound"),
    [
        (":10000", True), ("127.0.0.1:10000", True), ("localhost:0", True), ("[::1]:80", True), ("10000", False),
        (":65536", False), (":x", False), ("a b:1", False), ("http://localhost:1", False),
    ],
)  # fmt: skip
def test_where_a_client_can_listen(provider: OpenIDProvider, clock: Clock, address: str, is_sound: bool) -> None:
    config = config_of(provider, listen_address=address)
    if is_sound:
        assert OIDCProvisioner(config, make_context(clock)).describe()["listenAddress"] == address
    else:
        with pytest.raises(ConfigError, match="listen_address: must be host:port"):
            OIDCProvisioner(config, make_context(clock))


async def test_a_minute_of_skew_is_forgiven(corp: OIDCProvisioner, maker: Maker, clock: Clock) -> None:
    for skew in (-timedelta(seconds=60), timedelta(seconds=359)):
        clock.moment = maker.now + skew
        assert await granted(corp, maker.good())
    clock.moment = maker.now + timedelta(seconds=360)
    with pytest.raises(Unauthorized):
        await granted(corp, maker.good())


async def test_a_token_is_refused_while_the_provider_is_not_known(provider: OpenIDProvider, clock: Clock) -> None:
    provisioner = OIDCProvisioner(config_of(provider), make_context(clock))
    with pytest.raises(Unauthorized):
        await granted(provisioner, provider.maker(clock()).good())
    await provisioner.aclose()
