"""What is done once a certificate has been replaced: a signal is sent, and then a command is run."""

import os
import shlex
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mica.cli.errors import CLIError, FileProblem
from mica.cli.files import read_input, reason

#: Seconds that a command has to end by itself once it is told to.
GRACE = 5.0
#: Meant for this process, not for those that it starts (sd_notify(3), sd_watchdog_enabled(3)).
_OURS = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


@dataclass(frozen=True, slots=True, kw_only=True)
class Aftermath:
    """A signal to the process ``pid``, or to the one that ``pid_file`` names at that time; then ``command``."""

    pid: int | None = None
    pid_file: Path | None = None
    number: signal.Signals = signal.SIGHUP
    command: tuple[str, ...] = ()

    def send_signal(self) -> None:
        """The process has its signal, if there is one to tell; raises CLIError."""
        pid = self.pid if self.pid_file is None else read_pid(self.pid_file)
        if pid is None:
            return
        try:
            os.kill(pid, self.number)
        except (OSError, OverflowError) as error:
            raise CLIError(f"the process {pid} cannot be sent {self.number.name}: {reason(error)}") from error

    def start(self) -> "Running | None":
        """The command runs, if there is one; raises CLIError when it cannot be started."""
        return Running(self.command) if self.command else None

    def carry_out(self) -> None:
        """The signal is sent and the command has ended well; raises CLIError."""
        self.send_signal()
        running = self.start()
        if running is None:
            return
        try:
            running.wait()
        except KeyboardInterrupt:
            running.end()
            raise


class Running:
    """A command that runs, in a process group of its own. What it writes goes to stderr: stdout is for the product."""

    def __init__(self, command: tuple[str, ...]) -> None:
        self.text = shown(command)
        environment = {name: value for name, value in os.environ.items() if name not in _OURS}
        try:
            self._process = subprocess.Popen(  # noqa: S603  # what the user asked for
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=sys.stderr if sys.stderr is not None else subprocess.DEVNULL,
                process_group=0,
            )
        except (OSError, ValueError) as error:  # ValueError: a NUL in a word
            raise CLIError(f"{self.text}: cannot be run: {reason(error)}") from error

    def wait(self) -> None:
        """The command has ended well; raises CLIError when it has not."""
        status = self._process.wait()
        if status < 0:
            raise CLIError(f"{self.text}: was ended by {signal.Signals(-status).name}")
        if status:
            raise CLIError(f"{self.text}: failed with exit code {status}")

    def end(self) -> None:
        """The command, and what it started, was told to end, and killed when it did not."""
        self._signal(signal.SIGTERM)
        try:
            self._process.wait(GRACE)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)


def shell(line: str) -> tuple[str, ...]:
    """The command that runs ``line`` as a shell would."""
    return ("/bin/sh", "-c", line)


def shown(command: tuple[str, ...]) -> str:
    """``command`` as somebody would type it."""
    return command[2] if command[:2] == shell("")[:2] and len(command) == 3 else shlex.join(command)


def read_pid(path: Path) -> int:
    """The process id in ``path``; raises FileProblem when there is none."""
    words = read_input(path).split(maxsplit=1)
    text = words[0].decode("ascii", "replace") if words else ""
    # 0 and negative numbers would be whole process groups (kill(2)).
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text) > 0):
        raise FileProblem(f"{path}: does not begin with a process id")
    return int(text)
