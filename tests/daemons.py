"""Renewal daemons in processes of their own, and a CA that can be sent away and called back."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from mica.testing.ca import TestCA
from mica.testing.service import Service, served

PATIENCE = 25.0
#: What every line of a daemon's log looks like.
LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (info   |error  ) \S")
_RENEWED = re.compile(r"certificate re(new|key)ed, next in")


@dataclass
class CAHost:
    """A CA that can be sent away and called back."""

    ca: TestCA
    running: ExitStack = field(default_factory=ExitStack)
    service: Service | None = None

    def come(self) -> Service:
        """The CA is there."""
        if self.service is None:
            self.service = self.running.enter_context(served(self.ca, workers=1))
        return self.service

    def leave(self) -> None:
        """Nobody answers there."""
        self.running.close()
        self.service = None


@dataclass
class Daemon:
    """The daemon, and what it has logged."""

    process: "subprocess.Popen[bytes]"
    log: Path

    @property
    def text(self) -> str:
        return self.log.read_text()

    @property
    def has_ended(self) -> bool:
        return self.process.poll() is not None

    @property
    def renewals(self) -> int:
        return len(_RENEWED.findall(self.text))

    def wait_until(self, condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, self.text
            time.sleep(0.05)

    def wait_for(self, words: str, times: int = 1, *, seconds: float = PATIENCE) -> None:
        """It has said so, so often."""
        self.wait_until(lambda: self.text.count(words) >= times or self.has_ended, seconds)
        assert self.text.count(words) >= times, self.text

    def renew_now(self) -> None:
        self.process.send_signal(signal.SIGHUP)

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """It ends when it is told to, at once and well."""
        self.process.send_signal(number)
        assert self.process.wait(10) == 0, self.text
        assert "Traceback" not in self.text


@contextmanager
def started(command: Sequence[str], folder: Path, environment: dict[str, str] | None = None) -> Iterator[Daemon]:
    """The daemon that ``command`` starts in ``folder``; it has planned its first renewal, or ended."""
    log = folder / "daemon.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            env=os.environ | (environment or {}),
        )  # fmt: skip
    daemon = Daemon(process, log)
    try:
        daemon.wait_until(lambda: daemon.has_ended or "first renewal in" in daemon.text)
        yield daemon
    finally:
        if not daemon.has_ended:
            process.kill()
        process.wait()
