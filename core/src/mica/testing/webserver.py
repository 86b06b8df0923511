"""An HTTPS server on loopback whose answers a test writes: slow, huge, lying, or good."""

import ipaddress
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from mica.clock import system_clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a path answers."""

    body: bytes | Callable[[], Iterable[bytes]] = b""
    """The octets, or what makes them piece by piece, perhaps for ever."""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    pause: float = 0.0
    """Seconds before the answer begins."""


@dataclass(slots=True)
class WebServer:
    """A server that runs; ``replies`` may be changed while it does."""

    scheme: str
    port: int
    roots: Path
    """The PEM file of what its certificate is verified with."""
    replies: dict[str, Reply] = field(default_factory=dict)
    requests: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)
    """Path and header fields, lower case, of each request, in order."""

    @property
    def url(self) -> str:
        """Its address by the name ``localhost``, without a trailing slash."""
        return f"{self.scheme}://localhost:{self.port}"

    def asked(self, path: str) -> int:
        """How many requests there were for ``path``."""
        return sum(asked == path for asked, _ in self.requests)


@contextmanager
def web_server(
    folder: Path, names: Iterable[str] = ("localhost", "127.0.0.1"), tls: bool = True
) -> Iterator[WebServer]:
    """A server whose certificate has ``names``, its files in ``folder``; it is gone afterwards."""
    listener = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    listener.daemon_threads = True
    listener.handle_error = lambda request, client_address: None  # type: ignore[method-assign]  # clients hang up
    certificate = _certificate(folder, tuple(names))
    server = WebServer("https" if tls else "http", listener.server_port, certificate)
    listener.RequestHandlerClass = _handler(server)
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, folder / "server.key")
        # The handshake belongs to the connection's thread: a client that does not finish it must not stop the others.
        listener.socket = context.wrap_socket(listener.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=listener.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listener.shutdown()
        thread.join()
        listener.socket.close()


def _handler(server: WebServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.requests.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
            reply = server.replies.get(self.path, Reply(status=404))
            time.sleep(reply.pause)
            pieces = [reply.body] if isinstance(reply.body, bytes) else reply.body()
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            with suppress(OSError):  # the client has had enough
                self.end_headers()
                for piece in pieces:
                    self.wfile.write(piece)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: a test reads ``requests``."""

    return Handler


def _certificate(folder: Path, names: tuple[str, ...]) -> Path:
    """A certificate that signs itself, and its key beside it; the file is also what verifies it."""
    key, now = ec.generate_private_key(ec.SECP256R1()), system_clock()
    alternatives = [_alternative(name) for name in names]
    builder = x509.CertificateBuilder(
        issuer_name=x509.Name([]),
        subject_name=x509.Name([]),
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now - timedelta(minutes=1),
        not_valid_after=now + timedelta(days=1),
    ).add_extension(x509.SubjectAlternativeName(alternatives), critical=True)
    pem = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    (folder / "server.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (folder / "server.crt").write_bytes(pem)
    return folder / "server.crt"


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
