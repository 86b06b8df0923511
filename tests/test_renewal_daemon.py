"""Renewal that runs itself: real processes, a real CA that goes away and comes back, and certificates of seconds."""

import json
import re
import shlex
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from tests.daemons import LINE, CAHost, Daemon, started
from tests.nginx import nginx

from mica.testing.ca import TestCA
from mica.testing.exchange import obtain
from mica.testing.service import free_port

CLAIMS = {"min_tls_cert_duration": "1s", "default_tls_cert_duration": "60s"}


@dataclass
class Outfit:
    """A CA, and a folder of its client."""

    host: CAHost
    folder: Path

    @property
    def ca(self) -> TestCA:
        return self.host.ca

    def obtain(self, lasts: str = "60s", name: str = "svc.example") -> None:
        """A new certificate in ``svc.crt``, its key in ``svc.key``."""
        made = obtain(self.host.come(), self.folder, name, notAfter=lasts)
        made.certificate.rename(self.folder / "svc.crt")
        made.key.rename(self.folder / "svc.key")

    def read(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate((self.folder / "svc.crt").read_bytes())

    def lines(self, name: str) -> list[str]:
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []

    def command(self, *arguments: str) -> list[str]:
        root = str(self.ca.directory / "certs/root_ca.crt")
        mica = [sys.executable, "-m", "mica.cli", "ca", arguments[0], "--ca-url", self.ca.url, "--root", root]
        return [*mica, *arguments[1:]]

    def mica(self, *arguments: str, code: int = 0) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == code, done.stderr
        return done

    @contextmanager
    def daemon(
        self, *arguments: str, verb: str = "renew", environment: dict[str, str] | None = None
    ) -> Iterator[Daemon]:
        """``mica ca renew --daemon svc.crt svc.key``; it has planned its first renewal, or ended."""
        command = self.command(verb, "--daemon", "svc.crt", "svc.key", "--max-backoff", "1s", *arguments)
        with started(command, self.folder, environment) as daemon:
            yield daemon


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CAHost]:
    """A CA without backdate."""
    ca = TestCA.found(tmp_path_factory.mktemp("ca"), port=free_port(), claims=CLAIMS)
    settings = ca.directory / "ca.toml"
    settings.write_text(settings.read_text().replace('type = "x509signer"', 'type = "x509signer"\nbackdate = "0s"'))
    made = CAHost(ca)
    with made.running:
        yield made


@pytest.fixture
def outfit(host: CAHost, tmp_path: Path) -> Outfit:
    """The CA is there, and the client has a certificate that lasts a minute."""
    made = Outfit(host, tmp_path)
    made.obtain()
    return made


def same_key(folder: Path) -> bool:
    """Whether openssl finds the key of ``svc.crt`` in ``svc.key``."""
    commands = (["x509", "-in", "svc.crt", "-noout", "-pubkey"], ["pkey", "-in", "svc.key", "-pubout"])
    first, second = (
        subprocess.run(["openssl", *command], cwd=folder, capture_output=True, check=True).stdout
        for command in commands
    )
    return first == second


def test_it_renews_by_itself_tells_in_utc_and_ends_when_told(outfit: Outfit) -> None:
    outfit.obtain("6s")
    before = outfit.read()
    with outfit.daemon() as daemon:
        daemon.wait_until(lambda: daemon.renewals == 2)
        daemon.end()
    assert outfit.read().serial_number != before.serial_number
    assert outfit.read().public_key() == before.public_key()
    assert all(LINE.match(line) for line in daemon.text.splitlines()), daemon.text
    assert "svc.example certificate renewed" in daemon.text


def test_its_log_can_be_json(outfit: Outfit) -> None:
    with outfit.daemon("--json") as daemon:
        daemon.end(signal.SIGINT)
    first, last = (json.loads(line) for line in daemon.text.splitlines())
    assert first["message"].startswith("first renewal in ")
    assert datetime.fromisoformat(first["due"]) < outfit.read().not_valid_after_utc
    assert last["message"] == "stopped"


