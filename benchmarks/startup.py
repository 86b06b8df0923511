"""What a command costs before it does anything: CPU time of whole processes, as multiples of an import.

Budgets: ``mica --help`` ≤ 1.5 × ``import click``; ``certificate inspect`` ≤ 1.3 × and ``ca certificate --token``
≤ 1.8 × ``import click, cryptography.x509``.
"""

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from mica.testing.ca import TestCA
from mica.testing.service import Service, free_port, served

ROUNDS = 15


def main() -> None:
    """Prints one line for each command."""
    with tempfile.TemporaryDirectory() as home, served(TestCA.found(Path(home) / "ca", port=free_port())) as service:
        folder = Path(home)
        click, both = _python("import click"), _python("import click, cryptography.x509")
        _compare("mica --help (≤ 1.5)", _mica("--help"), click, folder)
        inspect = _mica("certificate", "inspect", "--short", str(service.root_file))
        _compare("mica certificate inspect (≤ 1.3)", inspect, both, folder)
        _compare("mica ca certificate --token (≤ 1.8)", _certificate(service), both, folder)


Command = Callable[[], list[str]]


def _python(code: str) -> Command:
    return lambda: [sys.executable, "-c", code]


def _mica(*arguments: str) -> Command:
    return lambda: [sys.executable, "-m", "mica.cli", *arguments]


def _certificate(service: Service) -> Command:
    def command() -> list[str]:
        token = service.ca.token("svc.example", sha=service.ca.root_fingerprint)
        return _mica("ca", "certificate", "--token", token, "--force", "svc.example", "svc.crt", "svc.key")()

    return command


def _compare(title: str, command: Command, baseline: Command, folder: Path) -> None:
    pairs = [(_cpu(command(), folder), _cpu(baseline(), folder)) for _ in range(ROUNDS)]
    ours, theirs = (min(column) for column in zip(*pairs, strict=True))
    print(f"{title}: {ours / theirs:.2f} × ({ours * 1000:.0f} ms CPU, baseline {theirs * 1000:.0f} ms)")


def _cpu(command: list[str], folder: Path) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "MICAPATH": str(folder / "client")}
    subprocess.run(command, check=True, cwd=folder, env=environment, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
