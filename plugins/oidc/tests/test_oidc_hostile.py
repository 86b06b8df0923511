"""A provider that lies, dawdles, or lets others in: nothing is issued for it, and the server lives."""

import asyncio
import gzip
import itertools
import json
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from mica import ConfigError, Egress, Operation, Unauthorized, Unavailable, UnverifiedToken, jwk
from mica.client.jws import encode
from mica.testing.contexts import Clock, make_context
from mica.testing.makers import ABSENT
from mica.testing.openid import CLIENT_ID, DISCOVERY, KEYS, OpenIDProvider, openid_provider
from mica.testing.provisioners import verdict
from mica.testing.webserver import Reply
from mica_oidc.config import OIDCConfig
from mica_oidc.keycache import INTERVAL, LONGEST, PATIENCE, SHORTEST, USUAL, freshness
from mica_oidc.keyset import KeySet
from mica_oidc.provisioner import OIDCProvisioner

JSON = {"Content-Type": "application/json"}
SIGN = Operation.X509_SIGN


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[OpenIDProvider]:
    with openid_provider(tmp_path) as running:
        yield running


@pytest.fixture
def clock() -> Clock:
    return Clock()


def build(provider: OpenIDProvider, clock: Clock, http: Egress | None = None, **config: Any) -> OIDCProvisioner:
    roots = provider.server.roots
    table: dict[str, Any] = {"client_id": CLIENT_ID, "configuration_endpoint": provider.issuer, "roots": roots}
    return OIDCProvisioner(OIDCConfig(name="corp", **{**table, **config}), make_context(clock, http=http))


async def started(provider: OpenIDProvider, clock: Clock, **config: Any) -> OIDCProvisioner:
    provisioner = build(provider, clock, **config)
    await provisioner.start()
    return provisioner


async def is_granted(provisioner: OIDCProvisioner, raw: str) -> bool:
    try:
        await verdict(provisioner, raw, SIGN)
    except (Unauthorized, Unavailable):
        return False
    return True


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b"null",
        b"{}",
        b"{",
        b'{"issuer": "https://localhost"}',
        b'{"issuer": 1, "jwks_uri": 1}',
        b'{"issuer": "ISSUER", "jwks_uri": "JWKS", "issuer": "https://evil.example"}',
        b'{"issuer": "https://evil.example", "jwks_uri": "JWKS"}',
        b'{"issuer": "ISSUER.evil.example", "jwks_uri": "JWKS"}',
        b'{"issuer": "ISSUER/{tenantid}", "jwks_uri": "JWKS"}',
        b'{"issuer": "ISSUER", "jwks_uri": ""}',
        b'{"issuer": "ISSUER", "jwks_uri": "http://localhost/keys"}',
        b'{"issuer": "ISSUER", "jwks_uri": "file:///etc/passwd"}',
        b'{"issuer": "ISSUER", "jwks_uri": "https://169.254.169.254/keys"}',
        b'{"issuer": "ISSUER", "jwks_uri": "https://10.0.0.1/keys"}',
        b'{"issuer": "ISSUER", "jwks_uri": "https://[::1]/keys"}',
        b'{"issuer": "ISSUER", "jwks_uri": ["JWKS"]}',
        b'{"issuer": "ISSUER", "jwks_uri": "https://keys..example/keys"}',
        b'{"issuer": "ISSUER", "jwks_uri": "https://localhost:0/keys"}',
        b"<html>",
        b"[" * 50_000,
    ],
    ids=lambda document: document.decode()[:60] + document.decode()[-20:],
)  # fmt: skip
async def test_a_discovery_document_that_leads_astray_starts_nothing(
    provider: OpenIDProvider, clock: Clock, document: bytes
) -> None:
    body = document.replace(b"ISSUER", provider.issuer.encode()).replace(b"JWKS", f"{provider.issuer}{KEYS}".encode())
    provider.server.replies[DISCOVERY] = Reply(body=body)
    with pytest.raises(Unavailable, match=r"https?://|file:"):
        await started(provider, clock)
    assert provider.server.asked(KEYS) == 0


