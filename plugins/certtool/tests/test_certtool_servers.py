"""A URL in place of a file: real TLS servers (openssl s_server) on loopback."""

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]


@contextmanager
def listening(folder: Path, certificate: str, key: str) -> Iterator[str]:
    """The URL of a server with this certificate, which it sends twice: as its own, and as the chain above."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", certificate, "-key", key,
         "-cert_chain", certificate],
        cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
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


@pytest.fixture
def server(openssl: Callable[..., str], tmp_path: Path) -> Iterator[str]:
    """The URL of a server with the certificate ``s`` for localhost."""
    openssl(
        "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "k", "-out", "s",
        "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
    )  # fmt: skip
    with listening(tmp_path, "s", "k") as url:
        yield url


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


def test_a_bundle_of_a_server_is_all_that_it_sent(mica: Run, server: str) -> None:
    one = mica("certificate", "fingerprint", "s").stdout
    result = mica("certificate", "fingerprint", server, "--roots", "s", "--bundle")
    assert result.stdout == f"0: {one}1: {one}"


def test_roots_may_be_a_directory(mica: Run, server: str, tmp_path: Path) -> None:
    (tmp_path / "roots").mkdir()
    (tmp_path / "roots" / "s.pem").write_bytes((tmp_path / "s").read_bytes())
    assert mica("certificate", "fingerprint", server, "--roots", "roots").returncode == 0


def test_a_server_is_judged_with_reasons(mica: Run, server: str) -> None:
    assert mica("certificate", "verify", server, "--roots", "s", "--purpose", "server").returncode == 0
    address = server.replace("localhost", "127.0.0.1")
    named = mica("certificate", "verify", address, "--roots", "s")
    assert (named.returncode, named.stdout) == (1, "")
    assert f"error: {address}: not valid: it is not for '127.0.0.1': its names are localhost\n" in named.stderr
    assert mica("certificate", "verify", address, "--roots", "s", "--servername", "localhost").returncode == 0
    assert mica("certificate", "verify", address, "--roots", "s", "--insecure").returncode == 0
    assert mica("certificate", "verify", address, "--roots", "s", "--insecure", "--host", "a.example").returncode == 1
    assert "it is self-signed, and not among the trusted roots" in mica("certificate", "verify", server).stderr


def test_a_server_needs_renewal_or_not(mica: Run, server: str) -> None:
    assert mica("certificate", "needs-renewal", server, "--roots", "s").returncode == 1
    assert mica("certificate", "needs-renewal", server, "--roots", "s", "--expires-in", "9999d").returncode == 0
    assert mica("certificate", "needs-renewal", server).returncode == 255


def test_the_certificate_of_a_server_is_linted(mica: Run, server: str) -> None:
    result = mica("certificate", "lint", server, "--roots", "s")
    assert (result.returncode, result.stderr) == (1, "")
    assert "RFC 5280 §4.2.1.3: a CA must have a keyUsage\n" in result.stdout


def test_a_server_whose_certificate_has_expired_needs_renewal(
    mica: Run, openssl: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "e").write_text("subjectAltName=DNS:localhost\nbasicConstraints=critical,CA:TRUE\n")
    openssl("req", "-new", "-newkey", "ed25519", "-nodes", "-keyout", "ek", "-out", "er", "-subj", "/CN=localhost")
    openssl("x509", "-req", "-in", "er", "-signkey", "ek", "-days", "-1", "-out", "es", "-extfile", "e")
    with listening(tmp_path, "es", "ek") as url:
        refused = mica("certificate", "inspect", url, "--roots", "es")
        assert (refused.returncode, refused.stdout) == (3, "")
        assert "the server is not trusted: certificate has expired" in refused.stderr
        assert mica("certificate", "needs-renewal", url, "--roots", "es").returncode == 0
        assert "it expired on 20" in mica("certificate", "verify", url, "--roots", "es").stderr
        assert "Status: EXPIRED 1d 0h ago" in mica("certificate", "inspect", url, "--insecure").stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["https://127.0.0.1:1"], 3, "https://127.0.0.1:1: cannot be reached: "),
        (["https://no.invalid"], 3, "https://no.invalid: cannot be reached: "),
        ([f"https://{'x' * 64}.invalid"], 3, "cannot be reached: "),
        (["https://127.0.0.1:70000"], 2, "is not a URL: "),
        (["https://"], 2, "names no host"),
        (["gopher://127.0.0.1"], 2, "gopher:// is not known"),
        (["https://127.0.0.1:1", "--roots", "none"], 5, "none: there is no such file"),
        (["https://127.0.0.1:1", "--roots", "/dev/null"], 5, "/dev/null: is empty"),
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