def test_sighup_renews_now_and_the_command_behind_the_dashes_is_run_each_time(outfit: Outfit) -> None:
    before = outfit.read()
    with outfit.daemon("--", "sh", "-c", "printf '%s\\n' \"$1\" >>ran", "x", "two words") as daemon:
        for number in (1, 2):
            daemon.process.send_signal(signal.SIGHUP)
            daemon.wait_until(lambda n=number: daemon.renewals == n)  # type: ignore[misc]
        daemon.wait_until(lambda: outfit.lines("ran") == ["two words"] * 2)
        daemon.end()
    assert outfit.read().serial_number != before.serial_number


def test_a_command_that_fails_is_logged_and_the_daemon_goes_on(outfit: Outfit) -> None:
    pid_file = outfit.folder / "pid"
    with outfit.daemon("--exec", "echo $MICA_TEST; exit 3", environment={"MICA_TEST": "said"}) as daemon:
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_for("failed with exit code 3")
        assert "\nsaid\n" in daemon.text
        daemon.end()
    with outfit.daemon("--pid-file", str(pid_file), "--signal", "usr1") as daemon:
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_for(f"error   {pid_file}: there is no such file")
        script = "trap 'echo heard; exit' USR1; echo ready; while :; do sleep 0.1; done"
        listener = subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, text=True)
        assert listener.stdout is not None
        assert listener.stdout.readline() == "ready\n"
        pid_file.write_text(f"{listener.pid}\n")
        daemon.process.send_signal(signal.SIGHUP)
        assert listener.communicate(timeout=20)[0] == "heard\n"
        daemon.end()


def test_it_ends_at_once_while_a_command_runs_and_so_does_the_command(outfit: Outfit) -> None:
    with outfit.daemon("--exec", "sleep 600 & echo $! >child; wait") as daemon:
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_until(lambda: bool(outfit.lines("child")))
        daemon.end()
    child = int(outfit.lines("child")[0])
    daemon.wait_until(lambda: not Path(f"/proc/{child}").exists() or " Z " in Path(f"/proc/{child}/stat").read_text())


def test_a_command_that_still_runs_when_the_next_renewal_is_due_does_not_prevent_it(outfit: Outfit) -> None:
    outfit.obtain("6s")
    with outfit.daemon("--exec", "sleep 600") as daemon:
        daemon.wait_until(lambda: daemon.renewals == 2)
        assert "still ran when the next renewal was due" in daemon.text
        daemon.end()


def test_it_ends_at_once_while_the_ca_does_not_answer(outfit: Outfit) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(20)
        with outfit.daemon("--ca-url", f"https://127.0.0.1:{silent.getsockname()[1]}") as daemon:
            daemon.process.send_signal(signal.SIGHUP)
            with silent.accept()[0] as asking:
                assert asking.recv(1)
                began = time.monotonic()
                daemon.end()
                assert time.monotonic() - began < 5


def test_while_the_ca_is_away_it_tries_again_and_again_and_then_succeeds(host: CAHost, outfit: Outfit) -> None:
    before = outfit.read()
    host.leave()
    with outfit.daemon() as daemon:
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_until(lambda: daemon.text.count("connection refused; next try in") >= 3)
        assert daemon.renewals == 0
        host.come()
        daemon.wait_until(lambda: daemon.renewals == 1)
        assert outfit.read().not_valid_after_utc > before.not_valid_after_utc
        daemon.end()


def test_a_revoked_certificate_ends_it(outfit: Outfit) -> None:
    with outfit.daemon() as daemon:
        outfit.mica("revoke", "--cert", "svc.crt", "--key", "svc.key")
        daemon.process.send_signal(signal.SIGHUP)
        assert daemon.process.wait(20) == 4
    assert "error: the CA refused" in daemon.text
    assert "may be revoked" in daemon.text


