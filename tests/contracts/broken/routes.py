"""Broken copies of the SSH routes: they fail, show the inside or a secret, read anything, believe a proxy."""

import asyncio
import json
import time
import traceback
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any, ClassVar

import pytest
from starlette.requests import Request
from starlette.responses import Response

from mica import JSON, Context, Kind, Route, Services, hookimpl, kind
from mica.testing.heartbeat import LONGEST
from mica_sshsigner import register_ssh_signers
from mica_sshsigner.contracts import TestSSHRoutes
from mica_sshsigner.extension import SSHService, SSHServiceSettings

Endpoint = Callable[[Request], Awaitable[Response]]


class Few(SSHService):
    """Two of the routes, led through one place."""

    def __init__(self, config: SSHServiceSettings, context: Context) -> None:
        super().__init__(config, context)
        self.directory = context.directory

    @hookimpl
    def routes(self, services: Services) -> Iterable[Route]:
        """They that sign and revoke."""
        kept = [route for route in super().routes(services) if route.path in ("/ssh/sign", "/ssh/revoke")]
        return [Route(route.method, route.path, partial(self.answer, route.endpoint)) for route in kept]

    async def answer(self, endpoint: Endpoint, request: Request) -> Response:
        """What the route answers."""
        return await endpoint(request)


class _Plugin:
    """The plugin, with another service behind its routes."""

    def __init__(self, service: type[SSHService]) -> None:
        self._service = service

    @hookimpl
    def register_ssh_signers(self) -> Iterable[Kind[Any]]:
        """The plugin's own."""
        return register_ssh_signers()

    @hookimpl
    def register_extensions(self) -> Iterable[Kind[Any]]:
        """The other service."""
        return [kind("sshsigner", SSHServiceSettings, self._service)]


class TestFewRoutes(TestSSHRoutes):
    """The suite of the plugin, turned on two of its routes."""

    Service: ClassVar[type[SSHService]] = Few

    def __init_subclass__(cls) -> None:
        cls.plugin = _Plugin(cls.Service)

    plugin: ClassVar[Any] = _Plugin(Few)


@pytest.mark.caught(
    by="test_strange_bodies_are_answered_properly_and_nothing_is_done_without_a_credential", because="got 500"
)
class TestFailsAtAStrangeBody(TestFewRoutes):
    """A body without the member that it needs ends in a KeyError, and the answer is 500 (never, 7)."""

    class Service(Few):
        async def answer(self, endpoint: Endpoint, request: Request) -> Response:
            return JSON({"ok": json.loads((await request.body()) or b"{}")["ott"]})


@pytest.mark.caught(
    by="test_strange_bodies_are_answered_properly_and_nothing_is_done_without_a_credential", because="program's inside"
)
class TestShowsAStackTrace(TestFewRoutes):
    """What went wrong is told in full to whoever asked (never, 7)."""

    class Service(Few):
        async def answer(self, endpoint: Endpoint, request: Request) -> Response:
            try:
                return JSON({"ok": json.loads((await request.body()) or b"{}")["ott"]})
            except Exception:
                return Response(traceback.format_exc(), 400)


@pytest.mark.caught(by="test_every_path_is_answered_properly_whatever_the_method", because="take it out")
class TestShowsASecret(TestFewRoutes):
    """A file of the CA's is served, whoever asks: its keys (threat 27)."""

    class Service(Few):
        async def answer(self, endpoint: Endpoint, request: Request) -> Response:
            files = sorted((self.directory / "secrets").iterdir())
            return Response(b"".join(file.read_bytes() for file in files))


@pytest.mark.caught(by="test_no_body_is_read_beyond_the_limit", because="use decode_body")
class TestReadsAnyBody(TestFewRoutes):
    """How much somebody sends is not limited (threat 29)."""

    class Service(Few):
        async def answer(self, endpoint: Endpoint, request: Request) -> Response:
            return JSON({"read": len(await request.body())})


@pytest.mark.caught(
    by="test_whoever_hangs_up_or_is_cut_off_spoils_nothing", because="after a cancellation|got no answer"
)
class TestIsSpoiltByWhoeverIsCutOff(TestFewRoutes):
    """A request that is cancelled leaves something behind that the next stumbles over (threat 42)."""

    class Service(Few):
        spoilt: bool = False

        async def answer(self, endpoint: Endpoint, request: Request) -> Response:
            if self.spoilt:
                return JSON({"status": "busy"}, 503)
            try:
                await asyncio.sleep(0.001)
            except asyncio.CancelledError:
                self.spoilt = True
                raise
            return await endpoint(request)


@pytest.mark.caught(by="test_what_a_proxy_might_say_changes_nothing", because="believes a header")
class TestBelievesAProxy(TestFewRoutes):
    """Who somebody is, a header says that anybody can send (threat 22)."""

    class Service(Few):
        async def answer(self, endpoint: Endpoint, request: Request) -> Response:
            if request.headers.get("x-ssl-client-verify") == "SUCCESS":
                return JSON({"welcome": request.headers.get("x-ssl-client-s-dn")})
            return await endpoint(request)


@pytest.mark.usefixtures("impatient")
@pytest.mark.caught(by="test_it_holds_nobody_up", because="stands still")
class TestBlocksTheLoop(TestFewRoutes):
    """While it answers, the CA answers nobody else."""

    class Service(Few):
        async def answer(self, endpoint: Endpoint, request: Request) -> Response:
            time.sleep(LONGEST * 1.2)
            return await endpoint(request)
