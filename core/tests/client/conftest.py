"""A server that speaks TLS and answers as it is told, so that the client meets what real CAs and networks do."""

import ipaddress
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from mica.client import Client, Identity

NOW = datetime.now(UTC)
DAY = timedelta(days=1)


@dataclass
class Authority:
    """A root that signs leaves."""

    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    certificate: x509.Certificate = field(init=False)

    def __post_init__(self) -> None:
        self.certificate = self._sign("root", self.key.public_key(), NOW - 9 * DAY, NOW + 9 * DAY, ca=True)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    def leaf(
        self, *, address: str = "127.0.0.1", begin: datetime = NOW - DAY, end: datetime = NOW + DAY
    ) -> tuple[bytes, bytes]:
        """A certificate for ``address`` and its key, both PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.IPAddress(ipaddress.ip_address(address)), x509.DNSName("localhost")]
        certificate = self._sign("leaf", key.public_key(), begin, end, names=names)
        return certificate.public_bytes(Encoding.PEM), key.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        )

    def _sign(
        self,
        name: str,
        key: ec.EllipticCurvePublicKey,
        begin: datetime,
        end: datetime,
        *,
        ca: bool = False,
        names: list[x509.GeneralName] | None = None,
    ) -> x509.Certificate:
        issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "root")])
        builder = x509.CertificateBuilder(
            issuer, x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key, 4711, begin, end
        ).add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self.key, hashes.SHA256())


@dataclass
class Asked:
    """One request, as the server saw it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    client_certificate: bytes | None

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Told:
    """What the server is to answer."""

    status: int = 200
    body: Any = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})


Script = Callable[[Asked], Told]


@dataclass
class Server:
    """A running server; ``script`` makes its answers and may be changed."""

    authority: Authority
    port: int
    host: str = "127.0.0.1"
    asked: list[Asked] = field(default_factory=list)
    script: Script = lambda asked: Told()

    @property
    def url(self) -> str:
        return f"https://[{self.host}]:{self.port}" if ":" in self.host else f"https://{self.host}:{self.port}"

    def client(self, **options: Any) -> Client:
        return Client(self.url, self.authority.pem, **options)


def _handler(server: list[Server]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            connection = self.connection
            assert isinstance(connection, ssl.SSLSocket)
            asked = Asked(
                method=self.command,
                path=self.path,
                headers=dict(self.headers),
                body=self.rfile.read(int(self.headers.get("Content-Length", 0))),
                client_certificate=connection.getpeercert(binary_form=True),
            )
            server[0].asked.append(asked)
            told = server[0].script(asked)
            body = told.body if isinstance(told.body, bytes) else json.dumps(told.body).encode()
            self.send_response_only(told.status)
            for name, value in {"Content-Length": str(len(body)), **told.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = answer

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


class _Quiet(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that go away in the middle are what is tested."""


class _QuietV6(_Quiet):
    address_family = socket.AF_INET6


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts servers; all of them are gone afterwards."""
    running: list[ThreadingHTTPServer] = []

    def start(
        authority: Authority | None = None,
        *,
        host: str = "127.0.0.1",
        leaf: tuple[bytes, bytes] | None = None,
        clients: Authority | None = None,
        script: Script = lambda asked: Told(),
    ) -> Server:
        authority = authority or Authority()
        holder: list[Server] = []
        listener = (_QuietV6 if ":" in host else _Quiet)((host, 0), _handler(holder))
        certificate, key = leaf or authority.leaf(address=host)
        file = tmp_path / f"server{len(running)}.pem"
        file.write_bytes(certificate + key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        if clients is not None:
            context.verify_mode = ssl.CERT_OPTIONAL
            context.load_verify_locations(cadata=clients.pem.decode())
        listener.socket = context.wrap_socket(listener.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=listener.serve_forever, args=(0.01,), daemon=True).start()
        running.append(listener)
        holder.append(Server(authority, listener.server_address[1], host, script=script))
        return holder[0]

    yield start
    for listener in running:
        listener.shutdown()
        listener.server_close()


@pytest.fixture
def make_authority() -> Callable[[], Authority]:
    return Authority


@pytest.fixture
def make_identity() -> Callable[..., Identity]:
    def make(authority: Authority, **times: datetime) -> Identity:
        certificate, key = authority.leaf(**times)
        return Identity(certificates=certificate, key=key)

    return make


@pytest.fixture
def told() -> type[Told]:
    return Told
