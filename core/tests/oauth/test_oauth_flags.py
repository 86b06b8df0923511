"""The flags of ``mica oauth`` beside the sign-in itself: endpoints, URLs, service accounts, and what is refused."""

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jwt
import pytest
from core.tests.oauth.conftest import ACCOUNT, ACCOUNT_KEY, Run, flags, write_account
from cryptography.hazmat.primitives import serialization

from mica.cli.oauth.command import WORDS
from mica.client.oauth.providers import NAMES
from mica.testing.signins import CLIENT_ID, SignInProvider

GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"


ACCOUNT_KEY_LINE = base64.b64encode(
    ACCOUNT_KEY.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
)[128:192]


def claims(assertion: str, audience: str) -> Mapping[str, Any]:
    """What PyJWT finds in the assertion, once it has verified it."""
    found: Mapping[str, Any] = jwt.decode(assertion, ACCOUNT_KEY.public_key(), ["RS256"], audience=audience)
    return found


def test_the_provider_knows_the_listener_by_the_url_that_is_named(mica: Run, provider: SignInProvider) -> None:
    done = mica("oauth", *flags(provider), "--listen-url", "http://localhost/callback", "--bare")
    assert done.returncode == 0, done.stderr
    told = provider.requests("/authorize")[0]["redirect_uri"]
    assert told.startswith("http://localhost:")
    assert told.endswith("/callback")
    assert provider.requests("/token")[0]["redirect_uri"] == told


def test_the_browser_goes_where_it_is_sent_afterwards(mica: Run, provider: SignInProvider) -> None:
    done = mica("oauth", *flags(provider), "--redirect-url", f"{provider.url}/welcome", "--bare")
    assert done.returncode == 0, done.stderr
    assert provider.requests("/welcome") == [{}]  # no code, no state


def test_a_provider_without_discovery_is_told_by_its_endpoints(mica: Run, provider: SignInProvider) -> None:
    provider.raw["/.well-known/openid-configuration"] = (404, b"{}")
    endpoints = ("--authorization-endpoint", f"{provider.url}/authorize", "--token-endpoint", f"{provider.url}/token")
    done = mica("oauth", *flags(provider), *endpoints, "--oidc", "--bare")
    assert done.returncode == 0, done.stderr
    device = ("--device-authorization-endpoint", f"{provider.url}/device_authorization", "--console")
    assert mica("oauth", *flags(provider), *endpoints, *device, "--bare").returncode == 0
    assert provider.requests("/.well-known/openid-configuration") == []


def test_somebody_else_is_not_answered_from_memory(mica: Run, provider: SignInProvider) -> None:
    provider.refreshes = True
    for more in ((), ("--email", "bob@harbour.example"), ("--prompt", "login")):
        done = mica("oauth", *flags(provider), "--oidc", "--bare", *more)
        assert done.returncode == 0, done.stderr
    assert len(provider.requests("/authorize")) == 3


def test_a_token_cannot_become_a_second_header(mica: Run, provider: SignInProvider) -> None:
    provider.raw["/token"] = (200, b'{"access_token": "a\\nX-Evil: 1"}')
    done = mica("oauth", *flags(provider), "--header")
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"has characters that none may have" in done.stderr


def test_a_service_accounts_key_gets_a_token_and_nobody_is_asked(
    mica: Run, provider: SignInProvider, tmp_path: Path
) -> None:
    write_account(tmp_path / "account.json", provider)
    provider.raw["/token"] = (200, b'{"access_token": "ya29.x", "expires_in": 3600, "token_type": "Bearer"}')
    root = ("--oidc-root", str(provider.root), "--non-interactive")
    done = mica("oauth", "--account", "account.json", "--scope", "a", "--scope", "b", *root, "--header")
    assert done.stdout == b"Authorization: Bearer ya29.x\n", done.stderr
    asked = provider.requests("/token")[0]
    found = claims(asked["assertion"], f"{provider.url}/token")
    assert asked["grant_type"] == GRANT
    assert (found["iss"], found["sub"], found["scope"], found["exp"] - found["iat"]) == (ACCOUNT, ACCOUNT, "a b", 3600)
    assert jwt.get_unverified_header(asked["assertion"]) == {"alg": "RS256", "kid": "key-7", "typ": "JWT"}
    answer = mica("oauth", "--account", "account.json", "--email", "ann@works.example", *root).stdout
    assert json.loads(answer)["expires_in"] == 3600
    delegated = claims(provider.requests("/token")[1]["assertion"], f"{provider.url}/token")
    assert (delegated["sub"], "scope" in delegated) == ("ann@works.example", False)


def test_a_service_accounts_own_token_is_for_a_service_and_no_network_is_needed(
    mica: Run, provider: SignInProvider, tmp_path: Path
) -> None:
    write_account(tmp_path / "account.json", provider)
    done = mica("oauth", "--account", "account.json", "--jwt", "--scope", "https://svc.example/", "--bare")
    assert done.returncode == 0, done.stderr
    assert claims(done.stdout.decode().strip(), "https://svc.example/")["sub"] == ACCOUNT
    assert provider.asked == []


