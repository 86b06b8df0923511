"""A bounded load of HTTPS requests over asyncio streams: so many requests, so many connections, then it ends."""

import asyncio
import ssl
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a load showed."""

    requests: int
    seconds: float
    latencies: tuple[float, ...]

    @property
    def rate(self) -> float:
        """Requests for each second."""
        return self.requests / self.seconds

    def percentile(self, percent: int) -> float:
        """Latency in milliseconds."""
        return statistics.quantiles(self.latencies, n=100)[percent - 1] * 1000


def request(method: str, path: str, host: str, body: bytes = b"", *, close: bool = False) -> bytes:
    """One HTTP/1.1 request."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", f"Content-Length: {len(body)}"]
    if body:
        lines.append("Content-Type: application/json")
    if close:
        lines.append("Connection: close")
    return "\r\n".join([*lines, "", ""]).encode() + body


async def run(
    requests: Sequence[bytes], port: int, context: ssl.SSLContext, *, connections: int, keep_alive: bool = True
) -> Outcome:
    """Every request has been answered with 2xx; raises RuntimeError otherwise."""
    waiting = iter(requests)
    latencies: list[float] = []
    started = time.perf_counter()
    await asyncio.gather(*(_client(waiting, port, context, latencies, keep_alive) for _ in range(connections)))
    return Outcome(len(requests), time.perf_counter() - started, tuple(latencies))


async def _client(
    waiting: "object", port: int, context: ssl.SSLContext, latencies: list[float], keep_alive: bool
) -> None:
    reader: asyncio.StreamReader | None = None
    writer: asyncio.StreamWriter | None = None
    for data in waiting:  # type: ignore[attr-defined]
        begun = time.perf_counter()
        if reader is None or writer is None:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
        writer.write(data)
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        body = await reader.readexactly(length)
        latencies.append(time.perf_counter() - begun)
        if not head.startswith(b"HTTP/1.1 2"):
            raise RuntimeError(f"the CA answered {head[:40]!r} {body[:200]!r}")
        if not keep_alive:
            writer.close()
            reader = writer = None
    if writer is not None:
        writer.close()
