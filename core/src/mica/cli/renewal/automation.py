"""What the flags of renewal that runs itself mean together."""

import signal
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from mica.cli.errors import Usage

if TYPE_CHECKING:
    from mica.cli.renewal.aftermath import Aftermath
    from mica.cli.renewal.schedule import BackOff, Lifetime, Rule, Threshold


@dataclass(frozen=True, slots=True, kw_only=True)
class Automation:
    """The flags, as they were given."""

    command: tuple[str, ...]
    exec_line: str | None
    pid: int | None
    pid_file: Path | None
    number: signal.Signals | None
    expires_in: "Threshold | None"
    exit_code: bool
    daemon: bool
    period: timedelta | None
    period_flag: str
    max_backoff: timedelta | None

    def check(self) -> None:
        """The flags fit together; raises Usage."""
        for flag, given, other, present in (
            (self.period_flag, self.period is not None, "--daemon", self.daemon),
            ("--max-backoff", self.max_backoff is not None, "--daemon", self.daemon),
            ("--exit-code", self.exit_code, "--expires-in", self.expires_in is not None),
            ("--signal", self.number is not None, "--pid' or '--pid-file", bool(self.pid or self.pid_file)),
        ):
            if given and not present:
                raise Usage(f"flag '{flag}' requires the '{other}' flag")
        for flag, given, other, present in (
            (self.period_flag, self.period is not None, "--expires-in", self.expires_in is not None),
            ("--exit-code", self.exit_code, "--daemon", self.daemon),
            ("--pid", self.pid is not None, "--pid-file", self.pid_file is not None),
        ):
            if given and present:
                raise Usage(f"flag '{flag}' is incompatible with '{other}'")
        if self.exec_line is not None and self.command:
            raise Usage("flag '--exec' is incompatible with a command after '--'", hint="choose one of the two")

    def check_against(self, lifetime: "Lifetime") -> None:
        """The durations make sense for a certificate that lasts so long; raises Usage."""
        from mica.durations import format_go

        left = self.expires_in.left if self.expires_in else None
        length = format_go(lifetime.length)
        if left is not None and left > lifetime.length:
            raise Usage(f"invalid value for flag '--expires-in': the certificate lasts only {length} altogether")
        if self.period is not None and self.period >= lifetime.length:
            raise Usage(f"invalid value for flag '{self.period_flag}': the certificate lasts only {length}")

    @property
    def aftermath(self) -> "Aftermath":
        """What is to be done after a renewal."""
        from mica.cli.renewal.aftermath import Aftermath, shell

        command = self.command if self.exec_line is None else shell(self.exec_line)
        number = self.number or signal.SIGHUP
        return Aftermath(pid=self.pid, pid_file=self.pid_file, number=number, command=command)

    @property
    def rule(self) -> "Rule":
        """When the daemon renews."""
        from mica.cli.renewal.schedule import USUAL, Every

        return Every(period=self.period) if self.period else self.expires_in or USUAL

    @property
    def back_off(self) -> "BackOff":
        """How the daemon waits while the CA is away."""
        from mica.cli.renewal.schedule import BackOff

        return BackOff(ceiling=self.max_backoff) if self.max_backoff else BackOff()
