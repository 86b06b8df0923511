"""Connections taken from a listening socket a few at a time, so that workers that share the socket share the work.

An event loop's own server takes all that wait at once. Of 32 connections opened together one of two workers was seen
to take 32, and the other none, for as long as they lasted.
"""

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import Awaitable, Callable

#: After so many connections it is the other workers' turn for so long. 4,000 a second are more than one can serve.
_TURN, _OTHERS_TURN = 4, 0.001
#: After there were no file descriptors left.
_PAUSE = 0.5
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

_log = logging.getLogger("mica.worker")


class Acceptor:
    """While open, connections to ``listener`` are handed to ``connect``; at most ``limit`` at a time are on their way.

    Above the limit, the connection that has been on its way for longest is dropped.
    """

    def __init__(
        self, listener: socket.socket, connect: Callable[[socket.socket], Awaitable[object]], *, limit: int
    ) -> None:
        self._listener = listener
        self._connect = connect
        self._limit = limit
        self._loop = asyncio.get_running_loop()
        self._underway: dict[asyncio.Task[None], None] = {}
        self._open = True
        self._taken = 0
        self._listen()

    def close(self) -> None:
        """No further connection is taken; those on their way go on."""
        self._open = False
        self._loop.remove_reader(self._listener.fileno())

    async def wait_closed(self) -> None:
        """None is on its way any more."""
        if self._underway:
            await asyncio.wait(self._underway)

    def _listen(self) -> None:
        if self._open:
            self._loop.add_reader(self._listener.fileno(), self._accept)

    def _accept(self) -> None:
        """One connection has been taken, unless another worker was quicker."""
        try:
            connection, _ = self._listener.accept()
        except OSError as error:
            if error.errno in _EXHAUSTED:
                _log.error("connections wait, because there is no room for them: %s", error.strerror)
                self._pause(_PAUSE)
            return
        self._taken += 1
        if self._taken % _TURN == 0:
            self._pause(_OTHERS_TURN)
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if len(self._underway) >= self._limit:
            next(iter(self._underway)).cancel()
        task = self._loop.create_task(self._shake_hands(connection))
        self._underway[task] = None
        task.add_done_callback(self._underway.pop)

    def _pause(self, seconds: float) -> None:
        self._loop.remove_reader(self._listener.fileno())
        self._loop.call_later(seconds, self._listen)

    async def _shake_hands(self, connection: socket.socket) -> None:
        """The connection has its protocol, or is gone. A handshake that fails is the client's affair."""
        with contextlib.suppress(OSError):
            await self._connect(connection)
