"""Somebody signs in with a real provider on loopback, by a browser here or by a code, and nothing else counts."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
from core.tests.oauth.conftest import Somebody

from mica.client import ClientError, Unreachable, Untrusted, oauth, tls
from mica.client.oauth import NotSignedIn, Provider, Registration, Web, discover, identity_token, sign_in
from mica.clock import system_clock
from mica.testing.signins import CLIENT_ID, SignInProvider

REGISTRATION = Registration(client_id=CLIENT_ID)


def web(provider: SignInProvider, timeout: float = 15) -> Web:
    return Web(trust=tls.context(provider.root.read_bytes()), timeout=timeout)


def asked_in_browser(provider: SignInProvider) -> dict[str, str]:
    (said,) = provider.requests("/authorize")
    return said


def test_a_browser_signs_in_and_the_token_is_what_the_provider_signed(
    provider: SignInProvider, somebody: Somebody
) -> None:
    token = identity_token(provider.url, REGISTRATION, somebody)
    claims = jwt.decode(token.raw, provider.key.public_key(), ["ES256"], audience=CLIENT_ID, issuer=provider.url)
    said = asked_in_browser(provider)
    assert claims["nonce"] == said["nonce"]
    assert claims["email"] == "alice@harbour.example"
    assert said["scope"] == "openid email"
    assert said["code_challenge_method"] == "S256"
    assert said["redirect_uri"].startswith("http://127.0.0.1:")
    assert len(bytes.fromhex(said["nonce"])) == len(bytes.fromhex(said["state"])) == 32


def test_the_verifier_goes_to_the_provider_alone_and_no_secret_is_in_the_url(
    provider: SignInProvider, somebody: Somebody
) -> None:
    provider.secret = "public by protocol"
    identity_token(provider.url, Registration(client_id=CLIENT_ID, client_secret=provider.secret), somebody)
    (exchanged,) = provider.requests("/token")
    url = somebody.read[0]
    assert exchanged["code_verifier"] not in url
    assert provider.secret.split()[0] not in url
    assert exchanged["client_secret"] == provider.secret
    assert exchanged["redirect_uri"] == asked_in_browser(provider)["redirect_uri"]


def test_no_two_attempts_share_state_nonce_or_challenge(provider: SignInProvider, somebody: Somebody) -> None:
    for _ in range(2):
        identity_token(provider.url, REGISTRATION, somebody)
    first, second = provider.requests("/authorize")
    for name in ("state", "nonce", "code_challenge"):
        assert first[name] != second[name]


def test_the_url_is_told_as_well_as_opened(provider: SignInProvider, somebody: Somebody) -> None:
    opened: list[str] = []
    browse = somebody.browse

    def browsed(url: str) -> None:
        opened.append(url)
        browse(url)

    somebody.browse = browsed
    identity_token(provider.url, REGISTRATION, somebody)
    assert opened[0] in somebody.read[0].split()
    assert parse_qs(urlsplit(opened[0]).query)["client_id"] == [CLIENT_ID]


def test_scopes_and_parameters_are_passed_on_and_the_protocols_own_are_not_for_anybody_to_say(
    provider: SignInProvider, somebody: Somebody
) -> None:
    more = Registration(client_id=CLIENT_ID, scopes=("openid", "groups"), parameters=(("hd", "harbour.example&x=1"),))
    identity_token(provider.url, more, somebody)
    assert asked_in_browser(provider)["scope"] == "openid groups"
    assert asked_in_browser(provider)["hd"] == "harbour.example&x=1"
    for name in ("state", "redirect_uri", "nonce", "response_mode", "request_uri"):
        own = Registration(client_id=CLIENT_ID, parameters=((name, "x"),))
        with pytest.raises(NotSignedIn, match=f"'{name}' is not for anybody to choose"):
            identity_token(provider.url, own, somebody)


@pytest.mark.parametrize(
    ("claims", "message"),
    [
        ({"nonce": "other"}, "is for another sign-in"), ({"nonce": None}, "is for another sign-in"),
        ({"iss": "https://evil.example"}, "is by 'https://evil.example', not by"),
        ({"aud": "other"}, "is for 'other', not for"), ({"aud": [CLIENT_ID, "other"], "azp": "other"}, "not for"),
        ({"aud": None}, "not for"), ({"exp": 1000}, "the identity token expired at 1970-01-01"),
        ({"exp": None}, "does not say when it expires"),
        ({"nbf": 2**34}, "is not valid yet"),
    ],
)  # fmt: skip
def test_a_token_that_is_not_what_was_asked_for_is_never_sent(
    provider: SignInProvider, somebody: Somebody, claims: dict[str, Any], message: str
) -> None:
    provider.claims = claims
    with pytest.raises(NotSignedIn, match=message):
        identity_token(provider.url, REGISTRATION, somebody)


@pytest.mark.parametrize("answer", [b"{}", b'{"id_token": 1}', b'{"id_token": "a.b.c"}', b'{"id_token": ""}'])
def test_no_token_is_none(provider: SignInProvider, somebody: Somebody, answer: bytes) -> None:
    provider.raw["/token"] = (200, answer)
    with pytest.raises(NotSignedIn, match="sent no identity token"):
        identity_token(provider.url, REGISTRATION, somebody)


def test_the_providers_errors_are_told(provider: SignInProvider, somebody: Somebody) -> None:
    provider.answer = {"code": "", "error": "access_denied", "error_description": "not you"}
    with pytest.raises(NotSignedIn, match="refused: access_denied: not you"):
        identity_token(provider.url, REGISTRATION, somebody)
    provider.answer, provider.secret = {}, "another"
    with pytest.raises(NotSignedIn, match="refused: invalid_client"):
        identity_token(provider.url, REGISTRATION, somebody)


def test_a_code_of_another_sign_in_is_of_no_use(provider: SignInProvider, somebody: Somebody) -> None:
    provider.answer = {"code": "stolen"}
    with pytest.raises(NotSignedIn, match="the code or its proof is wrong"):
        identity_token(provider.url, REGISTRATION, somebody)


def test_a_browser_that_comes_back_with_another_state_is_not_the_one(
    provider: SignInProvider, somebody: Somebody
) -> None:
    provider.answer = {"state": "forged"}
    found = discover(provider.url, web(provider))
    with pytest.raises(
        NotSignedIn, match="nobody signed in within .* minutes; requests that were no answer to this sign-in: 1"
    ):
        sign_in(found, REGISTRATION, web(provider), somebody, patience=2)


def test_an_answer_in_anothers_name_is_refused(provider: SignInProvider, somebody: Somebody) -> None:
    provider.answer = {"iss": "https://evil.example"}
    with pytest.raises(NotSignedIn, match="is not by"):
        identity_token(provider.url, REGISTRATION, somebody)
    provider.answer, provider.metadata = {}, {"authorization_response_iss_parameter_supported": True}
    with pytest.raises(NotSignedIn, match="is not by"):
        identity_token(provider.url, REGISTRATION, somebody)


def test_the_provisioners_address_is_listened_at_unless_another_is_wished(
    provider: SignInProvider, somebody: Somebody
) -> None:
    identity_token(provider.url, REGISTRATION, somebody, listen="localhost:0")
    assert asked_in_browser(provider)["redirect_uri"].startswith("http://localhost:")
    somebody.wish(listen="127.0.0.1:0")
    identity_token(provider.url, REGISTRATION, somebody, listen="localhost:1")
    assert provider.requests("/authorize")[-1]["redirect_uri"].startswith("http://127.0.0.1:")


# Discovery


@pytest.mark.parametrize("suffix", ["", "/", "/.well-known/openid-configuration"])
def test_a_provider_is_named_by_its_issuer_or_by_its_document(provider: SignInProvider, suffix: str) -> None:
    assert discover(provider.url + suffix, web(provider)).token_endpoint == f"{provider.url}/token"


def test_one_document_may_serve_many_tenants_of_its_own(provider: SignInProvider) -> None:
    provider.metadata = {"issuer": f"{provider.url}/{{tenantid}}/v2.0"}
    found: Provider = discover(provider.url, web(provider), tenant_id="t1")
    assert found.issuer == f"{provider.url}/t1/v2.0"
    provider.metadata = {"issuer": "https://evil.example/{tenantid}"}
    with pytest.raises(Unreachable, match="speaks for another issuer"):
        discover(provider.url, web(provider), tenant_id="t1")


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"issuer": "https://evil.example"}, "speaks for another issuer: 'https://evil.example'"),
        ({"issuer": None}, "does not say its issuer"), ({"issuer": 7}, "does not say its issuer"),
        ({"token_endpoint": "http://localhost/token"}, "no URL of an identity provider"),
        ({"token_endpoint": None}, "does not say its token_endpoint"),
        ({"authorization_endpoint": "javascript:alert(1)"}, "no URL of an identity provider"),
        ({"authorization_endpoint": "file:///etc/passwd"}, "no URL of an identity provider"),
        ({"authorization_endpoint": "https://a\u202eb/"}, "no URL of an identity provider"),
        ({"device_authorization_endpoint": "ftp://x/"}, "no URL of an identity provider"),
    ],
)  # fmt: skip
def test_a_document_that_leads_elsewhere_is_refused(
    provider: SignInProvider, metadata: dict[str, Any], message: str
) -> None:
    provider.metadata = metadata
    with pytest.raises(Unreachable, match=message):
        discover(provider.url, web(provider))


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (200, b"<html>", "does not answer as an OpenID provider does"), (200, b"[]", "no JSON object"),
        (200, b'{"issuer": "a", "issuer": "b"}', "no JSON object"), (404, b"{}", "the HTTP status 404"),
        (302, b"", "redirects elsewhere, which is not followed"), (200, b"[" * 100000, "no JSON object"),
        (200, b'{"a": "' + b"a" * (2 << 20) + b'"}', "no JSON object"), (500, b"oops", "HTTP status 500"),
    ],
)  # fmt: skip
def test_whatever_is_no_document_is_told(provider: SignInProvider, status: int, body: bytes, message: str) -> None:
    provider.raw["/.well-known/openid-configuration"] = (status, body)
    with pytest.raises(Unreachable, match=message):
        discover(provider.url, web(provider))


@pytest.mark.parametrize("url", ["http://localhost:1", "localhost", "", "https://", "https://a@b/", "https://x:0/"])
def test_only_https_leads_to_a_provider(provider: SignInProvider, url: str) -> None:
    with pytest.raises(Unreachable, match="no URL of an identity provider"):
        discover(url, web(provider))


def test_a_provider_that_nobody_vouches_for_is_not_believed(provider: SignInProvider, somebody: Somebody) -> None:
    somebody.wish(roots=None)
    with pytest.raises(Untrusted) as caught:
        identity_token(provider.url, REGISTRATION, somebody)
    assert "--oidc-root" in caught.value.hint
    assert provider.asked == []


# By a browser elsewhere


def pauses() -> tuple[list[float], Callable[[float], None]]:
    waited: list[float] = []
    return waited, waited.append


def by_code(provider: SignInProvider, somebody: Somebody, pause: Callable[[float], None]) -> oauth.Tokens:
    somebody.wish(console=True)
    return sign_in(discover(provider.url, web(provider)), REGISTRATION, web(provider), somebody, pause=pause)


def test_a_code_is_shown_and_the_provider_asked_as_it_told(provider: SignInProvider, somebody: Somebody) -> None:
    provider.device_errors = ["authorization_pending", "slow_down", "authorization_pending"]
    waited, pause = pauses()
    tokens = by_code(provider, somebody, pause)
    assert jwt.decode(tokens.answer["id_token"], provider.key.public_key(), ["ES256"], audience=CLIENT_ID)
    assert waited == [1, 1, 6, 6]
    assert f"{provider.url}/device" in somebody.read[0]
    assert provider.requests("/token")[0]["grant_type"] == "urn:ietf:params:oauth:grant-type:device_code"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        ("access_denied", "refused: access_denied"), ("expired_token", "before the code expired"),
        ("invalid_grant", "refused: invalid_grant"),
    ],
)  # fmt: skip
def test_a_no_ends_the_wait(provider: SignInProvider, somebody: Somebody, error: str, message: str) -> None:
    provider.device_errors = [error]
    with pytest.raises(NotSignedIn, match=message):
        by_code(provider, somebody, pauses()[1])
    assert len(provider.requests("/token")) == 1


def test_the_wait_ends_with_the_code_and_after_five_minutes_at_last(
    provider: SignInProvider, somebody: Somebody
) -> None:
    provider.waits_for_code = True
    waited, pause = pauses()
    with pytest.raises(NotSignedIn, match="before the code expired"):
        by_code(provider, somebody, pause)
    assert sum(waited) == 60  # as the provider said
    code = b'{"device_code": "d", "user_code": "u", "verification_uri": "%s", "expires_in": 9999, "interval": 60}'
    provider.raw["/device_authorization"] = (200, code % provider.url.encode())
    waited.clear()
    with pytest.raises(NotSignedIn, match="before the code expired"):
        by_code(provider, somebody, pause)
    assert sum(waited) == 300


def test_an_outage_meanwhile_is_waited_out(provider: SignInProvider, somebody: Somebody) -> None:
    provider.raw["/token"] = (502, b"bad gateway")
    waited: list[float] = []

    def pause(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            provider.raw.clear()

    assert by_code(provider, somebody, pause).answer["id_token"]
    assert waited == [1, 2, 4]  # RFC 8628 §3.5


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{}", "gives no code"), (b'{"device_code": "d", "user_code": "u"}', "no URL of an identity provider"),
        (b'{"device_code": "d", "user_code": "u", "verification_uri": "javascript:x"}', "no URL"),
    ],
)  # fmt: skip
def test_an_invitation_that_leads_nowhere_is_not_shown(
    provider: SignInProvider, somebody: Somebody, body: bytes, message: str
) -> None:
    provider.raw["/device_authorization"] = (200, body)
    with pytest.raises(ClientError, match=message):
        by_code(provider, somebody, pauses()[1])
    assert somebody.read == []


def test_without_a_device_endpoint_there_is_no_console(provider: SignInProvider, somebody: Somebody) -> None:
    provider.metadata = {"device_authorization_endpoint": None}
    with pytest.raises(NotSignedIn, match="has no device endpoint"):
        by_code(provider, somebody, pauses()[1])


def test_where_nothing_can_be_seen_the_code_is_the_default_if_the_provider_has_it(
    provider: SignInProvider, somebody: Somebody
) -> None:
    somebody.has_display = False
    identity_token(provider.url, REGISTRATION, somebody)
    assert provider.requests("/authorize") == []
    assert len(provider.requests("/device_authorization")) == 1
    provider.metadata = {"device_authorization_endpoint": None}
    identity_token(provider.url, REGISTRATION, somebody)
    assert len(provider.requests("/authorize")) == 1


# What is remembered


def test_a_token_that_was_handed_out_is_not_remembered(provider: SignInProvider, somebody: Somebody) -> None:
    first, second = (identity_token(provider.url, REGISTRATION, somebody) for _ in range(2))
    assert first.raw != second.raw
    assert len(provider.requests("/authorize")) == 2
    cache = somebody.wishes.cache
    assert cache is not None
    assert not cache.exists()


def test_a_refresh_token_spares_a_sign_in_and_gives_a_token_that_no_ca_has_seen(
    provider: SignInProvider, somebody: Somebody
) -> None:
    provider.refreshes = True
    tokens = [identity_token(provider.url, REGISTRATION, somebody) for _ in range(3)]
    assert len(provider.requests("/authorize")) == 1
    assert len({token.raw for token in tokens}) == 3
    assert [bool(token.text("nonce")) for token in tokens] == [True, False, False]
    cache = somebody.wishes.cache
    assert cache is not None
    (entry,) = cache.iterdir()
    assert entry.stat().st_mode & 0o777 == 0o600
    assert cache.stat().st_mode & 0o777 == 0o700
    assert not any(token.raw in entry.read_text() for token in tokens)


def test_a_refreshed_token_with_a_nonce_that_a_ca_has_seen_is_not_used(
    provider: SignInProvider, somebody: Somebody
) -> None:
    provider.refreshes = provider.refresh_nonce = True
    nonces = {identity_token(provider.url, REGISTRATION, somebody).text("nonce") for _ in range(2)}
    assert len(nonces) == 2
    assert len(provider.requests("/authorize")) == 2


@pytest.mark.parametrize("change", ["subject", "withdrawn", "mode", "link", "nonsense", "expired", "no cache"])
def test_what_is_remembered_is_used_only_as_it_was_left(
    provider: SignInProvider, somebody: Somebody, change: str
) -> None:
    provider.refreshes = True
    if change == "expired":
        provider.claims = {"exp": int(system_clock().timestamp()) + 6}
    identity_token(provider.url, REGISTRATION, somebody)
    cache = somebody.wishes.cache
    assert cache is not None
    (entry,) = cache.iterdir()
    if change == "subject":
        provider.claims = {"sub": "somebody else"}
    elif change == "withdrawn":
        provider.claims = {}
        entry.write_text(entry.read_text().replace('"refresh_token": "', '"refresh_token": "x'))
    elif change == "mode":
        entry.chmod(0o644)
    elif change == "link":
        entry.rename(cache / "elsewhere")
        entry.symlink_to(cache / "elsewhere")
    elif change == "nonsense":
        entry.write_text('{"issuer": ')
    elif change == "expired":
        text = entry.read_text()
        until = text.partition('"until": ')[2].partition(",")[0]
        entry.write_text(text.replace(until, str(float(until) - 60)))
        provider.claims = {}
    else:
        somebody.wish(cache=None)
    identity_token(provider.url, REGISTRATION, somebody)
    assert len(provider.requests("/authorize")) == 2


def test_a_token_that_came_back_unused_is_the_next_one_and_the_last(
    provider: SignInProvider, somebody: Somebody
) -> None:
    token = identity_token(provider.url, REGISTRATION, somebody)
    cache = somebody.wishes.cache
    assert cache is not None
    oauth.give_back(token, cache)
    (entry,) = cache.iterdir()
    assert entry.stat().st_mode & 0o777 == 0o600
    assert identity_token(provider.url, REGISTRATION, somebody).raw == token.raw
    assert identity_token(provider.url, REGISTRATION, somebody).raw != token.raw
    assert len(provider.requests("/authorize")) == 2


def test_a_sign_in_is_remembered_for_an_hour_at_most_and_for_each_client_apart(
    provider: SignInProvider, somebody: Somebody
) -> None:
    provider.refreshes = True
    provider.claims = {"exp": int((system_clock() + timedelta(hours=9)).timestamp())}
    identity_token(provider.url, REGISTRATION, somebody)
    cache = somebody.wishes.cache
    assert cache is not None
    (entry,) = cache.iterdir()
    until = float(entry.read_text().partition('"until": ')[2].partition(",")[0])
    assert until <= (system_clock() + timedelta(hours=1)).timestamp()
    other = Registration(client_id="another")
    with pytest.raises(NotSignedIn, match="invalid_client"):
        identity_token(provider.url, other, somebody)
    assert len(provider.requests("/authorize")) == 2
