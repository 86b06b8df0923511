"""docs/oidc.md: its tables are taken, and its recipes give certificates to tokens that are shaped like the real ones.

The providers of the page are replaced by one on loopback, and its folders by the test's; the scripts run as they stand.
"""

import json
import os
import re
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mica.clock import system_clock
from mica.testing.ca import TestCA
from mica.testing.makers import ABSENT
from mica.testing.openid import KEYS, OpenIDProvider, openid_provider
from mica.testing.plugins import append, enable
from mica.testing.service import Service, free_port, served
from mica.testing.webserver import Reply, web_server

PAGE = (Path(__file__).parents[1] / "docs/oidc.md").read_text()
TABLES = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
AUDIENCE = "harbour-ca"
NOBODY = {"email": ABSENT, "email_verified": ABSENT, "nonce": ABSENT, "aud": AUDIENCE}
#: As https://token.actions.githubusercontent.com makes them.
GITHUB = {
    **NOBODY,
    "sub": "repo:harbour/web:environment:production",
    "jti": "example-id",
    "ref": "refs/heads/main",
    "repository": "harbour/web",
    "repository_owner": "harbour",
    "repository_owner_id": "4711",
    "environment": "production",
    "event_name": "push",
    "job_workflow_ref": "harbour/web/.github/workflows/deploy.yml@refs/heads/main",
}
#: As the API server makes them for a pod's projected volume.
KUBERNETES = {
    **NOBODY,
    "iss": "https://kubernetes.default.svc.cluster.local",
    "aud": [AUDIENCE],
    "sub": "system:serviceaccount:billing:invoices",
    "kubernetes.io": {"namespace": "billing", "serviceaccount": {"name": "invoices", "uid": "8f2a"}},
}


def table(name: str) -> str:
    """The page's last table of that provisioner."""
    return str(next(text for text in reversed(TABLES) if f'name = "{name}"' in text))


def script(beginning: str) -> str:
    """The block scalar of YAML that begins so: its lines, up to the first that stands further left."""
    found = re.search(rf" \|\n(?P<lines>(?P<indent> +){re.escape(beginning)}.*\n(?:(?P=indent).*\n)*)", PAGE)
    assert found, beginning
    return textwrap.dedent(found["lines"])


@dataclass(frozen=True, slots=True)
class World:
    """A CA with the page's provisioners for workloads, a provider whose tokens it takes, and somebody's machine."""

    service: Service
    provider: OpenIDProvider
    folder: Path

    def token(self, claims: Mapping[str, Any]) -> str:
        return self.provider.maker(system_clock(), **claims).good()

    def run(self, command: list[str], **environment: str) -> "subprocess.CompletedProcess[str]":
        """``command`` has been run where nothing is known but what ``environment`` says."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("MICA")} | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "MICAPATH": str(self.folder / "home"),
            "MICA_NON_INTERACTIVE": "1",
        }
        return subprocess.run(
            command, cwd=self.folder, env=clean | environment, capture_output=True, text=True, timeout=60, check=False
        )


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, OpenIDProvider]]:
    folder = tmp_path_factory.mktemp("oidc")
    with openid_provider(folder) as provider:
        url = provider.server.url
        provider.server.replies["/openid/v1/jwks"] = provider.server.replies[KEYS]
        github = table("github").replace("https://token.actions.githubusercontent.com", url)
        cluster = table("cluster").replace("https://kubernetes.default.svc/openid", f"{url}/openid")
        roots = f'roots = "{provider.server.roots}"\n'
        ca = TestCA.found(folder / "ca", port=free_port(), ssh=True)
        enable(ca, "oidc")
        github = github.replace("[provisioners.claims]\n", "[provisioners.claims]\nenable_ssh_ca = true\n")
        append(ca, github.replace("\n\n", f"\n{roots}\n", 1))
        append(ca, "\n" + re.sub(r"^roots = .*\n", roots, cluster, flags=re.MULTILINE))
        with served(ca, workers=1) as service:
            yield service, provider


@pytest.fixture
def world(running: tuple[Service, OpenIDProvider], tmp_path: Path) -> World:
    return World(*running, tmp_path)


def alternatives(certificate: Path) -> str:
    """Its SANs, as openssl writes them."""
    command = ["openssl", "x509", "-in", str(certificate), "-noout", "-ext", "subjectAltName"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1].strip()


def deploy(world: World, tool: Callable[[str], str], **claims: Any) -> "subprocess.CompletedProcess[str]":
    """The workflow's step has run in a job whose tokens have ``claims``; its request was one that GitHub answers."""
    tool("curl")
    tool("jq")
    path = f"/idtoken?api-version=2.0&audience={AUDIENCE}"
    with web_server(world.folder, tls=False) as server:  # curl does not take the certificates of these servers
        server.replies[path] = Reply(body=json.dumps({"value": world.token({**GITHUB, **claims})}).encode())
        done = world.run(
            ["bash", "-c", script("set -euo pipefail")],
            ACTIONS_ID_TOKEN_REQUEST_URL=f"{server.url}/idtoken?api-version=2.0",
            ACTIONS_ID_TOKEN_REQUEST_TOKEN="of-this-job",
            CA_URL=world.service.ca.url,
            CA_FINGERPRINT=world.service.ca.root_fingerprint,
        )
    ((asked, headers),) = server.requests
    assert (asked, headers["authorization"]) == (path, "bearer of-this-job")
    return done


