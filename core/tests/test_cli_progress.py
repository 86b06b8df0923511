"""What takes long shows on a terminal that it goes on; on a real terminal (a pty), and not where there is none."""

import os
import re
import ssl
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pexpect
import pytest

WORK = """
import sys, time
from mica.cli.console import progress, settings
from mica.cli.endings import conclude

seconds, label = float(sys.argv[1]), sys.argv[2]
try:
    with progress(label):
        if "nested" in sys.argv:
            with progress("inner"):
                time.sleep(seconds)
        time.sleep(seconds)
    print("done", "rich" in sys.modules)
except KeyboardInterrupt as failure:
    sys.exit(conclude(failure, settings()))
"""
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def spawned(*arguments: str, columns: int = 80, **environment: str) -> pexpect.spawn:
    others = ("MICA", "NO_COLOR", "COLUMNS", "LINES")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(others)}
    return pexpect.spawn(
        sys.executable, list(arguments), env={**clean, "TERM": "xterm", **environment}, encoding="utf-8", timeout=30,
        dimensions=(24, columns),
    )  # fmt: skip


def everything(child: pexpect.spawn) -> str:
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0, child.before
    return str(child.before)


def test_what_takes_longer_than_a_second_shows_its_seconds_and_leaves_nothing() -> None:
    child = spawned("-c", WORK, "2.5", "working")
    child.expect(r"working \(1 s\)")
    child.expect(r"working \(2 s\)")
    said = everything(child)
    assert said.endswith("\r\x1b[2Kdone True\r\n")
    assert "\x1b[?25l" not in said  # the cursor is never hidden, so that no end can leave it hidden


def test_what_takes_less_shows_nothing_and_imports_no_rich() -> None:
    assert everything(spawned("-c", WORK, "0.5", "working")) == "done False\r\n"


def test_one_within_another_shows_the_outer_one_alone() -> None:
    child = spawned("-c", WORK, "1.3", "outer", "nested")
    child.expect(r"outer \(2 s\)")
    assert "inner" not in everything(child)


@pytest.mark.parametrize("environment", [{"TERM": "dumb"}, {"TERM": ""}])
def test_a_dumb_terminal_shows_nothing(environment: dict[str, str]) -> None:
    assert everything(spawned("-c", WORK, "1.4", "working", **environment)) == "done False\r\n"


def test_no_color_takes_the_colours_and_not_the_progress() -> None:
    child = spawned("-c", WORK, "1.6", "working", NO_COLOR="1")
    child.expect(r"working \(1 s\)")
    assert not re.search(r"\x1b\[[0-9;]*m", child.before + everything(child))


def test_without_a_terminal_nothing_is_written() -> None:
    done = subprocess.run([sys.executable, "-c", WORK, "1.4", "working"], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("done False\n", "")


def test_a_label_never_breaks_the_line_nor_is_it_taken_for_markup() -> None:
    child = spawned("-c", WORK, "1.6", f"[red]{'w' * 100}\n\x1b[31m", columns=40)
    child.expect(r"\[red\]w+…")
    frames = [ESCAPE.sub("", frame) for frame in (child.before + child.after + everything(child)).split("\r")]
    assert max(map(len, frames)) < 40


def test_a_locale_without_the_spinners_signs_gets_plain_ones() -> None:
    child = spawned("-c", WORK, "1.6", "working", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    child.expect(r"[-\\|/] working \(1 s\)")
    assert "\\u" not in everything(child)


@pytest.mark.parametrize("after", [0.3, 1.02, 1.1, 1.2, 1.8])
def test_control_c_at_any_moment_leaves_the_line_empty_and_the_terminal_as_it_was(after: float) -> None:
    child = spawned("-c", WORK, "20", "working")
    before = termios.tcgetattr(child.child_fd)
    time.sleep(0.3 + after)  # before, while and after rich is imported
    child.sendintr()
    child.expect("cancelled\r\n")
    assert termios.tcgetattr(child.child_fd) == before
    said = child.before
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 6
    assert ESCAPE.sub("", said).rpartition("\r")[2].removeprefix("^C") == "error: "
    assert "Traceback" not in said and "\x1b[?25l" not in said


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[str]:
    """A CA that is well, and says so after two seconds; ``root.pem`` proves it."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", "key.pem", "-out", "root.pem"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip

    class Health(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            time.sleep(2)
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            with suppress(OSError):  # whoever asked may have gone
                self.wfile.write(b'{"status":"ok"}')

        def log_message(self, *_: object) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "root.pem", tmp_path / "key.pem")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Health)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"https://localhost:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_waiting_for_the_ca_is_shown_on_a_terminal(slow: str, tmp_path: Path) -> None:
    child = spawned("-m", "mica.cli", "ca", "health", "--ca-url", slow, "--root", str(tmp_path / "root.pem"))
    child.expect(re.escape(f"waiting for {slow} (1 s)"))
    assert everything(child).endswith("\r\x1b[2Kok\r\n")


def test_waiting_for_the_ca_writes_nothing_into_a_pipe_nor_with_json(slow: str, tmp_path: Path) -> None:
    command = ["-m", "mica.cli", "ca", "health", "--ca-url", slow, "--root", str(tmp_path / "root.pem")]
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ok\n", "")
    assert "waiting" not in everything(spawned(*command, "--json"))


def test_control_c_while_waiting_for_the_ca_ends_the_command_with_exit_code_6(slow: str, tmp_path: Path) -> None:
    child = spawned("-m", "mica.cli", "ca", "health", "--ca-url", slow, "--root", str(tmp_path / "root.pem"))
    child.expect("waiting for")
    child.sendintr()
    child.expect("error: cancelled\r\n")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 6
