"""The provisioner in a whole authority whose clock is set, whose parts fail, and which is told secrets."""

import asyncio
import base64
import contextlib
import io
import logging
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from mica import registry
from mica.logs import JSONFormatter, TextFormatter
from mica.roles import Startable
from mica.testing.line_races import is_reusable
from mica.testing.line_requests import require_refused, require_served, send
from mica.testing.line_scene import Line, LineScene, Order
from mica.tokens import UnverifiedToken


class Ailing:
    """The provisioner behind it, whose ``start`` or ``authorize`` does something else until it is well."""

    def __init__(self, part: Any, *, hangs: bool) -> None:
        self._part, self._hangs, self.is_well = part, hangs, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._part, name)

    async def start(self) -> None:
        """It fails, or never ends; once it is well, the provisioner has started."""
        await self._ail()
        if isinstance(self._part, Startable):
            await self._part.start()

    async def authorize(self, *arguments: Any) -> Any:
        """As ``start``, for a token."""
        await self._ail()
        return await self._part.authorize(*arguments)

    async def _ail(self) -> None:
        if self.is_well:
            return
        if self._hangs:
            await asyncio.Event().wait()
        raise OSError("nobody answers")


class TroubleOfTheLine(LineScene):
    """Time, failures and secrets: a refusal, and the provisioner serves again when the trouble is over."""

    @pytest.mark.asyncio
    async def test_a_token_serves_in_its_time_and_neither_before_nor_after(self, line: Line) -> None:
        clock = line.ca.clock
        now = clock()
        for operation in self.ordered:
            order = await self.order(line, operation)
            expires_at = await self._expiry(line, order)
            for moment in (now - timedelta(days=1), expires_at, expires_at + timedelta(days=1)):
                clock.moment = moment
                require_refused(await line.ask(order), f"a token made at {now}, at {moment},")
            clock.moment = now
            require_served(await line.ask(order), "a token in its time")

    @pytest.mark.asyncio
    async def test_a_clock_that_is_set_back_after_the_record_was_pruned_revives_no_token(self, line: Line) -> None:
        clock, spent = line.ca.clock, []
        now = clock()
        for operation in self.ordered:
            order = await self.order(line, operation)
            if not await is_reusable(line, order):
                require_served(await line.ask(order), f"a good token for {operation}")
                spent.append((order, await self._expiry(line, order)))
        clock.moment = max([now, *(expires_at for _, expires_at in spent)]) + timedelta(days=2)
        await line.authority.store.prune(clock())
        for moment in (clock(), now):
            clock.moment = moment
            for order, _ in spent:
                require_refused(await line.ask(order), "a token that has served, after pruning and a clock set back,")

    async def _expiry(self, line: Line, order: Order) -> Any:
        """The first moment at which the token is refused."""
        tokens = line.entry.tokens
        assert tokens is not None
        return (await tokens.authorize(UnverifiedToken.parse(order.token), order.operation)).expires_at

    @pytest.mark.asyncio
    @pytest.mark.parametrize("hangs", [False, True])
    async def test_a_provisioner_that_cannot_start_is_listed_refuses_and_recovers(
        self, line: Line, monkeypatch: pytest.MonkeyPatch, hangs: bool
    ) -> None:
        monkeypatch.setattr(registry, "DEADLINE", 0.05)
        order, entry = await self.order(line, self.ordered[0]), line.entry
        entry.provisioner = ailing = Ailing(entry.provisioner, hangs=hangs)
        assert not await entry.start()
        assert (await _listed(line)).get("state") == "Uninitialized"
        require_refused(await line.ask(order), "a token of a provisioner that has not started")
        ailing.is_well = True
        monkeypatch.undo()
        assert await entry.start()
        assert "state" not in await _listed(line)
        require_served(await line.ask(order), "a token that was refused while the provisioner was ill")

    @pytest.mark.asyncio
    @pytest.mark.parametrize("hangs", [False, True])
    async def test_a_provisioner_that_fails_at_a_token_has_refused_it_and_recovers(
        self, line: Line, monkeypatch: pytest.MonkeyPatch, hangs: bool
    ) -> None:
        for operation in self.ordered:
            order, entry = await self.order(line, operation), line.entry
            whole = entry.tokens
            entry.tokens = Ailing(whole, hangs=hangs)
            with monkeypatch.context() as impatient:  # only here: a provisioner that is well may need longer
                impatient.setattr("mica.authorization.DEADLINE", 0.05)
                require_refused(await line.ask(order), "a token at which the provisioner failed")
            entry.tokens = whole
            require_served(await line.ask(order), "a token that was refused while the provisioner was ill")

    @pytest.mark.asyncio
    async def test_no_secret_is_in_an_answer_in_the_log_or_on_record(self, line: Line) -> None:
        with _logged() as log:
            answers, canaries = [], {secret.encode() for secret in self.secrets()}
            async for order, secrets in self._indiscreet(line):
                canaries |= secrets
                answers += [await line.ask(order), await line.ask(order), await line.ask(order, csr="none")]
            answers.append(await send(line.app, "GET", "/provisioners"))
        told = [log.getvalue().encode(), *(answer.body for answer in answers)]
        told += [file.read_bytes() for file in (line.ca.directory / "db").iterdir()]
        assert not any(answer.status >= 500 for answer in answers), answers
        assert b"request" in told[0], "nothing was logged"
        shown = [secret for secret in canaries if any(secret in text for text in told)]
        assert shown == [], "these stand in an answer, in the log or on record; keep tokens and secrets out of them"

    async def _indiscreet(self, line: Line) -> AsyncIterator[tuple[Order, set[bytes]]]:
        """Orders with tokens that hold secrets, good ones and not, and those secrets."""
        for operation in self.ordered:
            good = await self.order(line, operation)
            canary = f"canary-{uuid4().hex}"
            members = {**good.body, "comment": canary}
            for token in (
                good.maker.token(secret=canary),
                good.maker.token({"secret": canary}, aud="https://elsewhere.example/"),
                good.maker.stranger().token(secret=canary),
                f"{good.token}.{canary}",
                f"{good.token[:-8]}{canary}",
            ):
                yield Order(**{**_members(good), "body": {**members, "ott": token}}), {
                    canary.encode(), base64.b64encode(canary.encode()), *_unguessable(token)
                }  # fmt: skip


def _members(order: Order) -> dict[str, Any]:
    return {"operation": order.operation, "maker": order.maker, "token": order.token}


def _unguessable(token: str) -> set[bytes]:
    """The payload and the signature of a token."""
    _, payload, signature, *_ = token.split(".")
    return {payload.encode(), signature.encode()}


async def _listed(line: Line) -> dict[str, Any]:
    """What the authority tells of the provisioner, which is its last one."""
    listed: list[dict[str, Any]] = (await send(line.app, "GET", "/provisioners")).json["provisioners"]
    return next(each for each in listed if each["name"] == line.entry.name)


@contextlib.contextmanager
def _logged() -> Iterator[io.StringIO]:
    """Everything that is logged, in both forms, down to what is said for debugging."""
    stream, root = io.StringIO(), logging.getLogger()
    handlers = [logging.StreamHandler(stream) for _ in range(2)]
    for handler, formatter in zip(handlers, (TextFormatter(), JSONFormatter()), strict=True):
        handler.setFormatter(formatter)
        root.addHandler(handler)
    level = root.level
    root.setLevel(logging.DEBUG)
    try:
        yield stream
    finally:
        root.setLevel(level)
        for handler in handlers:
            root.removeHandler(handler)
