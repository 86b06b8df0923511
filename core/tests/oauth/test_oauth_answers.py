"""What a provider may answer, and what is remembered of it: only what was asked for is used, and no wait is endless."""

import json
import os
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from core.tests.oauth.conftest import Somebody

from mica.client import Unreachable, Untrusted, tls
from mica.client.oauth import (
    NotSignedIn,
    Provider,
    Registration,
    Tokens,
    Web,
    device,
    discover,
    identity_token,
    sign_in,
)
from mica.client.oauth.providers import NAMES
from mica.testing.signins import CLIENT_ID, SignInProvider

REGISTRATION = Registration(client_id=CLIENT_ID)


def web(provider: SignInProvider) -> Web:
    return Web(trust=tls.context(provider.root.read_bytes()))


def signed_in(provider: SignInProvider, somebody: Somebody, pause: Callable[[float], None] = lambda _: None) -> Tokens:
    return sign_in(discover(provider.url, web(provider)), REGISTRATION, web(provider), somebody, pause=pause)


def entries(somebody: Somebody) -> list[Path]:
    assert somebody.wishes.cache is not None
    return list(somebody.wishes.cache.iterdir())


# What the provider answers


def test_a_no_with_the_status_of_a_yes_is_a_no(provider: SignInProvider, somebody: Somebody) -> None:
    provider.raw["/token"] = (200, b'{"error": "bad_verification_code", "error_description": "it has expired"}')
    with pytest.raises(NotSignedIn, match="refused: bad_verification_code: it has expired"):
        signed_in(provider, somebody)


def test_a_pending_code_is_pending_whatever_the_status_says(provider: SignInProvider, somebody: Somebody) -> None:
    somebody.wish(console=True)
    provider.raw["/token"] = (200, b'{"error": "authorization_pending"}')

    def pause(_: float) -> None:
        if provider.requests("/token"):
            provider.raw.clear()

    assert signed_in(provider, somebody, pause).access_token
    assert len(provider.requests("/token")) == 2


@pytest.mark.parametrize("claims", [{"nonce": "another's"}, {"nonce": None}, {"aud": "other"}, {"iss": "https://x"}])
def test_an_identity_token_is_looked_at_even_when_only_an_access_token_is_wanted(
    provider: SignInProvider, somebody: Somebody, claims: dict[str, Any]
) -> None:
    provider.claims = claims
    with pytest.raises(NotSignedIn, match="the identity token is"):
        signed_in(provider, somebody)


def test_an_identity_token_of_nobody_is_none(provider: SignInProvider, somebody: Somebody) -> None:
    provider.claims = {"sub": None}
    with pytest.raises(NotSignedIn, match="does not say whose it is"):
        identity_token(provider.url, REGISTRATION, somebody)


@pytest.mark.parametrize("token", ["a\x1b[31mb", "a\nX-Evil: 1", "\u202ea", "a\x00"])
def test_an_access_token_that_would_leave_its_header_is_none(token: str) -> None:
    assert Tokens(answer={"access_token": "a b~!"}).access_token == "a b~!"
    with pytest.raises(NotSignedIn, match="has characters that none may have"):
        _ = Tokens(answer={"access_token": token}).access_token


@pytest.mark.parametrize("tail", ["#fragment", "/\\evil.example", "/<script>", '/"', "/`x`", "/^", "/a|b"])
def test_an_endpoint_is_a_url_as_rfc_3986_has_it_without_a_fragment(provider: SignInProvider, tail: str) -> None:
    provider.metadata = {"authorization_endpoint": f"{provider.url}{tail}"}
    with pytest.raises(Unreachable, match="no URL of an identity provider"):
        discover(provider.url, web(provider))


def test_a_tenant_opens_no_other_issuer_of_the_same_host(provider: SignInProvider) -> None:
    provider.metadata = {"issuer": f"{provider.url}/another"}
    with pytest.raises(Unreachable, match="speaks for another issuer"):
        discover(provider.url, web(provider), tenant_id="t1")


