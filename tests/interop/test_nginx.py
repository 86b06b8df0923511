"""nginx serves with a certificate of the CA, and asks its clients for one."""

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mica.testing.ca import TestCA
from mica.testing.exchange import Credential, ask, keep, obtain
from mica.testing.service import Service, free_port, served

CONFIGURATION = """\
daemon off;
master_process off;
pid {prefix}/nginx.pid;
error_log {prefix}/error.log info;
events {{}}
http {{
    access_log off;
    client_body_temp_path {prefix}/body;
    proxy_temp_path {prefix}/proxy;
    fastcgi_temp_path {prefix}/fastcgi;
    uwsgi_temp_path {prefix}/uwsgi;
    scgi_temp_path {prefix}/scgi;
    server {{
        listen 127.0.0.1:{port} ssl;
        server_name svc.example;
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        ssl_client_certificate {root};
        ssl_verify_client on;
        ssl_verify_depth 2;
        return 200 "$ssl_client_verify $ssl_client_s_dn";
    }}
}}
"""

Curl = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with served(TestCA.found(tmp_path_factory.mktemp("ca"), port=free_port()), workers=1) as running:
        yield running


@pytest.fixture(scope="module")
def nginx(tool: Callable[[str], str], service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """nginx, with a certificate for ``svc.example``; its port."""
    program = tool("nginx")
    prefix, port = tmp_path_factory.mktemp("nginx"), free_port()
    own = obtain(service, prefix, "svc.example")
    configuration = prefix / "nginx.conf"
    configuration.write_text(
        CONFIGURATION.format(prefix=prefix, port=port, certificate=own.certificate, key=own.key, root=service.root_file)
    )
    command = [program, "-p", str(prefix), "-c", str(configuration), "-e", str(prefix / "error.log")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        _wait_until_it_listens(process, port)
        yield port
    finally:
        process.terminate()
        process.communicate(timeout=20)


def _wait_until_it_listens(process: "subprocess.Popen[bytes]", port: int) -> None:
    listening = f"0100007F:{port:04X}"
    for _ in range(200):
        assert process.poll() is None, process.communicate()[1]
        if listening in Path("/proc/net/tcp").read_text():
            return
        time.sleep(0.05)
    pytest.fail("nginx does not listen")


@pytest.fixture(scope="module")
def curl(tool: Callable[[str], str], service: Service, nginx: int) -> Curl:
    """Asks nginx as ``svc.example``."""
    program = [tool("curl"), "-sS", "--cacert", str(service.root_file), "-w", "\n%{http_code}"]
    target = ["--resolve", f"svc.example:{nginx}:127.0.0.1", f"https://svc.example:{nginx}/"]

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
