"""Listeners hear of events through a bounded queue, after the event is on record, and never delay an answer."""

import asyncio
import logging
from contextlib import suppress

from mica.events import Event
from mica.hooks import Hooks

#: Events that wait for slow listeners. What exceeds them is lost to listeners, and the log says so.
CAPACITY = 10_000
#: How long ``aclose`` waits for listeners, in seconds.
GRACE = 5.0

_log = logging.getLogger("mica.listeners")


class Listeners:
    """The queue before the ``notify`` hook."""

    def __init__(self, hooks: Hooks) -> None:
        self._hooks = hooks
        self._queue: asyncio.Queue[Event] = asyncio.Queue(CAPACITY)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Events are delivered from now on; nothing is queued when nobody listens."""
        if self._hooks.answered("notify"):
            self._task = asyncio.create_task(self._deliver())

    def tell(self, event: Event) -> None:
        """The event will be delivered; it is dropped, with a line in the log, when the queue is full."""
        if self._task is None:
            return
        try:
            self._queue.put_nowait(event)
        except asyncio.QueueFull:
            _log.error("listeners are too slow; the event %s is lost to them", type(event).__name__)

    async def aclose(self) -> None:
        """Every event so far has been delivered, or the grace period is over."""
        task, self._task = self._task, None
        if task is None:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(GRACE):
                await self._queue.join()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    async def _deliver(self) -> None:
        while True:
            event = await self._queue.get()
            try:
                await self._hooks.notify(event)
            except Exception:  # one event that cannot be told must not be the last
                _log.exception("the event %s could not be told", type(event).__name__)
            finally:
                self._queue.task_done()
