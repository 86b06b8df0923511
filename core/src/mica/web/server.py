"""uvicorn's server, listening on sockets that are open already, and leaving signals to the worker."""

import asyncio
import contextlib
import functools
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from mica.web.acceptor import Acceptor
from mica.web.protocol import LimitedProtocol

_SHUTDOWN_SECONDS = 5.0


class TLSServer(uvicorn.Server):
    """Serves ``app`` with ``context``; ``ready`` is called when connections are accepted."""

    def __init__(
        self,
        app: ASGIApp,
        context: ssl.SSLContext,
        *,
        drain: int,
        ready: Callable[[], None] = lambda: None,
        protocol: type[LimitedProtocol] = LimitedProtocol,
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                interface="asgi3",
                http=protocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,  # anybody can send X-Forwarded-For
                server_header=False,
                timeout_graceful_shutdown=drain,
            )
        )
        self._context = context
        self._ready = ready
        self._protocol = protocol
        self._acceptors: list[Acceptor] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Connections to ``sockets`` are accepted."""
        limit = self._protocol.limits.handshakes
        self._acceptors = [Acceptor(listener, self._connect, limit=limit) for listener in sockets or ()]
        self.servers = []
        self.started = True
        self._ready()

    async def _connect(self, connection: socket.socket) -> None:
        """The client has shaken hands, and its requests are served; raises OSError."""
        make: Any = functools.partial(self._protocol, self.config, self.server_state, {})
        await asyncio.get_running_loop().connect_accepted_socket(
            make,
            connection,
            ssl=self._context,
            ssl_handshake_timeout=self._protocol.limits.seconds,
            ssl_shutdown_timeout=_SHUTDOWN_SECONDS,
        )

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Every request that was on its way is answered, in the time for draining."""
        for acceptor in self._acceptors:
            acceptor.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._protocol.limits.farewell):
                for acceptor in self._acceptors:
                    await acceptor.wait_closed()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the worker's."""
        yield
