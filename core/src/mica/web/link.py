"""What supervisor and worker say to each other, over a socket pair.

The worker is told its orders, then handed the listening sockets; it reports ``Loaded``, ``Ready`` or ``Failed``. It
believes its supervisor (orders are pickled); the supervisor does not have to believe a worker: reports are JSON, and
settings are octets that it keeps for other workers and never opens.
"""

import asyncio
import json
import socket
import struct
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mica.logs import LogFormat
from mica.web.timing import Timing

_LENGTH = struct.Struct(">I")
_MAX_REPORT, _MAX_SETTINGS, _MAX_LISTENERS = 1 << 20, 1 << 28, 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """What a worker is to serve: the settings of its generation, or, when it is the first of it, where to read them."""

    path: Path
    password: bytes | None = field(repr=False)
    settings: bytes = field(default=b"", repr=False)
    log_format: LogFormat
    timing: Timing
    generation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The configuration is valid as far as a look at the files tells."""

    address: str
    url: str
    store: str
    """The table ``[store]`` in a canonical form: equal texts, equal tables."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """The worker serves."""

    roots: tuple[str, ...]
    """SHA-256 of the root certificates, hex."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The worker cannot serve, and why: lines for the operator."""

    faults: tuple[str, ...]


Report = Loaded | Ready | Failed
_REPORTS: dict[str, type[Report]] = {kind.__name__: kind for kind in (Loaded, Ready, Failed)}


class WorkerEnd:
    """The worker's end of the link. Blocking; used before its event loop runs, and for short reports."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection

    def receive_orders(self) -> bytes:
        """The pickled orders; raises EOFError when the supervisor has gone."""
        return self._exactly(_LENGTH.unpack(self._exactly(_LENGTH.size))[0])

    def receive_sockets(self) -> list[socket.socket]:
        """The listening sockets; raises EOFError when the supervisor has gone or changed its mind."""
        octet, descriptors, _, _ = socket.recv_fds(self.connection, 1, _MAX_LISTENERS)
        if not octet:
            raise EOFError
        return [socket.socket(fileno=descriptor) for descriptor in descriptors]

    def report(self, report: Report, settings: bytes = b"") -> None:
        """The supervisor can read ``report``."""
        text = json.dumps({"report": type(report).__name__} | asdict(report)).encode()
        self.connection.sendall(_LENGTH.pack(len(text)) + _LENGTH.pack(len(settings)) + text + settings)

    def _exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            part = self.connection.recv(min(size - len(data), 1 << 16))
            if not part:
                raise EOFError
            data += part
        return bytes(data)


class SupervisorEnd:
    """The supervisor's end of the link, for its event loop."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._connection = connection

    async def order(self, orders: bytes) -> None:
        """The worker can read its pickled orders."""
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(self._connection, _LENGTH.pack(len(orders)) + orders)

    def hand_over(self, sockets: list[socket.socket]) -> None:
        """The worker can listen on ``sockets``."""
        socket.send_fds(self._connection, [b"s"], [listener.fileno() for listener in sockets])

    async def receive(self) -> tuple[Report, bytes]:
        """The worker's next report; raises EOFError when it has ended or does not make sense."""
        lengths = await self._exactly(2 * _LENGTH.size)
        (text_size, settings_size) = struct.unpack(">II", lengths)
        if text_size > _MAX_REPORT or settings_size > _MAX_SETTINGS:
            raise EOFError
        text = await self._exactly(text_size)
        settings = await self._exactly(settings_size)
        try:
            return _report(json.loads(text)), settings
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise EOFError from error

    def close(self) -> None:
        """The worker, if it is still there, sees that nobody waits for it."""
        self._connection.close()

    async def _exactly(self, size: int) -> bytes:
        loop = asyncio.get_running_loop()
        data = bytearray()
        while len(data) < size:
            part = await loop.sock_recv(self._connection, min(size - len(data), 1 << 16))
            if not part:
                raise EOFError
            data += part
        return bytes(data)


def _report(members: dict[str, Any]) -> Report:
    kind: Any = _REPORTS[members.pop("report")]
    report: Report = kind(
        **{name: tuple(value) if isinstance(value, list) else value for name, value in members.items()}
    )
    return report
