"""A URL in place of a file: real TLS servers (openssl s_server) on loopback."""

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def server(openssl: Callable[..., str], tmp_path: Path) -> Iterator[str]:
    """The URL of a server with the certificate ``s`` for localhost."""
    openssl(
        "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "k", "-out", "s",
        "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
    )  # fmt: skip
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", "s", "-key", "k", "-cert_chain", "s"],
        cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        for _ in range(100):
            with socket.socket() as attempt:
                if attempt.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield f"https://localhost:{port}"
    finally:
        process.kill()
        process.communicate()


def test_a_server_is_verified_against_the_given_roots(mica: Run, server: str) -> None:
    expected = mica("certificate", "fingerprint", "s").stdout
    assert mica("certificate", "fingerprint", server, "--roots", "s").stdout == expected
    shown = mica("certificate", "inspect", "--short", server.replace("https", "tls"), "--roots", "s,s")
    assert "  Subject:     localhost\n" in shown.stdout


def test_an_untrusted_server_is_refused_unless_insecure(mica: Run, server: str) -> None:
    refused = mica("certificate", "fingerprint", server)
    assert (refused.returncode, refused.stdout) == (3, "")
    assert f"error: {server}: the server is not trusted: self-signed certificate\nhint: --roots FILE" in refused.stderr
    assert mica("certificate", "fingerprint", server, "--insecure").returncode == 0


def test_a_server_with_another_name_is_refused(mica: Run, server: str) -> None:
    address = server.replace("localhost", "127.0.0.1")
    assert "is not trusted: " in mica("certificate", "fingerprint", address, "--roots", "s").stderr
    assert mica("certificate", "fingerprint", address, "--roots", "s", "--servername", "localhost").returncode == 0


def test_a_bundle_of_a_server_needs_a_newer_python(mica: Run, server: str) -> None:
    result = mica("certificate", "fingerprint", server, "--roots", "s", "--bundle")
    if sys.version_info >= (3, 13):
        assert result.stdout.count("\n") == 2
    else:
        assert (result.returncode, result.stdout) == (2, "")
        assert "--bundle of a URL needs Python 3.13" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["https://127.0.0.1:1"], 3, "https://127.0.0.1:1: cannot be reached: "),
        (["https://no.invalid"], 3, "https://no.invalid: cannot be reached: "),
        ([f"https://{'x' * 64}.invalid"], 3, "cannot be reached: "),
        (["https://127.0.0.1:70000"], 2, "is not a URL: "),
        (["https://"], 2, "names no host"),
        (["gopher://127.0.0.1"], 2, "gopher:// is not known"),
        (["https://127.0.0.1:1", "--roots", "none"], 5, "none: no root certificate can be read from it"),
        (["https://127.0.0.1:1", "--roots", "/dev/null"], 5, "/dev/null: no root certificate can be read from it"),
    ],
)
def test_what_cannot_be_reached_is_told(mica: Run, arguments: list[str], code: int, message: str) -> None:
    result = mica("certificate", "inspect", *arguments)
    assert (result.returncode, result.stdout) == (code, "")
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_a_server_without_tls_is_told(mica: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as plain:
        port = plain.getsockname()[1]
        program = (
            "import socket, sys\n"
            "connection, _ = socket.socket(fileno=int(sys.argv[1])).accept()\n"
            "connection.sendall(b'HTTP/1.0 400 no\\r\\n\\r\\n')\n"
        )
        answering = subprocess.Popen([sys.executable, "-c", program, str(plain.fileno())], pass_fds=[plain.fileno()])
        result = mica("certificate", "inspect", f"https://127.0.0.1:{port}", "--insecure")
        answering.communicate(timeout=20)
    assert (result.returncode, result.stdout) == (3, "")
    assert "cannot be reached: " in result.stderr
