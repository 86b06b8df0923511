"""Connections: what a client may take of a worker, and who it is. Real sockets, real TLS."""

import asyncio
import contextlib
import http.client
import json
import re
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.requests import ClientDisconnect, Request

from mica.errors import TooLarge
from mica.web.answers import JSON, failure
from mica.web.bodies import read_body
from mica.web.listeners import listen
from mica.web.protocol import LimitedProtocol, Limits, close_overdue
from mica.web.server import TLSServer
from mica.web.tls import load_certificate, server_context

PATIENCE = 1.0
NOW = datetime.now(UTC)


class Impatient(LimitedProtocol):
    limits = Limits(seconds=PATIENCE, connections=1200, handshakes=600)


@dataclass
class Identity:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def write(self, path: Path) -> str:
        pem = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path.write_bytes(self.certificate.public_bytes(Encoding.PEM) + pem)
        return str(path)


def identity(
    name: str,
    issuer: Identity | None = None,
    *,
    usages: tuple[x509.ObjectIdentifier, ...] = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH),
    not_after: timedelta = timedelta(days=1),
) -> Identity:
    """A CA when it has no issuer, else a leaf; made by pyca."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signer = issuer or Identity(None, key)  # type: ignore[arg-type]
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=2))
        .not_valid_after(NOW + not_after)
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(key_usage(ca=issuer is None), critical=True)
    )
    if issuer:
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())
        builder = builder.add_extension(identifier, critical=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False).add_extension(
            x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False
        )
    return Identity(builder.sign(signer.key, hashes.SHA256()), key)


def key_usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        key_cert_sign=ca,
        crl_sign=ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


@dataclass
class Server:
    port: int
    root: str
    client: str
    context: ssl.SSLContext
    ca: Identity
    state: Any

    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.root)

    def connect(self, context: ssl.SSLContext | None = None, **more: Any) -> ssl.SSLSocket:
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        return (context or self.trust()).wrap_socket(plain, server_hostname="localhost", **more)

    def ask(self, path: str = "/", context: ssl.SSLContext | None = None) -> Any:
        connection = http.client.HTTPSConnection("localhost", self.port, timeout=20, context=context or self.trust())
        with contextlib.closing(connection):
            connection.request("GET", path)
            return json.loads(connection.getresponse().read())


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Says who asked and how much was sent."""
    request = Request(scope, receive)
    try:
        body = await read_body(request)
    except TooLarge as error:
        await failure(error)(scope, receive, send)
        return
    except ClientDisconnect:
        return
    chain = scope["extensions"]["tls"]["client_cert_chain"]
    subject = x509.load_der_x509_certificate(chain[0]).subject.rfc4514_string() if chain else None
    names = [name.decode("latin-1") for name, _ in scope["headers"]]
    await JSON({"client": subject, "size": len(body), "headers": names})(scope, receive, send)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("ca")
    ca = identity("Root")
    (folder / "root.pem").write_bytes(ca.certificate.public_bytes(Encoding.PEM))
    leaf = identity("server", ca)
    context = server_context([ca.certificate])
    load_certificate(context, leaf.key, [leaf.certificate.public_bytes(Encoding.DER)])
    listeners = listen("127.0.0.1:0")
    started = threading.Event()
    tls_server = TLSServer(echo, context, drain=5, ready=started.set, protocol=Impatient)

    async def serve() -> None:
        sweeping = asyncio.create_task(close_overdue(tls_server.server_state, interval=0.1))
        await tls_server.serve(listeners)
        sweeping.cancel()

    def main() -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve())

    thread = threading.Thread(target=main)
    port = listeners[0].getsockname()[1]
    thread.start()
    assert started.wait(10)
    client = identity("client", ca).write(folder / "client.pem")
    yield Server(port, str(folder / "root.pem"), client, context, ca, tls_server.server_state)
    tls_server.should_exit = True
    thread.join(20)
    assert not thread.is_alive()


def rest(connection: ssl.SSLSocket) -> bytes:
    """Everything until the server closes the connection."""
    data = b""
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while part := connection.recv(65536):
            data += part
    return data


def status(answer: bytes) -> int:
    match = re.match(rb"HTTP/1.1 (\d{3}) ", answer)
    return int(match[1]) if match else 0


