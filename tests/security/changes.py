"""Code that is stopped before each of its changes to the disk in turn: killed, or told that the disk is full.

A process of its own imports what is needed once and forks for every stop. The fork counts the calls that change
something (a file or folder made, its mode, half of what is written, a wait for the disk, a name given or taken) and
ends, or fails, at the one that is its turn. Passwords cost next to nothing there, so that a hundred stops take seconds.
"""

import errno
import gc
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from mica import ConfigError, jwe, keyciphers
from mica.cli import main
from mica.cli.errors import FileProblem
from mica.cli.renewal.pairfiles import replace
from mica.testing.keys import make_key_context
from mica_filekeys.backend import FileKeys, FileKeysConfig

ROOT = Path(__file__).parents[2]
#: What changes the disk, by the names that pathlib and our own code look up in ``os`` at each call.
_CHANGES = ("mkdir", "fchmod", "fchown", "fsync", "rename", "replace", "link")
#: What a full disk still does.
_FREEING = ("unlink", "rmdir")
_MOST = 200
#: What the commands below import when they need it, and a fork had better have already.
_WARM = (
    "mica.authority", "mica.cli.ca.documents", "mica.cli.ca.founding", "mica.cli.ca.provisioner_edit",
    "mica.foundation", "mica.sshfoundation", "mica_jwk.client",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """How the code that was stopped before its change number ``at`` ended, and the folder as it left it."""

    at: int
    folder: Path
    code: int
    """As of subprocess: below zero it was killed."""
    said: str
    then: tuple[tuple[int, str], ...]
    """How what came afterwards ended, and what it said; nothing where as many files were there the time before."""


def stops(work: str, how: str, folder: Path, template: Path, then: Sequence[str] = ()) -> Iterator[Stop]:
    """``work`` (a function below) was stopped at its first change, its second …; the last one was not stopped.

    Each had a copy of ``template`` for its folder. ``how`` is "killed" or "full" (or "never": it ran once). Of what it
    had left, a copy was made, and there the functions ``then`` ran, one after the other and not stopped.
    """
    order = {"work": work, "how": how, "folder": str(folder), "template": str(template), "then": then}
    done = subprocess.run(
        [sys.executable, "-c", "from tests.security.changes import serve; serve()"],
        input=json.dumps(order), cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for line in done.stdout.splitlines():
        at, code, said, ended = json.loads(line)
        yield Stop(
            at=at, folder=folder / str(at), code=code, said=said, then=tuple((code, said) for code, said in ended)
        )


def serve() -> None:
    """The order on stdin has been carried out; a line for each stop says how it ended."""
    keyciphers.PBKDF2_ROUNDS = jwe.ROUNDS = 1000
    for name in _WARM:
        import_module(name)
    gc.freeze()
    order = json.load(sys.stdin)
    before = 0
    for at in range(1, _MOST):
        folder = Path(order["folder"], str(at))
        shutil.copytree(order["template"], folder)
        code, said = _ended(order["work"], folder, _Counter(at, order["how"]))
        there = sum(not path.name.startswith(".") for path in folder.rglob("*"))
        then = _afterwards(order["then"], folder) if there != before else []
        before = there
        sys.stdout.write(json.dumps([at, code, said, then]) + "\n")
        sys.stdout.flush()
        if code == 0:
            return


def _afterwards(works: Sequence[str], folder: Path) -> list[tuple[int, str]]:
    copy = folder.with_name(f"{folder.name}.then")
    if works:
        shutil.copytree(folder, copy)
    return [_ended(work, copy, None) for work in works]


def _ended(work: str, folder: Path, counter: "_Counter | None") -> tuple[int, str]:
    """How ``work`` ended in a process of its own, and what it said."""
    said = folder.with_name(f"{folder.name}.said")
    child = os.fork()
    if child == 0:
        _carry_out(globals()[work], folder, said, counter)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said.read_text()


def _carry_out(work: Callable[[], int], folder: Path, said: Path, counter: "_Counter | None") -> NoReturn:
    code = 99
    try:
        os.chdir(folder)
        os.environ["MICAPATH"] = str(folder / "home")
        with said.open("w") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        os.umask(0)  # nothing but what the code asks for protects its files
        if counter is not None:
            counter.listen()
        code = work()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


class _Counter:
    """Counts what changes the disk."""

    def __init__(self, at: int, how: str) -> None:
        self._left, self._how = at, how

    def listen(self) -> None:
        """From now on every change is counted."""
        for name in _CHANGES:
            setattr(os, name, self._counted(getattr(os, name)))
        for name in _FREEING if self._how == "killed" else ():
            setattr(os, name, self._counted(getattr(os, name)))
        os.open = self._counted(os.open, when=lambda path, flags, *_, **__: flags & os.O_CREAT)
        os.fdopen = self._fdopen  # type: ignore[assignment]

    def change(self) -> None:
        """One more; raises OSError on the full disk, does not return when its time has come."""
        self._left -= 1
        if self._left == 0 and self._how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if self._left <= 0 and self._how == "full":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _counted(self, call: Any, when: Callable[..., Any] = lambda *_, **__: True) -> Any:
        def counted(*arguments: Any, **named: Any) -> Any:
            if when(*arguments, **named):
                self.change()
            return call(*arguments, **named)

        return counted

    def _fdopen(self, descriptor: int, mode: str = "r", *rest: Any, **named: Any) -> Any:
        if "w" not in mode:
            return open(descriptor, mode, *rest, **named)
        return _Halves(io.FileIO(descriptor, "w"), self.change)


class _Halves(io.BufferedIOBase):
    """A file that hands what is written to the kernel at once, in two halves."""

    def __init__(self, raw: io.FileIO, change: Callable[[], None]) -> None:
        self._raw, self._change = raw, change

    def write(self, data: Any) -> int:
        for half in (data[: len(data) // 2], data[len(data) // 2 :]):
            self._change()
            self._raw.write(half)
        return len(data)

    def close(self) -> None:
        self._raw.close()
        super().close()


# What is stopped


_FOUNDING = (
    "ca", "init", "--name", "Harbour", "--dns", "ca.example", "--address", "127.0.0.1:8443",
    "--provisioner", "admin", "--password-file", "password",
)  # fmt: skip


def found_ca() -> int:
    """``mica ca init``."""
    return main(_FOUNDING)


def found_ca_anew() -> int:
    """``mica ca init --force``."""
    return main((*_FOUNDING, "--force"))


def replace_ca() -> int:
    """``mica ca init --pki --force``."""
    return main(("ca", "init", "--pki", "--force", "--name", "Harbour", "--password-file", "password"))


def change_configuration() -> int:
    """``mica ca provisioner add``."""
    return main(("ca", "provisioner", "add", "second", "--public-key", "second.json"))


def create_key() -> int:
    """What a signer's key backend is asked for a new key."""
    try:
        FileKeys(FileKeysConfig(), make_key_context(Path.cwd())).create("file:new", "EC-P256")
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 5
    return 0


def replace_pair() -> int:
    """What ``mica ca rekey`` does with the new key and certificate that it has got."""
    try:
        replace(Path("svc.crt"), b"new certificate", Path("svc.key"), b"new PRIVATE KEY")
    except FileProblem as error:
        sys.stderr.write(f"{error}\n")
        return 5
    return 0
