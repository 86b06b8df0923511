"""One worker, as its supervisor sees it."""

import asyncio
import contextlib
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from dataclasses import replace

from mica.web.link import Failed, Loaded, Orders, Ready, SupervisorEnd
from mica.web.timing import Timing

_WATCHDOG = 1
_GRACE = 5.0


class StartFailed(Exception):
    """A worker did not become ready; ``faults`` are lines for the operator."""

    def __init__(self, *faults: str) -> None:
        self.faults = faults
        super().__init__("; ".join(faults))


class WorkerProcess:
    """A worker from its start to its end. Made on the main thread, with whose end the kernel would end it too."""

    def __init__(self, timing: Timing) -> None:
        """Raises StartFailed."""
        self._timing = timing
        ours, theirs = socket.socketpair()
        with theirs:
            # -P: what lies in the current directory is not imported.
            command = [sys.executable, "-P", "-m", "mica.web.worker", str(theirs.fileno()), str(os.getpid())]
            try:
                self._process = subprocess.Popen(  # noqa: S603 - this program, no shell
                    command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL
                )
            except OSError as error:
                ours.close()
                raise StartFailed(f"a worker could not be started: {error.strerror}") from error
        self._link = SupervisorEnd(ours)
        self._ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        threading.Thread(target=self._watch, args=(asyncio.get_running_loop(),), daemon=True).start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def load(self, orders: Orders) -> tuple[Loaded, Orders]:
        """Its configuration is valid; the orders that come back give other workers the same. Raises StartFailed."""
        async with self._start_time():
            await self._link.order(pickle.dumps(orders))
            report, settings = await self._link.receive()
        if isinstance(report, Loaded):
            return report, replace(orders, settings=settings) if settings else orders
        raise self._refusal(report)

    async def serve(self, sockets: list[socket.socket]) -> Ready:
        """It serves ``sockets``; raises StartFailed."""
        async with self._start_time():
            self._link.hand_over(sockets)
            report, _ = await self._link.receive()
        if isinstance(report, Ready):
            return report
        raise self._refusal(report)

    async def ended(self) -> int:
        """Its exit status, when it has ended; negative for a signal."""
        return await asyncio.shield(self._ended)

    async def drain(self) -> None:
        """It has ended, after finishing what was in flight if it could within the time for that."""
        self._signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(self._timing.drain + _GRACE):
                await self.ended()
        except TimeoutError:
            self.kill()
            await self.ended()
        self._link.close()

    async def abandon(self) -> None:
        """It has ended, now."""
        self.kill()
        await self.ended()
        self._link.close()

    def kill(self) -> None:
        """It ends without being asked."""
        self._signal(signal.SIGKILL)

    def explain(self, status: int) -> str:
        """``status`` in words."""
        if status == _WATCHDOG:
            return f"its event loop stood still for {self._timing.stall:g} s; the stack above shows where"
        if status < 0:
            return f"ended by {signal.Signals(-status).name}"
        return f"exit status {status}"

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    @contextlib.asynccontextmanager
    async def _start_time(self) -> AsyncIterator[None]:
        """What is within must succeed in the time that a start may take; raises StartFailed."""
        try:
            async with asyncio.timeout(self._timing.start):
                yield
        except TimeoutError:
            self._signal(signal.SIGABRT)  # faulthandler prints its stack
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_GRACE):
                    await self.ended()
            fault = f"a worker was not ready after {self._timing.start:g} s; its stack stands above"
            raise StartFailed(fault) from None
        except (EOFError, OSError):
            status = await self.ended()
            raise StartFailed(f"a worker ended before it was ready: {self.explain(status)}") from None

    def _refusal(self, report: object) -> StartFailed:
        return StartFailed(*report.faults) if isinstance(report, Failed) else StartFailed("a worker answered nonsense")

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """In a thread of its own: tells the loop how the process ended. A pidfd would do on Linux only."""
        status = self._process.wait()
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is waiting
            loop.call_soon_threadsafe(self._ended.set_result, status)