# What a client may send


def test_a_request_is_served_and_the_connection_kept(server: Server) -> None:
    connection = http.client.HTTPSConnection("localhost", server.port, context=server.trust())
    with contextlib.closing(connection):
        for size in (0, 1, 70_000, 1024 * 1024):
            connection.request("POST", "/", b"x" * size)
            assert json.loads(connection.getresponse().read())["size"] == size


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 20_000 + b"\r\n\r\n",
        b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 101 + b"\r\n",
        b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 100_000,
        b"GET / HTTP/1.1\r\nX: " + b"x" * 1_000_000,
    ],
)
def test_a_head_beyond_the_limits_is_answered_431(server: Server, head: bytes) -> None:
    with server.connect() as connection:
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            connection.sendall(head)
        answer = rest(connection)
    assert status(answer) == 431
    assert b"x-request-id: " in answer and json.loads(answer.partition(b"\r\n\r\n")[2])["status"] == 431


def test_a_head_within_the_limits_is_served(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(
            b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 98 + b"y: " + b"z" * 14_000 + b"\r\nconnection: close\r\n\r\n"
        )
        assert status(rest(connection)) == 200


def test_300_mb_of_headers_are_refused_while_another_client_is_served(server: Server) -> None:
    sent = 0
    with server.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n")
        block = b"x: " + b"y" * 65_533 + b"\r\n"
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while sent < 300_000_000:
                connection.sendall(block)
                sent += len(block)
                assert server.ask()["size"] == 0
    assert sent < 20_000_000


def test_trailers_are_no_headers_and_are_limited(server: Server) -> None:
    chunked = b"POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n"
    with server.connect() as connection:
        connection.sendall(chunked + b"Authorization: Bearer x\r\n\r\n")
        answer = rest(connection)
        assert status(answer) == 200 and b"authorization" not in answer
    with server.connect() as connection:
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            connection.sendall(chunked + b"X: " + b"x" * 10_000_000)
        rest(connection)
    assert server.ask()["size"] == 0


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_beyond_the_limit_is_answered_413(server: Server, chunked: bool) -> None:
    command = ["curl", "-sS", "--cacert", server.root, "--data-binary", "@-", "-o", "-", "-w", "\n%{http_code}"]
    command += ["-H", "Transfer-Encoding: chunked"] if chunked else []
    run = subprocess.run(
        [*command, f"https://localhost:{server.port}/"], input=b"x" * 1_500_000, capture_output=True, check=False
    )
    assert run.stdout.endswith(b"\n413"), run


def test_an_endless_body_is_cut_while_another_client_is_served(server: Server) -> None:
    began = time.monotonic()
    with server.connect() as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while time.monotonic() - began < 30:
                for _ in range(100):
                    connection.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
                assert server.ask()["size"] == 0
    assert time.monotonic() - began < 20


def test_many_pipelined_requests_are_refused_and_few_are_served_in_order(server: Server) -> None:
    with server.connect() as connection:
        sizes = range(1, 6)
        requests = [b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%b" % (n, b"x" * n) for n in sizes]
        connection.sendall(b"".join(requests) + b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        assert re.findall(rb'"size":(\d)', rest(connection)) == [b"1", b"2", b"3", b"4", b"5", b"0"]
    with server.connect() as connection:
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            connection.sendall(b"GET / HTTP/1.1\r\n\r\n" * 20_000)
        assert rest(connection).count(b"200 OK") < 100
    assert server.ask()["size"] == 0


@pytest.mark.parametrize(
    "request_",
    [
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -3\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: identity, chunked, x\r\n\r\n",
        b"GET / HTTP/1.1\nHost: h\n\n\x00",
        b"GET / HTTP/9.9\r\n\r\n",
        b"CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: h\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01",
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(server: Server, request_: bytes) -> None:
    with server.connect() as connection:
        connection.sendall(request_)
        assert 400 <= status(rest(connection)) < 500


def test_an_upgrade_is_ignored(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        assert status(rest(connection)) == 200


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.binary(min_size=1, max_size=600)
    | st.builds(
        b"%b %b HTTP/1.1\r\n%b: %b\r\nConnection: close\r\n\r\n%b".__mod__,
        st.tuples(
            st.sampled_from([b"GET", b"POST", b"HEAD", b"PUT", b"BREW"]), *(st.binary(max_size=40) for _ in range(4))
        ),
    )
)
def test_any_octets_are_answered_2xx_or_4xx_or_not_at_all(server: Server, data: bytes) -> None:
    with server.connect() as connection:
        connection.sendall(data)
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_WR)
        assert status(rest(connection)) in (0, *range(200, 300), *range(400, 500))


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(min_size=1, max_size=300))
def test_any_octets_in_place_of_a_handshake_do_no_harm(server: Server, data: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionError):
            while connection.recv(4096):
                pass


# For how long


def overdue(server: Server, first: bytes, drip: bytes = b"") -> bytes:
    """What the server says to a client that begins with ``first`` and then sends ``drip`` now and then."""
    with server.connect() as connection:
        began = time.monotonic()
        connection.sendall(first)
        connection.settimeout(0.2)
        answer = b""
        while time.monotonic() - began < PATIENCE + 5:
            try:
                part = connection.recv(65536)
                answer += part
                if not part:
                    break
            except TimeoutError:
                with contextlib.suppress(ConnectionError, ssl.SSLError):
                    connection.sendall(drip)
            except (ConnectionError, ssl.SSLError):
                break
        assert PATIENCE - 0.3 < time.monotonic() - began < PATIENCE + 2
        return answer


def test_a_slow_head_is_closed_however_it_drips(server: Server) -> None:
    assert status(overdue(server, b"GET / HTTP/1.1\r\n", b"x: y\r\n")) == 408


def test_a_slow_body_is_closed_however_it_drips(server: Server) -> None:
    overdue(server, b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n", b"x")


def test_a_connection_that_says_nothing_is_closed(server: Server) -> None:
    assert overdue(server, b"") == b""


def test_an_idle_connection_is_closed(server: Server) -> None:
    assert status(overdue(server, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")) == 200


def test_a_handshake_that_does_not_go_on_is_closed(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE + 5) as connection:
        connection.sendall(b"\x16\x03\x01")
        began = time.monotonic()
        with contextlib.suppress(ConnectionError):
            assert connection.recv(100) == b""
        assert time.monotonic() - began < PATIENCE + 2


def test_a_client_that_does_not_read_its_answers_is_cut(server: Server) -> None:
    with server.connect() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(PATIENCE + 3)
        with pytest.raises(OSError):
            for _ in range(100_000):
                connection.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n" + b"x: y\r\n" * 90 + b"\r\n")
    assert server.ask()["size"] == 0


@pytest.mark.parametrize("shake_hands", [False, True])
def test_1000_idle_connections_do_not_harm_others(server: Server, shake_hands: bool) -> None:
    """More than may be in their handshake at a time; or fewer than may be open, and then they are idle."""
    trust = server.trust()
    with contextlib.ExitStack() as stack:
        for _ in range(1000):
            plain = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            if shake_hands:
                stack.enter_context(trust.wrap_socket(plain, server_hostname="localhost"))
        began = time.monotonic()
        for _ in range(20):
            assert server.ask()["size"] == 0
        assert time.monotonic() - began < 10


def test_above_the_limit_the_idlest_connection_makes_room(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Impatient, "limits", Limits(connections=5))
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(server.connect()) for _ in range(12)]
        assert server.ask()["size"] == 0
        assert len(server.state.connections) <= 6
        idle[-1].sendall(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        assert status(rest(idle[-1])) == 200


# Who the client is


def client_context(
    server: Server, certificate: str, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
) -> ssl.SSLContext:
    context = server.trust()
    context.load_cert_chain(certificate)
    context.minimum_version = context.maximum_version = version
    return context


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_certificate_is_an_identity(server: Server, version: ssl.TLSVersion) -> None:
    assert server.ask(context=client_context(server, server.client, version))["client"] == "CN=client"
    assert server.ask()["client"] is None


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
@pytest.mark.parametrize(
    ("fault", "alert"),
    [
        ("expired", "certificate expired"),
        ("foreign", "unknown ca"),
        ("impostor", "unknown ca"),
        ("usage", "unsupported certificate"),
    ],
)
def test_a_bad_client_certificate_ends_the_handshake(
    server: Server, tmp_path: Path, fault: str, alert: str, version: str
) -> None:
    bad = {
        "expired": lambda: identity("client", server.ca, not_after=timedelta(hours=-1)),
        "foreign": lambda: identity("client", identity("Stranger")),
        "impostor": lambda: identity("client", identity("Root")),
        "usage": lambda: identity("client", server.ca, usages=(ExtendedKeyUsageOID.SERVER_AUTH,)),
    }[fault]()
    file = bad.write(tmp_path / "bad.pem")
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-CAfile", server.root, version]
    request = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    run = subprocess.run(
        [*command, "-cert", file, "-key", file, "-ign_eof"], input=request, capture_output=True, check=False
    )
    assert b"200 OK" not in run.stdout
    assert alert.encode() in run.stderr.lower(), run.stderr


def test_a_resumed_session_carries_no_identity(server: Server) -> None:
    context = client_context(server, server.client, ssl.TLSVersion.TLSv1_2)
    answers = []
    session = None
    for _ in range(2):
        with server.connect(context, session=session) as connection:
            session = connection.session
            connection.sendall(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            answers.append((connection.session_reused, b"CN=client" in rest(connection)))
    assert answers == [(False, True), (True, False)]


def test_tls_1_3_sessions_are_not_resumed(server: Server, tmp_path: Path) -> None:
    command = [
        "openssl",
        "s_client",
        "-connect",
        f"127.0.0.1:{server.port}",
        "-CAfile",
        server.root,
        "-tls1_3",
        "-ign_eof",
    ]
    request = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    saved = tmp_path / "session"
    run = subprocess.run([*command, "-sess_out", str(saved)], input=request, capture_output=True, check=False)
    assert b"200 OK" in run.stdout and b"Post-Handshake New Session Ticket" not in run.stdout
    assert (
        not saved.exists()
        or b"Reused"
        not in subprocess.run(
            [*command, "-sess_in", str(saved)], input=request, capture_output=True, check=False
        ).stdout
    )


# What TLS is spoken


def s_client(server: Server, *options: str) -> str:
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-CAfile", server.root, *options]
    run = subprocess.run(command, input=b"", capture_output=True, check=False)
    return (run.stdout + run.stderr).decode()


def test_tls_before_1_2_is_refused(server: Server) -> None:
    assert "Cipher is (NONE)" in s_client(server, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0")


@pytest.mark.parametrize("suite", ["ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-ECDSA-AES128-GCM-SHA256"])
def test_the_suites_of_step_are_spoken_in_1_2(server: Server, suite: str) -> None:
    assert f"Cipher is {suite}" in s_client(server, "-tls1_2", "-cipher", suite)


@pytest.mark.parametrize("suite", ["ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA384"])
def test_cbc_is_not_spoken(server: Server, suite: str) -> None:
    assert "Cipher is (NONE)" in s_client(server, "-tls1_2", "-cipher", suite)


def test_alpn_is_http_1_1(server: Server) -> None:
    assert "ALPN protocol: http/1.1" in s_client(server, "-alpn", "h2,http/1.1")


def test_renegotiation_is_refused(server: Server) -> None:
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-CAfile", server.root, "-tls1_2"]
    run = subprocess.run(command, input=b"R\nGET / HTTP/1.1\r\n\r\n", capture_output=True, check=False)
    assert b"no renegotiation" in run.stderr.lower() or b"handshake failure" in run.stderr.lower()


def test_a_new_server_certificate_does_not_drop_connections(server: Server) -> None:
    connection = http.client.HTTPSConnection("localhost", server.port, context=server.trust())
    with contextlib.closing(connection):
        connection.request("GET", "/")
        connection.getresponse().read()
        new = identity("renewed", server.ca)
        load_certificate(server.context, new.key, [new.certificate.public_bytes(Encoding.DER)])
        with server.connect() as other:
            assert (("commonName", "renewed"),) in other.getpeercert()["subject"]  # type: ignore[index]
        connection.request("GET", "/")
        assert connection.getresponse().status == 200
