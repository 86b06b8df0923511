"""A deadline that costs nothing where there is nothing to wait for.

Most answers of plugins come without waiting. Arming a timer for each would cost more than the answer, so it is armed
when the awaitable first suspends. Whoever does not end when told is closed; an answer that comes after is none.
"""

import asyncio
from collections.abc import Awaitable, Generator
from typing import Any, TypeVar

from mica.containment import contained

T = TypeVar("T")

#: How long an awaitable that was told to end may take to do so, in seconds; then it is closed.
GRACE = 1.0


async def within(seconds: float, awaitable: Awaitable[T]) -> T:
    """What ``awaitable`` gives; raises TimeoutError when it suspends and is not done ``seconds`` later.

    Raises Overstepped where the awaitable raises what would end the process, or the task that waits.
    """
    with contained:
        steps = awaitable.__await__()
        try:
            waited_for = next(steps)
        except StopIteration as done:
            result: T = done.value
            return result
        async with asyncio.timeout(seconds + GRACE) as end, asyncio.timeout(seconds) as limit:
            answer = await _Rest(waited_for, steps, end)
        if limit.expired():
            raise TimeoutError("the answer came after the deadline")
        return answer


class _Rest(Awaitable[T]):
    """What remains of an awaitable that has suspended once, on ``waited_for``; it is closed at the ``end``."""

    def __init__(self, waited_for: Any, steps: Generator[Any, Any, T], end: asyncio.Timeout) -> None:
        self._waited_for = waited_for
        self._steps = steps
        self._end = end

    def __await__(self) -> Generator[Any, Any, T]:
        steps, waited_for = self._steps, self._waited_for
        while True:
            try:
                try:
                    answer = yield waited_for
                except BaseException as error:  # a failure or a cancellation: the awaitable is told, and may go on
                    if self._end.expired():
                        steps.close()
                        raise
                    waited_for = steps.throw(error)
                else:
                    waited_for = steps.send(answer)
            except StopIteration as done:
                result: T = done.value
                return result