async def test_another_issuer_is_believed_when_the_operator_says_so(provider: OpenIDProvider, clock: Clock) -> None:
    provider.describe(issuer="https://login.example/")
    with pytest.raises(Unavailable, match="set issuer = 'https://login.example/'"):
        await started(provider, clock)
    provisioner = await started(provider, clock, issuer="https://login.example/")
    assert await is_granted(provisioner, provider.maker(clock(), iss="https://login.example/").good())
    for iss in (provider.issuer, "https://login.example", "https://LOGIN.example/", "https://login.example//"):
        assert not await is_granted(provisioner, provider.maker(clock(), iss=iss).good())


async def test_keys_where_the_operator_says_they_are_need_no_discovery(provider: OpenIDProvider, clock: Clock) -> None:
    provider.server.replies.pop(DISCOVERY)
    provisioner = await started(provider, clock, issuer="https://cluster.local", jwks_uri=f"{provider.issuer}{KEYS}")
    assert await is_granted(provisioner, provider.maker(clock(), iss="https://cluster.local").good())
    assert provider.server.asked(DISCOVERY) == 0


async def test_a_token_of_another_provider_with_the_same_kid_is_refused(
    provider: OpenIDProvider, clock: Clock, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    with openid_provider(tmp_path / "other") as other:
        provisioner = await started(provider, clock)
        assert not await is_granted(provisioner, other.maker(clock()).good())
        assert not await is_granted(provisioner, other.maker(clock(), iss=provider.issuer).good())


@pytest.mark.parametrize(
    "reply",
    [
        Reply(body=b'{"keys": []}'),
        Reply(body=b'{"keys": {}}'),
        Reply(body=b"[]"),
        Reply(body=b'{"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "key-1", "alg": "HS256"}]}'),
        Reply(body=json.dumps({"keys": [{}] * 101}).encode()),
        Reply(body=b'{"keys": [], "keys": []}'),
        Reply(body=b"{}", headers={"Content-Type": "text/html"}),
        Reply(body=b"{}", status=500),
        Reply(body=lambda: itertools.repeat(b" " * 65536)),
        Reply(body=gzip.compress(bytes(50_000_000)), headers={**JSON, "Content-Encoding": "gzip"}),
        Reply(status=302, headers={"Location": "https://169.254.169.254/keys"}),
        Reply(status=302, headers={"Location": "https://127.0.0.1/keys"}),
        Reply(status=302, headers={"Location": KEYS}),
        Reply(pause=6.0),
    ],
    ids=[
        "no key", "no array", "no object", "a secret", "101 keys", "duplicate", "HTML", "500", "huge", "gzip bomb",
        "metadata", "loopback", "loop", "slow",
    ],
)  # fmt: skip
async def test_keys_that_cannot_be_had_leave_the_old_ones_in_place(
    provider: OpenIDProvider, clock: Clock, reply: Reply
) -> None:
    provisioner = await started(provider, clock)
    provider.server.replies[KEYS] = reply
    clock.advance(LONGEST)  # the keys are due
    began = time.monotonic()
    assert await is_granted(provisioner, provider.maker(clock()).good())
    assert time.monotonic() - began < 8
    clock.advance(PATIENCE)
    maker = provider.maker(clock())
    assert not await is_granted(provisioner, maker.good())
    provider.publish()
    clock.advance(INTERVAL)
    assert await is_granted(provisioner, maker.good())


async def test_two_hundred_unknown_keys_at_once_cost_one_request(provider: OpenIDProvider, clock: Clock) -> None:
    provisioner = await started(provider, clock)
    clock.advance(INTERVAL)
    maker = provider.maker(clock())
    tokens = [maker.token({"kid": f"unknown-{number}"}) for number in range(200)]
    assert not any(await asyncio.gather(*(is_granted(provisioner, raw) for raw in tokens)))
    assert provider.server.asked(KEYS) == 2  # the first was at the start
    assert not any(await asyncio.gather(*(is_granted(provisioner, raw) for raw in tokens)))
    assert provider.server.asked(KEYS) == 2
    clock.advance(INTERVAL)
    assert await is_granted(provisioner, maker.good())
    assert provider.server.asked(KEYS) == 2


async def test_who_waits_for_the_keys_and_gives_up_does_not_stop_the_others(
    provider: OpenIDProvider, clock: Clock
) -> None:
    provisioner = await started(provider, clock)
    provider.rotate("key-2")
    provider.server.replies[KEYS] = Reply(body=bytes(provider.server.replies[KEYS].body), pause=0.5)  # type: ignore[arg-type]
    clock.advance(INTERVAL)
    first, second = (asyncio.create_task(is_granted(provisioner, provider.maker(clock()).good())) for _ in range(2))
    while provider.server.asked(KEYS) < 2:
        await asyncio.sleep(0.01)
    first.cancel()
    assert await second
    assert provider.server.asked(KEYS) == 2


async def test_a_rotation_is_survived(provider: OpenIDProvider, clock: Clock) -> None:
    provisioner = await started(provider, clock)
    old = provider.maker(clock())
    provider.rotate("key-2")
    clock.advance(INTERVAL)
    assert await is_granted(provisioner, provider.maker(clock()).good())
    assert not await is_granted(provisioner, old.good()), "the key was withdrawn"


async def test_a_key_that_cannot_be_looked_up_is_no_refusal_for_good(provider: OpenIDProvider, clock: Clock) -> None:
    provisioner = await started(provider, clock)
    provider.rotate("key-2")
    published = provider.server.replies[KEYS]
    provider.server.replies[KEYS] = Reply(status=503)
    for wait in (INTERVAL, timedelta()):  # the second is not worth a request
        clock.advance(wait)
        with pytest.raises(Unavailable, match="not known yet"):
            await verdict(provisioner, provider.maker(clock()).good(), SIGN)
    provider.server.replies[KEYS] = published
    clock.advance(INTERVAL)
    assert await is_granted(provisioner, provider.maker(clock()).good())
    with pytest.raises(Unauthorized):
        await verdict(provisioner, provider.maker(clock()).token({"kid": "unknown"}), SIGN)


async def test_a_key_that_changes_under_its_name_is_found_when_the_keys_are_due(
    provider: OpenIDProvider, clock: Clock
) -> None:
    provisioner = await started(provider, clock)
    former = provider.maker(clock())
    provider.rotate("key-1")
    clock.advance(LONGEST)
    assert await is_granted(provisioner, provider.maker(clock()).good())
    assert not await is_granted(provisioner, former.token(exp=int(clock().timestamp()) + 60))


async def test_a_clock_that_is_set_back_does_not_keep_keys_for_ever(provider: OpenIDProvider, clock: Clock) -> None:
    provisioner = await started(provider, clock)
    clock.advance(-timedelta(days=30))
    provider.rotate("key-2")
    assert await is_granted(provisioner, provider.maker(clock()).good())


async def test_a_provider_that_comes_up_late_is_found(provider: OpenIDProvider, clock: Clock) -> None:
    good = provider.server.replies.pop(KEYS)
    provisioner = build(provider, clock)
    with pytest.raises(Unavailable, match="404"):
        await provisioner.start()
    assert not await is_granted(provisioner, provider.maker(clock()).good())
    provider.server.replies[KEYS] = good
    await provisioner.start()
    assert await is_granted(provisioner, provider.maker(clock()).good())
    await provisioner.aclose()


async def test_while_a_provider_is_down_the_tokens_of_another_are_not_claimed_for_it(
    provider: OpenIDProvider, clock: Clock, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    with openid_provider(tmp_path / "other") as other:
        down, up = build(other, clock), await started(provider, clock)
        own, foreign = (UnverifiedToken.parse(each.maker(clock()).good()) for each in (other, provider))
        assert (down.recognizes(own), down.recognizes(foreign)) == (True, False)
        assert (up.recognizes(own), up.recognizes(foreign)) == (False, True)
        tenant = build(other, clock, tenant_id="8d2c")
        assert tenant.recognizes(UnverifiedToken.parse(other.maker(clock(), iss=f"{other.issuer}/8d2c/v2.0").good()))
        assert not tenant.recognizes(UnverifiedToken.parse(other.maker(clock(), iss="https://[").good()))


async def test_a_log_line_about_keys_names_where_they_were_asked_for(
    provider: OpenIDProvider, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    provisioner = await started(provider, clock)
    provider.server.replies[KEYS] = Reply(body=b'{"keys": []}')
    clock.advance(LONGEST)
    assert await is_granted(provisioner, provider.maker(clock()).good())
    (line,) = caplog.messages
    assert f"{provider.issuer}{KEYS}: the JWK Set has no key" in line


@pytest.mark.parametrize("contents", [b"", b"\n", b"nonsense"], ids=["nothing", "a line", "nonsense"])
def test_roots_that_are_none_are_a_mistake_and_not_the_systems(
    provider: OpenIDProvider, clock: Clock, tmp_path: Path, contents: bytes
) -> None:
    (tmp_path / "roots.pem").write_bytes(contents)
    with pytest.raises(ConfigError, match="roots: .*must hold certificates in PEM"):
        build(provider, clock, roots=tmp_path / "roots.pem")


P256, RSA = ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048)
WEAK = rsa.generate_private_key(65537, 1024)
EC = {**jwk.public_members(P256.public_key()), "kid": "k"}


@pytest.mark.parametrize(
    "member",
    [
        {**EC, "use": "enc"}, {**EC, "key_ops": ["encrypt"]}, {**EC, "key_ops": "verify"}, {**EC, "alg": "ES384"},
        {**EC, "alg": "HS256"}, {**EC, "alg": "none"}, {**EC, "alg": ["ES256"]}, {**EC, "crv": "P-384"},
        {**EC, "crv": "secp256k1"}, {**EC, "crv": []}, {**EC, "x": EC["y"]}, {**EC, "x": 1}, {**EC, "x": "é"},
        {**EC, "kty": "RSA"}, {**EC, "kty": []}, {**EC, "kid": 1}, {**EC, "kid": "a\nb"},
        {**EC, "kid": "k" * 256}, {**EC, "d": "AAAA"}, {"kty": "EC"}, {}, 1, None, [],
        {**jwk.public_members(WEAK.public_key()), "kid": "k"},
        {"kty": "RSA", "kid": "k", "n": jwk.public_members(RSA.public_key())["n"], "e": "Aw"},
        {"kty": "RSA", "kid": "k", "n": "", "e": ""}, {"kty": "RSA", "kid": "k", "n": "_" * 400_000, "e": "AQAB"},
        {"kty": "oct", "k": "AAAA", "kid": "k"}, {"kty": "OKP", "crv": "X25519", "x": "A" * 43, "kid": "k"},
    ],
)  # fmt: skip
def test_a_key_that_is_not_for_signatures_or_not_good_is_passed_over(member: object) -> None:
    good = {**jwk.public_members(RSA.public_key()), "kid": "good"}
    assert list(KeySet.parse({"keys": [member, good]}).keys) == ["good"]
    with pytest.raises(ValueError, match="no key"):
        KeySet.parse({"keys": [member]})


async def test_a_token_chooses_neither_its_key_nor_its_algorithm(provider: OpenIDProvider, clock: Clock) -> None:
    provider.publish(provider.member(), {**jwk.public_members(RSA.public_key()), "kid": "rsa", "alg": "RS256"})
    provisioner, maker = await started(provider, clock), provider.maker(clock())
    assert await is_granted(provisioner, maker.good())
    attacker = maker.stranger()
    own = {**jwk.public_members(attacker.public_key), "kid": "key-1"}
    for header in (
        {"jwk": own}, {"jku": f"{provider.issuer}/evil"}, {"kid": "rsa"}, {"kid": "../key-1"}, {"kid": ABSENT},
        {"kid": f"{provider.issuer}{KEYS}"}, {"x5u": f"{provider.issuer}/evil"}, {},
    ):  # fmt: skip
        assert not await is_granted(provisioner, attacker.token(header))
    assert not await is_granted(provisioner, maker.token({"kid": "rsa"}))
    assert {path for path, _ in provider.server.requests} == {DISCOVERY, KEYS}


async def test_keys_of_one_name_are_each_tried(provider: OpenIDProvider, clock: Clock) -> None:
    provider.publish({**EC, "kid": "key-1"}, provider.member())
    provisioner = await started(provider, clock)
    assert await is_granted(provisioner, provider.maker(clock()).good())


@pytest.mark.parametrize(
    ("headers", "fresh"),
    [
        ({}, USUAL),
        ({"cache-control": "public, max-age=3600"}, timedelta(hours=1)),
        ({"cache-control": "Max-Age=3600, must-revalidate", "age": "600"}, timedelta(minutes=50)),
        ({"cache-control": "max-age=60", "age": "3600"}, timedelta()),
        ({"cache-control": "max-age=60", "age": "nonsense"}, timedelta(minutes=1)),
        ({"cache-control": "max-age=3600", "age": "600, 5"}, timedelta(minutes=50)),
        ({"cache-control": "no-store, max-age=60"}, timedelta()),
        ({"cache-control": "s-maxage=60"}, USUAL),
        ({"cache-control": "no-store"}, timedelta()),
        ({"cache-control": "no-cache, max-age=600"}, timedelta()),
        ({"cache-control": "max-age=" + "9" * 40}, timedelta(seconds=9_999_999_999)),
        ({"cache-control": "max-age=-1"}, USUAL),
    ],
)
def test_how_long_an_answer_is_fresh(headers: dict[str, str], fresh: timedelta) -> None:
    assert freshness(headers) == fresh


@pytest.mark.parametrize(
    ("control", "shortest", "longest"),
    [("max-age=0", SHORTEST * 2 / 3, SHORTEST), ("max-age=999999999", LONGEST - timedelta(hours=1), LONGEST)],
)
async def test_keys_are_asked_for_when_they_are_due_and_no_earlier(
    provider: OpenIDProvider, clock: Clock, control: str, shortest: timedelta, longest: timedelta
) -> None:
    provider.publish(headers={"Cache-Control": control})
    provisioner = await started(provider, clock)
    clock.advance(shortest - timedelta(seconds=1))
    assert await is_granted(provisioner, provider.maker(clock()).good())
    assert provider.server.asked(KEYS) == 1
    clock.advance(longest - shortest + timedelta(seconds=1))
    assert await is_granted(provisioner, provider.maker(clock()).good())
    assert provider.server.asked(KEYS) == 2


async def test_a_name_that_is_rebound_to_this_machine_is_not_asked_for_keys(
    provider: OpenIDProvider, clock: Clock
) -> None:
    answers = iter([("127.0.0.1",)])

    async def resolve(host: str, port: int) -> tuple[str, ...]:
        return next(answers) if host == "localhost" else ("127.0.0.1",)

    provider.describe(jwks_uri=f"https://keys.example:{provider.server.port}{KEYS}")
    with pytest.raises(Unavailable, match="not a public address"):
        await build(provider, clock, Egress(resolve=resolve)).start()
    assert provider.server.asked(KEYS) == 0


async def test_a_provider_without_encryption_is_not_asked(provider: OpenIDProvider, clock: Clock) -> None:
    for url in ("http://idp.example", f"http://localhost.example:{provider.server.port}"):
        with pytest.raises(Unavailable, match="https|resolved"):
            await started(provider, clock, configuration_endpoint=url)


async def test_a_signature_of_nothing_is_refused(provider: OpenIDProvider, clock: Clock) -> None:
    provisioner, maker = await started(provider, clock), provider.maker(clock())
    message = ".".join(maker.parts()[:2])
    for octets in (bytes(64), bytes(63), b"\xff" * 64, bytes(65), b"\x00"):  # CVE-2022-21449: r = s = 0
        assert not await is_granted(provisioner, f"{message}.{encode(octets)}")