def test_what_the_provider_says_to_an_account_is_told(mica: Run, provider: SignInProvider, tmp_path: Path) -> None:
    write_account(tmp_path / "account.json", provider)
    provider.raw["/token"] = (400, b'{"error": "invalid_grant", "error_description": "account not found"}')
    done = mica("oauth", "--account", "account.json", "--oidc-root", str(provider.root))
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"refused: invalid_grant: account not found" in done.stderr


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"type": "authorized_user"}, '"type" must be "service_account"'),
        ({"client_email": None}, "its member client_email is missing"),
        ({"private_key": "secret"}, "account.json: private_key"),
        ({"private_key": 7}, "its member private_key is missing"),
        ({"token_uri": "http://localhost/token"}, "no URL of an identity provider"),
    ],
    ids=["type", "email", "key", "number", "plain http"],
)
def test_a_file_that_is_no_account_is_told(
    mica: Run, provider: SignInProvider, tmp_path: Path, members: dict[str, Any], message: str
) -> None:
    write_account(tmp_path / "account.json", provider, **members)
    done = mica("oauth", "--account", "account.json", "--oidc-root", str(provider.root))
    assert (done.returncode, done.stdout) == (5, b"")
    assert message in done.stderr.decode()
    assert ACCOUNT_KEY_LINE not in done.stderr
    (tmp_path / "account.json").write_text("[")
    assert mica("oauth", "--account", "account.json").returncode == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--implicit",), "flag '--implicit' is refused"),
        (("--console-flow", "oob"), "hint: use --console"),
        (("--console-flow", "x"), "invalid value 'x' for flag '--console-flow'"),
        (("--jwt",), "flag '--jwt' requires the '--account' flag"),
        (("--token-endpoint", "https://id.example/token"), "require each other"),
        (
            ("--device-authorization-endpoint", "https://id.example/d"),
            "'--device-authorization-endpoint' requires both",
        ),
        (("--provider", "github", "--oidc"), "'--oidc' is of no use with '--provider github'"),
        (
            ("--provider", "github", "--authorization-endpoint", "https://a.example", "--token-endpoint", "https://a"),
            "requires the flag '--provider' with a URL",
        ),
        (("--account", "a.json"), "'--provider' is incompatible with '--account'"),
    ],
    ids=["implicit", "oob", "flow", "jwt", "token endpoint", "device endpoint", "github", "named", "account"],
)
def test_flags_that_make_no_sense_are_refused_before_anybody_is_asked(
    mica: Run, provider: SignInProvider, arguments: tuple[str, ...], message: str
) -> None:
    done = mica("oauth", *flags(provider), *arguments)
    assert (done.returncode, done.stdout) == (2, b"")
    assert message in done.stderr.decode()
    assert provider.asked == []


@pytest.mark.parametrize(
    "flag",
    [("--console",), ("--listen", ":0"), ("--no-cache",), ("--prompt", "login"), ("--auth-param", "a=b"), ("--oidc",)],
    ids=lambda flag: flag[0],
)
def test_an_account_needs_nothing_of_a_sign_in(
    mica: Run, provider: SignInProvider, tmp_path: Path, flag: tuple[str, ...]
) -> None:
    write_account(tmp_path / "account.json", provider)
    done = mica("oauth", "--account", "account.json", *flag)
    assert done.returncode == 2
    assert f"'{flag[0]}' is incompatible with '--account'" in done.stderr.decode()


def test_one_scope_is_the_audience_of_the_accounts_own_token(
    mica: Run, provider: SignInProvider, tmp_path: Path
) -> None:
    write_account(tmp_path / "account.json", provider)
    for scopes in ((), ("--scope", "a", "--scope", "b")):
        done = mica("oauth", "--account", "account.json", "--jwt", *scopes)
        assert done.returncode == 2
        assert b"'--jwt' requires one '--scope'" in done.stderr


def test_a_secret_that_is_no_text_is_told(mica: Run, provider: SignInProvider, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"\xff\xfe")
    (tmp_path / "other").write_bytes(b"\x80secret")
    for name in ("secret", "other"):
        assert mica("oauth", *flags(provider), "--client-secret-file", name).returncode == 5
    assert provider.asked == []


def test_where_nobody_may_be_asked_the_remedy_is_this_commands_own(mica: Run) -> None:
    done = mica("oauth", "--provider", "github", "--client-id", CLIENT_ID, "--non-interactive", DISPLAY=":99")
    assert done.returncode == 6
    assert b"hint: use a service account, with --account" in done.stderr


def test_flags_are_completed_and_those_that_are_refused_are_not_offered(mica: Run) -> None:
    offered = mica("completion", "bash", "--", "mica oauth --").stdout.decode().split()
    for flag in ("--account", "--jwt", "--listen-url", "--redirect-url", "--token-endpoint", "--console", "--no-cache"):
        assert flag in offered
    assert not {"--implicit", "--console-flow"}.intersection(offered)
    help_ = mica("oauth", "--help").stdout
    assert b"--implicit" not in help_
    assert b"--console-flow" not in help_
    assert mica("completion", "bash", "--", "mica oauth --implicit --acc").stdout.split() == [b"plain", b"--account"]


def test_the_words_for_providers_are_completed(mica: Run) -> None:
    assert set(WORDS) == NAMES.keys()
    assert mica("completion", "bash", "--", "mica oauth --provider gi").stdout.split() == [b"plain", b"github"]
    offered = mica("completion", "bash", "--", "mica ssh login --").stdout.split()
    assert {b"--console", b"--no-cache", b"--listen", b"--oidc-root"} <= set(offered)
