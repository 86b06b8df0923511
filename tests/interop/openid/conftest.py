"""The provider, a browser, and a CA that believes the one and is asked by means of the other."""

import os
from collections.abc import Callable, Iterator

import pytest
from tests.interop.openid.chromium import Browser, chromium
from tests.interop.openid.identityprovider import CLIENT_ID, FOLDER, OpenIDProvider

from mica.testing.ca import TestCA
from mica.testing.plugins import append, enable
from mica.testing.service import free_port

CORP = """
[[provisioners]]
type = "oidc"
name = "corp"
client_id = "{client_id}"
configuration_endpoint = "{issuer}"
roots = "{root}"
domains = ["harbour.example"]
claims = {{ enable_ssh_ca = true }}

[[provisioners.map]]
when = {{ groups = ["ops"] }}
principals = ["deploy"]
"""


@pytest.fixture(scope="module")
def provider(tool: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenIDProvider]:
    """A provider that is not there yet; it has left afterwards."""
    node = tool("node")
    if not (FOLDER / "node_modules/oidc-provider").is_dir():
        absent = "oidc-provider is not installed: run npm install in tests/interop/openid, or make test"
        (pytest.fail if os.environ.get("MICA_REQUIRE_ALL") else pytest.skip)(absent)
    running = OpenIDProvider(node, tmp_path_factory.mktemp("openid"))
    try:
        yield running
    finally:
        running.leave()


@pytest.fixture(scope="module")
def browser(
    tool: Callable[[str], str], provider: OpenIDProvider, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Browser]:
    """A Chromium that believes the provider."""
    profile = tmp_path_factory.mktemp("chromium")
    chrome, driver, setpriv = (tool(name) for name in ("chromium", "chromedriver", "setpriv"))
    with chromium(chrome, driver, setpriv, profile, provider.public_key_digest) as running:
        yield running


@pytest.fixture(scope="module")
def ca(provider: OpenIDProvider, tmp_path_factory: pytest.TempPathFactory) -> TestCA:
    """A CA with SSH that lets in whoever the provider knows at harbour.example."""
    made = TestCA.found(tmp_path_factory.mktemp("ca"), port=free_port(), ssh=True)
    enable(made, "oidc")
    append(made, CORP.format(client_id=CLIENT_ID, issuer=provider.issuer, root=provider.root))
    return made
