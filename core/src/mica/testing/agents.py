"""A real ``ssh-agent`` for tests, and the programs that judge what it holds. None of the user's own is touched."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

#: The variable by which programs find an agent.
SOCKET = "SSH_AUTH_SOCK"
_NOTHING = 1  # how ssh-add ends when the agent holds nothing


@dataclass(frozen=True, slots=True)
class RunningAgent:
    """An agent that runs, and where it listens."""

    socket: Path

    @property
    def environment(self) -> dict[str, str]:
        """What a program needs to find it."""
        return {SOCKET: str(self.socket)}

    def add(self, *arguments: str | Path, password: str = "") -> str:
        """What ``ssh-add`` prints with these arguments; where it asks for a password, this is it."""
        done = self._ssh_add(*arguments, password=password)
        assert done.returncode == 0, f"ssh-add {arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def lines(self, option: str = "-L") -> list[str]:
        """A line for each thing that it holds: type, base64 and comment; with ``-l`` those of fingerprints."""
        done = self._ssh_add(option)
        assert done.returncode in (0, _NOTHING), f"ssh-add {option}: {done.stdout}{done.stderr}"
        return done.stdout.splitlines() if done.returncode == 0 else []

    def lock(self, password: str) -> None:
        """It refuses everything until ``unlock``."""
        self.add("-x", password=password)

    def unlock(self, password: str) -> None:
        """It is as it was before ``lock``."""
        self.add("-X", password=password)

    def _ssh_add(self, *arguments: str | Path, password: str = "") -> "subprocess.CompletedProcess[str]":
        script = self.socket.with_name("askpass")
        script.write_text(f"#!/bin/sh\nprintf '%s\\n' '{password}'\n")
        script.chmod(0o700)
        asking = {"SSH_ASKPASS": str(script), "SSH_ASKPASS_REQUIRE": "force"}
        return subprocess.run(
            [_program("ssh-add"), *map(str, arguments)], env={**os.environ, **self.environment, **asking},
            capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60,
        )  # fmt: skip


@contextmanager
def ssh_agent(*options: str) -> Iterator[RunningAgent]:
    """An ``ssh-agent`` with these options runs, empty, and is gone afterwards.

    Without the program the test is skipped, or fails where MICA_REQUIRE_ALL is set.
    """
    # A socket's name has at most 107 octets (unix(7)): pytest's folders are longer than that at times.
    with tempfile.TemporaryDirectory(prefix="mica-agent-") as folder:
        socket = Path(folder) / "agent"
        process = subprocess.Popen(
            [_program("ssh-agent"), "-D", "-a", socket, *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        try:
            assert process.stdout is not None
            process.stdout.readline()  # it says where it listens when it does
            yield RunningAgent(socket)
        finally:
            process.terminate()
            process.communicate(timeout=20)


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        if os.environ.get("MICA_REQUIRE_ALL"):
            pytest.fail(f"{name} is not installed")
        pytest.skip(f"{name} is not installed")
    return found
