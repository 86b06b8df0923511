"""A certified OpenID provider that is away, comes back, and goes again: the CA finds its own way."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jwcrypto.jwk import JWK
from tests.interop.openid.chromium import Browser
from tests.interop.openid.desk import PATIENCE, Desk
from tests.interop.openid.identityprovider import ALICE, USERS, OpenIDProvider, signing_key

from mica.cli.errors import RefusedByCA, Unreachable
from mica.testing.ca import TestCA
from mica.testing.service import Service, served

ADDRESS = USERS[ALICE]["email"]
ORDER = ("ca", "certificate", ADDRESS, "alice.crt", "alice.key")
Listing = Callable[[], dict[str, Any]]


@pytest.fixture(scope="module")
def service(ca: TestCA, provider: OpenIDProvider) -> Iterator[Service]:
    """The CA, which was started before its provider."""
    provider.leave()
    with served(ca, workers=1) as running:
        yield running


@pytest.fixture
def desk(service: Service, ca: TestCA, provider: OpenIDProvider, tmp_path: Path) -> Desk:
    return Desk.furnish(tmp_path, ca, provider)


@pytest.fixture
def corp(desk: Desk, service: Service, tool: Callable[[str], str]) -> Listing:
    """What the CA's list says of the provisioner ``corp``, as curl has it."""

    def fetch() -> dict[str, Any]:
        said = desk.ask(tool("curl"), "-sS", "--cacert", service.root_file, f"{service.ca.url}/provisioners")
        found: dict[str, Any]
        (found,) = [one for one in json.loads(said)["provisioners"] if one["name"] == "corp"]
        return found

    return fetch


@pytest.fixture(scope="module")
def key() -> JWK:
    return signing_key("late", "ES256")


def wait_until_ready(corp: Listing) -> None:
    deadline = time.monotonic() + PATIENCE
    while "state" in corp():
        assert time.monotonic() < deadline, corp()
        time.sleep(0.2)


def addresses(desk: Desk, openssl: str) -> str:
    """Those in the certificate, as openssl prints them."""
    return desk.ask(openssl, "x509", "-in", "alice.crt", "-noout", "-email").strip()


def test_a_provider_that_is_down_when_the_ca_starts_serves_as_soon_as_it_is_up(
    desk: Desk, browser: Browser, provider: OpenIDProvider, key: JWK, corp: Listing, tool: Callable[[str], str]
) -> None:
    assert corp()["state"] == "Uninitialized"
    with desk.order(*ORDER) as run:
        assert "this is the identity provider, not the CA" in run.end(Unreachable.exit_code)
    provider.come(key)
    wait_until_ready(corp)
    with desk.order(*ORDER) as run:
        browser.sign_in(run.url(), ALICE)
        run.end()
    assert addresses(desk, tool("openssl")) == ADDRESS


def test_a_token_that_was_fetched_before_the_provider_went_down_still_counts(
    desk: Desk, browser: Browser, provider: OpenIDProvider, key: JWK, corp: Listing, tool: Callable[[str], str]
) -> None:
    provider.come(key)
    wait_until_ready(corp)
    with desk.oauth() as run:
        browser.sign_in(run.url(), ALICE)
        token = run.end().split()[-1]
    provider.leave()
    with desk.type(*ORDER, "--token", token) as run:
        run.end()
    assert addresses(desk, tool("openssl")) == ADDRESS
    (desk.folder / "alice.crt").unlink()
    with desk.type(*ORDER, "--token", token, "--force") as run:
        run.end(RefusedByCA.exit_code)
    assert not (desk.folder / "alice.crt").exists()