def test_an_expired_certificate_ends_it_where_the_claim_says_so(outfit: Outfit) -> None:
    outfit.obtain("1s")
    time.sleep(2.1)
    with outfit.daemon() as daemon:
        assert daemon.process.wait(20) == 4
    assert "certificate expired on" in daemon.text
    with outfit.daemon(verb="rekey") as daemon:
        assert daemon.process.wait(20) == 5
    assert "cannot rekey an expired certificate" in daemon.text


def test_an_expired_certificate_is_renewed_by_token_where_the_claim_allows_it(tmp_path: Path) -> None:
    claims = CLAIMS | {"allow_renewal_after_expiry": True}
    outfit = Outfit(CAHost(TestCA.found(tmp_path / "ca", port=free_port(), claims=claims)), tmp_path)
    with outfit.host.running:
        outfit.obtain("2s")
        outfit.host.leave()
        with outfit.daemon() as daemon:
            daemon.wait_until(lambda: outfit.read().not_valid_after_utc < datetime.now(UTC))
            outfit.host.come()
            daemon.wait_until(lambda: daemon.renewals >= 1)
            daemon.end()


@contextmanager
def answering(outfit: Outfit, statuses: list[int], ahead: float = 0) -> Iterator[str]:
    """A server with a certificate of the CA, which answers requests with these statuses, the last for ever."""
    own = obtain(outfit.host.come(), outfit.folder, "localhost")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(own.certificate, own.key)

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            status = statuses.pop(0) if len(statuses) > 1 else statuses[0]
            body = json.dumps({"status": status, "message": f"this is {status}"}).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def date_time_string(self, timestamp: float | None = None) -> str:
            return super().date_time_string((timestamp or time.time()) + ahead)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Answers)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"https://localhost:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_what_may_pass_is_tried_again_and_what_will_not_ends_it(outfit: Outfit) -> None:
    with answering(outfit, [503, 429, 500, 502, 403]) as url, outfit.daemon("--ca-url", url) as daemon:
        daemon.process.send_signal(signal.SIGHUP)
        assert daemon.process.wait(20) == 4
    said = [line for line in daemon.text.splitlines() if "this is" in line]
    assert [re.findall(r"this is (\d+)", line)[0] for line in said] == ["503", "429", "500", "502", "403"]


def test_a_refusal_while_the_clocks_differ_does_not_end_it(outfit: Outfit) -> None:
    with answering(outfit, [401], ahead=90) as url, outfit.daemon("--ca-url", url) as daemon:
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_for("seconds behind the CA's: set it right")
        daemon.wait_until(lambda: daemon.text.count("next try in") == 3)
        daemon.end()


def test_a_server_that_cannot_be_trusted_does_not_end_it(outfit: Outfit, tmp_path: Path) -> None:
    other = CAHost(TestCA.found(tmp_path / "other", port=free_port()))
    with other.running:
        url = other.come().ca.url
        with outfit.daemon("--ca-url", url) as daemon:
            daemon.process.send_signal(signal.SIGHUP)
            daemon.wait_for("is not trusted")
            daemon.wait_for("next try in")
            daemon.end()


def test_a_file_that_somebody_else_replaced_is_noticed(outfit: Outfit) -> None:
    with outfit.daemon() as daemon:
        outfit.obtain("10m", "other.example")
        daemon.wait_for("other.example was replaced by somebody else, next renewal in 6m")
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_for("other.example certificate renewed, next in 6m")
        daemon.end()


def test_a_replacement_that_is_seen_half_done_is_no_reason_to_end(outfit: Outfit) -> None:
    key = (outfit.folder / "svc.key").read_bytes()
    with outfit.daemon() as daemon:
        (outfit.folder / "svc.key").write_bytes(b"")
        daemon.wait_for("the file is empty")
        outfit.obtain("10m")
        new = (outfit.folder / "svc.key").read_bytes()
        (outfit.folder / "svc.key").write_bytes(key)
        daemon.wait_for("is not the key of svc.crt")
        (outfit.folder / "svc.key").write_bytes(new)
        daemon.wait_for("was replaced by somebody else, next renewal in 6m")
        daemon.end()


