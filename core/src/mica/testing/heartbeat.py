"""For how long the event loop stands still while somebody is asked."""

import asyncio
import time
from collections.abc import Awaitable, Callable

#: What a plugin's call may take that does not wait, in seconds: meanwhile the CA answers nobody.
LONGEST = 0.5
_TRIALS = 3


async def standstill(ask: Callable[[], Awaitable[object]]) -> float:
    """The longest time for which nothing else ran while ``ask()`` was awaited: the shortest of three.

    A machine that is busy delays one call, or two; a plugin that is slow delays each.
    """
    return min([await _longest_gap(ask) for _ in range(_TRIALS)])


async def _longest_gap(ask: Callable[[], Awaitable[object]]) -> float:
    gaps, last, done = [0.0], time.perf_counter(), asyncio.Event()

    async def beat() -> None:
        nonlocal last
        while not done.is_set():
            await asyncio.sleep(0)
            now = time.perf_counter()
            gaps.append(now - last)
            last = now

    heart = asyncio.create_task(beat())
    await asyncio.sleep(0)
    try:
        await ask()
    finally:
        done.set()
        await heart
    return max(gaps)
