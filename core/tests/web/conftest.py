"""A certificate authority in a folder, and the service that serves it, as an operator would run it."""

import base64
import contextlib
import http.client
import json
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

SERVE = """
import json, sys
from pathlib import Path
from mica.web.supervisor import serve
from mica.web.timing import Timing
timing = Timing(**json.loads(sys.argv[3]))
sys.exit(serve(Path(sys.argv[1]), workers=int(sys.argv[2]), log_format="json", timing=timing))
"""
CONFIG = """\
url = "https://localhost"
address = "127.0.0.1:0"
dns_names = ["localhost", "127.0.0.1"]
plugins = ["x509signer", "filekeys", "jwk", "storage_sqlite"{plugins}]

[store]
type = "storage_sqlite"
path = "db/mica.db"

[signers.x509]
type = "x509signer"
roots = ["root.crt"]
certificate = "intermediate.crt"
key = "file:intermediate.key"
"""
PROVISIONER = """
[[provisioners]]
type = "jwk"
name = "{name}"
key = {{ kty = "EC", crv = "P-256", x = "{x}", y = "{y}", kid = "{kid}", use = "sig", alg = "ES256" }}
encrypted_key = "{jwe}"
"""
#: A policy that stands still, dawdles or dies, as the name in the certificate asks. A plugin like a stranger's.
POLICY = """
import os, time, asyncio
from mica import hookimpl

@hookimpl
async def refuse_x509(request, tbs, grant):
    if "hang.example" in grant.subject:
        time.sleep(600)
    if "slow.example" in grant.subject:
        await asyncio.sleep(1.5)
    if "die.example" in grant.subject:
        os._exit(9)
    if "raise.example" in grant.subject:
        raise RuntimeError("the plugin's own secret")
    return "forbidden\\nby policy" if "forbidden.example" in grant.subject else None
"""


def write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.chmod(0o600)


def certificate(
    name: str, key: ec.EllipticCurvePrivateKey, issuer: tuple[x509.Name, ec.EllipticCurvePrivateKey] | None = None
) -> x509.Certificate:
    """A CA certificate, made by pyca."""
    now = datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    issuer_name, issuer_key = issuer or (subject, key)
    usage = dict.fromkeys(
        (
            "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
            "encipher_only", "decipher_only",
        ),
        False,
    )  # fmt: skip
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer_name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0 if issuer else 1), critical=True)
        .add_extension(x509.KeyUsage(key_cert_sign=True, crl_sign=True, **usage), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if issuer:
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
        builder = builder.add_extension(identifier, critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def coordinate(value: int) -> str:
    return base64.urlsafe_b64encode(value.to_bytes(32, "big")).rstrip(b"=").decode()


@dataclass
class Folder:
    """A CA's folder: root, intermediate, keys, ``ca.toml``."""

    path: Path
    keys: dict[str, ec.EllipticCurvePrivateKey] = field(default_factory=dict)
    names: tuple[str, ...] = ("admin",)
    plugins: tuple[str, ...] = ()
    jwe: str = "eyJhbGciOiJQQkVTMi1IUzI1NitBMTI4S1cifQ.a.b.c.d"

    def make(self) -> "Folder":
        root_key, issuing_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        root = certificate("Test Root", root_key)
        issuing = certificate("Test Intermediate", issuing_key, (root.subject, root_key))
        (self.path / "root.crt").write_bytes(root.public_bytes(Encoding.PEM))
        (self.path / "intermediate.crt").write_bytes(issuing.public_bytes(Encoding.PEM))
        write_key(self.path / "intermediate.key", issuing_key)
        (self.path / "db").mkdir()
        self.configure()
        return self

    @property
    def config(self) -> Path:
        return self.path / "ca.toml"

    @property
    def root(self) -> Path:
        return self.path / "root.crt"

    @property
    def fingerprint(self) -> str:
        return x509.load_pem_x509_certificate(self.root.read_bytes()).fingerprint(hashes.SHA256()).hex()

    def configure(self, *names: str) -> None:
        """``ca.toml`` has these provisioners."""
        self.names = names or self.names
        text = CONFIG.format(plugins="".join(f', "{name}"' for name in self.plugins))
        for name in self.names:
            numbers = self.key(name).public_key().public_numbers()
            text += PROVISIONER.format(
                name=name, x=coordinate(numbers.x), y=coordinate(numbers.y), kid=f"{name}-kid", jwe=self.jwe
            )
        self.config.write_text(text)

    def key(self, name: str) -> ec.EllipticCurvePrivateKey:
        """The key of the provisioner of that name."""
        return self.keys.setdefault(name, ec.generate_private_key(ec.SECP256R1()))

    def token(self, subject: str, *, path: str = "/1.0/sign", provisioner: str = "admin", **claims: Any) -> str:
        """A token as step makes it, by PyJWT."""
        now = int(time.time())
        payload = {
            "iss": provisioner, "sub": subject, "aud": f"https://localhost{path}", "iat": now, "nbf": now,
            "exp": now + 300, "jti": uuid4().hex, **claims,
        }  # fmt: skip
        return jwt.encode(payload, self.key(provisioner), algorithm="ES256", headers={"kid": f"{provisioner}-kid"})

    def request(self, name: str, key: ec.EllipticCurvePrivateKey | None = None, **members: Any) -> dict[str, Any]:
        """The body of ``/sign`` for ``name``."""
        return {"csr": csr(name, key or ec.generate_private_key(ec.SECP256R1())), "ott": self.token(name), **members}


def csr(name: str, key: ec.EllipticCurvePrivateKey) -> str:
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)] if name else [])
    )
    if name:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


@dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Service:
    """``serve`` in a process of its own."""

    folder: Folder
    process: subprocess.Popen[bytes]
    log: Path
    port: int = 0

    def lines(self, message: str = "") -> list[dict[str, Any]]:
        """What it has logged so far, with this message or any; what is not JSON has ``raw``."""
        found = []
        for line in self.log.read_text().splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                found.append({"message": "", "raw": line})
        return [line for line in found if not message or line["message"] == message]

    def wait(self, what: Callable[[], Any], seconds: float = 30) -> Any:
        """The first true answer of ``what``."""
        end = time.monotonic() + seconds
        while not (answer := what()):
            assert time.monotonic() < end, self.log.read_text()[-5000:]
            time.sleep(0.02)
        return answer

    def workers(self) -> set[int]:
        """The process ids of its workers, running ones."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return {int(pid) for pid in children}

    def started(self) -> "Service":
        serving = self.wait(lambda: self.process.poll() is not None or self.lines("serving"))
        assert serving is not True, self.log.read_text()
        self.port = int(serving[0]["addresses"][0].rpartition(":")[2])
        return self

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def context(self, identity: Path | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.folder.root))
        if identity:
            context.load_cert_chain(identity)
        return context

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        identity: Path | None = None,
        headers: dict[str, str] | None = None,
        timeout: float = 30,
    ) -> Answer:
        """One request on a connection of its own; ``body`` is sent as JSON unless it is bytes."""
        connection = http.client.HTTPSConnection(
            "localhost", self.port, timeout=timeout, context=self.context(identity)
        )
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        with contextlib.closing(connection):
            connection.request(method, path, data, headers or {})
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())

    def issue(self, name: str, folder: Path) -> Path:
        """A certificate for ``name`` with its key, in one file."""
        key = ec.generate_private_key(ec.SECP256R1())
        answer = self.ask("POST", "/sign", self.folder.request(name, key))
        assert answer.status == 201, answer
        path = folder / f"{name}-{uuid4().hex}.pem"
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        path.write_text("".join(answer.json["certChain"]) + pem)
        return path


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the path of imports with the distribution of the policy in it, as pip would install it."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "stranger_policy.py").write_text(POLICY)
    info = folder / "stranger_policy-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger-policy\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[mica]\nstranger = stranger_policy\n")
    return folder


@pytest.fixture(scope="module")
def launch(tmp_path_factory: pytest.TempPathFactory, stranger: Path) -> Iterator[Callable[..., Service]]:
    """Starts services; all of them are gone afterwards."""
    services = []

    def start(folder: Folder, *, workers: int = 2, notify: str = "", **timing: float) -> Service:
        log = tmp_path_factory.mktemp("log") / "log"
        environment = {**os.environ, "PYTHONPATH": str(stranger)}
        environment["NOTIFY_SOCKET"] = notify
        command = [sys.executable, "-c", SERVE, str(folder.config), str(workers), json.dumps(timing)]
        with log.open("wb") as file:
            process = subprocess.Popen(command, stderr=file, env=environment)
        services.append(Service(folder, process, log))
        return services[-1]

    yield start
    for service in services:
        if service.process.poll() is None:
            service.process.kill()
        service.process.wait()


@pytest.fixture(scope="module")
def make_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Folder]:
    """Makes CA folders."""
    return lambda **settings: Folder(tmp_path_factory.mktemp("ca"), **settings).make()


@pytest.fixture(scope="session")
def make_csr() -> Callable[[str, ec.EllipticCurvePrivateKey], str]:
    """Makes certificate requests: PEM, for a name and a key."""
    return csr
