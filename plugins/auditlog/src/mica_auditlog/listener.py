"""The listener: what it hears is written in a thread, what waits together; and what happens when it cannot be.

Events that cannot be written wait in memory and are tried again, and each is told to the process's own log at once.
What there is no room for, and what still waits when the process ends, is lost; the log tells how many once it can.
"""

import asyncio
import logging
import threading
from collections import deque
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import ClassVar

from mica import ConfigError, Context, Event, TBSCertificate, TBSSSHCertificate, Unavailable, hookimpl
from mica_auditlog.entries import Entry, entry
from mica_auditlog.journal import Journal, NotWritten
from mica_auditlog.lines import LOST, timestamp
from mica_auditlog.places import DEFAULT, OWN, Places, Unsuitable

#: Events that wait to be written. A policy that refuses does so as well when there are so many.
CAPACITY = 10_000
#: Events that are written together, at most.
BATCH = 500
#: How long events wait for others to be written with, in seconds: each write costs two waits for the disk.
LINGER = 0.05
#: How long until what could not be written is tried again, in seconds.
RETRY = 1.0
CONTINUE, REFUSE = "continue", "refuse"

_log = logging.getLogger("mica_auditlog")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditConfig:
    """``[plugin.auditlog]``."""

    path: Path = field(
        default=Path(DEFAULT), metadata={"help": "The log; relative to the folder of ca.toml, which is made"}
    )
    on_failure: str = field(
        default=CONTINUE,
        metadata={"help": "continue: issue while the log cannot be written; refuse: issue nothing until it can be"},
    )
    max_size: int = field(
        default=0, metadata={"help": "A file of so many octets is renamed, and kept, and a new one begun; 0: never"}
    )

    def faults(self) -> list[str]:
        """Everything that is wrong with it."""
        faults = []
        if self.on_failure not in (CONTINUE, REFUSE):
            faults.append(f'on_failure: must be "{CONTINUE}" or "{REFUSE}"')
        if self.max_size < 0:
            faults.append("max_size: must not be negative; 0 is without limit")
        if self.path.name.endswith(OWN):
            faults.append(f"path: must not end with {' or '.join(OWN)}: so do the files beside the log")
        return faults


