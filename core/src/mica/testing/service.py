"""A CA that is served, for tests: ``mica ca serve`` in a process of its own, on a loopback port."""

import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPSConnection
from pathlib import Path

from mica.config import parse, split_address
from mica.testing.ca import TestCA

#: How long a service may take to start, in seconds.
PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class Service:
    """A running CA."""

    ca: TestCA
    port: int
    process: "subprocess.Popen[bytes]"
    log: Path

    @property
    def root_file(self) -> Path:
        """The PEM file of its root."""
        return self.ca.directory / "certs/root_ca.crt"

    def workers(self) -> list[int]:
        """The process ids of its workers, as the kernel lists them (Linux)."""
        pid = self.process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def context(self) -> ssl.SSLContext:
        """What a client that trusts its root connects with."""
        return ssl.create_default_context(cafile=str(self.root_file))

    def connect(self, context: ssl.SSLContext | None = None) -> HTTPSConnection:
        """A connection to it, not opened yet."""
        return HTTPSConnection("localhost", self.port, context=context or self.context(), timeout=20)


@contextmanager
def served(
    ca: TestCA, *, workers: int = 2, arguments: Sequence[str] = (), site: Path | None = None
) -> Iterator[Service]:
    """``ca`` is served at the port of its configuration, every worker ready; it is gone afterwards.

    ``site`` is a folder of further distributions, as ``mica.testing.plugins.install`` fills it.
    Raises RuntimeError with the log when it does not start.
    """
    log = ca.directory / "serve.log"
    path = ca.directory / "ca.toml"
    _, port = split_address(parse(path.read_bytes(), path)["address"])
    command = [sys.executable, "-m", "mica.cli", "ca", "serve", str(path)]
    with log.open("wb") as output:
        environment = os.environ | ({"PYTHONPATH": str(site)} if site else {})
        process = subprocess.Popen([*command, "--workers", str(workers), *arguments], stderr=output, env=environment)
    try:
        _wait_until_ready(log, process)
        yield Service(ca, port, process, log)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(timeout=70)


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_ready(log: Path, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        if b"serving" in log.read_bytes():
            return
        time.sleep(0.05)
    raise RuntimeError(f"the CA did not start:\n{log.read_text()}")
