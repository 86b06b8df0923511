"""Signals go to processes, never to groups of them; what systemd asked for is understood as it means it."""

import os
import sys
import time
from pathlib import Path

import pytest

from mica import systemd
from mica.cli.errors import CLIError, FileProblem
from mica.cli.renewal.aftermath import Aftermath, Running, read_pid, shell, shown


@pytest.mark.parametrize("text", ["", "0", "-1", "-4711", "+7", "x", "1x", "1 ", "  12\nmore", "٣", "9" * 10, "1.5"])
def test_a_pid_file_names_one_process_or_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "pid"
    file.write_text(text)
    if text.split()[:1] in (["1"], ["12"]):
        assert read_pid(file) == int(text.split()[0])
    else:
        with pytest.raises(FileProblem, match="does not begin with a process id"):
            read_pid(file)


def test_commands_are_shown_as_they_would_be_typed() -> None:
    assert shown(shell("systemctl reload nginx && echo 'ok'")) == "systemctl reload nginx && echo 'ok'"
    assert shown(("touch", "a b")) == "touch 'a b'"


def test_a_command_that_ignores_being_told_to_end_is_killed(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("mica.cli.renewal.aftermath.GRACE", 0.2)
    monkeypatch.setattr(sys, "stderr", sys.__stderr__)
    running = Running(shell("trap '' TERM; echo ready; sleep 60; sleep 60"))
    deadline = time.monotonic() + 20
    while "ready" not in capfd.readouterr().err and time.monotonic() < deadline:
        time.sleep(0.05)
    running.end()
    with pytest.raises(CLIError, match="was ended by SIGKILL"):
        running.wait()


def test_the_command_does_not_speak_to_systemd_in_our_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/notify")
    monkeypatch.setattr(sys, "stderr", None)
    Aftermath(command=shell(f"env >{tmp_path}/seen")).carry_out()
    seen = (tmp_path / "seen").read_text()
    assert "PATH=" in seen
    assert "NOTIFY_SOCKET" not in seen


def test_nothing_to_do_is_done() -> None:
    Aftermath().carry_out()


@pytest.mark.parametrize(
    ("allowed", "meant", "interval"),
    [
        ("30000000", None, 15.0),
        ("30000000", str(os.getpid()), 15.0),
        ("30000000", "1", None),
        (None, None, None),
        ("", None, None),
        ("0", None, None),
        ("soon", None, None),
    ],
    ids=["all", "this", "another", "none", "empty", "zero", "nonsense"],
)
def test_the_watchdog_is_fed_twice_as_often_as_it_asks(
    monkeypatch: pytest.MonkeyPatch, allowed: str | None, meant: str | None, interval: float | None
) -> None:
    for name, value in (("WATCHDOG_USEC", allowed), ("WATCHDOG_PID", meant)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    assert systemd.watchdog_interval() == interval
