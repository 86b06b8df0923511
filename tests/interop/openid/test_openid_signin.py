"""A certified OpenID provider, a real browser, the real command line: whoever signs in gets what is theirs."""

import re
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

import jwt
import pytest
from tests.interop.openid.chromium import Browser
from tests.interop.openid.desk import Desk
from tests.interop.openid.identityprovider import ALICE, CLIENT_ID, MALLORY, USERS, OpenIDProvider, signing_key

from mica.cli.errors import RefusedByCA
from mica.testing.agents import ssh_agent
from mica.testing.ca import TestCA
from mica.testing.service import Service, served
from mica_oidc.keycache import INTERVAL

ADDRESS = "Alice.Ames@harbour.example"
#: What follows from the address: the account, the local part, and the whole; and what a rule says of her group.
PRINCIPALS = ["aliceames", "Alice.Ames", ADDRESS, "deploy"]
OUTSIDE = "token's email is not in a domain that is let in"


@pytest.fixture(scope="module")
def service(ca: TestCA, provider: OpenIDProvider) -> Iterator[Service]:
    provider.come(signing_key("first", "RS256"))
    with served(ca, workers=1) as running:
        yield running


@pytest.fixture(scope="module", autouse=True)
def asked_at(service: Service) -> float:
    """When the CA had asked for the provider's keys."""
    return time.monotonic()


@pytest.fixture
def desk(service: Service, ca: TestCA, provider: OpenIDProvider, tmp_path: Path) -> Desk:
    return Desk.furnish(tmp_path, ca, provider)


def changed(url: str, **parameters: str | None) -> str:
    """``url`` with other parameters; None leaves one out."""
    query = dict(parse_qsl(urlsplit(url).query)) | parameters
    return urlsplit(url)._replace(query=urlencode({name: text for name, text in query.items() if text})).geturl()


def principals(listing: str) -> list[str]:
    """Those that ``ssh-keygen -L`` lists."""
    return re.sub(r"(?s).*Principals:(.*)Critical Options:.*", r"\1", listing).split()


def test_a_login_in_the_browser_gives_a_certificate_for_the_address(
    desk: Desk, browser: Browser, ca: TestCA, tool: Callable[[str], str]
) -> None:
    with desk.order("ca", "certificate", ADDRESS, "alice.crt", "alice.key") as run:
        browser.sign_in(run.url(), ALICE)
        browser.read("Signed in")
        run.end()
    printed = desk.ask(tool("openssl"), "x509", "-in", "alice.crt", "-noout", "-subject", "-ext", "subjectAltName")
    assert printed.splitlines()[-1].split(", ") == [
        f"    email:{ADDRESS}", f"URI:{desk.provider.issuer}#{ALICE}",
    ]  # fmt: skip
    assert f"CN = {ALICE}" in printed or f"CN={ALICE}" in printed
    root = ca.directory / "certs/root_ca.crt"
    assert "OK" in desk.ask(tool("openssl"), "verify", "-CAfile", root, "-untrusted", "alice.crt", "alice.crt")


def test_a_code_that_is_typed_elsewhere_gives_the_same_certificate(
    desk: Desk, browser: Browser, tool: Callable[[str], str]
) -> None:
    with desk.order("ca", "certificate", ADDRESS, "alice.crt", "alice.key", "--console") as run:
        browser.enter_code(*run.invitation())
        browser.confirm()
        browser.log_in(ALICE)
        browser.consent()
        browser.read("Sign-in Success")
        run.end()
    printed = desk.ask(tool("openssl"), "x509", "-in", "alice.crt", "-noout", "-ext", "subjectAltName")
    assert f"email:{ADDRESS}, URI:{desk.provider.issuer}#{ALICE}\n" in printed


def test_an_ssh_certificate_has_the_principals_of_the_address_and_of_the_group(
    desk: Desk, browser: Browser, tool: Callable[[str], str]
) -> None:
    flags = ("--no-password", "--insecure", "--no-agent")
    with desk.order("ssh", "certificate", ADDRESS, "id", *flags) as run:
        browser.sign_in(run.url(), ALICE)
        run.end()
    listing = desk.ask(tool("ssh-keygen"), "-L", "-f", "id-cert.pub")
    assert "user certificate" in listing and f'Key ID: "{ADDRESS}"' in listing
    assert principals(listing) == PRINCIPALS


def test_ssh_login_puts_such_a_certificate_into_the_agent(
    desk: Desk, browser: Browser, tool: Callable[[str], str]
) -> None:
    with ssh_agent() as agent:
        with desk.order("ssh", "login", ADDRESS, **agent.environment) as run:
            browser.sign_in(run.url(), ALICE)
            run.end()
        (held,) = [line for line in agent.lines() if "-cert-" in line]
    listing = desk.ask(tool("ssh-keygen"), "-L", "-f", "-", input=held)
    assert principals(listing) == PRINCIPALS


def test_another_library_verifies_the_token_by_the_keys_that_the_provider_serves(desk: Desk, browser: Browser) -> None:
    with desk.oauth() as run:
        url = run.url()
        browser.sign_in(url, ALICE)
        token = run.end().split()[-1]
    keys = jwt.PyJWKClient(f"{desk.provider.issuer}/jwks", ssl_context=desk.provider.trust)
    key = keys.get_signing_key_from_jwt(token)
    claims = jwt.decode(token, key, ["RS256"], audience=CLIENT_ID, issuer=desk.provider.issuer)
    assert (claims["sub"], claims["email"]) == (ALICE, USERS[ALICE]["email"])
    assert claims["nonce"] == dict(parse_qsl(urlsplit(url).query))["nonce"]