def test_files_that_stay_unreadable_end_it_when_the_certificate_has_expired(outfit: Outfit) -> None:
    outfit.obtain("6s")
    with outfit.daemon() as daemon:
        (outfit.folder / "svc.crt").unlink()
        assert daemon.process.wait(30) == 5
    assert "error: svc.crt: there is no such file" in daemon.text


def test_rekeying_by_itself_really_changes_the_key_each_time(outfit: Outfit) -> None:
    outfit.obtain("6s")
    seen = {outfit.read().public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)}
    with outfit.daemon("--exec", "openssl x509 -in svc.crt -noout -pubkey >>keys", verb="rekey") as daemon:
        daemon.wait_until(lambda: outfit.lines("keys").count("-----BEGIN PUBLIC KEY-----") == 3)
        daemon.end()
    keys = re.findall(r"-----BEGIN.*?-----END", (outfit.folder / "keys").read_text(), re.DOTALL)
    assert len({*keys}) == 3
    assert outfit.read().public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) not in seen
    assert same_key(outfit.folder)
    assert list(outfit.folder.glob(".*")) == []
    assert (outfit.folder / "svc.key").stat().st_mode & 0o777 == 0o600


def test_a_password_is_read_once_and_an_encrypted_key_stays_encrypted(outfit: Outfit) -> None:
    key = outfit.folder / "svc.key"
    secret = outfit.folder / "secret"
    secret.write_text("correct horse\n")
    loaded = load_pem_private_key(key.read_bytes(), None)
    key.write_bytes(loaded.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"correct horse")))
    with outfit.daemon("--password-file", str(secret), verb="rekey") as daemon:
        secret.unlink()
        for number in (1, 2):
            daemon.process.send_signal(signal.SIGHUP)
            daemon.wait_until(lambda n=number: daemon.text.count("certificate rekeyed") == n)  # type: ignore[misc]
        daemon.end()
    assert key.read_text().startswith("-----BEGIN ENCRYPTED PRIVATE KEY-----")
    again = load_pem_private_key(key.read_bytes(), b"correct horse")
    assert again.public_key() == outfit.read().public_key()
    assert again.public_key() != loaded.public_key()


def test_an_interrupted_replacement_is_completed_and_the_command_run(outfit: Outfit) -> None:
    old = (outfit.folder / "svc.crt").read_bytes()
    outfit.mica("rekey", "svc.crt", "svc.key", "--force")
    new = (outfit.folder / "svc.crt").read_bytes()
    (outfit.folder / ".svc.crt.mica-rekey").write_bytes(new)
    (outfit.folder / "svc.crt").write_bytes(old)
    with outfit.daemon("--exec", "touch told", verb="rekey") as daemon:
        daemon.wait_until((outfit.folder / "told").exists)
        daemon.end()
    assert (outfit.folder / "svc.crt").read_bytes() == new
    assert same_key(outfit.folder)