@pytest.mark.parametrize("index", range(len(TABLES)))
def test_every_table_of_the_page_is_taken(index: int, world: World, tmp_path: Path) -> None:
    ca = TestCA.found(tmp_path / "ca", ssh=True)
    (tmp_path / "ca/certs/cluster-ca.crt").write_bytes(world.service.root_file.read_bytes())
    enable(ca, "oidc")
    append(ca, f"\n{TABLES[index]}")
    done = world.run(["mica", "ca", "check", str(ca.directory / "ca.toml")])
    assert done.returncode == 0, done.stderr


def test_the_command_writes_the_table_that_the_page_shows(world: World, tmp_path: Path) -> None:
    (command,) = re.findall(r"^    (mica ca provisioner add corp(?:.*\\\n)*.*)\n", PAGE, re.MULTILINE)
    ca = TestCA.found(tmp_path / "ca")
    enable(ca, "oidc")
    done = world.run(["bash", "-c", command], MICAPATH=str(ca.directory))
    assert done.returncode == 0, done.stderr
    written = tomllib.loads((ca.directory / "ca.toml").read_text())["provisioners"][-1]
    (shown,) = tomllib.loads(TABLES[0])["provisioners"]
    assert written == shown


def test_the_workflow_gets_a_certificate(world: World, tool: Callable[[str], str]) -> None:
    done = deploy(world, tool)
    assert done.returncode == 0, done.stderr
    assert "DNS:web.harbour.example" in alternatives(world.folder / "web.crt")
    assert done.stdout.count("::add-mask::") == len(done.stdout.splitlines()) == 1


@pytest.mark.parametrize(
    "claims",
    [
        {"repository": "stranger/web"},
        {"repository_owner_id": "4712"},
        {"ref": "refs/heads/mine"},
        {"event_name": "pull_request_target"},
        {"environment": ABSENT},
    ],
    ids=lambda claims: next(iter(claims)),
)
def test_the_workflow_of_anybody_else_gets_none(
    claims: dict[str, Any], world: World, tool: Callable[[str], str]
) -> None:
    done = deploy(world, tool, **claims)
    assert done.returncode == 4, done.stderr
    assert not (world.folder / "web.crt").exists()


def test_the_job_gets_an_ssh_certificate_as_the_page_says(world: World, tool: Callable[[str], str]) -> None:
    tool("ssh-keygen")
    (command,) = re.findall(r"`(mica ssh\scertificate deploy id [^`]*)`", PAGE)
    reach = {"MICA_CA_URL": world.service.ca.url, "MICA_ROOT": str(world.service.root_file)}
    done = world.run(["bash", "-c", command.replace("\n", " ")], **reach, MICA_TOKEN=world.token(GITHUB))
    assert done.returncode == 0, done.stderr
    shown = world.run(["ssh-keygen", "-L", "-f", "id-cert.pub"]).stdout
    assert shown.partition("Principals:")[2].partition("Critical Options:")[0].split() == ["deploy"]


def test_the_pod_gets_a_certificate_once_and_its_sidecar_renews_it(world: World) -> None:
    (world.folder / "token").write_text(world.token(KUBERNETES))
    init = script("if [ -s").replace("/var/run/secrets/mica", str(world.folder)).replace("/certs", str(world.folder))
    reach = {"MICA_CA_URL": world.service.ca.url, "MICA_ROOT": str(world.service.root_file)}
    for _ in range(2):
        done = world.run(["sh", "-euc", init], **reach)
        assert done.returncode == 0, done.stderr
    names = alternatives(world.folder / "tls.crt")
    assert "DNS:invoices.billing.svc.cluster.local" in names
    assert "URI:https://harbour.example/accounts/system:serviceaccount:billing:invoices" in names
    (listed,) = re.findall(r'command: (\["mica", "ca", "renew".*\])', PAGE)
    command = [part.replace("/certs", str(world.folder)) for part in json.loads(listed) if part != "--daemon"]
    before = (world.folder / "tls.crt").read_bytes()
    done = world.run([*command, "--force"], **reach)
    assert done.returncode == 0, done.stderr
    assert (world.folder / "tls.crt").read_bytes() != before


def test_another_service_account_gets_its_own_name_and_no_other(world: World) -> None:
    other = KUBERNETES | {"sub": "system:serviceaccount:billing:reports"}
    there = ("--ca-url", world.service.ca.url, "--root", str(world.service.root_file))
    names = ("invoices.billing.svc.cluster.local", "o.crt", "o.key")
    done = world.run(["mica", "ca", "certificate", *names, *there], MICA_TOKEN=world.token(other))
    assert done.returncode == 0, done.stderr
    assert "DNS:" not in alternatives(world.folder / "o.crt")
    assert "accounts/system:serviceaccount:billing:reports" in alternatives(world.folder / "o.crt")
