"""What a command costs before it does anything: CPU time of whole processes, and what they import.

Times are ratios to ``python -c "import click"`` for help and to ``python -c "import click, cryptography.x509"`` for
work. Budgets: help at any level ≤ 1.5 ×; ``certificate inspect`` ≤ 1.3 ×; ``ca certificate --token`` ≤ 1.8 ×;
``ssh check-host``, which ssh runs for every connection, ≤ 2 × the first when the host is remembered. Command and
baseline take turns, so that a machine that slows down slows both; the median of the rounds' ratios counts, once it
is known well enough. A budget that is missed is marked, and the exit code is 1 then.
"""

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median, quantiles

import click

from mica.cli import shell
from mica.cli.ssh.reaching.hostmemory import Memory, Verdict
from mica.testing.ca import TestCA
from mica.testing.service import Service, free_port, served

#: So many rounds at least and at most; fewer when the standard error of the median is below a part of it.
FEWEST, MOST, ERROR = 7, 20, 0.02
#: What is named when a command imports it; everything else is counted.
SLOW = (
    "cryptography", "ssl", "http.client", "json", "asyncio", "subprocess", "rich", "pluggy", "cattrs", "tomlkit",
    "starlette", "uvicorn", "importlib.metadata",
)  # fmt: skip
_TELL = "import sys; from mica.cli import main; main(sys.argv[1:]); print(*sys.modules, file=sys.stderr)"

Command = Callable[[], list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table."""

    title: str
    ratio: float
    budget: float
    modules: frozenset[str]

    @property
    def missed(self) -> bool:
        """Whether it takes longer than it may."""
        return self.ratio > self.budget

    def __str__(self) -> str:
        slow = " ".join(name for name in SLOW if name in self.modules) or "-"
        mark = "!" if self.missed else " "
        return f"{self.title:<42} {self.ratio:5.2f} {mark} {self.budget:5.1f} {len(self.modules):8}  {slow}"


def main() -> int:
    """Prints one line for each command of the tree, those of the plugins included; 1 when a budget was missed."""
    missed = []
    print(f"{'command':<42} {'ratio':>5}   {'limit':>5} {'modules':>8}  slow ones")
    with tempfile.TemporaryDirectory() as home, served(TestCA.found(Path(home) / "ca", port=free_port())) as service:
        for row in _rows(Path(home), service):
            print(row, flush=True)
            missed += [row.title] if row.missed else []
    print(f"\n{len(missed)} over budget" + (f": {', '.join(missed)}" if missed else ""))
    return 1 if missed else 0


def _rows(folder: Path, service: Service) -> Iterator[Row]:
    both = _python("import click, cryptography.x509")
    inspect = _fixed("certificate", "inspect", "--short", str(service.root_file))
    yield _row("certificate inspect", inspect, both, 1.3, folder)
    yield _row("ca certificate --token", _certificate(service), both, 1.8, folder)
    yield _row("ssh check-host, remembered", _remembered(folder), _python("import click"), 2.0, folder)
    for path in _paths():
        help_ = _fixed(*path.split(), "--help")
        yield _row(f"{path} --help".strip(), help_, _python("import click"), 1.5, folder)


def _paths() -> Iterator[str]:
    """Every group and every command."""
    root = shell.root()
    yield from _below(root, click.Context(root, info_name="mica"))


def _below(group: shell.Group, context: click.Context) -> Iterator[str]:
    yield group.path
    for name in group.list_commands(context):
        member = group.get_command(context, name)
        if isinstance(member, shell.Group):
            yield from _below(member, click.Context(member, info_name=name, parent=context))
        elif member is not None:
            yield group.below(name)


def _python(code: str) -> Command:
    return lambda: [sys.executable, "-c", code]


def _fixed(*arguments: str) -> Command:
    return lambda: list(arguments)


def _certificate(service: Service) -> Command:
    def command() -> list[str]:
        token = service.ca.token("svc.example", sha=service.ca.root_fingerprint)
        return ["ca", "certificate", "--token", token, "--force", "svc.example", "svc.crt", "svc.key"]

    return command


def _remembered(folder: Path) -> Command:
    """Asks for a host of which the CA has said just now that it knows it."""
    url = "https://ca.example"
    memory = Memory.read(folder / "client/ssh/checked_hosts.json", url)
    memory.keep("build1.example", Verdict(known=True, at=datetime.now(UTC)))
    return _fixed("ssh", "check-host", "--ca-url", url, "build1.example")


def _row(title: str, command: Command, baseline: Command, budget: float, folder: Path) -> Row:
    run = [str(Path(sys.executable).with_name("mica"))]
    # First, for what it imports is compiled then, too.
    told = _run([sys.executable, "-c", _TELL, *command()], folder).stderr.splitlines()[-1]
    ratios: list[float] = []
    while not _settled(ratios):
        ratios.append(_cpu([*run, *command()], folder) / _cpu(baseline(), folder))
    return Row(title=title, ratio=median(ratios), budget=budget, modules=frozenset(told.split()))


def _settled(ratios: Sequence[float]) -> bool:
    """Whether the median is known well enough."""
    if len(ratios) < FEWEST:
        return False
    lower, middle, upper = quantiles(ratios, n=4)
    # 1.25 σ / √n is the standard error of a normal sample's median; between its quartiles lie 1.35 σ.
    return len(ratios) >= MOST or 0.93 * (upper - lower) / len(ratios) ** 0.5 <= ERROR * middle


def _cpu(command: list[str], folder: Path) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    _run(command, folder)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _run(command: list[str], folder: Path) -> "subprocess.CompletedProcess[str]":
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment = {**kept, "MICAPATH": str(folder / "client")}
    return subprocess.run(command, check=True, cwd=folder, env=environment, capture_output=True, text=True)


if __name__ == "__main__":
    sys.exit(main())
