"""The provisioner in a whole authority: one token, one certificate, however many ask at once and however they end."""

import asyncio
import dataclasses
import inspect
from collections import Counter
from collections.abc import Awaitable, Coroutine, Generator
from itertools import product
from typing import Any

import pytest

from mica.authority import Authority
from mica.grants import Operation, Reusable
from mica.hookspecs import hookimpl
from mica.registry import Registry
from mica.spends import InFlight
from mica.testing.ca import TestCA
from mica.testing.line_requests import Reply, require_refused, require_served
from mica.testing.line_scene import REVOCATIONS, Line, LineScene, Order
from mica.tokens import UnverifiedToken

_USES = 200


class RacesOfTheLine(LineScene):
    """A token serves once, in one process and in several, though its requests are cancelled at any point."""

    @pytest.mark.asyncio
    async def test_200_uses_of_one_token_at_once_in_one_process_serve_once(self, line: Line) -> None:
        for operation in self.ordered:
            await self._race(operation, [line])

    @pytest.mark.asyncio
    async def test_200_uses_of_one_token_at_once_at_two_authorities_on_one_record_serve_once(
        self, line: Line, ca: TestCA
    ) -> None:
        async with self.started(ca) as second:
            for operation in self.ordered:
                await self._race(operation, [line, second])

    async def _race(self, operation: Operation, lines: list[Line]) -> None:
        order = await self.order(lines[0], operation)
        if await is_reusable(lines[0], order):
            return
        before = await lines[0].traces(order)
        replies = await asyncio.gather(*(lines[number % len(lines)].ask(order) for number in range(_USES)))
        served, refused = (
            sum(replies) for replies in zip(*((r.is_served, r.is_refused) for r in replies), strict=True)
        )
        assert (served, refused) == (1, _USES - 1), (
            f"of {_USES} uses of one token for {operation} at once, one must be served and the others refused; "
            f"{served} were served and {refused} refused, {dict(Counter(reply.status for reply in replies))}"
        )
        assert await lines[0].traces(order) == before + 1, f"a race for {operation} has left other than one record"

    @pytest.mark.asyncio
    @pytest.mark.parametrize("later", [0.0, 0.0005])
    async def test_a_request_that_is_cancelled_at_any_await_is_done_or_not_and_its_token_serves_once(
        self, line: Line, later: float
    ) -> None:
        async with self.started(line.ca, pensive=Pensive()) as pensive:
            slow = Line.of(line.ca, dawdling(pensive.authority))
            for operation in self.ordered:
                at, interrupted = 0, True
                while interrupted:
                    at += 1
                    interrupted = await self._cancel(operation, line, slow, at, later)
                assert at > 4, "nothing was interrupted"

    async def _cancel(self, operation: Operation, line: Line, slow: Line, at: int, later: float) -> bool:
        """Whether a request was cancelled at its ``at``-th suspension, or there was none; all is as it must be."""
        order, settling = [await self.order(line, operation) for _ in range(2)]
        reusable, before = await is_reusable(line, order), await line.traces(order)
        reply, interrupted = await interrupt(slow.ask(order), at, later)
        assert interrupted or reply.is_served, f"a good token for {operation} must be served; it got {reply}"
        # What the store was asked before, it has done by the end of this.
        require_served(await slow.ask(settling), f"a good token for {operation} after a cancellation")
        done = await line.traces(order) - before - (0 if operation in REVOCATIONS else 1)
        where = f"a request for {operation} that was cancelled at await {at}"
        assert done in ((1,) if reply.is_served else (0, 1)), f"{where} has left {done} records, and got {reply}"
        assert not slow.authority.in_flight.held, f"{where} has left its token in flight"
        again = await line.ask(order)
        (require_served if reusable or not done else require_refused)(
            again, f"{where}, and has left {done} records, again"
        )
        return interrupted

    @pytest.mark.asyncio
    @pytest.mark.parametrize("later", [0.0, 0.0005])
    async def test_a_token_whose_request_is_cancelled_serves_once_however_soon_it_comes_again(
        self, line: Line, later: float
    ) -> None:
        async with self.started(line.ca, pensive=Pensive()) as pensive:
            slow = Line.of(line.ca, dawdling(pensive.authority))
            for operation, at in product(self.ordered, range(1, 13)):
                order = await self.order(line, operation)
                if await is_reusable(line, order):
                    break
                before = await line.traces(order)
                first, _ = await interrupt(slow.ask(order), at, later)
                again = await asyncio.gather(*(each.ask(order) for each in (slow, line) * 3))
                where = f"a request for {operation} that was cancelled at await {at}, and sent again six times"
                assert sum(reply.is_served for reply in (first, *again)) <= 1, f"{where}, served twice: {again}"
                assert sum(reply.is_refused for reply in again) >= 5, f"{where}, must be refused five times: {again}"
                assert await line.traces(order) == before + 1, f"{where}, has left other than one record"


