"""One request to the CA and its answer, over one connection that is closed again."""

import io
import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mica import __version__
from mica.client import tls
from mica.client.errors import NotTheCA, Unreachable
from mica.client.urls import host_and_port

if TYPE_CHECKING:  # the network's modules are slow to import, and help needs none of them
    import http.client
    import socket
    import ssl


#: Seconds until an answer must be complete; step's clients wait as long.
TIMEOUT = 15.0


def _unseen(_: str) -> AbstractContextManager[None]:
    return nullcontext()


#: What goes on around the wait for an answer, told what is waited for; the command line shows there that it takes long.
waiting: ContextVar[Callable[[str], AbstractContextManager[None]]] = ContextVar("waiting", default=_unseen)

_MAX_ANSWER = 16 << 20
_CHUNK = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back, whole."""

    status: int
    content_type: str
    body: bytes
    request_id: str
    date: datetime | None


def call(
    url: str,
    method: str,
    path: str,
    *,
    trust: "ssl.SSLContext",
    identified: bool = False,
    body: bytes | None = None,
    content_type: str = "application/json",
    bearer: str = "",
    timeout: float = TIMEOUT,
) -> Answer:
    """The answer to one request, whatever its status; raises Unreachable, Untrusted, NotTheCA, IdentityRejected."""
    import http.client
    import ssl

    request_id = _uuid4()
    headers = {"User-Agent": f"mica/{__version__}", "X-Request-Id": request_id, "Accept": "application/json"}
    if body is not None:
        headers["Content-Type"] = content_type
    if bearer:
        headers["Authorization"] = f"Bearer {bearer}"
    connection = _connection(url, trust, timeout)
    try:
        with waiting.get()(f"waiting for {url}"):
            connection.connect()
            with connection.sock as connected:
                connection.sock = _Hurried(connected, time.monotonic() + timeout)
                connection.request(method, path, body, headers)
                response = connection.getresponse()
                content = _read(response)
        return _answer(response, content, request_id)
    except ssl.SSLError as error:
        raise tls.explain(error, url, identified=identified) from error
    except http.client.HTTPException as error:
        raise NotTheCA(f"{url} does not answer as an HTTP server does: {type(error).__name__}") from error
    except OSError as error:
        raise _unreachable(error, url, timeout, identified=identified) from error
    finally:
        connection.close()


def _connection(url: str, trust: "ssl.SSLContext", timeout: float) -> "http.client.HTTPSConnection":
    from http.client import HTTPSConnection

    host, port = host_and_port(url)
    proxy = _proxy(host)
    if proxy is None:
        return HTTPSConnection(host, port, timeout=timeout, context=trust)
    connection = HTTPSConnection(*proxy, timeout=timeout, context=trust)
    connection.set_tunnel(host, port)
    return connection


def _proxy(host: str) -> tuple[str, int] | None:
    """The proxy that ``HTTPS_PROXY`` names, unless ``NO_PROXY`` excepts ``host``."""
    if not (os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy")):
        return None
    from urllib.request import getproxies, proxy_bypass  # slow to import

    proxies = getproxies()
    if "https" not in proxies or proxy_bypass(host):
        return None
    return host_and_port(proxies["https"])


class _Hurried:
    """A connected socket that waits until ``deadline`` and no longer, however many octets come one by one.

    What http.client asks of a socket, and no more. A socket's own time limit begins anew with every octet.
    """

    def __init__(self, connected: "socket.socket", deadline: float) -> None:
        self._connected, self._deadline = connected, deadline

    def sendall(self, data: bytes) -> None:
        """All of it is handed to the kernel; raises TimeoutError, OSError."""
        self._connected.settimeout(self._left())
        self._connected.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        """What is received, as a file; raises TimeoutError when it is read too late."""
        return io.BufferedReader(_Received(self._connected, self._left))

    def close(self) -> None:
        """Nothing: ``call`` closes the socket, and an answer is still read after http.client has closed this."""

    def _left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


class _Received(io.RawIOBase):
    """The octets that come."""

    def __init__(self, connected: "socket.socket", left: Callable[[], float]) -> None:
        self._connected, self._left = connected, left

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._connected.settimeout(self._left())
        return self._connected.recv_into(buffer)


def _read(response: "http.client.HTTPResponse") -> bytes:
    from http.client import IncompleteRead

    content = bytearray()
    while chunk := response.read1(_CHUNK):
        content += chunk
        if len(content) > _MAX_ANSWER:
            raise NotTheCA(f"the answer is longer than {_MAX_ANSWER >> 20} MiB, as no answer of a CA is")
    if response.length:
        raise IncompleteRead(bytes(content), response.length)
    return bytes(content)


def _answer(response: "http.client.HTTPResponse", content: bytes, request_id: str) -> Answer:
    return Answer(
        status=response.status,
        content_type=response.getheader("Content-Type", "").partition(";")[0].strip().lower(),
        body=content,
        request_id=response.getheader("X-Request-Id") or request_id,
        date=_date(response.getheader("Date", "")),
    )


def _date(text: str) -> datetime | None:
    from email.utils import parsedate_to_datetime

    try:
        return parsedate_to_datetime(text).astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        return None


def _unreachable(error: OSError, url: str, timeout: float, *, identified: bool) -> Unreachable:
    """What an error of the network means; no two causes share a sentence."""
    from socket import gaierror

    host, _ = host_and_port(url)
    if isinstance(error, gaierror):
        return Unreachable(f"{url}: the name {host} cannot be resolved ({error.strerror})", hint="is it spelt right?")
    if isinstance(error, TimeoutError):
        return Unreachable(f"{url} does not answer within {timeout:g} seconds", hint="a firewall, or a wrong address?")
    if isinstance(error, ConnectionRefusedError):
        return Unreachable(f"{url}: connection refused", hint="is the CA running, and is this its port?")
    if isinstance(error, ConnectionError):
        hint = "it may have rejected the client certificate" if identified else "is it the right port?"
        return Unreachable(f"{url}: the connection was closed before an answer came", hint=hint)
    return Unreachable(f"{url}: {error.strerror or error}")


def _uuid4() -> str:
    octets = bytearray(os.urandom(16))
    octets[6] = octets[6] & 0x0F | 0x40  # RFC 9562 §5.4
    octets[8] = octets[8] & 0x3F | 0x80
    text = octets.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
