"""What the audit log adds to ``POST /sign``: server CPU with it and without, and what it costs a client to wait.

Budget: with the log, a request costs at most 1.15 times the CPU that it costs without. The two CAs take turns, since a
machine is not equally fast all the time. How fast a log is verified is told as well.
"""

import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import uvloop
from issuance import _signs
from load import run
from service import cpu_seconds

from mica.testing.ca import TestCA
from mica.testing.plugins import append, enable
from mica.testing.service import Service, free_port, served
from mica_auditlog.parts import take
from mica_auditlog.places import Places
from mica_auditlog.verification import verify

TURNS, REQUESTS = 5, 1500


def main() -> None:
    """Prints a line for each CA, and the ratios."""
    with tempfile.TemporaryDirectory() as home, ExitStack() as stack:
        cas = {name: _founded(Path(home) / name, logging=name == "with") for name in ("without", "with")}
        running = {name: stack.enter_context(served(ca)) for name, ca in cas.items()}
        turns = [{name: _load(service) for name, service in running.items()} for _ in range(TURNS)]
        cpu = {name: min(turn[name][0] for turn in turns) for name in cas}  # noise only ever adds
        waiting = {name: statistics.median(turn[name][1] for turn in turns) for name in cas}
        for name in cas:
            print(f"sign, {name} the audit log: {cpu[name] * 1e6:.0f} µs CPU each, p50 {waiting[name]:.1f} ms")
        ratio = cpu["with"] / cpu["without"]
        print(f"with / without: CPU {ratio:.2f} (≤ 1.15), p50 {waiting['with'] / waiting['without']:.2f}")
        stack.close()
        _tell_reading(cas["with"].directory / "audit/audit.jsonl")


def _founded(home: Path, *, logging: bool) -> TestCA:
    ca = TestCA.found(home, port=free_port())
    if logging:
        enable(ca, "auditlog")
        append(ca, "\n[plugin.auditlog]\n")
    return ca


def _load(service: Service) -> tuple[float, float]:
    """CPU seconds of the server for each request, and the median wait in milliseconds."""
    requests, before = _signs(service, REQUESTS), cpu_seconds(service)
    outcome = uvloop.run(run(requests, service.port, service.context(), connections=32))
    return (cpu_seconds(service) - before) / REQUESTS, outcome.percentile(50)


def _tell_reading(log: Path) -> None:
    started = time.perf_counter()
    report = verify(take(Places(log).files()))
    rate = report.lines / (time.perf_counter() - started)
    print(f"verify: {rate:.0f} lines/s, {report.lines} lines, {'sound' if report.sound else 'not sound'}")


if __name__ == "__main__":
    main()
