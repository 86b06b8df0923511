"""Certificate authorities with SSH, served, and step's client for each."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
)
from tests.interop.stepssh import (
    Go,
    Keygen,
)

from mica.keyfiles import generate
from mica.testing.ca import TestCA
from mica.testing.plugins import add_jwk_provisioner
from mica.testing.service import free_port, served

CLAIMS = """{
    enable_ssh_ca = true, min_user_ssh_cert_duration = "1h", max_user_ssh_cert_duration = "2h",
    default_user_ssh_cert_duration = "90m", min_host_ssh_cert_duration = "1s", max_host_ssh_cert_duration = "48h",
    default_host_ssh_cert_duration = "36h"
}""".replace("\n", "")
LATE = """
[[provisioners]]
type = "sshpop"
name = "late"
claims = { enable_ssh_ca = true, allow_renewal_after_expiry = true }

[[provisioners]]
type = "sshpop"
name = "never"
claims = { enable_ssh_ca = true, disable_renewal = true }

[[provisioners]]
type = "sshpop"
name = "disabled"
"""
DIRECTORY = """
[plugin.sshsigner]
federated_user_keys = ["federated_user.pub"]
federated_host_keys = ["federated_host.pub"]
list_hosts = false
bastion = { hostname = "bastion.example", user = "ops", port = 2222, cmd = "nc %h %p", flags = "-J" }
"""


@pytest.fixture(scope="module")
def provisioners(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TestCA]:
    """A CA as ``step ca init --ssh`` makes it and as it grows, by the provisioner whose key is at hand."""
    ca = TestCA.found(tmp_path_factory.mktemp("ca"), port=free_port(), more=LATE, ssh=True)
    return {
        "admin": ca,
        "tight": add_jwk_provisioner(ca, "tight", CLAIMS),
        "plain": add_jwk_provisioner(ca, "plain"),
        "stubborn": add_jwk_provisioner(ca, "stubborn", "{ enable_ssh_ca = true, disable_renewal = true }"),
    }


@pytest.fixture(scope="module")
def clients(provisioners: dict[str, TestCA]) -> Iterator[dict[str, Go]]:
    with served(provisioners["admin"], workers=1) as service:
        yield {name: Go(service=service, ca=ca, issuer=name) for name, ca in provisioners.items()}


@pytest.fixture(scope="module")
def step(clients: dict[str, Go]) -> Go:
    """step with the provisioner ``admin``."""
    return clients["admin"]


@pytest.fixture(scope="module")
def rotated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Go]:
    """A CA whose keys are being rotated, federated with another, with a bastion, that took over from step-ca."""
    ca = TestCA.found(tmp_path_factory.mktemp("rotated"), port=free_port(), more=DIRECTORY, ssh=True)
    for name in ("further_user", "further_host", "federated_user", "federated_host"):
        public = generate("Ed25519").public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
        (ca.directory / f"{name}.pub").write_bytes(public + f" {name}\n".encode())
    settings = ca.directory / "ca.toml"
    further = 'further_user_keys = ["further_user.pub"]\nfurther_host_keys = ["further_host.pub"]\n'
    more = f'type = "sshsigner"\nrenew_unrecorded = true\n{further}'
    settings.write_text(settings.read_text().replace('type = "sshsigner"\n', more))
    with served(ca, workers=1) as service:
        yield Go(service=service, ca=ca)


@pytest.fixture(scope="module")
def without(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Go, Go]]:
    """A CA that knows nothing of SSH, and one that has the plugin and no keys."""
    bare = TestCA.found(tmp_path_factory.mktemp("bare"), port=free_port())
    keyless = TestCA.found(tmp_path_factory.mktemp("keyless"), port=free_port())
    settings = keyless.directory / "ca.toml"
    settings.write_text(settings.read_text().replace('"storage_sqlite"]', '"storage_sqlite", "sshsigner"]'))
    with ExitStack() as stack:
        first, second = (stack.enter_context(served(ca, workers=1)) for ca in (bare, keyless))
        yield Go(service=first, ca=bare), Go(service=second, ca=keyless)


@pytest.fixture
def keygen(tmp_path: Path, tool: Callable[[str], str]) -> Keygen:
    """What ssh-keygen says, in a folder of its own."""
    program = tool("ssh-keygen")

    def run(*arguments: str | Path) -> str:
        command = [program, *map(str, arguments)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    return run