class AuditLog:
    """Hears what happens, and has it written."""

    _refuses: ClassVar[bool] = False

    def __init__(self, config: AuditConfig, context: Context) -> None:
        if faults := config.faults():
            raise ConfigError(faults)
        self._context = context
        places = Places(context.directory / config.path)
        self._journal = Journal(places=places, authority=context.url, now=context.now, max_size=config.max_size)
        self._change = threading.Condition()
        self._waiting: deque[Event] = deque()
        self._told = 0  # of those that wait, how many the process's own log has been told of
        self._lost = 0  # not yet told to the audit log
        self._failure = ""
        self._closing = False
        self._thread: threading.Thread | None = None

    async def start(self) -> None:
        """The log is there and its end in order; raises ConfigError when it cannot be this authority's.

        Raises Unavailable when it cannot be written, where that is a reason to refuse.
        """
        try:
            await asyncio.to_thread(self._journal.append, ())
        except Unsuitable as error:
            raise ConfigError([f"plugin.auditlog.path: {error}"]) from error
        except NotWritten as error:
            if self._refuses:
                raise Unavailable(f"the audit log {self._place} cannot be written: {error}") from error
            self._fail(str(error))
        self._thread = threading.Thread(target=self._write_on, name="auditlog", daemon=True)
        self._thread.start()

    async def aclose(self) -> None:
        """What was heard is written, or told to be lost; also when whoever waits for it is cancelled."""
        with self._change:
            self._closing = True
            self._change.notify()
        if self._thread is not None:
            # The executor has it at once, which a task would not: no process ends before its executor's threads.
            joined = asyncio.get_running_loop().run_in_executor(None, self._thread.join)
            await asyncio.shield(joined)

    @hookimpl
    def notify(self, event: Event) -> None:
        """The event will be written; it is lost, loudly, when there is no room or no time any more."""
        with self._change:
            if has_room := not self._closing and len(self._waiting) < CAPACITY:
                self._waiting.append(event)
                if len(self._waiting) == 1:  # otherwise the writer is at work already
                    self._change.notify()
            else:
                self._lost += 1
        if not has_room:
            _log.error("lost to the audit log, too many wait: %s", entry(event).summary())

    @property
    def lost(self) -> int:
        """How many events are lost that the log does not tell of yet."""
        return self._lost

    @property
    def _place(self) -> Path:
        return self._journal.places.log

    def _write_on(self) -> None:
        """Until it is closed, and then once more: what waits is written."""
        closing = False
        while not closing:
            with self._change:
                if self._failure:
                    self._change.wait_for(lambda: self._closing, RETRY)
                else:
                    self._change.wait_for(lambda: self._closing or self._waiting)
                    self._change.wait_for(lambda: self._closing, LINGER)
                closing = self._closing
            self._write_all()
        for event in self._waiting:
            _log.error("lost to the audit log, it cannot be written: %s", entry(event).summary())

    def _write_all(self) -> None:
        """What waits is written, or the failure is told. What comes meanwhile waits for others, unless it is closed."""
        try:
            self._write_batch()
            while len(self._waiting) >= BATCH or (self._closing and self._waiting):
                self._write_batch()
        except NotWritten as error:
            self._forget(error.accepted)
            self._fail(str(error))
        except Exception as error:  # the thread must live: what it meets may pass
            self._fail(f"{type(error).__name__}: {error}")

    def _write_batch(self) -> None:
        events, lost = list(islice(self._waiting, BATCH)), self._lost
        told = [Entry(timestamp(self._context.now()), LOST, {"count": lost})] if lost else []
        try:
            self._journal.append([*told, *map(entry, events)])
        except NotWritten as error:
            if told and error.accepted:
                self._count_lost(-lost)
                error.accepted -= 1
            raise
        self._count_lost(-lost)
        self._forget(len(events))
        if self._failure:
            self._failure = ""
            _log.warning("the audit log %s can be written again", self._place)

    def _count_lost(self, number: int) -> None:
        with self._change:
            self._lost += number

    def _forget(self, number: int) -> None:
        """The first ``number`` events that waited are written."""
        for _ in range(number):
            self._waiting.popleft()
        self._told = max(0, self._told - number)

    def _fail(self, reason: str) -> None:
        """The process's log has the failure, and every event that waits for its end, each once."""
        if reason != self._failure:
            effect = "nothing is issued until it can be" if self._refuses else "certificates are issued all the same"
            _log.error("the audit log %s cannot be written: %s; %s", self._place, reason, effect)
        self._failure = reason
        untold = list(islice(self._waiting, self._told, None))
        for event in untold:
            _log.error("not in the audit log, to be tried again: %s", entry(event).summary())
        self._told += len(untold)


class RefusingAuditLog(AuditLog):
    """Has nothing issued that cannot be written. To be asked costs time, so who only listens is a class of its own."""

    _refuses = True

    @hookimpl
    def refuse_x509(self, tbs: TBSCertificate) -> str | None:
        """Nothing against it; raises Unavailable while the log cannot be written."""
        self._require_writable()
        return None

    @hookimpl
    def refuse_ssh(self, tbs: TBSSSHCertificate) -> str | None:
        """As ``refuse_x509``."""
        self._require_writable()
        return None

    def _require_writable(self) -> None:
        if self._failure or len(self._waiting) >= CAPACITY:
            raise Unavailable(f"the audit log cannot be written: {self._failure or 'too many events wait'}")


def audit_log(config: AuditConfig, context: Context) -> AuditLog:
    """The listener that ``on_failure`` asks for; raises ConfigError."""
    return (RefusingAuditLog if config.on_failure == REFUSE else AuditLog)(config, context)
