"""Host keys with certificates, in the folder of a machine; what they are for the command, OpenSSH made or the CA."""

import os
import subprocess
import sys
from pathlib import Path

from core.tests.cli_ca.conftest import Machine

from mica.sshcert import SSHCertificate, TBSSSHCertificate
from mica.sshkeys import KeyLine
from mica.testing.keygen import Keygen

KEY, CERTIFICATE = "ssh_host_key", "ssh_host_key-cert.pub"
PAIR = (CERTIFICATE, KEY)
NOWHERE = ("--ca-url", "https://127.0.0.1:1")
#: Where a new certificate waits for its key.
BESIDE = f".{CERTIFICATE}.mica-rekey"
_INTERRUPTED = """
import os, signal, sys
from pathlib import Path
place, rename, unlink, seen = int(sys.argv.pop(1)), Path.rename, Path.unlink, 0
def count():
    global seen
    seen += 1
    if seen == place:
        os.kill(os.getpid(), signal.SIGKILL)
def counted(self, target):
    count()
    return rename(self, target)
def counted_unlink(self, missing_ok=False):
    count()
    return unlink(self, missing_ok=missing_ok)
Path.rename, Path.unlink = counted, counted_unlink
from mica.cli import main
sys.exit(main())
"""


def certify(machine: Machine, name: str = "host.example", *arguments: str, file: str = KEY) -> None:
    """The machine has a new key in ``file``, and the CA's certificate for the host ``name`` beside it."""
    machine.mica("ssh", "certificate", "--host", name, file, "--no-password", "--insecure", "--force", *arguments)


def keygen_of(machine: Machine) -> Keygen:
    """ssh-keygen in the machine's folder."""
    return Keygen(machine.folder)


def read(machine: Machine, name: str = CERTIFICATE) -> TBSSSHCertificate:
    """What the certificate says."""
    return SSHCertificate.decode(KeyLine.parse(machine.path(name).read_text()).blob).tbs


def comment(machine: Machine, name: str = CERTIFICATE) -> str:
    """What stands behind the key or certificate in its file."""
    return KeyLine.parse(machine.path(name).read_text()).comment


def mode(machine: Machine, name: str) -> int:
    """Who may read the file."""
    return machine.path(name).stat().st_mode & 0o777


def contents(folder: Path) -> dict[str, bytes]:
    """Every file, and what it holds."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def interrupted(machine: Machine, place: int, *arguments: str) -> None:
    """The command was killed just before the change to the folder that is number ``place``, from 1."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MICA")}
    done = subprocess.run(
        [sys.executable, "-c", _INTERRUPTED, str(place), *arguments], cwd=machine.folder, capture_output=True,
        env=environment | {"MICAPATH": str(machine.home)} | machine.environment, timeout=60, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == -9, done.stderr.decode()
