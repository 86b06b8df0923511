"""Broken copies of the audit log as a listener: it raises, blocks, loses or changes what it is told."""

import asyncio
import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests.contracts.broken.breaking import Turned

from mica import Denied, Event, ExtensionContext, hookimpl
from mica.testing.heartbeat import LONGEST
from mica_auditlog.contracts import TestAuditLogListener
from mica_auditlog.listener import AuditConfig, AuditLog

_log = logging.getLogger(__name__)


class Broken(Turned, TestAuditLogListener):
    """The suite of the plugin, turned on another listener."""

    config = AuditConfig()

    def build(self, context: ExtensionContext) -> Any:
        self.log = context.directory / self.config.path
        return super().build(context)


@pytest.mark.caught(by="test_every_event_is_taken", because="it fails at")
class TestRaisesAtADenial(Broken):
    """A denial that names no provisioner ends in an error."""

    class Part(AuditLog):
        @hookimpl
        def notify(self, event: Event) -> None:
            if isinstance(event, Denied):
                _log.debug("denied to %s", event.provisioner.name)  # type: ignore[union-attr]
            super().notify(event)


@pytest.mark.caught(by="test_strange_words_are_taken_and_never_logged_raw", because="it fails at")
class TestStumblesOverStrangeWords(Broken):
    """Words that are not ASCII end in an error (threat 10)."""

    class Part(AuditLog):
        @hookimpl
        def notify(self, event: Event) -> None:
            event.request_id.encode("ascii")
            super().notify(event)


@pytest.mark.caught(by="test_no_event_is_changed", because="copy it first|it fails at")
class TestChangesWhatItIsTold(Broken):
    """It writes into the event, which others are told of next (threat 30)."""

    class Part(AuditLog):
        @hookimpl
        def notify(self, event: Event) -> None:
            super().notify(event)
            object.__setattr__(event, "request_id", "")


@pytest.mark.usefixtures("impatient")
@pytest.mark.caught(by="test_it_holds_nobody_up", because="stands still")
class TestBlocksTheLoop(Broken):
    """While it is told, the CA answers nobody."""

    class Part(AuditLog):
        @hookimpl
        def notify(self, event: Event) -> None:
            time.sleep(LONGEST * 1.2)
            super().notify(event)


@pytest.mark.caught(by="test_a_thousand_events_are_taken_in_time_and_none_is_lost", because="it has lost events")
class TestLosesEvents(Broken):
    """Of ten events that come at once, one is dropped."""

    class Part(AuditLog):
        heard: int = 0

        @hookimpl
        def notify(self, event: Event) -> None:
            self.heard += 1
            if self.heard % 10:
                super().notify(event)


@pytest.mark.caught(by="test_a_thousand_events_are_taken_in_time_and_none_is_lost", because="it has lost events")
class TestLosesWhatWaitsWhenItCloses(Broken):
    """What has been heard and is not written when the process ends is lost."""

    class Part(AuditLog):
        async def aclose(self) -> None:
            with self._change:
                self._waiting.clear()
            await super().aclose()


@pytest.mark.caught(by="test_a_thousand_events_are_taken_in_time_and_none_is_lost", because="more than 5 ms")
class TestWritesOneEventAtATime(Broken):
    """Each event waits for a disk of its own: a busy CA leaves it behind."""

    class Part(AuditLog):
        @hookimpl
        async def notify(self, event: Event) -> None:
            await asyncio.sleep(0.006)
            super().notify(event)


@pytest.mark.caught(by="test_whoever_goes_away_meanwhile_spoils_nothing", because="it fails at|assert")
class TestIsSpoiltByACancellation(Broken):
    """What is cut off while it is told cannot be told anything more (threat 42)."""

    class Part(AuditLog):
        lost: bool = False

        @hookimpl
        async def notify(self, event: Event) -> None:
            if self.lost:
                raise RuntimeError("the connection to the collector has ended")
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                self.lost = True
                raise
            super().notify(event)


@pytest.mark.caught(by="test_it_tells_no_secret", because="take it out")
class TestLogsASecret(Broken):
    """Where it sends events to stands in the log, with the password (threat 27)."""

    def secrets(self) -> Iterator[str]:
        yield "canary-9d2"

    class Part(AuditLog):
        @hookimpl
        def notify(self, event: Event) -> None:
            _log.debug("sent to https://audit:canary-9d2@collector.example")
            super().notify(event)


@pytest.mark.caught(by="test_it_is_told", because="must implement notify")
class TestIsNotTold(Broken):
    """What it hears with is not what is called."""

    class Part:
        def __init__(self, config: AuditConfig, context: ExtensionContext) -> None:
            """Nothing is kept."""

        @hookimpl
        def refuse_x509(self) -> str | None:
            """Nothing against it."""
            return None
