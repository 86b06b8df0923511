"""A deadline that costs nothing where there is nothing to wait for.

Most answers of plugins come without waiting. Arming a timer for each would cost more than the answer, so it is armed
when the awaitable first suspends.
"""

import asyncio
from collections.abc import Awaitable, Generator
from typing import Any, TypeVar

T = TypeVar("T")


async def within(seconds: float, awaitable: Awaitable[T]) -> T:
    """What ``awaitable`` gives; raises TimeoutError when it suspends and is not done ``seconds`` later."""
    steps = awaitable.__await__()
    try:
        waited_for = next(steps)
    except StopIteration as done:
        result: T = done.value
        return result
    async with asyncio.timeout(seconds):
        return await _Rest(waited_for, steps)


class _Rest(Awaitable[T]):
    """What remains of an awaitable that has suspended once, on ``waited_for``."""

    def __init__(self, waited_for: Any, steps: Generator[Any, Any, T]) -> None:
        self._waited_for = waited_for
        self._steps = steps

    def __await__(self) -> Generator[Any, Any, T]:
        steps, waited_for = self._steps, self._waited_for
        while True:
            try:
                try:
                    answer = yield waited_for
                except BaseException as error:  # cancelled while it waited: the awaitable is told, and may go on
                    waited_for = steps.throw(error)
                else:
                    waited_for = steps.send(answer)
            except StopIteration as done:
                result: T = done.value
                return result
