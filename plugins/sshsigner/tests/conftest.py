"""ssh-keygen, and a CA that serves ``/ssh``."""

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mica.client import sshpoptoken
from mica.clock import system_clock
from mica.keyfiles import PrivateKey, generate
from mica.sshcert import CertType, SSHCertificate
from mica.sshkeys import KeyLine, SSHPublicKey
from mica.testing.ca import TestCA
from mica.testing.exchange import Answer, ask
from mica.testing.keygen import Keygen
from mica.testing.service import Service, free_port, served

EXTENSION = """
[plugin.sshsigner]
user_templates = [{ name = "jump.tpl", type = "file", path = "ssh/jump", file = "jump.conf" }]
host_templates = [{ name = "audit.tpl", type = "snippet", path = "/etc/ssh/audit", file = "audit.conf" }]
federated_user_keys = ["federated_user.pub"]
federated_host_keys = ["federated_host.pub"]
list_hosts = false
bastion = { hostname = "Bastion.example", user = "ops", port = 2222, cmd = "nc %h %p", flags = "-J" }
"""


@dataclass(frozen=True, slots=True)
class SSHService:
    """A served CA, asked as curl would ask it."""

    service: Service

    def get(self, path: str, **headers: str) -> Answer:
        """The answer to ``GET``."""
        return ask(self.service, "GET", path, headers=headers)

    def post(self, path: str, body: object) -> Answer:
        """The answer to ``POST``; ``body`` is JSON unless it is bytes."""
        return ask(self.service, "POST", path, body)

    @property
    def ca(self) -> TestCA:
        """The CA, its clock right."""
        self.service.ca.clock.moment = system_clock()
        return self.service.ca

    def order(self, name: str, cert_type: str = "user", *, key: PrivateKey | None = None, **more: Any) -> Answer:
        """The answer to an order of a certificate whose key id and one principal are ``name``."""
        token = self.ca.ssh_token(name, cert_type, [name])
        body = {"publicKey": encoded(key or generate("Ed25519")), "ott": token, "certType": cert_type}
        return self.post("/ssh/sign", {**body, **more})

    def issue(self, name: str, cert_type: str = "user", *, key: PrivateKey | None = None) -> SSHCertificate:
        """The certificate itself, its signature good."""
        answer = self.order(name, cert_type, key=key)
        assert answer.status == 201, answer
        return decoded(answer)

    def held(self, certificate: SSHCertificate, key: PrivateKey, path: str) -> str:
        """A token by which the holder of ``certificate`` orders what is done at ``path``."""
        ca, serial = self.ca, str(certificate.tbs.serial)
        return sshpoptoken.make(f"{ca.url}/1.0{path}", "sshpop", certificate, key, serial, ca.clock())


def encoded(key: PrivateKey) -> str:
    """The public half in base64, as requests have it."""
    return base64.b64encode(SSHPublicKey.of(key.public_key()).blob).decode()


def decoded(answer: Answer, member: str = "crt") -> SSHCertificate:
    """The certificate in an answer."""
    certificate = SSHCertificate.decode(base64.b64decode(answer.json[member]))
    certificate.check_signature()
    return certificate


def write_certificate(folder: Path, certificate: SSHCertificate) -> Path:
    """The certificate is in a file, as ssh-keygen reads it."""
    path = folder / f"{certificate.tbs.serial}-cert.pub"
    path.write_text(KeyLine(key_type=certificate.tbs.type, blob=certificate.blob).format() + "\n")
    return path


@pytest.fixture
def keygen(tmp_path: Path) -> Keygen:
    """ssh-keygen in a folder of its own."""
    return Keygen(tmp_path)


@pytest.fixture(scope="module")
def ssh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SSHService]:
    """A CA as ``mica ca init --ssh`` makes it, served by one worker."""
    ca = TestCA.found(tmp_path_factory.mktemp("ca"), port=free_port(), ssh=True)
    with served(ca, workers=1) as service:
        yield SSHService(service)


@pytest.fixture(scope="module")
def rotating(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SSHService]:
    """A CA that has further keys, is federated, has a bastion, and does not list its hosts."""
    ca = TestCA.found(tmp_path_factory.mktemp("ca"), port=free_port(), more=EXTENSION, ssh=True)
    for name in ("further_user", "further_host", "federated_user", "federated_host"):
        key = SSHPublicKey.of(generate("Ed25519").public_key())
        line = KeyLine(key_type=key.key_type, blob=key.blob, comment=name).format()
        (ca.directory / f"{name}.pub").write_text(f"{line}\n")
    (ca.directory / "jump.conf").write_text("Host *.${Zone:-example}\n\tProxyJump ${Jump}\n")
    (ca.directory / "audit.conf").write_text("LogLevel VERBOSE\n")
    settings = ca.directory / "ca.toml"
    further = 'further_user_keys = ["further_user.pub"]\nfurther_host_keys = ["further_host.pub"]\n'
    settings.write_text(settings.read_text().replace('type = "sshsigner"\n', f'type = "sshsigner"\n{further}'))
    with served(ca, workers=1) as service:
        yield SSHService(service)


@pytest.fixture(scope="module")
def without(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SSHService]:
    """A CA that has the plugin enabled, and no ``[signers.ssh]``."""
    ca = TestCA.found(tmp_path_factory.mktemp("ca"), port=free_port())
    settings = ca.directory / "ca.toml"
    settings.write_text(settings.read_text().replace('"storage_sqlite"]', '"storage_sqlite", "sshsigner"]'))
    with served(ca, workers=1) as service:
        yield SSHService(service)


def ca_blob(ssh: SSHService, cert_type: CertType) -> bytes:
    """The blob of the CA's public key for this type."""
    return base64.b64decode(ssh.service.ca.ssh_keys[cert_type].line.split()[1])