def test_whoever_is_logged_in_with_the_provider_need_only_consent(desk: Desk, browser: Browser) -> None:
    with desk.oauth() as run:
        browser.sign_in(run.url(), ALICE)
        first = run.end().split()[-1]
    with desk.oauth() as run:
        browser.open(run.url())
        browser.consent()
        assert run.end().split()[-1] != first


def test_the_provider_takes_no_request_without_a_code_challenge(desk: Desk, browser: Browser) -> None:
    with desk.oauth() as run:
        browser.forget()
        browser.open(changed(run.url(), code_challenge=None, code_challenge_method=None))
        browser.read("Not signed in")
        assert "invalid_request" in run.end(1)


def test_an_answer_with_another_state_is_none_and_the_right_one_still_counts(desk: Desk, browser: Browser) -> None:
    with desk.oauth() as run:
        url = run.url()
        browser.sign_in(changed(url, state=secrets.token_hex(32)), MALLORY)
        browser.read("no answer to the sign-in that mica waits for")
        browser.sign_in(url, ALICE)
        assert jwt.decode(run.end().split()[-1], options={"verify_signature": False})["sub"] == ALICE


def test_a_code_of_another_session_cannot_be_slipped_in(desk: Desk, browser: Browser) -> None:
    with desk.oauth() as run:
        # Who has seen the state of this sign-in has a code made for a verifier of their own.
        browser.sign_in(changed(run.url(), code_challenge=secrets.token_urlsafe(32)), MALLORY)
        said = run.end(1)
    assert "the identity provider refused: invalid_grant" in said and "eyJ" not in said


def test_a_token_of_another_session_is_refused_by_its_nonce(desk: Desk, browser: Browser) -> None:
    with desk.oauth() as run:
        browser.sign_in(changed(run.url(), nonce=secrets.token_hex(32)), MALLORY)
        said = run.end(1)
    assert "its nonce is not this one's" in said and "eyJ" not in said


def test_who_says_no_on_the_consent_page_ends_the_command(desk: Desk, browser: Browser) -> None:
    with desk.order("ca", "certificate", ADDRESS, "alice.crt", "alice.key") as run:
        browser.forget()
        browser.open(run.url())
        browser.log_in(ALICE)
        browser.deny()
        browser.read("Not signed in")
        said = run.end(1)
    assert "the identity provider refused: access_denied: End-User aborted interaction" in said
    assert "somebody said no" in said
    assert not (desk.folder / "alice.crt").exists() and not (desk.folder / "alice.key").exists()


def test_who_does_not_let_the_device_in_ends_the_command(desk: Desk, browser: Browser) -> None:
    with desk.order("ca", "certificate", ADDRESS, "alice.crt", "alice.key", "--console") as run:
        browser.enter_code(*run.invitation())
        browser.abort()
        said = run.end(1)
    assert "the identity provider refused: access_denied" in said and "somebody said no" in said
    assert not (desk.folder / "alice.crt").exists()


def test_who_is_of_no_domain_that_is_let_in_gets_nothing(desk: Desk, browser: Browser, service: Service) -> None:
    with desk.order("ca", "certificate", ADDRESS, "mallory.crt", "mallory.key") as run:
        browser.sign_in(run.url(), MALLORY)
        assert OUTSIDE in run.end(RefusedByCA.exit_code)
    with desk.order("ssh", "certificate", ADDRESS, "id", "--no-password", "--insecure", "--no-agent") as run:
        browser.open(run.url())
        browser.consent()
        assert OUTSIDE in run.end(RefusedByCA.exit_code)
    assert not [*desk.folder.glob("mallory*"), *desk.folder.glob("id*")]
    assert service.log.read_text().count(OUTSIDE) == 2


def test_a_provider_that_changes_its_keys_is_believed_and_its_old_ones_are_not(
    desk: Desk, browser: Browser, service: Service, provider: OpenIDProvider, asked_at: float
) -> None:
    with desk.oauth() as run:
        browser.sign_in(run.url(), ALICE)
        old = run.end().split()[-1]
    provider.come(signing_key("second", "ES256"))
    # The CA asks for keys when a token names one that it does not know, but not so soon after it has asked.
    time.sleep(max(0.0, asked_at + INTERVAL.total_seconds() + 1 - time.monotonic()))
    with desk.order("ca", "certificate", ADDRESS, "new.crt", "new.key") as run:
        browser.sign_in(run.url(), ALICE)
        run.end()
    with desk.type("ca", "certificate", ADDRESS, "old.crt", "old.key", "--token", old) as run:
        run.end(RefusedByCA.exit_code)
    assert not (desk.folder / "old.crt").exists()
    assert "token is not signed with a key of the provider" in service.log.read_text()


def test_a_provider_that_keeps_addresses_out_of_tokens_is_asked_for_them_by_name(
    desk: Desk, browser: Browser, provider: OpenIDProvider
) -> None:
    provider.come(signing_key("strict", "ES256"), strict=True)
    tokens = []
    for flags in ((), ("--auth-param", 'claims={"id_token":{"email":null}}')):
        with desk.oauth(*flags) as run:
            browser.sign_in(run.url(), ALICE)
            tokens.append(jwt.decode(run.end().split()[-1], options={"verify_signature": False}))
    assert [token.get("email") for token in tokens] == [None, ADDRESS]
