"""Going away at an await: a coroutine is cancelled at each place where it waits, one after the other."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from typing import Any, TypeVar

Result = TypeVar("Result")
#: No operation of a plugin waits so often.
_MOST = 200


class _Leaving(Awaitable[Result]):
    """The operation, in a task that is cancelled when it waits for the ``at``-th time."""

    def __init__(self, operation: Awaitable[Result], at: int) -> None:
        self.operation, self.at, self.waits = operation, at, 0

    def __await__(self) -> Generator[Any, Any, Result]:
        inner: Any = self.operation.__await__()
        step, value = inner.send, None
        while True:
            try:
                waited_for = step(value)
            except StopIteration as stop:
                result: Result = stop.value
                return result
            self._waits()
            try:
                value, step = (yield waited_for), inner.send
            except BaseException as error:
                value, step = error, inner.throw

    def _waits(self) -> None:
        if self.waits == self.at:
            task = asyncio.current_task()
            assert task is not None
            # Not before the task waits: it goes away as a client does, whose request is under way.
            asyncio.get_running_loop().call_soon(task.cancel)
        self.waits += 1


async def cancelled_at_every_await(
    operation: Callable[[int], Awaitable[Result]],
) -> AsyncIterator["asyncio.Task[Result]"]:
    """Tasks, ended: of ``operation(0)``, which was cancelled at its first await, of ``operation(1)`` at the second …

    The last one ended before it came so far.
    """
    for at in range(_MOST):
        leaving = _Leaving(operation(at), at)
        task = asyncio.ensure_future(_run(leaving))
        await asyncio.wait([task])
        yield task
        if leaving.waits <= at:
            return
    raise AssertionError(f"the operation waits more than {_MOST} times")


async def _run(leaving: _Leaving[Result]) -> Result:
    return await leaving
