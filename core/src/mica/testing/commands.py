"""``mica`` as a process, for tests that run it often: forked from one that has imported everything already.

A command costs some ten milliseconds then instead of some two hundred. It has a session, a folder, an environment and
streams of its own, as a shell gives them. What an import costs or forgets, other tests see.
"""

import gc
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import NoReturn

#: Imported before anything is forked, besides the modules of all commands.
_WARM = (
    "cryptography.x509",
    "mica.authority",
    "mica.cli.ca.local_ca",
    "mica.cli.ca.ordering",
    "mica.jwe",
    "mica.jwk",
    "jwt",
    "tomlkit",
)
_STREAMS = ("stdin", "stdout", "stderr")


class Commands:
    """Runs ``mica``. Close it: its process waits for orders until then."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._address = f"{self._folder.name}/orders"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self._address)
        listener.listen()
        with listener:
            script = f"from mica.testing.commands import serve; serve({listener.fileno()})"
            self._process = subprocess.Popen(
                [sys.executable, "-c", script], pass_fds=[listener.fileno()], stdin=subprocess.DEVNULL
            )

    def run(
        self,
        arguments: Sequence[str],
        *,
        folder: Path,
        environment: Mapping[str, str],
        input: bytes = b"",
        timeout: int = 60,
    ) -> "subprocess.CompletedProcess[bytes]":
        """One command has ended; it had no terminal. Raises TimeoutExpired after ``timeout`` seconds."""
        with tempfile.TemporaryDirectory(dir=self._folder.name) as streams, socket.socket(socket.AF_UNIX) as orders:
            (Path(streams) / "stdin").write_bytes(input)
            orders.connect(self._address)
            order = {"arguments": [*arguments], "folder": str(folder), "environment": {**environment}}
            orders.sendall(json.dumps(order | {"streams": streams, "timeout": timeout}).encode())
            orders.shutdown(socket.SHUT_WR)
            code = int(orders.makefile().read())
            if code == -signal.SIGALRM:
                raise subprocess.TimeoutExpired([*arguments], timeout)
            stdout, stderr = ((Path(streams) / name).read_bytes() for name in _STREAMS[1:])
        return subprocess.CompletedProcess([*arguments], code, stdout, stderr)

    def close(self) -> None:
        """Nothing of it is left."""
        self._process.terminate()
        self._process.wait()
        self._folder.cleanup()


def serve(descriptor: int) -> NoReturn:
    """Orders that come to the listening socket ``descriptor`` are carried out, until the process is ended."""
    from mica.cli.catalogue import Catalogue
    from mica.cli.table import COMMANDS

    brought = (command.target for command in Catalogue().plugins.values())
    for target in (*(target for target, _ in COMMANDS.values()), *brought, *_WARM):
        import_module(target.partition(":")[0])
    gc.freeze()  # what is here already is not copied by a collection in a child
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks for the status of those who carry out
    with socket.socket(fileno=descriptor) as listener:
        while True:
            orders, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                _carry_out(orders)
            orders.close()


def _carry_out(orders: socket.socket) -> NoReturn:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    order = json.loads(orders.makefile().read())
    child = os.fork()
    if child == 0:
        orders.close()
        _become(order)
    _, status = os.waitpid(child, 0)
    orders.sendall(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _become(order: dict[str, object]) -> NoReturn:
    """This process is the command."""
    from mica.cli import main

    code = 1
    try:
        os.setsid()
        signal.alarm(int(str(order["timeout"])))
        os.chdir(str(order["folder"]))
        for number, name in enumerate(_STREAMS):
            os.dup2(os.open(f"{order['streams']}/{name}", os.O_RDWR | os.O_CREAT, 0o600), number)
        environment = order["environment"]
        assert isinstance(environment, dict)
        os.environ.clear()
        os.environ.update(environment)
        sys.path[:0] = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
        sys.argv = ["mica", *order["arguments"]]  # type: ignore[misc]
        code = main()
    except BaseException:  # shown as Python would; what follows in the parent's code must not run here
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
