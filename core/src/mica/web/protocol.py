"""HTTP/1.1 over TLS, within limits: uvicorn's protocol, which has none of its own, with those of ``Limits``.

A connection owes something at every moment (a head, a body, to read our answer), and has a deadline for it. One
task per worker closes what is overdue, so that a request costs no timers.
"""

import asyncio
import logging
import ssl
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal, cast
from uuid import uuid4

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from mica import logs
from mica.web.answers import error_answer

_log = logging.getLogger("mica.access")
_INTERIM = b"HTTP/1.1 1"  # 100 Continue comes before the answer (RFC 9110 §15.2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a client may take of a worker."""

    head_bytes: int = 16 * 1024
    headers: int = 100
    message_bytes: int = 2 * 1024 * 1024
    """Of one message as sent. Twice the longest body, so that a refusal can be answered before the hard end."""
    pipelined: int = 8
    connections: int = 4096
    handshakes: int = 1024
    seconds: float = 15.0
    """For a TLS handshake, for a whole head, for a whole body, for reading an answer, between two requests."""
    farewell: float = 1.0
    """When the worker stops: for a handshake to end, and for a request that may be on its way."""


class LimitedProtocol(HttpToolsProtocol):
    """One connection. The limits are a class attribute, because uvicorn makes the instances."""

    limits = Limits()

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.deadline: float | None = None
        self._reading: Literal["idle", "head", "body"] = "idle"
        self._message_bytes = 0
        self._head_bytes = 0
        self._refusal = HTTPStatus.BAD_REQUEST
        self._closing = False
        self._last = False
        self._extensions: dict[str, Any] = {}

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The handshake is over; the client has so long to send a head. Above the limit the idlest connection goes."""
        if len(self.connections) >= self.limits.connections:
            _evict(cast("set[LimitedProtocol]", self.connections))
        super().connection_made(transport)
        self._extensions = _tls_extension(transport.get_extra_info("ssl_object"))
        self._patience()

    def data_received(self, data: bytes) -> None:
        """The parser has had ``data``, unless the message is larger than it may be: then the connection ends."""
        if self._closing:
            return
        before = self._reading
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # Nothing is offered to upgrade to (RFC 9110 §7.8: ignore); what follows is not known to be HTTP.
            if self.cycle is not None:
                self.cycle.keep_alive = False
        except httptools.HttpParserError:
            self._refuse(self._refusal)
        else:
            self._count(before, len(data))

    def _count(self, before: str, size: int) -> None:
        """``size`` more octets belong to the message, unless it began or ended somewhere among them."""
        if self._reading == "idle" or before == "body" != self._reading:
            self._message_bytes = 0
            return
        self._message_bytes += size
        if self._reading == "head" and self._message_bytes > self.limits.head_bytes:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        elif self._message_bytes > self.limits.message_bytes:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)

    def on_message_begin(self) -> None:
        """A head has begun."""
        super().on_message_begin()
        if self._extensions:
            cast("dict[str, Any]", self.scope)["extensions"] = self._extensions
        self._reading, self._head_bytes = "head", 0
        self._patience()

    def on_url(self, url: bytes) -> None:
        """More of the request target."""
        self._measure(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One more header. A trailer is counted and dropped: it must not pass for one (RFC 9110 §6.5.1)."""
        self._measure(len(name) + len(value) + len(b": \r\n"))
        if self._reading == "head":
            super().on_header(name, value)
            if len(self.headers) > self.limits.headers:
                self._stop(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def on_headers_complete(self) -> None:
        """The head is whole; the request is served or queued."""
        self._reading = "body"
        if len(self.pipeline) >= self.limits.pipelined:
            self._stop(HTTPStatus.TOO_MANY_REQUESTS)
        super().on_headers_complete()
        if self.scope["method"] != "HEAD":  # its answer has no body to wait for
            self.cycle.transport = cast("asyncio.Transport", _WholeAnswer(self.transport))
        self._patience()
        if self._last:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        """The request is whole. Until it is answered the client owes nothing."""
        super().on_message_complete()
        self._reading = "idle"
        self.deadline = None
        if self.cycle.response_complete:
            self._patience()

    def on_response_complete(self) -> None:
        """The answer is written; the next request may come."""
        super().on_response_complete()
        self._unset_keepalive_if_required()  # its place is taken by the deadline
        if self._reading != "body" and self.cycle.response_complete:
            self._patience()

    def pause_writing(self) -> None:
        """The client reads slower than we write; so long it may."""
        super().pause_writing()
        self._patience()

    def resume_writing(self) -> None:
        """The client reads again."""
        super().resume_writing()
        self._patience()

    def shutdown(self) -> None:
        """The worker stops: a request that is being sent or served is the last, or one that may still come."""
        self._last = True
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False
        elif self._reading == "idle":
            self.deadline = min(self.deadline or self.loop.time(), self.loop.time() + self.limits.farewell)

    def _patience(self) -> None:
        self.deadline = self.loop.time() + self.limits.seconds

    def _measure(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > self.limits.head_bytes:
            self._stop(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def _stop(self, status: HTTPStatus) -> None:
        """The parser stops, and the connection is refused with ``status``."""
        self._refusal = status
        raise httptools.HttpParserError(status.phrase)

    def _refuse(self, status: HTTPStatus) -> None:
        """The connection ends; with an answer, unless an answer to an earlier request is under way."""
        self._closing = True
        self.pipeline.clear()
        if self.cycle is None or self.cycle.response_complete:
            self._answer_refusal(status)
        self.deadline = self.loop.time()
        self.transport.close()

    def _answer_refusal(self, status: HTTPStatus) -> None:
        identifier = str(uuid4())
        self.transport.write(_refusal(status, identifier))
        facts = {"request-id": identifier, "status": status.value, "remote": self.client and self.client[0]}
        _log.warning("request refused before it was whole", extra=logs.fields(**facts))

    def close_overdue(self, now: float) -> None:
        """The connection is closed when its deadline has passed, and cut when it does not end at once."""
        if self.deadline is None or now < self.deadline:
            return
        if self.transport.is_closing() or self.flow.write_paused:
            self.transport.abort()
            return
        if self._reading != "idle":
            self._refuse(HTTPStatus.REQUEST_TIMEOUT)
        self.transport.close()


class _WholeAnswer:
    """A transport on which the head of one answer waits for the body: together they are one TLS record, one write."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head: bytes | None = None

    def write(self, data: bytes) -> None:
        """``data`` is sent, or waits when it is the head."""
        if self._head is not None:
            self._transport.write(self._head + data)
            self._head = b""
        elif data.startswith(_INTERIM):
            self._transport.write(data)
        else:
            self._head = data

    def close(self) -> None:
        """What waits is sent, and the connection ends."""
        if self._head:
            self._transport.write(self._head)
        self._transport.close()

    def is_closing(self) -> bool:
        """Whether the connection is about to end."""
        return self._transport.is_closing()


async def close_overdue(state: ServerState, *, interval: float = 1.0) -> None:
    """For ever: connections past their deadline are closed, at most ``interval`` late."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(interval)
        now = loop.time()
        for connection in cast("list[LimitedProtocol]", list(state.connections)):
            connection.close_overdue(now)


def _evict(connections: "set[LimitedProtocol]") -> None:
    """The connection that has owed us something for longest is cut; one that is being served never is."""
    waiting = [connection for connection in connections if connection.deadline is not None]
    if waiting:
        min(waiting, key=lambda connection: connection.deadline or 0.0).transport.abort()


def _tls_extension(tls: ssl.SSLObject | None) -> dict[str, Any]:
    """The ASGI TLS extension, with DER instead of PEM; no certificate from a resumed session.

    A resumed session shows the certificate of an earlier handshake, which nobody has verified in this one.
    """
    if tls is None:
        return {}
    certificate = None if tls.session_reused else tls.getpeercert(binary_form=True)
    return {"tls": {"client_cert_chain": [certificate] if certificate else []}}


def _refusal(status: HTTPStatus, identifier: str) -> bytes:
    """A whole answer, for a client whose request never became one."""
    answer = error_answer(status, f"The request was not read: {status.description or status.phrase}")
    answer.headers["connection"] = "close"
    answer.headers["x-request-id"] = identifier
    lines = [b"%b: %b\r\n" % pair for pair in answer.raw_headers if pair[0] != b"connection"]
    return b"".join((STATUS_LINE[status], *lines, b"connection: close\r\n\r\n", bytes(answer.body)))
