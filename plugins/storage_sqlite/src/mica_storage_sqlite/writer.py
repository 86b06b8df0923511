"""The one writer of a process: a thread that puts what waits into one transaction, and answers when it is on disk."""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from mica import Commit, MicaError, Unavailable
from mica_storage_sqlite.database import connect
from mica_storage_sqlite.faults import translated
from mica_storage_sqlite.files import FolderLock, identity
from mica_storage_sqlite.ledger import Ledger

_log = logging.getLogger(__name__)

#: What may wait. Beyond it a commit is refused at once: whoever asked will have gone before its turn comes.
MOST_WAITING = 10_000
_ENOUGH_TOGETHER = 256

T = TypeVar("T")
Work = Callable[[Ledger], Any]


@dataclass(slots=True, eq=False)
class _Request:
    """Something to write, and whoever waits for it."""

    task: Commit | Work
    answer: asyncio.Future[Any]


Outcome = tuple[_Request, Any, Exception | None]


class Writer:
    """Writes from a thread of its own, as long as it is open."""

    def __init__(self, path: Path, patience: timedelta) -> None:
        self._path = path
        self._patience = patience
        self._lock = FolderLock(path.parent, patience)
        self._identity = identity(path)
        self._connection: sqlite3.Connection | None = None
        self._ledger: Ledger | None = None
        self._queue: SimpleQueue[list[_Request] | None] = SimpleQueue()
        self._gathered: list[_Request] = []
        self._accepted = 0  # counted by the event loop alone
        self._taken = 0  # counted by the thread alone
        self._open = True
        # A daemon: a loop that ends without aclose must not leave a process that cannot.
        self._thread = Thread(target=self._run, name="mica-store", daemon=True)
        self._thread.start()

    async def record(self, commit: Commit) -> None:
        """The commit is on disk. Cancelled, it is there or it is not, wholly."""
        await self._submit(commit)

    async def alone(self, work: Callable[[Ledger], T]) -> T:
        """``work`` has been done in a transaction of its own, which is on disk; its result."""
        result: T = await self._submit(work)
        return result

    def _submit(self, task: Commit | Work) -> asyncio.Future[Any]:
        if not self._open:
            raise Unavailable(f"the store {self._path} is closed: start it first")
        if self._accepted - self._taken >= MOST_WAITING:
            raise Unavailable(f"the store {self._path} has {MOST_WAITING} requests waiting: try again later")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        self._accepted += 1
        self._gathered.append(_Request(task, answer))
        if len(self._gathered) == 1:
            # At the end of the loop's turn, so that what comes in one turn wakes the thread once: between the two
            # the interpreter's lock would go back and forth for every statement.
            loop.call_soon(self._hand_over)
        return answer

    def _hand_over(self) -> None:
        gathered, self._gathered = self._gathered, []
        if gathered:
            self._queue.put(gathered)

    async def aclose(self) -> None:
        """Whatever was accepted is on disk, and the thread has ended."""
        if self._open:
            self._open = False
            self._hand_over()
            self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        last = False
        while not last:
            requests, last = self._waiting()
            self._answer(requests)
        self._disconnect()
        self._lock.close()

    def _waiting(self) -> tuple[list[_Request], bool]:
        """Everything that waits, at least one thing, and whether the end was among it; the cancelled are left out."""
        requests: list[_Request] = []
        gathered = self._queue.get()
        with suppress(Empty):
            while gathered is not None:
                self._taken += len(gathered)
                requests += (request for request in gathered if not request.answer.cancelled())
                if len(requests) >= _ENOUGH_TOGETHER:
                    break
                gathered = self._queue.get_nowait()
        return requests, gathered is None

    def _answer(self, requests: Sequence[_Request]) -> None:
        commits = [request for request in requests if isinstance(request.task, Commit)]
        if commits:
            _deliver(self._record(commits))
        for request in requests:
            if not isinstance(request.task, Commit):
                _deliver([self._work(request, request.task)])

    def _record(self, requests: Sequence[_Request]) -> list[Outcome]:
        try:
            with self._transaction() as ledger:
                errors = ledger.record([request.task for request in requests if isinstance(request.task, Commit)])
        except Exception as error:
            return [(request, None, self._failure(error)) for request in requests]
        return [(request, None, error) for request, error in zip(requests, errors, strict=True)]

    def _work(self, request: _Request, work: Work) -> Outcome:
        try:
            with self._transaction() as ledger:
                result = work(ledger)
        except Exception as error:
            return request, None, self._failure(error)
        return request, result, None

    def _failure(self, error: Exception) -> Exception:
        """What to answer. The next transaction has a new connection, whatever had become of this one."""
        self._disconnect()
        if isinstance(error, MicaError):
            return error
        _log.error("the store's writer failed, and goes on", exc_info=error)
        return Unavailable(f"the store {self._path} failed ({error}): see the log")

    @contextmanager
    def _transaction(self) -> Iterator[Ledger]:
        """What is done within is on disk afterwards, or, when an error is raised, undone."""
        with translated(self._path), self._lock.held():
            if identity(self._path) != self._identity:
                # Writing to a file that has lost its name would lose certificates at the next start.
                raise Unavailable(f"the store {self._path} has been replaced: restart the authority")
            connection, ledger = self._connected()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield ledger
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:  # some errors end it themselves
                    connection.execute("ROLLBACK")
                raise

    def _connected(self) -> tuple[sqlite3.Connection, Ledger]:
        if self._connection is None or self._ledger is None:
            self._connection = connect(self._path, self._patience)
            self._ledger = Ledger(self._connection)
        return self._connection, self._ledger

    def _disconnect(self) -> None:
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
        self._connection = self._ledger = None


def _deliver(outcomes: Sequence[Outcome]) -> None:
    """Whoever waits is woken, each loop once for the group."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Outcome]] = {}
    for outcome in outcomes:
        by_loop.setdefault(outcome[0].answer.get_loop(), []).append(outcome)
    for loop, group in by_loop.items():
        with suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(_settle, group)


def _settle(outcomes: Sequence[Outcome]) -> None:
    for request, result, error in outcomes:
        if request.answer.done():  # cancelled
            continue
        if error is None:
            request.answer.set_result(result)
        else:
            request.answer.set_exception(error)