async def interrupt(work: Coroutine[Any, Any, Reply], at: int, later: float) -> tuple[Reply, bool]:
    """What the request was answered with, and whether it was cancelled at its ``at``-th suspension."""
    interrupted = Interrupted(work, at, later)
    reply = await asyncio.ensure_future(interrupted)  # so that it is not this task that is cancelled
    return reply, interrupted.suspensions >= at


async def is_reusable(line: Line, order: Order) -> bool:
    """Whether the provisioner says that its credential may serve again, and why."""
    tokens = line.entry.tokens
    assert tokens is not None
    spend = (await tokens.authorize(UnverifiedToken.parse(order.token), order.operation)).spend
    return isinstance(spend, Reusable) and bool(spend.reason)


class Dawdling:
    """The part behind it, except that it suspends before and after each asynchronous answer."""

    def __init__(self, part: Any) -> None:
        self._part = part

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._part, name)
        if not inspect.iscoroutinefunction(attribute):
            return attribute

        async def dawdling(*arguments: Any) -> Any:
            await asyncio.sleep(0)
            answer = await attribute(*arguments)
            await asyncio.sleep(0)
            return answer

        return dawdling


class Pensive:
    """A policy that has no objection, and suspends before it says so."""

    @hookimpl
    async def refuse_x509(self, tbs: object) -> str | None:
        """None, later."""
        await asyncio.sleep(0)
        return None

    @hookimpl
    async def refuse_ssh(self, tbs: object) -> str | None:
        """None, later."""
        await asyncio.sleep(0)
        return None


def dawdling(authority: Authority) -> Authority:
    """``authority``, each of whose parts suspends whenever it may."""
    store: Any = Dawdling(authority.store)
    ssh = authority.ssh
    ssh_signer: Any = ssh and Dawdling(ssh.signer)
    entries = []
    for original in authority.registry.entries:
        entry = dataclasses.replace(original)
        entry.tokens, entry.renewals = _slowed(original.tokens), _slowed(original.renewals)
        entries.append(entry)
    return dataclasses.replace(
        authority,
        store=store,
        in_flight=InFlight(store),
        registry=Registry(tuple(entries)),
        ssh=ssh and dataclasses.replace(ssh, signer=ssh_signer),
        issuers={
            name: dataclasses.replace(issuer, signer=Dawdling(issuer.signer))
            for name, issuer in authority.issuers.items()
        },
    )


def _slowed(part: Any) -> Any:
    return None if part is None else Dawdling(part)


class Interrupted(Awaitable[Any]):
    """Work whose task is cancelled when it suspends for the ``at``-th time, at once or ``later``, in seconds."""

    def __init__(self, work: Coroutine[Any, Any, Any], at: int, later: float) -> None:
        self._work, self._at, self._later = work, at, later
        self.suspensions = 0

    def __await__(self) -> Generator[Any, Any, Any]:
        """What the work returns; raises what it raises, CancelledError included."""
        steps, answer, error = self._work.__await__(), None, None
        while True:
            try:
                waited_for = steps.throw(error) if error else steps.send(answer)
            except StopIteration as done:
                return done.value
            self.suspensions += 1
            if self.suspensions == self._at:
                self._interrupt()
            answer = error = None
            try:
                answer = yield waited_for
            except BaseException as thrown:
                error = thrown

    def _interrupt(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        if self._later:
            asyncio.get_running_loop().call_later(self._later, task.cancel)
        else:
            task.cancel()
