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


class Late(TimeoutError):
    """The deadline has passed. A TimeoutError of any other class is what the awaitable itself has raised."""


async def within(seconds: float, awaitable: Awaitable[T]) -> T:
    """What ``awaitable`` gives; raises Late when it suspends and is not done ``seconds`` later.

    Raises Overstepped where the awaitable raises what would end the process, or the task that waits.
    """
    with contained:
        steps = awaitable.__await__()
        try:
            waited_for = next(steps)
        except StopIteration as done:
            result: T = done.value
            return result
        limit = _Limit(seconds)
        try:
            answer = await _Rest(waited_for, steps, limit)
        except asyncio.CancelledError as error:
            if limit.is_ours():
                raise Late("there was no answer before the deadline") from error
            raise
        finally:
            limit.close()
        if limit.told:
            raise Late("the answer came after the deadline")
        return answer


class _Limit:
    """Tells the task that waits to end when its time is over, and for the last time ``GRACE`` later.

    It does what ``asyncio.timeout`` does, twice, for a third of the price: most waits end long before.
    """

    __slots__ = ("_handle", "_others", "_task", "told")

    def __init__(self, seconds: float) -> None:
        task = asyncio.current_task()
        assert task is not None, "whatever is awaited is awaited by a task"
        self._task = task
        self._others = task.cancelling()
        self.told = 0
        self._handle = asyncio.get_running_loop().call_later(seconds, self._tell)

    @property
    def is_over(self) -> bool:
        """Whether the grace has passed as well."""
        return self.told > 1

    def _tell(self) -> None:
        self.told += 1
        if not self.is_over:
            self._handle = asyncio.get_running_loop().call_later(GRACE, self._tell)
        self._task.cancel()

    def is_ours(self) -> bool:
        """Whether nobody else has told the task to end."""
        return self.told > 0 and self._task.cancelling() - self.told <= self._others

    def close(self) -> None:
        """The task is told no more, and knows of nothing."""
        self._handle.cancel()
        for _ in range(self.told):
            self._task.uncancel()


class _Rest(Awaitable[T]):
    """What remains of an awaitable that has suspended once, on ``waited_for``; it is closed when ``limit`` is over."""

    __slots__ = ("_limit", "_steps", "_waited_for")

    def __init__(self, waited_for: Any, steps: Generator[Any, Any, T], limit: _Limit) -> None:
        self._waited_for = waited_for
        self._steps = steps
        self._limit = limit

    def __await__(self) -> Generator[Any, Any, T]:
        steps, waited_for = self._steps, self._waited_for
        while True:
            try:
                try:
                    answer = yield from self._wait(waited_for)
                except BaseException as error:  # a failure or a cancellation: the awaitable is told, and may go on
                    if self._limit.is_over:
                        steps.close()
                        raise
                    waited_for = steps.throw(error)
                else:
                    waited_for = steps.send(answer)
            except StopIteration as done:
                result: T = done.value
                return result

    def _wait(self, waited_for: Any) -> Generator[Any, Any, Any]:
        """Whatever the task is sent once ``waited_for`` is done, or its cancellation.

        A task that waits for another cannot be woken before that one has ended, which need not obey. So what need not
        is waited for at one remove; it is told to end like anything, and left alone when the limit is over.
        """
        if not _may_disobey(waited_for):
            return (yield waited_for)
        waited_for._asyncio_future_blocking = False  # as the task does that takes it
        while True:
            gate = asyncio.get_running_loop().create_future()

            def open_gate(_: object, gate: "asyncio.Future[None]" = gate) -> None:
                if not gate.done():
                    gate.set_result(None)

            waited_for.add_done_callback(open_gate)
            try:
                return (yield from gate)
            except asyncio.CancelledError:
                if self._limit.is_over or not waited_for.cancel():
                    raise
            finally:
                waited_for.remove_done_callback(open_gate)


def _may_disobey(waited_for: Any) -> bool:
    """Whether it may go on when it is cancelled: a task, or several. A plain future ends at once."""
    return (
        type(waited_for) is not asyncio.Future
        and asyncio.isfuture(waited_for)
        and waited_for._asyncio_future_blocking
        and waited_for.get_loop() is asyncio.get_running_loop()
    )