def test_systemd_is_told_and_its_watchdog_fed(outfit: Outfit) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(outfit.folder / "notify"))
        systemd.settimeout(20)
        variables = {"NOTIFY_SOCKET": str(outfit.folder / "notify"), "WATCHDOG_USEC": "1000000"}
        with outfit.daemon(environment=variables) as daemon:
            told = [systemd.recv(4096).decode()]
            while told.count("WATCHDOG=1") < 3:
                told.append(systemd.recv(4096).decode())
            daemon.end()
            while told[-1] != "STOPPING=1":
                told.append(systemd.recv(4096).decode())
    assert told[0].startswith("READY=1\nSTATUS=svc.example: expires ")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--out", "new.crt"], 2, "flag '--out' is incompatible with '--daemon'"),
        (["--expires-in", "2m"], 2, "the certificate lasts only 1m0s altogether"),
        (["--renew-period", "60s"], 2, "the certificate lasts only 1m0s"),
        (["--renew-period", "30s", "--expires-in", "30s"], 2, "is incompatible with '--expires-in'"),
        (["--root", "nowhere"], 5, "nowhere: there is no such file"),
        (["--password-file", "nowhere"], 5, "nowhere: there is no such file"),
    ],
)
def test_what_cannot_work_is_said_at_the_start(outfit: Outfit, arguments: list[str], code: int, said: str) -> None:
    with outfit.daemon(*arguments) as daemon:
        assert daemon.process.wait(10) == code
        assert said in daemon.text


def test_a_period_is_kept_and_a_threshold_too(outfit: Outfit) -> None:
    with outfit.daemon("--renew-period", "1s") as daemon:
        daemon.wait_until(lambda: daemon.renewals == 3)
        assert "next in 1s" in daemon.text
        daemon.end()
    with outfit.daemon("--expires-in", "95%") as daemon:
        assert re.search(r"first renewal in 5[3-7]s", daemon.text)
        daemon.end()


@dataclass
class Visitor:
    """A client that visits nginx again and again, and notes what it saw."""

    port: int
    context: ssl.SSLContext
    serials: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    visits: int = 0
    over: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self.over.wait(0.2):
            try:
                with socket.create_connection(("127.0.0.1", self.port), 10) as plain:
                    with self.context.wrap_socket(plain, server_hostname="svc.example") as secure:
                        seen = secure.getpeercert() or {}
                    self.visits += 1
                    serial = str(seen["serialNumber"])
                    if ssl.cert_time_to_seconds(str(seen["notAfter"])) < time.time():
                        self.failures.append(f"{serial} had expired")
                    if serial not in self.serials:
                        self.serials.append(serial)
            except OSError as error:  # TLS failures too: an expired certificate is one
                self.failures.append(f"{datetime.now(UTC):%H:%M:%S} {error}")

    @contextmanager
    def visiting(self) -> Iterator[None]:
        thread = threading.Thread(target=self.run, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self.over.set()
            thread.join(20)


def test_a_service_is_never_without_a_valid_certificate_though_its_ca_is_away(
    host: CAHost, tmp_path: Path, tool: Callable[[str], str]
) -> None:
    """Two minutes, certificates of one: the CA is away for 12 seconds when a renewal is due, and restarts later."""
    program, port, began = tool("nginx"), free_port(), time.monotonic()
    outfit = Outfit(host, tmp_path)
    files = {"ssl_certificate": tmp_path / "svc.crt", "ssl_certificate_key": tmp_path / "svc.key"}

    def until(second: float) -> None:
        time.sleep(max(began + second - time.monotonic(), 0))

    outfit.obtain()
    began = time.monotonic()
    visitor = Visitor(port, ssl.create_default_context(cafile=str(host.ca.directory / "certs/root_ca.crt")))
    with ExitStack() as stack:
        command = stack.enter_context(nginx(program, tmp_path, port, {**files, "return": '200 "hello"'}))
        reload = shlex.join([*command, "-s", "reload"])
        stack.enter_context(visitor.visiting())
        daemon = stack.enter_context(outfit.daemon("--max-backoff", "3s", "--exec", reload))
        until(34)
        host.leave()
        until(46)
        assert daemon.renewals == 0
        host.come()
        daemon.wait_until(lambda: daemon.renewals == 1, 12)
        until(60)
        host.leave()
        host.come()
        until(120)
        daemon.end()
    assert visitor.failures == [], daemon.text
    assert visitor.visits > 300
    assert daemon.renewals >= 2
    assert len(visitor.serials) == daemon.renewals + 1
    assert "connection refused; next try in" in daemon.text
