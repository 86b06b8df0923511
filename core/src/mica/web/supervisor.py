"""``mica ca serve``: the process that starts the workers, replaces them, and lets go of them.

It never opens the configuration, a plugin or a connection itself, so that none of them can stop it. The first worker
of a generation reads and validates; what it read is handed to the others, and to those that replace them.
"""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from mica import logs, systemd
from mica.errors import ConfigError
from mica.web import hardening
from mica.web.generation import Generation
from mica.web.link import Loaded, Orders, Ready
from mica.web.listeners import listen
from mica.web.process import StartFailed, WorkerProcess
from mica.web.timing import Timing

_log = logging.getLogger("mica.supervisor")
_SIGNALS = (signal.SIGTERM, signal.SIGINT)

Result = TypeVar("Result")


def serve(
    settings_path: Path,
    *,
    password: bytes | None = None,
    workers: int | None = None,
    log_format: logs.LogFormat = "text",
    timing: Timing | None = None,
) -> int:
    """The exit status, after the service has run and ended: 0 when it was asked to, 1 when it could not start."""
    logs.configure(log_format)
    hardening.protect_memory()
    orders = Orders(
        path=settings_path.absolute(),
        password=password,
        log_format=log_format,
        timing=timing or Timing(),
        generation=1,
    )
    return asyncio.run(Supervisor(orders, workers or _cores()).run())


class Supervisor:
    """One service: its sockets, and the generation of workers that serves them."""

    def __init__(self, orders: Orders, size: int) -> None:
        self._orders = orders
        self._size = size
        self._sockets: list[socket.socket] = []
        self._current: Generation | None = None
        self._draining: set[asyncio.Task[None]] = set()
        self._released: set[Generation] = set()
        self._stop = asyncio.Event()
        self._hangup = asyncio.Event()

    async def run(self) -> int:
        """Serves until SIGTERM or SIGINT; SIGHUP reads the configuration again."""
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._asked_to_stop)
        loop.add_signal_handler(signal.SIGHUP, self._hangup.set)
        try:
            await self._unless_stopped(self._launch(self._orders))
        except (StartFailed, ConfigError) as error:
            for fault in error.faults:
                _log.error(fault)
            return 1
        while not self._stop.is_set():
            await self._unless_stopped(self._hangup.wait())
            if self._hangup.is_set() and not self._stop.is_set():
                self._hangup.clear()
                await self._reload()
        await self._finish()
        return 0

    async def _launch(self, orders: Orders) -> None:
        """A new generation serves, and the one before finishes what it has begun.

        Raises StartFailed or ConfigError, and nothing has changed.
        """
        first = WorkerProcess(orders.timing)
        try:
            loaded, orders = await first.load(orders)
            self._accept(loaded)
        except BaseException:
            await first.abandon()
            raise
        generation = Generation(orders, loaded, self._sockets, self._size)
        ready = await generation.start(first)
        old, self._current, self._orders = self._current, generation, orders
        self._announce(generation, ready)
        if old is None:
            systemd.ready(f"serving {loaded.url}")
        else:
            self._release(old)

    def _accept(self, loaded: Loaded) -> None:
        """The configuration can be served by this process; raises StartFailed or ConfigError."""
        if self._current is None:
            self._sockets = listen(loaded.address)
            return
        before = self._current.loaded
        changes = [name for name in ("address", "store") if getattr(before, name) != getattr(loaded, name)]
        if changes:
            raise StartFailed(*(f"{name} has changed, which needs a restart" for name in changes))

    async def _reload(self) -> None:
        systemd.reloading()
        orders = Orders(
            path=self._orders.path,
            password=self._orders.password,
            log_format=self._orders.log_format,
            timing=self._orders.timing,
            generation=self._orders.generation + 1,
        )
        try:
            await self._unless_stopped(self._launch(orders))
        except (StartFailed, ConfigError) as error:
            for fault in error.faults:
                _log.error(fault)
            _log.error("the configuration was not reloaded; what was served before still is")
            systemd.ready("serving; the last reload was refused")

    def _announce(self, generation: Generation, ready: Ready) -> None:
        addresses = tuple(_shown(listener) for listener in self._sockets)
        facts = logs.fields(
            url=generation.loaded.url,
            addresses=addresses,
            workers=self._size,
            generation=generation.number,
            roots=ready.roots,
        )
        _log.info("serving", extra=facts)

    def _release(self, generation: Generation) -> None:
        self._released.add(generation)
        task = asyncio.create_task(self._retire(generation))
        self._draining.add(task)
        task.add_done_callback(self._draining.discard)

    async def _retire(self, generation: Generation) -> None:
        """``generation`` has finished what it had begun. Only now is a reload over: until then the old provisioners
        could still grant what was asked of them on connections that were open."""
        await generation.release()
        self._released.discard(generation)
        if self._current is not None and not self._released and not self._stop.is_set():
            _log.info("reloaded", extra=logs.fields(generation=self._current.number))
            systemd.ready(f"serving {self._current.loaded.url}")

    async def _finish(self) -> None:
        """Every worker has ended."""
        _log.info("stopping")
        systemd.stopping()
        for listener in self._sockets:
            listener.close()
        if self._current is not None:
            self._release(self._current)
        await asyncio.gather(*self._draining)
        _log.info("stopped")

    def _asked_to_stop(self) -> None:
        """The first signal asks, the second insists."""
        if self._stop.is_set():
            for generation in self._released:
                generation.kill()
        self._stop.set()

    async def _unless_stopped(self, work: Coroutine[Any, Any, Result]) -> Result | None:
        """The result of ``work``, or None when the service was asked to stop before there was one."""
        working = asyncio.ensure_future(work)
        stopping = asyncio.ensure_future(self._stop.wait())
        await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if working.done():
            return working.result()
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        return None


def _shown(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