def test_a_certificate_for_another_name_is_not_mended_by_a_root(provider: SignInProvider) -> None:
    with pytest.raises(Untrusted) as caught:
        discover(provider.url.replace("localhost", "0x7f.1"), web(provider))
    assert "the name that is in its certificate" in caught.value.hint


def test_a_provider_that_never_answers_is_not_waited_for(provider: SignInProvider) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        patient = replace(web(provider), timeout=0.3)
        with pytest.raises(Unreachable, match="does not answer within"):
            discover(f"https://localhost:{silent.getsockname()[1]}", patient)


@pytest.mark.parametrize("size", [2 << 20, 17 << 20], ids=["2 MiB", "17 MiB"])
def test_a_huge_answer_is_none(provider: SignInProvider, somebody: Somebody, size: int) -> None:
    provider.raw["/token"] = (200, b'{"access_token": "' + b"a" * size + b'"}')
    with pytest.raises(Unreachable):
        signed_in(provider, somebody)


def test_a_provider_that_only_authorizes_is_known_by_a_word(somebody: Somebody) -> None:
    github = NAMES["github"]
    assert isinstance(github, Provider)
    somebody.browse = lambda _: None
    nowhere = Web(trust=tls.context(None))
    with pytest.raises(NotSignedIn, match="nobody signed in"):
        sign_in(github, Registration(client_id="c", scopes=github.scopes), nowhere, somebody, patience=0.01)
    assert "\nhttps://github.com/login/oauth/authorize?response_type=code&client_id=c&" in somebody.read[0]
    assert "&scope=user%3Aemail&" in somebody.read[0]


# By a code


def invitation(provider: SignInProvider, **members: Any) -> None:
    good = {"device_code": "d", "user_code": "AB-12", "verification_uri": provider.url, "expires_in": 60, "interval": 1}
    said = {name: value for name, value in (good | members).items() if value is not None}
    provider.raw["/device_authorization"] = (200, json.dumps(said).encode())


@pytest.mark.parametrize("code", ["A\n\nOpen https://evil.example", "A\x1b[2J", "\u202eA", "A" * 65])
def test_a_code_that_would_say_more_than_itself_is_not_shown(
    provider: SignInProvider, somebody: Somebody, code: str
) -> None:
    invitation(provider, user_code=code)
    somebody.wish(console=True)
    with pytest.raises(Unreachable, match="gives no code"):
        signed_in(provider, somebody)
    assert somebody.read == []


def test_googles_older_name_of_the_url_is_understood(provider: SignInProvider, somebody: Somebody) -> None:
    invitation(provider, verification_uri=None, verification_url=f"{provider.url}/older")
    somebody.wish(console=True)
    provider.device_errors = ["access_denied"]
    with pytest.raises(NotSignedIn, match="access_denied"):
        signed_in(provider, somebody)
    assert f"Open {provider.url}/older in any browser" in somebody.read[0]


def test_a_providers_trouble_is_waited_out_and_told_when_it_lasts(provider: SignInProvider, somebody: Somebody) -> None:
    somebody.wish(console=True)
    provider.raw["/token"] = (503, b'{"error": "temporarily_unavailable"}')
    waited: list[float] = []
    with pytest.raises(NotSignedIn, match="before the code expired") as caught:
        signed_in(provider, somebody, waited.append)
    assert waited == [1, 2, 4, 8, 16]  # of sixty seconds
    assert "in trouble at last: the identity provider refused: temporarily_unavailable" in caught.value.hint


def test_the_time_that_answers_take_is_the_codes_too(provider: SignInProvider) -> None:
    provider.device_errors = ["authorization_pending"] * 9
    shown = device.Invitation(url=provider.url, user_code="u", device_code="d", interval=0.1, lifetime=0.5)
    with pytest.raises(NotSignedIn, match="before the code expired"):
        device.awaited(
            shown, discover(provider.url, web(provider)), REGISTRATION, web(provider), lambda _: time.sleep(0.3)
        )
    assert len(provider.requests("/token")) <= 2


