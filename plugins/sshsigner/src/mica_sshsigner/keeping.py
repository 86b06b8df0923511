"""Answers that cost something, and that anybody may ask for: made for one, kept for the others."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")

#: An answer stands this many times as long as it took to make, so that at most a tenth of a worker's time goes there:
#: what is small is fresh, and what is large cannot be used to wear the CA out.
SHARE = 10


class Kept(Generic[Value]):
    """The last answer of ``make``, made anew by one request at a time once it no longer stands."""

    def __init__(
        self,
        make: Callable[[], Awaitable[Value]],
        clock: Callable[[], float] = time.monotonic,
        *,
        costly: float = math.inf,
    ) -> None:
        """What took more than ``costly`` seconds to make stands for its time even where it is to be forgotten.

        Otherwise a CA that is busy, and changes the answer all the time, could be worn out by whoever asks for it.
        """
        self._make = make
        self._clock = clock
        self._costly = costly
        self._is_costly = False
        self._lock = asyncio.Lock()
        self._kept: tuple[float, Value] | None = None
        self._changes = 0

    def forget(self) -> None:
        """What is asked for from now on is made from now on: this worker has changed what the answer depends on."""
        self._changes += 1
        if not self._is_costly:
            self._kept = None

    async def get(self) -> Value:
        """An answer that is fresh enough. What ``make`` raises is raised, and not kept."""
        async with self._lock:
            started, changes = self._clock(), self._changes
            if self._kept is not None and started < self._kept[0]:
                return self._kept[1]
            value = await self._make()
            ended = self._clock()
            cost = ended - started
            self._is_costly = cost > self._costly
            if changes == self._changes or self._is_costly:
                self._kept = ended + SHARE * cost, value
            return value
