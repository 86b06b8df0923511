"""Commands in a real terminal (a pty), and what can happen to one: Ctrl-C, closed pipes, full disks, signals.

Whatever happens, the terminal is as it was, files are whole, and no temporary file is left.
"""

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pexpect
import pytest

from mica.testing.service import free_port, served

PASSWORD = "the password of the provisioners"
PROVISIONERS = ("admin", "build", "ops")
UP, DOWN = "\x1b[A", "\x1b[B"
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
CANCELLED = 6


@dataclass(frozen=True, slots=True)
class Desk:
    """A folder to work in, with files that must stay whole, and a CA."""

    folder: Path
    home: Path
    url: str

    def environment(self, **more: str) -> dict[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("MICA", "NO_COLOR"))}
        return {**clean, "MICAPATH": str(self.home), "TERM": "xterm", **more}

    @contextmanager
    def typing(self, *arguments: str, **environment: str) -> Iterator[pexpect.spawn]:
        """``mica`` in a terminal of its own; its attributes are afterwards as they were, and the files whole."""
        child = pexpect.spawn(
            sys.executable, ["-m", "mica.cli", *arguments], cwd=str(self.folder), env=self.environment(**environment),
            encoding="utf-8", timeout=30,
        )  # fmt: skip
        child.files, child.attributes = self.files(), termios.tcgetattr(child.child_fd)
        try:
            yield child
        finally:
            child.close(force=True)

    def files(self) -> dict[str, bytes]:
        """Every file in the folder and in ``MICAPATH``, temporary ones included, but for the log of the CA."""
        return {
            str(path): path.read_bytes()
            for place in (self.folder, self.home)
            for path in sorted(place.rglob("*"))
            if path.is_file() and not re.search(r"serve\.log|/db/|\.sqlite|mica\.db", str(path))
        }

    @property
    def prelude(self) -> str:
        """``mica`` is ours, for bash."""
        return f'mica() {{ {shlex.quote(sys.executable)} -m mica.cli "$@"; }}\n'

    def shell(self, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """``script`` run by bash, without a terminal; ``mica`` is ours."""
        return subprocess.run(
            ["bash", "-c", self.prelude + script], cwd=self.folder, env=self.environment(**environment),
            capture_output=True, text=True, start_new_session=True, timeout=60,
        )  # fmt: skip


def ended(child: pexpect.spawn) -> tuple[int, str]:
    """The exit code, and what was on the screen since the last match; the terminal is as it was."""
    child.expect(pexpect.EOF)
    assert termios.tcgetattr(child.child_fd) == child.attributes
    child.close()
    assert "Traceback" not in child.before
    assert child.before.rfind("\x1b[?25l") <= child.before.rfind("\x1b[?25h")
    return child.exitstatus, ESCAPE.sub("", child.before).replace("\r", "")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A CA with three provisioners, which serves."""
    folder = tmp_path_factory.mktemp("world")
    port = free_port()
    desk = Desk(folder=folder, home=folder / "home", url=f"https://localhost:{port}")
    (folder / "password.txt").write_text(PASSWORD)
    founding = f"""
    set -e
    mica ca init --name Harbour --dns localhost --address localhost:{port} --provisioner admin \\
        --password-file password.txt
    for name in build ops; do mica ca provisioner add $name --create --password-file password.txt; done
    """
    founded = desk.shell(founding)
    assert founded.returncode == 0, founded.stderr
    served_by: Any = SimpleNamespace(directory=desk.home, url=desk.url)
    with served(served_by, workers=1, arguments=["--password-file", str(folder / "password.txt")]):
        yield desk


@pytest.fixture
def desk(world: Desk, tmp_path: Path) -> Desk:
    """A folder of one's own, with a certificate and a key that are not to be lost."""
    home = tmp_path / "home"
    folder = tmp_path / "work"
    shutil.copytree(world.home, home, ignore=shutil.ignore_patterns("serve.log", "db", "*.db*"))
    folder.mkdir()
    (folder / "svc.crt").write_text("old certificate")
    (folder / "svc.key").write_text("old key")
    (folder / "password.txt").write_text(PASSWORD)
    return Desk(folder=folder, home=home, url=world.url)


TOKEN = ("ca", "token", "svc.example")


@pytest.mark.parametrize(
    ("keys", "chosen"),
    [
        ([], "admin"), ([DOWN], "build"), ([DOWN, DOWN], "ops"), ([DOWN, DOWN, DOWN], "admin"), ([UP], "ops"),
        (["j"], "build"), (["j", "j", "k"], "build"), (["k"], "ops"), (["x", "\x1b[C", "7"], "admin"),
        ([UP, UP, "\x1bOB"], "ops"),
    ],
    ids=repr,
)  # fmt: skip
def test_a_menu_is_moved_through_and_wraps_at_its_ends(desk: Desk, keys: list[str], chosen: str) -> None:
    with desk.typing(*TOKEN, "--provisioner-password-file", "password.txt") as child:
        child.expect("What provisioner key do you want to use")
        child.expect(r"ops \(JWK\)")
        for key in keys:
            child.send(key)
            child.expect(r"ops \(JWK\)")  # drawn again, as after every key
        child.send("\r")
        code, said = ended(child)
    assert code == 0
    assert f"✔ Provisioner: {chosen} (JWK)" in said
    assert said.split()[-1].count(".") == 2


def test_a_dumb_terminal_is_asked_for_a_number(desk: Desk) -> None:
    with desk.typing(*TOKEN, "--provisioner-password-file", "password.txt", TERM="dumb") as child:
        child.expect(r"3\. ops \(JWK\)")
        for wrong in ("0", "4", "x", "", "-1", "2²"):
            child.sendline(wrong)
            child.expect(">> a number from 1 to 3")
        child.sendline("2")
        code, said = ended(child)
    assert code == 0
    assert "Provisioner: build (JWK)" in said
    assert "\x1b" not in said


def test_a_password_is_never_shown_and_is_asked_for_three_times(desk: Desk) -> None:
    with desk.typing(*TOKEN, "--provisioner", "admin") as child:
        child.expect("Please enter the password[^:]*: ")
        child.sendline("")
        child.expect("a password cannot be empty")
        seen = ""
        for _ in range(3):
            child.expect("Please enter the password[^:]*: ")
            seen += child.before
            child.sendline("wrong horse")
        code, said = ended(child)
    assert code not in (0, CANCELLED)
    assert "horse" not in seen + said
    assert "That is not the password." in seen
    assert re.search(r"^error: .*password", said, re.MULTILINE)


def test_the_right_password_counts_after_a_wrong_one(desk: Desk) -> None:
    with desk.typing(*TOKEN, "--provisioner", "admin") as child:
        for password in ("wrong", PASSWORD):
            child.expect("Please enter the password[^:]*: ")
            child.sendline(password)
        code, said = ended(child)
    assert code == 0
    assert PASSWORD not in said


OVERWRITE = ("ca", "roots", "svc.crt")


@pytest.mark.parametrize("answers", [["y"], ["YES"], ["", "perhaps", "y"]], ids=repr)
def test_yes_overwrites_and_nothing_else_is_taken_for_it(desk: Desk, answers: list[str]) -> None:
    with desk.typing(*OVERWRITE) as child:
        for answer in answers:
            child.expect(r"overwrite svc\.crt \[y/n\]")
            child.sendline(answer)
        assert ended(child)[0] == 0
    assert (desk.folder / "svc.crt").read_text().startswith("-----BEGIN CERTIFICATE-----")


def test_no_leaves_the_file_and_the_ca_is_not_asked(desk: Desk) -> None:
    with desk.typing(*OVERWRITE, "--ca-url", "https://127.0.0.1:1") as child:
        child.expect(r"\[y/n\]")
        child.sendline("n")
        code, said = ended(child)
        assert desk.files() == child.files
    assert (code, said.splitlines()[-1]) == (CANCELLED, "error: svc.crt: exists, and is left as it is")


QUESTIONS = {
    "menu": ([*TOKEN], "ops .JWK"),
    "password": ([*TOKEN, "--provisioner", "admin"], "Please enter the password"),
    "overwrite": ([*OVERWRITE], r"\[y/n\]"),
    "text": (["ca", "init", "--force"], "name of the new PKI"),
    "new password": (
        ["ca", "init", "--name", "x", "--dns", "x", "--address", ":1", "--provisioner", "x", "--force"], "password for",
    ),
}  # fmt: skip


@pytest.mark.parametrize("leave", ["sendintr", "sendeof", "SIGTERM", "SIGHUP"])
@pytest.mark.parametrize("question", QUESTIONS)
def test_leaving_at_a_question_leaves_the_terminal_and_the_files_as_they_were(
    desk: Desk, question: str, leave: str
) -> None:
    arguments, asked = QUESTIONS[question]
    with desk.typing(*arguments) as child:
        child.expect(asked)
        time.sleep(0.1)  # the terminal is changed just before or after the question is written
        if leave.startswith("SIG"):
            child.kill(getattr(signal, leave))
        else:
            getattr(child, leave)()
        code, said = ended(child)
        assert desk.files() == child.files
    if leave.startswith("SIG"):
        assert code == 128 + getattr(signal, leave)
    else:
        assert (code, said.splitlines()[-1]) == (CANCELLED, "error: cancelled")


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that accepts, and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("leave", ["sendintr", "SIGTERM", "SIGHUP"])
@pytest.mark.parametrize("wait", [0.0, 1.3], ids=["at once", "while progress is shown"])
def test_leaving_while_the_ca_is_waited_for_leaves_everything_as_it_was(
    desk: Desk, silent: str, leave: str, wait: float
) -> None:
    token = desk.shell(f"mica ca token a.example --provisioner admin --password-file password.txt --ca-url {desk.url}")
    with desk.typing("ca", "certificate", "a.example", "a.crt", "a.key", "--token", token.stdout.strip(),
                     "--ca-url", silent, "--root", str(desk.home / "certs/root_ca.crt")) as child:  # fmt: skip
        if wait:
            child.expect("waiting for")
        else:
            time.sleep(0.7)
        if leave.startswith("SIG"):
            child.kill(getattr(signal, leave))
        else:
            getattr(child, leave)()
        code, said = ended(child)
        left = {name for name in desk.files() if name not in child.files}
    assert code == (128 + getattr(signal, leave) if leave.startswith("SIG") else CANCELLED)
    assert not [name for name in left if ".mica-" in name]
    assert "waiting" not in said.rpartition("\n")[2]


def complaints(done: subprocess.CompletedProcess[str]) -> str:
    """stderr, without what was chosen."""
    return "".join(line for line in done.stderr.splitlines(keepends=True) if not line.startswith("✔"))


SPEAKING = (
    "mica --help",
    "mica ca certificate --help",
    "mica version --json",
    "mica ca provisioner list",
    "mica certificate inspect $MICAPATH/certs/root_ca.crt",
    "mica ca token svc.example --provisioner admin --provisioner-password-file password.txt",
)


@pytest.mark.parametrize("command", SPEAKING)
def test_a_pipe_that_is_closed_early_is_no_error_message(desk: Desk, command: str) -> None:
    done = desk.shell(f"{command} | head -c 1")
    assert (len(done.stdout), complaints(done)) == (1, "")


@pytest.mark.parametrize("command", SPEAKING)
def test_a_full_disk_behind_stdout_is_a_file_problem(desk: Desk, command: str) -> None:
    done = desk.shell(f"{command} >/dev/full")
    message = complaints(done)
    if "--json" in command:
        message = f"error: {json.loads(message)['error']['message']}\n"
    place = "" if "--help" in command else "stdout: cannot be written: "
    assert (done.returncode, message) == (5, f"error: {place}no space left on device\n")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize(
    "command",
    [*SPEAKING, "mica certificate inspect -", "mica certificate fingerprint", "mica ca sign - x.crt --token x",
     "mica ca token svc.example --provisioner admin --provisioner-password-file -", "mica ca certs list"],
)  # fmt: skip
def test_closed_streams_end_in_a_sentence_and_not_in_a_stack_trace(desk: Desk, command: str, closed: str) -> None:
    files = desk.files()
    done = desk.shell(f"{command} {closed}")
    assert done.returncode in (0, 2, 5)
    for sign in ("Traceback", "should not", "Exception", "AttributeError", "Fatal"):
        assert sign not in done.stderr
    if closed == ">&-" and command in SPEAKING and "--help" not in command:
        assert "stdout is closed" in done.stderr
    assert desk.files() == files


@pytest.fixture
def mounted(desk: Desk, tool: Callable[[str], str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a script where a file system lies over the folder ``small``, which nobody else sees."""

    def run(kind: str, script: str) -> subprocess.CompletedProcess[str]:
        (desk.folder / "small").mkdir(exist_ok=True)
        if os.geteuid() != 0 or desk.shell(f"{tool('unshare')} --mount true").returncode:
            if os.environ.get("MICA_REQUIRE_ALL"):
                pytest.fail("only root can mount")
            pytest.skip("only root can mount")
        inner = shlex.quote(f"mount -t tmpfs -o {kind} none small && {desk.prelude}{script}")
        return desk.shell(f"unshare --mount --propagation private bash -c {inner}")

    return run


CERTIFICATE = "mica ca certificate svc.example small/svc.crt small/svc.key --token $(cat token.txt)"


def test_a_full_disk_leaves_no_part_of_a_file_and_the_old_ones(
    desk: Desk, mounted: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    (desk.folder / "token.txt").write_text(token(desk))
    script = f"""
    echo old > small/svc.crt; echo old > small/svc.key
    dd if=/dev/zero of=small/filling bs=4096 status=none 2>/dev/null
    {CERTIFICATE} --force; echo "exit code $?"
    ls -A small; cat small/svc.crt small/svc.key
    """
    done = mounted("size=64k", script)
    assert "no space left on device" in done.stderr
    assert done.stdout == "exit code 5\nfilling\nsvc.crt\nsvc.key\nold\nold\n"


def test_a_read_only_folder_is_told_before_the_ca_is_asked(
    desk: Desk, mounted: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    (desk.folder / "token.txt").write_text(token(desk))
    done = mounted("ro,size=64k", f"{CERTIFICATE}; echo $?; ls -A small")
    assert done.stdout == "5\n"
    assert "error: small/svc" in done.stderr and "Traceback" not in done.stderr
    again = desk.shell(f"mkdir -p small; {CERTIFICATE}")  # the token has not been spent
    assert again.returncode == 0, again.stderr


def token(desk: Desk) -> str:
    made = desk.shell("mica ca token svc.example --provisioner admin --provisioner-password-file password.txt")
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_while_files_are_written_leaves_the_old_ones_and_no_temporary_one(desk: Desk, number: int) -> None:
    """The certificate goes to a pipe that nobody reads: the command waits there, and the key is half way."""
    (desk.folder / "svc.crt").unlink()
    os.mkfifo(desk.folder / "svc.crt")
    process = subprocess.Popen(
        [sys.executable, "-m", "mica.cli", "ca", "certificate", "svc.example", "svc.crt", "svc.key", "--force",
         "--token", token(desk)],
        cwd=desk.folder, env=desk.environment(), stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    for _ in range(400):
        if list(desk.folder.glob(".mica-*")):
            break
        time.sleep(0.05)
    assert list(desk.folder.glob(".mica-*"))
    time.sleep(0.2)
    process.send_signal(number)
    _, said = process.communicate(timeout=20)
    assert process.returncode == (CANCELLED if number == signal.SIGINT else 128 + number)
    assert b"Traceback" not in said
    assert sorted(path.name for path in desk.folder.iterdir()) == ["password.txt", "svc.crt", "svc.key"]
    assert (desk.folder / "svc.key").read_text() == "old key"