def test_a_client_that_may_not_have_codes_is_told_the_other_way(provider: SignInProvider, somebody: Somebody) -> None:
    provider.raw["/device_authorization"] = (400, b'{"error": "unauthorized_client"}')
    somebody.has_display = False
    with pytest.raises(NotSignedIn, match="unauthorized_client") as caught:
        signed_in(provider, somebody)
    assert "--listen" in caught.value.hint


def test_where_a_browser_arrives_it_is_awaited_even_without_a_display(
    provider: SignInProvider, somebody: Somebody
) -> None:
    somebody.has_display = False
    somebody.wish(listen="127.0.0.1:0")
    assert signed_in(provider, somebody).access_token
    assert provider.requests("/device_authorization") == []
    port = provider.requests("/authorize")[0]["redirect_uri"].rpartition(":")[2]
    assert f"ssh -L {port}:127.0.0.1:{port}" in somebody.read[0]


# What is remembered


@pytest.mark.parametrize(
    "other",
    [{"scopes": ("openid", "groups")}, {"parameters": (("hd", "b.example"),)}, {"parameters": (("prompt", "login"),)},
     {"parameters": (("login_hint", "bob@harbour.example"),)}, {"parameters": (("max_age", "0"),)}],
    ids=["scopes", "parameter", "prompt", "login_hint", "max_age"],
)  # fmt: skip
def test_what_is_remembered_answers_nothing_else(
    provider: SignInProvider, somebody: Somebody, other: dict[str, Any]
) -> None:
    provider.refreshes = True
    for registration in (REGISTRATION, replace(REGISTRATION, **other)):
        identity_token(provider.url, registration, somebody)
    assert len(provider.requests("/authorize")) == 2


def test_who_is_to_be_asked_again_is_asked_each_time(provider: SignInProvider, somebody: Somebody) -> None:
    provider.refreshes = True
    for _ in range(2):
        identity_token(provider.url, replace(REGISTRATION, parameters=(("prompt", "login"),)), somebody)
    assert len(provider.requests("/authorize")) == 2


def test_a_pipe_in_the_cache_makes_nobody_wait(provider: SignInProvider, somebody: Somebody) -> None:
    provider.refreshes = True
    identity_token(provider.url, REGISTRATION, somebody)
    (entry,) = entries(somebody)
    entry.unlink()
    os.mkfifo(entry, 0o600)
    begun = time.monotonic()
    identity_token(provider.url, REGISTRATION, somebody)
    assert time.monotonic() - begun < 10
    assert len(provider.requests("/authorize")) == 2


@pytest.mark.parametrize("until", ["1e400", "1e300", "-1e300", "99999999999", '"soon"', "[]", "null"])
def test_an_entry_without_a_time_that_can_be_is_none(provider: SignInProvider, somebody: Somebody, until: str) -> None:
    provider.refreshes = True
    identity_token(provider.url, REGISTRATION, somebody)
    (entry,) = entries(somebody)
    said = json.loads(entry.read_text())
    entry.write_text(entry.read_text().replace(json.dumps(said["until"]), until))
    identity_token(provider.url, REGISTRATION, somebody)
    assert len(provider.requests("/authorize")) == 2


def test_what_was_left_over_goes_with_the_next_use(provider: SignInProvider, somebody: Somebody) -> None:
    assert somebody.wishes.cache is not None
    somebody.wishes.cache.mkdir(mode=0o700)
    for name, age in (("a.json", 3700), ("a.json.0011", 3700), ("b.json", 60), ("keep", 3700)):
        left = somebody.wishes.cache / name
        left.write_text("a refresh token")
        os.utime(left, (time.time() - age,) * 2)
    identity_token(provider.url, REGISTRATION, somebody)
    assert sorted(entry.name for entry in entries(somebody)) == ["b.json", "keep"]


def test_a_provider_need_not_describe_itself(provider: SignInProvider, somebody: Somebody) -> None:
    known = Provider(
        issuer=provider.url,
        authorization_endpoint=f"{provider.url}/authorize",
        token_endpoint=f"{provider.url}/token",
    )
    token = identity_token(known, REGISTRATION, somebody)
    assert token.issuer == provider.url
    assert provider.requests("/.well-known/openid-configuration") == []
