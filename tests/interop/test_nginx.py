"""nginx serves with a certificate of the CA, and asks its clients for one."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.nginx import nginx

from mica.testing.ca import TestCA
from mica.testing.exchange import Credential, ask, keep, obtain
from mica.testing.service import Service, free_port, served

Curl = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with served(TestCA.found(tmp_path_factory.mktemp("ca"), port=free_port()), workers=1) as running:
        yield running


@pytest.fixture(scope="module")
def port(tool: Callable[[str], str], service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Where nginx listens, with a certificate for ``svc.example``."""
    prefix, port = tmp_path_factory.mktemp("nginx"), free_port()
    own = obtain(service, prefix, "svc.example")
    directives = {
        "ssl_certificate": own.certificate,
        "ssl_certificate_key": own.key,
        "ssl_client_certificate": service.root_file,
        "ssl_verify_client": "on",
        "ssl_verify_depth": 2,
        "return": '200 "$ssl_client_verify $ssl_client_s_dn"',
    }
    with nginx(tool("nginx"), prefix, port, directives):
        yield port


@pytest.fixture(scope="module")
def curl(tool: Callable[[str], str], service: Service, port: int) -> Curl:
    """Asks nginx as ``svc.example``."""
    program = [tool("curl"), "-sS", "--cacert", str(service.root_file), "-w", "\n%{http_code}"]
    target = ["--resolve", f"svc.example:{port}:127.0.0.1", f"https://svc.example:{port}/"]

    def run(credential: Credential | None = None) -> "subprocess.CompletedProcess[str]":
        identity = ["--cert", str(credential.certificate), "--key", str(credential.key)] if credential else []
        return subprocess.run([*program, *identity, *target], capture_output=True, text=True, check=False, timeout=30)

    return run


def test_nginx_serves_with_the_certificate_and_knows_a_client_by_its_own(
    curl: Curl, service: Service, tmp_path: Path
) -> None:
    client = obtain(service, tmp_path, "client.example")
    assert curl(client).stdout == "SUCCESS CN=client.example\n200"
    renewed = ask(service, "POST", "/renew", credential=client)
    again = keep(tmp_path, "".join(renewed.json["certChain"]), client.private_key)
    assert curl(again).stdout == "SUCCESS CN=client.example\n200"


def test_nginx_turns_away_who_has_no_certificate(curl: Curl) -> None:
    assert curl().stdout.endswith("\n400")


def test_nginx_turns_away_a_certificate_of_another_ca(curl: Curl, tmp_path: Path) -> None:
    with served(TestCA.found(tmp_path / "other", port=free_port()), workers=1) as other:
        foreign = obtain(other, tmp_path, "client.example")
    assert curl(foreign).stdout.endswith("\n400")
