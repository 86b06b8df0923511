"""Waiting that a signal ends at once, whatever is waited for: a moment, the CA, a command.

Signals only wake the main thread, which then decides; nothing is interrupted in the middle. What blocks (a handshake, a
name that does not resolve) runs in a thread of its own, and is left behind when the process is told to stop.
"""

import os
import select
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from datetime import datetime, timedelta
from types import FrameType, TracebackType
from typing import Generic, TypeVar

from mica import systemd
from mica.clock import system_clock

#: How long to sleep at most: a machine that was suspended, a clock that was set and files that others have replaced are
#: noticed this soon.
LOOK_AGAIN = timedelta(seconds=5)

_STOPPING = (signal.SIGTERM, signal.SIGINT)
_DONE = 0  # no signal has this number

Result = TypeVar("Result")


class Stopped(Exception):  # no error: the process was told to end
    """SIGTERM or SIGINT came."""


class Overdue(Exception):  # no error either
    """The moment came before the work was done."""


class Watch:
    """The one place where the process waits. A context manager: signals are its own from entry to exit.

    SIGTERM and SIGINT raise Stopped from whatever waits; SIGHUP asks for a renewal now.
    """

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        self._before: dict[int, object] = {}
        self._stop = False
        self._hangup = False
        self._heartbeat = systemd.watchdog_interval()

    def __enter__(self) -> "Watch":
        for number in (*_STOPPING, signal.SIGHUP):
            self._before[number] = signal.signal(number, _wake)
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        signal.set_wakeup_fd(-1)
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal.signal returned
        os.close(self._reader)  # the other end stays open: a thread that was left behind may still write there

    def until(self, moment: datetime) -> bool:
        """The moment has come, or it is time to look again; True when SIGHUP came. Raises Stopped."""
        if not self._hangup:
            self._sleep(min(moment - system_clock(), LOOK_AGAIN))
        asked, self._hangup = self._hangup, False
        return asked

    def during(self, work: Callable[[], Result], *, until: datetime | None = None) -> Result:
        """What ``work`` returned, or raised, in a thread of its own. Raises Stopped, and Overdue after ``until``."""
        task: _Task[Result] = _Task(work, self._writer)
        threading.Thread(target=task.run, name="mica-work", daemon=True).start()
        while not task.finished:
            if until is not None and system_clock() >= until:
                raise Overdue
            left = LOOK_AGAIN if until is None else until - system_clock()
            self._sleep(min(left, LOOK_AGAIN))
        return task.result()

    def _sleep(self, longest: timedelta) -> None:
        """A signal came, or the work is done, or the time is over. Raises Stopped."""
        deadline = time.monotonic() + longest.total_seconds()
        while not self._stop:
            if self._heartbeat is not None:
                systemd.alive()
            left = max(deadline - time.monotonic(), 0)
            if self._read(min(left, self._heartbeat or left)) or time.monotonic() >= deadline:
                break
        if self._stop:
            raise Stopped

    def _read(self, seconds: float) -> bool:
        ready, _, _ = select.select([self._reader], [], [], seconds)
        if not ready:
            return False
        for number in os.read(self._reader, 1024):
            self._stop |= number in _STOPPING
            self._hangup |= number == signal.SIGHUP
        return True


class _Task(Generic[Result]):
    """Work for a thread, and what came of it."""

    def __init__(self, work: Callable[[], Result], writer: int) -> None:
        self._work, self._writer = work, writer
        self._future: Future[Result] = Future()

    @property
    def finished(self) -> bool:
        return self._future.done()

    def run(self) -> None:
        try:
            self._future.set_result(self._work())
        except BaseException as error:  # raised again where the result is asked for
            self._future.set_exception(error)
        with suppress(OSError):  # the pipe may be full, and then it wakes the main thread anyway
            os.write(self._writer, bytes([_DONE]))

    def result(self) -> Result:
        return self._future.result()


def _wake(_number: int, _frame: FrameType | None) -> None:
    """Does nothing: that there is a handler makes Python write the number to the wakeup descriptor."""
