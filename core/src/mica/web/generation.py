"""The workers that serve one generation of the configuration, kept at their number until it is released."""

import asyncio
import logging
import socket
import time

from mica import logs
from mica.web.link import Loaded, Orders, Ready
from mica.web.process import StartFailed, WorkerProcess
from mica.web.timing import Timing

_log = logging.getLogger("mica.supervisor")


class Generation:
    """``size`` workers that serve the same settings on the same sockets; one that ends is replaced."""

    def __init__(self, orders: Orders, loaded: Loaded, sockets: list[socket.socket], size: int) -> None:
        self.loaded = loaded
        self.number = orders.generation
        self._orders = orders
        self._sockets = sockets
        self._size = size
        self._timing: Timing = orders.timing
        self._workers: set[WorkerProcess] = set()
        self._keepers: list[asyncio.Task[None]] = []

    async def start(self, first: WorkerProcess) -> Ready:
        """All its workers are ready, ``first`` before the others; raises StartFailed, and then none is left."""
        self._workers.add(first)
        try:
            ready = await first.serve(self._sockets)
            others = await asyncio.gather(*(self._start_worker() for _ in range(self._size - 1)))
        except BaseException:
            await asyncio.gather(*(worker.abandon() for worker in list(self._workers)))
            raise
        self._keepers = [asyncio.create_task(self._keep(worker)) for worker in (first, *others)]
        return ready

    async def release(self) -> None:
        """Its workers have finished what was in flight, and ended."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        await asyncio.gather(*(worker.drain() for worker in list(self._workers)))

    def kill(self) -> None:
        """Its workers end now."""
        for worker in self._workers:
            worker.kill()

    async def _start_worker(self) -> WorkerProcess:
        worker = WorkerProcess(self._timing)
        self._workers.add(worker)
        try:
            await worker.load(self._orders)
            await worker.serve(self._sockets)
        except BaseException:
            await worker.abandon()
            self._workers.discard(worker)
            raise
        return worker

    async def _keep(self, worker: WorkerProcess) -> None:
        """For ever: a worker that ends is replaced, at once less often the more often it happens."""
        failures = 0
        while True:
            started = time.monotonic()
            status = await worker.ended()
            self._workers.discard(worker)
            _log.error("a worker ended", extra=logs.fields(pid=worker.pid, reason=worker.explain(status)))
            failures = 1 if time.monotonic() - started > self._timing.healthy else failures + 1
            worker, failures = await self._replacement(failures)

    async def _replacement(self, failures: int) -> tuple[WorkerProcess, int]:
        """A new worker that is ready, and how many had failed in a row before it."""
        while True:
            delay = min(self._timing.first_delay * 2 ** min(failures - 1, 16), self._timing.longest_delay)
            await asyncio.sleep(delay)
            try:
                worker = await self._start_worker()
            except StartFailed as failure:
                failures += 1
                _log.error("a worker could not be replaced", extra=logs.fields(reason=str(failure)))
                continue
            _log.info("a worker was replaced", extra=logs.fields(pid=worker.pid, generation=self.number))
            return worker, failures
