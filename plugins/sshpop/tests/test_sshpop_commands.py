"""An operator adds a provisioner of the type SSHPOP, and a host's token from the command line serves at a real CA."""

import base64
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mica.clock import system_clock
from mica.testing.ca import TestCA
from mica.testing.exchange import ask
from mica.testing.service import Service, free_port, served

Run = Callable[..., subprocess.CompletedProcess[bytes]]
Keygen = Callable[..., str]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    ca = TestCA.found(tmp_path_factory.mktemp("ca"), port=free_port(), ssh=True)
    with served(ca, workers=1) as running:
        yield running


@pytest.mark.parametrize("type_", ["SSHPOP", "sshpop"])
def test_a_provisioner_is_added_by_its_type_and_a_name(mica: Run, tmp_path: Path, type_: str) -> None:
    configuration = TestCA.found(tmp_path / "ca", ssh=True).directory / "ca.toml"
    done = mica("ca", "provisioner", "add", "our hosts", "--type", type_, "--ca-config", configuration)
    assert (done.returncode, done.stdout) == (0, b""), done.stderr
    added = tomllib.loads(configuration.read_text())["provisioners"][-1]
    assert {added.pop("name"), added.pop("type")} == {"our hosts", "sshpop"}
    assert added.keys() <= {"claims"}
    checked = mica("ca", "check", configuration)
    assert checked.returncode == 0, checked.stderr
    assert b"our hosts (SSHPOP)" in checked.stdout + checked.stderr


def test_what_makes_a_jwk_is_refused_for_it(mica: Run, tmp_path: Path) -> None:
    configuration = TestCA.found(tmp_path / "ca", ssh=True).directory / "ca.toml"
    before = configuration.read_text()
    done = mica("ca", "provisioner", "add", "hosts", "--type", "SSHPOP", "--create", "--ca-config", configuration)
    assert done.returncode == 2
    assert b"flag '--create' is not for provisioners of the type sshpop" in done.stderr
    assert configuration.read_text() == before


def certified(service: Service, folder: Path, keygen: Keygen) -> str:
    """A host's key is in ``key``, its certificate, by the CA, in ``key-cert.pub``; its serial number."""
    keygen("-q", "-t", "ed25519", "-N", "", "-f", "key")
    service.ca.clock.moment = system_clock()
    key_type, blob, _ = (folder / "key.pub").read_text().split()
    body: dict[str, Any] = {"publicKey": blob, "ott": service.ca.ssh_token("web.example", "host", ["web.example"])}
    answer = ask(service, "POST", "/ssh/sign", body)
    assert answer.status == 201, answer
    (folder / "key-cert.pub").write_text(f"{key_type}-cert-v01@openssh.com {answer.json['crt']} web\n")
    return serial_of(keygen)


def serial_of(keygen: Keygen, file: str = "key-cert.pub") -> str:
    """The serial number, as ssh-keygen reads it."""
    listed = keygen("-L", "-f", file)
    return next(line.split()[1] for line in listed.splitlines() if "Serial:" in line)


def test_a_token_from_the_command_line_renews_and_revokes(
    mica: Run, service: Service, tmp_path: Path, keygen: Keygen
) -> None:
    serial = certified(service, tmp_path, keygen)
    given = ("--sshpop-cert", "key-cert.pub", "--sshpop-key", "key", "--ca-url", service.ca.url)
    made = mica("ca", "token", "--ssh", "--renew", *given, "--root", service.root_file)
    assert made.returncode == 0, made.stderr
    answer = ask(service, "POST", "/ssh/renew", {"ott": made.stdout.decode().strip()})
    assert answer.status == 201, answer
    renewed = base64.b64decode(answer.json["crt"])
    (tmp_path / "new-cert.pub").write_text(f"ssh-ed25519-cert-v01@openssh.com {base64.b64encode(renewed).decode()}\n")
    assert serial_of(keygen, "new-cert.pub") != serial
    assert "web.example" in keygen("-L", "-f", "new-cert.pub")
    made = mica("ca", "token", "--ssh", "--revoke", *given, "--root", service.root_file)
    assert made.returncode == 0, made.stderr
    body = {"ott": made.stdout.decode().strip(), "serial": serial, "passive": True}
    assert ask(service, "POST", "/ssh/revoke", body).json == {"status": "ok"}


def test_another_key_than_the_certificates_makes_no_token(
    mica: Run, service: Service, tmp_path: Path, keygen: Keygen
) -> None:
    certified(service, tmp_path, keygen)
    keygen("-q", "-t", "ed25519", "-N", "", "-f", "other")
    given = ("--sshpop-cert", "key-cert.pub", "--sshpop-key", "other", "--ca-url", service.ca.url)
    made = mica("ca", "token", "--ssh", "--renew", *given, "--root", service.root_file)
    assert (made.returncode, made.stdout) == (5, b"")
    assert b"the private key is not the one that the SSH certificate is for" in made.stderr
