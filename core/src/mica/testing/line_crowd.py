"""Many clients of a served CA at one moment, and the end of all its processes at once."""

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPResponse, HTTPSConnection
from pathlib import Path

from mica.testing.service import Service


class HeldBack:
    """A request that the service has but for its last octet, so that many can become whole at one moment."""

    def __init__(self, connection: HTTPSConnection, path: str, body: object = None) -> None:
        data = b"" if body is None else json.dumps(body).encode()
        request = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data
        connection.sock.sendall(request[:-1])
        self._last = request[-1:]
        self._connection = connection

    def let_go(self) -> None:
        """The request is whole."""
        self._connection.sock.sendall(self._last)

    def status(self) -> int:
        """That of the answer; the connection can serve another request."""
        response = HTTPResponse(self._connection.sock)
        response.begin()
        response.read()
        return response.status


def connect(service: Service) -> HTTPSConnection:
    """An open connection, which is not opened again in silence once the service has closed it."""
    connection = service.connect()
    connection.connect()
    connection.auto_open = 0
    return connection


def worker_of(connection: HTTPSConnection) -> bytes:
    """Which worker has the connection: each has a TLS certificate of its own."""
    certificate = connection.sock.getpeercert(binary_form=True)
    assert isinstance(certificate, bytes)
    return certificate


def connect_to_both(number: int, connect: Callable[[], HTTPSConnection]) -> list[HTTPSConnection]:
    """So many open connections, of which each of two workers has a tenth or more."""
    opened = [connect() for _ in range(number)]
    for _ in range(10 * number):
        shares = Counter(map(worker_of, opened))
        if len(shares) == 2 and min(shares.values()) >= number / 10:
            return opened
        (common, _), *_ = shares.most_common()
        spare = next(each for each in opened if worker_of(each) == common)
        opened.remove(spare)
        spare.close()
        opened.append(connect())
    raise AssertionError(f"one of two workers takes hardly any connection: {shares.values()}")


@contextmanager
def crowd(service: Service, number: int) -> Iterator[list[HTTPSConnection]]:
    """So many connections to a service of two workers, of which each has a good part."""
    context = service.context()

    def connect_here() -> HTTPSConnection:
        connection = service.connect(context)
        connection.connect()
        return connection

    with ExitStack() as stack:
        yield [stack.enter_context(closing(each)) for each in connect_to_both(number, connect_here)]


def at_once(connections: list[HTTPSConnection], path: str, body: object) -> list[int]:
    """The statuses of the answers to one request on every connection, all of them whole at one moment."""
    requests = [HeldBack(connection, path, body) for connection in connections]
    for request in requests:
        request.let_go()
    return [request.status() for request in requests]


def kill(service: Service) -> None:
    """Every process of the service is gone at once, none of them asked."""
    pids = [*service.workers(), service.process.pid]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    service.process.wait()
    while any(Path(f"/proc/{pid}").exists() and " Z " not in Path(f"/proc/{pid}/stat").read_text() for pid in pids):
        time.sleep(0.01)
