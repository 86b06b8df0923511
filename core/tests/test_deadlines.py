"""A deadline that is armed only when there is something to wait for."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from mica import deadlines
from mica.containment import Overstepped
from mica.deadlines import within


async def test_what_does_not_wait_is_given_at_once() -> None:
    async def answer() -> int:
        return 7

    assert await within(0.0, answer()) == 7


async def test_what_waits_in_time_is_given() -> None:
    async def answer() -> int:
        await asyncio.sleep(0)
        for _ in range(3):
            await asyncio.sleep(0.001)
        return await asyncio.gather(asyncio.sleep(0, 7))

    assert await within(5.0, answer()) == [7]


async def test_what_waits_too_long_is_cancelled() -> None:
    ended = []

    async def answer() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(True)

    with pytest.raises(TimeoutError):
        await within(0.01, answer())
    assert ended == [True]


async def test_what_is_raised_is_raised_before_and_after_waiting() -> None:
    async def at_once() -> None:
        raise LookupError("at once")

    async def later() -> None:
        await asyncio.sleep(0)
        raise LookupError("later")

    for failing in (at_once, later):
        with pytest.raises(LookupError):
            await within(5.0, failing())


async def test_a_cancelled_caller_cancels_what_it_waits_for() -> None:
    ended = asyncio.Event()

    async def answer() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            ended.set()
            raise

    task = asyncio.create_task(within(60.0, answer()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


async def test_an_answer_after_the_deadline_is_none() -> None:
    async def answer() -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return "late"
        return "never"

    with pytest.raises(TimeoutError):
        await within(0.01, answer())


async def test_what_does_not_end_when_told_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlines, "GRACE", 0.3)  # time enough for both ends to be apart
    told = []

    async def answer() -> None:
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                told.append(True)

    with pytest.raises(TimeoutError):
        await within(0.01, answer())
    assert told == [True]


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), asyncio.CancelledError()], ids=repr)
async def test_what_would_end_the_loop_or_the_task_ends_the_answer_alone(error: BaseException) -> None:
    async def answer() -> None:
        await asyncio.sleep(0)
        raise error

    with pytest.raises(Overstepped) as caught:
        await within(5.0, answer())
    assert caught.value.__cause__ is error


async def test_whatever_it_waits_for_may_fail_again_and_again() -> None:
    async def stubborn() -> str:
        for _ in range(5):
            waited_for = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_soon(waited_for.set_exception, OSError("no route"))
            with suppress(OSError):
                await waited_for
        return "done"

    assert await within(1, stubborn()) == "done"


async def stubborn(over: asyncio.Event) -> None:
    while not over.is_set():
        with suppress(asyncio.CancelledError):
            await over.wait()


async def stubborn_task(over: asyncio.Event) -> None:
    await asyncio.create_task(stubborn(over))


WAYS: dict[str, Callable[[asyncio.Event], Any]] = {
    "a task": lambda over: asyncio.create_task(stubborn(over)),
    "a task in a coroutine": stubborn_task,
    "several": lambda over: asyncio.gather(stubborn(over), stubborn(over)),
    "one with a time limit of its own": lambda over: asyncio.wait_for(stubborn(over), 60),
}


@pytest.mark.parametrize("way", WAYS)
async def test_a_task_that_does_not_end_when_told_is_not_waited_for(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlines, "GRACE", 0.02)
    over, before = asyncio.Event(), asyncio.all_tasks()
    async with asyncio.timeout(5):
        with pytest.raises(TimeoutError):
            await within(0.01, WAYS[way](over))
    over.set()
    await asyncio.gather(*(asyncio.all_tasks() - before), return_exceptions=True)


async def test_a_task_that_ends_when_told_has_cleaned_up() -> None:
    ended = []

    async def answer() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            ended.append(True)

    with pytest.raises(TimeoutError):
        await within(0.01, asyncio.gather(answer(), answer()))
    assert ended == [True, True]


async def test_a_task_that_is_waited_for_gives_its_result_and_its_failure() -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise LookupError

    assert await within(5, asyncio.create_task(asyncio.sleep(0, 7))) == 7
    with pytest.raises(LookupError):
        await within(5, asyncio.create_task(fail()))
