"""The loop: one certificate is kept alive until the process is told to stop, or until nothing can keep it alive."""

import logging
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Generic, Protocol, TypeVar

from mica import systemd
from mica.cli.errors import CLIError
from mica.cli.renewal import schedule
from mica.cli.renewal.aftermath import Aftermath
from mica.cli.renewal.schedule import BackOff, Lifetime, Rule
from mica.cli.renewal.waiting import Overdue, Stopped, Watch
from mica.clock import system_clock
from mica.durations import format_go
from mica.logs import fields

Product = TypeVar("Product")

_log = logging.getLogger("mica.renewal")
_SECOND = timedelta(seconds=1)
#: What a command may take when the next renewal is due already.
_PATIENCE = timedelta(seconds=10)


class Hopeless(Exception):  # it carries the error
    """No later try can succeed; ``ending`` is what the command ends with."""

    def __init__(self, ending: CLIError) -> None:
        self.ending = ending
        super().__init__(ending.message)


class Renewable(Protocol[Product]):
    """A certificate in files, of whatever kind."""

    def look(self) -> Lifetime:
        """What the files hold now will be renewed by the next ``ask``; raises CLIError when they cannot be read."""

    def changed(self) -> bool:
        """Whether the files are not those that ``look`` or ``save`` last saw. Cheap."""

    def name(self) -> str:
        """What the log calls the certificate."""

    @property
    def done(self) -> str:
        """What the log says was done to it: ``renewed``."""

    def ask(self) -> Product:
        """A new certificate from the CA, in another thread; raises CLIError, and Hopeless."""

    def save(self, product: Product) -> None:
        """The files hold ``product``; raises CLIError."""


class Keeper(Generic[Product]):
    """Keeps one certificate alive. ``run`` is called once."""

    def __init__(
        self,
        certificate: Renewable[Product],
        *,
        rule: Rule,
        back_off: BackOff,
        aftermath: Aftermath,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._certificate = certificate
        self._rule = rule
        self._back_off = back_off
        self._aftermath = aftermath
        self._draw = draw
        self._unsaved: Product | None = None
        self._failures = 0
        self._readable = True

    def run(self, *, mended: bool = False) -> None:
        """The process was told to stop; raises CLIError when renewal can no longer succeed.

        What cannot be read at the start is such a case. ``mended``: the files have just been put right, and the
        aftermath is still to come.
        """
        self._plan(self._certificate.look())
        with Watch() as self._watch:
            _tell(f"first renewal in {self._time_left()}", self._due)
            systemd.ready(f"{self._certificate.name()}: {self._status()}")
            try:
                if mended:
                    self._carry_out(max(self._due, system_clock() + _PATIENCE))
                self._keep()
            except Stopped:
                systemd.stopping()
                _log.info("stopped")
            except Hopeless as end:
                systemd.status(f"{self._certificate.name()}: cannot be renewed: {end.ending.message}")
                raise end.ending from end

    def _keep(self) -> None:
        while True:
            asked = self._watch.until(self._due)
            if self._certificate.changed() and not self._look_again() and not asked:
                continue
            if asked or system_clock() >= self._due:
                self._renew(asked=asked)

    def _look_again(self) -> bool:
        """The files were read again, and the plan is made anew; False when they cannot be read."""
        try:
            lifetime = self._certificate.look()
        except CLIError as error:
            self._readable = False
            self._failed(error)
            return False
        self._readable, self._unsaved, self._failures = True, None, 0
        self._plan(lifetime)
        name, left = self._certificate.name(), self._time_left()
        _tell(f"{name} was replaced by somebody else, next renewal in {left}", self._due)
        return True

    def _renew(self, *, asked: bool) -> None:
        """The certificate is renewed, or the next try is planned."""
        if not self._readable and (not self._look_again() or (system_clock() < self._due and not asked)):
            return
        try:
            if self._unsaved is None:
                self._unsaved = self._watch.during(self._certificate.ask)
            self._certificate.save(self._unsaved)
            lifetime = self._certificate.look()
        except CLIError as error:
            self._failed(error)
            return
        self._unsaved, self._failures = None, 0
        self._plan(lifetime, fresh=True)
        _tell(
            f"{self._certificate.name()} certificate {self._certificate.done}, next in {self._time_left()}", self._due
        )
        systemd.status(f"{self._certificate.name()}: {self._status()}")
        self._carry_out(self._due)

    def _carry_out(self, until: datetime) -> None:
        """Whoever uses the certificate was told, by ``until``; a failure is logged. Raises Stopped."""
        running = None
        try:
            self._aftermath.send_signal()
            running = self._aftermath.start()
            if running is not None:
                self._watch.during(running.wait, until=until)
        except Stopped:
            if running is not None:
                running.end()
            raise
        except Overdue:
            if running is not None:
                running.end()
                _log.error(f"{running.text}: still ran when the next renewal was due, and was ended")
        except CLIError as error:
            _log.error(error.message, extra=fields(hint=error.hint))

    def _plan(self, lifetime: Lifetime, *, fresh: bool = False) -> None:
        self._lifetime = lifetime
        self._due = schedule.due(lifetime, self._rule, now=system_clock(), draw=self._draw(), fresh=fresh)

    def _failed(self, error: CLIError) -> None:
        """The next try is planned; raises ``error`` when none can succeed: the certificate is lost and has expired."""
        left = self._lifetime.end - system_clock()
        if not self._readable and left <= timedelta():
            raise error
        self._failures += 1
        wait = self._back_off.delay(self._failures, left=left, draw=self._draw())
        self._due = system_clock() + wait
        facts = fields(hint=error.hint, request_id=error.request_id, expires=_text(self._lifetime.end))
        _log.error(f"not {self._certificate.done}: {error.message}; next try in {_rounded(wait)}", extra=facts)
        systemd.status(f"{self._certificate.name()}: not {self._certificate.done}: {error.message}")

    def _time_left(self) -> str:
        return _rounded(max(self._due - system_clock(), timedelta()))

    def _status(self) -> str:
        return f"expires {_text(self._lifetime.end)}, next renewal at {_text(self._due)}"


def _tell(sentence: str, due: datetime) -> None:
    _log.info(sentence, extra=fields(due=_text(due)))


def _text(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _rounded(duration: timedelta) -> str:
    unit = _SECOND if duration >= _SECOND else _SECOND / 1000
    return format_go(unit * round(duration / unit))
