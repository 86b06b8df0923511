"""What is in the memory of the service stays there."""

import subprocess
import sys
from pathlib import Path

from mica.testing.keys import PASSWORD

UNIT = Path(__file__).parents[2] / "examples/systemd/mica-ca.service"
#: A process that another one of the same user tries to read, and how that went before and after it protects itself.
WATCHED = """
import ctypes, os, resource, sys
from mica.web.hardening import protect_memory

def is_read():
    watcher = os.fork()
    if watcher == 0:
        try:
            with open(f"/proc/{os.getppid()}/environ", "rb") as environment:
                os._exit(0 if b"SECRET=" in environment.read() else 2)
        except PermissionError:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(watcher, 0)[1])

if os.geteuid() == 0:  # whom nothing is closed to
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
libc = ctypes.CDLL(None)
libc.prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE: as whoever never was root
before = is_read()
protect_memory()
print(before, is_read(), libc.prctl(3, 0, 0, 0, 0), *resource.getrlimit(resource.RLIMIT_CORE))
"""


def test_a_process_of_the_same_user_reads_no_memory_of_a_worker_and_no_core_is_dumped() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WATCHED], env={"SECRET": PASSWORD.decode()}, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["0", "1", "0", "0", "0"], done.stderr


def test_the_unit_lets_no_memory_reach_a_disk() -> None:
    settings = UNIT.read_text().splitlines()
    assert {"LimitCORE=0", "MemorySwapMax=0"} <= set(settings)
