"""What every listener must do: a contract that a plugin's tests subclass.

class TestAuditLog(ListenerContract):
    def build(self, context): return AuditLog(AuditConfig(), context)
    async def heard(self, listener): return sum(…)  # how many events it kept, where it keeps them
"""

import dataclasses
import logging
import time
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import pytest_asyncio

from mica.custody import Custody
from mica.events import Denied, Event, Issued, Revoked
from mica.grants import Operation
from mica.hooks import Hooks
from mica.listeners import Listeners
from mica.logs import JSONFormatter
from mica.records import ProvisionerRef
from mica.roles import Closeable, Context, ExtensionContext, Startable
from mica.testing.contexts import Clock, make_context
from mica.testing.heartbeat import LONGEST, standstill
from mica.testing.records import ADMIN, make_id, make_issuance, make_revocation
from mica.testing.samples import STRANGE_TEXTS, STRANGE_UNICODE
from mica.testing.suspensions import cancelled_at_every_await

_NAME = "listener-under-test"


def make_events(clock: Clock, text: str = "svc.example") -> list[Event]:
    """One of each, and a renewal; ``text`` stands wherever a stranger's words may stand."""
    told: dict[str, Any] = {"at": clock(), "request_id": text, "subject": text}
    evidence = MappingProxyType({"jti": text, text: text})
    issuance = make_issuance(subject=text, names=(text, "b.example"), request_id=text)
    renewed = make_issuance(subject=text, names=(text,), replaces=issuance.id)
    revocation = make_revocation(make_id(), reason=text, request_id=text)
    who = ProvisionerRef(name=text, type="JWK", credential_id=text)
    return [
        Issued(issuance=issuance, evidence=evidence, **told),
        Issued(issuance=renewed, evidence=evidence, **told),
        Revoked(revocation=revocation, evidence=evidence, **told),
        Denied(operation=Operation.X509_SIGN, provisioner=who, reasons=(text, text), evidence=evidence, **told),
        Denied(operation=Operation.SSH_REVOKE, provisioner=None, reasons=(text,), **told),
        Denied(operation=Operation.SSH_SIGN, provisioner=ADMIN, reasons=(), **told),
    ]


class ListenerContract:
    """A listener takes every event, changes none, and keeps nobody waiting."""

    def build(self, context: ExtensionContext) -> Any:
        """The listener: what ``register_extensions`` would build, or the plugin's module."""
        raise NotImplementedError

    async def heard(self, listener: Any) -> int | None:
        """How many events it has kept, once it is closed; None for one that keeps nothing."""
        return None

    def secrets(self) -> Iterator[str]:
        """Texts that must appear nowhere."""
        yield from ()

    @pytest.fixture
    def listener_clock(self) -> Clock:
        return Clock()

    @pytest_asyncio.fixture
    async def listener(self, listener_clock: Clock, tmp_path: Path) -> AsyncIterator[Any]:
        """The listener, started; closed afterwards."""
        context = make_context(listener_clock, tmp_path)
        listener = self.build(
            ExtensionContext(**{f.name: getattr(context, f.name) for f in dataclasses.fields(Context)})
        )
        if isinstance(listener, Startable):
            await listener.start()
        yield listener
        if isinstance(listener, Closeable):
            await listener.aclose()

    @pytest.fixture
    def listening(self, listener: Any) -> Hooks:
        """The hooks of an authority in which it is the only plugin."""
        hooks = Hooks()
        hooks.register(_NAME, listener)
        return hooks

    def test_it_is_told(self, listening: Hooks) -> None:
        assert listening.answered("notify"), "a listener must implement notify; mark it with mica.hookimpl"

    @pytest.mark.asyncio
    async def test_every_event_is_taken(
        self, listening: Hooks, listener_clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        for event in make_events(listener_clock):
            await listening.notify(event)
            _sound(caplog, event)

    @pytest.mark.asyncio
    async def test_strange_words_are_taken_and_never_logged_raw(
        self, listening: Hooks, listener_clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        for label, text in (STRANGE_TEXTS | STRANGE_UNICODE).items():
            for event in make_events(listener_clock, text):
                await listening.notify(event)
                _sound(caplog, label)
        for line in map(JSONFormatter().format, caplog.records):
            assert line.isprintable(), f"a line of the log has a raw control character: {line[:200]!r}"

    @pytest.mark.asyncio
    async def test_no_event_is_changed(
        self, listening: Hooks, listener_clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        for event in make_events(listener_clock):
            custody, before = Custody(event), repr(event)
            await listening.notify(event)
            _sound(caplog, event)
            assert not custody.restore() and repr(event) == before, "it changes what it is told; copy it first"

    @pytest.mark.asyncio
    async def test_it_holds_nobody_up(self, listening: Hooks, listener_clock: Clock) -> None:
        for event in [*make_events(listener_clock), *make_events(listener_clock, STRANGE_TEXTS["huge"])]:
            shortest = await standstill(partial(listening.notify, event))
            assert shortest < LONGEST, (
                f"the CA stands still for {shortest:.2f} s while it is told of {type(event).__name__}; "
                "let what waits run in a thread, or make notify async"
            )

    @pytest.mark.asyncio
    async def test_whoever_goes_away_meanwhile_spoils_nothing(
        self, listening: Hooks, listener_clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        for event in make_events(listener_clock):
            async for task in cancelled_at_every_await(partial(_tell_again, listening, event)):
                assert task.cancelled() or task.exception() is None
            await listening.notify(event)
            _sound(caplog, event)

    @pytest.mark.asyncio
    async def test_a_thousand_events_are_taken_in_time_and_none_is_lost(
        self, listener: Any, listening: Hooks, listener_clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        queue = Listeners(listening)
        queue.start()
        kept = await self.heard(listener)
        for number in range(1000):
            queue.tell(make_events(listener_clock, f"{number}.example")[number % 6])
        begun = time.perf_counter()
        await queue.aclose()
        if isinstance(listener, Closeable):
            await listener.aclose()
        assert time.perf_counter() - begun < 5, "it needs more than 5 ms for an event; queue, and write many at once"
        _sound(caplog, "a thousand events")
        if kept is not None:
            assert await self.heard(listener) == kept + 1000, "it has lost events that it was told"

    @pytest.mark.asyncio
    async def test_it_tells_no_secret(
        self, listening: Hooks, listener_clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.DEBUG):
            for event in make_events(listener_clock):
                await listening.notify(event)
        lines = [JSONFormatter().format(record) for record in caplog.records]
        for secret in self.secrets():
            assert not any(secret in line for line in lines), "a secret stands in the log; take it out"


def _sound(caplog: pytest.LogCaptureFixture, told: object) -> None:
    """The hooks had nothing to say of the listener."""
    failures = [r for r in caplog.records if r.name == "mica.hooks" and _NAME in r.getMessage()]
    assert not failures, (
        f"it fails at {str(told)[:300]}: {failures[0].getMessage()}, {failures[0].exc_info}; "
        "notify must take every event, and change none"
    )


async def _tell_again(listening: Hooks, event: Event, _: int) -> None:
    await listening.notify(event)
