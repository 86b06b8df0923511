"""``make demo`` as a newcomer's machine runs it: without a terminal, and with nothing left behind."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mica.testing.sshd import find

DEMO = Path(__file__).parents[1] / "examples/demo.sh"


def session_members(session: int) -> list[str]:
    """The processes of the session that still run, as the kernel lists them (Linux)."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            command, _, rest = stat.read_text().rpartition(")")
        except OSError:
            continue
        state, _parent, _group, owner = rest.split()[:4]
        if int(owner) == session and state != "Z":
            found.append(f"{command})")
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def demo(folder: Path) -> "subprocess.CompletedProcess[str]":
    """The demo has run, in a session of its own, in ``folder``."""
    find("sshd")
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MICA")}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    process = subprocess.Popen(
        ["bash", str(DEMO)],
        env=clean | {"TMPDIR": str(folder), "HOME": str(folder), "PATH": path},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        output, errors = process.communicate(timeout=120)
    finally:
        remaining = session_members(process.pid)
    assert remaining == []
    return subprocess.CompletedProcess(DEMO, process.returncode, output, errors)


def test_the_demo_passes(demo: "subprocess.CompletedProcess[str]", folder: Path) -> None:
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert "hello from svc.example" in demo.stdout
    assert demo.stdout.count("\nhello over ssh\n") == 1
    assert demo.stderr.count("Permission denied (publickey)") == 1
    assert demo.stdout.rstrip().endswith("removed.")
    assert list(folder.iterdir()) == []


def test_the_demo_shows_each_command_before_what_it_does(demo: "subprocess.CompletedProcess[str]") -> None:
    shown = [line for line in demo.stdout.splitlines() if line.startswith("$ ")]
    for command in (
        "mica ca init", "mica ca check", "mica ca serve", "mica ca health", "mica ca bootstrap", "mica ca certificate",
        "mica certificate inspect", "curl", "mica certificate create --csr", "mica ca sign", "mica ca renew",
        "mica ca revoke", "mica ssh certificate", "mica ssh inspect", "mica ssh config", "mica ssh krl",
        "mica ssh revoke", "ssh -i alice", "mica ca provisioner add edge --type X5C", "mica ca token sensor.example",
    ):  # fmt: skip
        assert any(command in line for line in shown), command


def test_the_demo_shows_what_is_refused_and_nothing_goes_wrong_besides(
    demo: "subprocess.CompletedProcess[str]",
) -> None:
    assert demo.stderr.count("error: ") == 2, demo.stderr  # a token used twice, a renewal after revocation
    assert "Traceback" not in demo.stdout + demo.stderr
    assert "\x1b" not in demo.stdout + demo.stderr


def test_the_demo_that_fails_leaves_nothing_behind_either(tmp_path: Path) -> None:
    """Its ``curl`` is not there: it stops in the middle, with its servers running."""
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "curl").write_text("#!/bin/sh\nexit 1\n")
    (tools / "curl").chmod(0o755)
    (tools / "sleep").write_text("#!/bin/sh\nexit 0\n")
    (tools / "sleep").chmod(0o755)
    work = tmp_path / "work"
    work.mkdir()
    process = subprocess.Popen(
        ["bash", str(DEMO)],
        env={**os.environ, "TMPDIR": str(work), "PATH": f"{tools}:{Path(sys.executable).parent}:{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    _, errors = process.communicate(timeout=120)
    assert process.returncode != 0
    assert "in vain for: curl" in errors
    assert session_members(process.pid) == []
    assert list(work.iterdir()) == []
