"""What a served CA costs: CPU time and memory of its workers, as the kernel counts them (Linux)."""

import os
from pathlib import Path

from mica.testing.service import Service

_TICK = os.sysconf("SC_CLK_TCK")


def cpu_seconds(service: Service) -> float:
    """What the workers have used so far, user and system."""
    return sum(_cpu_seconds(pid) for pid in service.workers())


def memory_megabytes(service: Service) -> list[float]:
    """Resident memory of each worker."""
    return [_resident(pid) / 1e6 for pid in service.workers()]


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def _resident(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no VmRSS")
