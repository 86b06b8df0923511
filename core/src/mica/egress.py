"""The way out: how the server asks other servers, under one policy for every plugin.

A provider, a webhook or a challenge may be hostile, and what it answers is bounded in octets, time and redirects. Each
redirect is judged like the URL that led to it (``mica.egressrules``). Nothing is kept between two requests.
"""

import asyncio
import socket
import ssl
import zlib
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import urldefrag, urljoin

from mica.egressrules import Destination, check_addresses, check_scheme, destination
from mica.errors import MalformedRequest, Unavailable
from mica.tokens import decode_json

#: The addresses of a host, as text.
Resolve = Callable[[str, int], Awaitable[tuple[str, ...]]]
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_GZIP = 16 + zlib.MAX_WBITS  # zlib: with a gzip header (RFC 1952)


async def resolve(host: str, port: int) -> tuple[str, ...]:
    """What the system says; raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(str(entry[4][0]) for entry in found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What one answer may cost, redirects and all."""

    octets: int = 512 * 1024
    """Of the body, both as sent and as decoded."""
    seconds: float = 4.0
    redirects: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a server answered in the end."""

    url: str
    """Where it stands, after the redirects."""
    status: int
    headers: Mapping[str, str]
    """Their names in lower case; what came in several fields is one list (RFC 9110 §5.3)."""
    body: bytes = field(repr=False)

    def json(self) -> Any:
        """The JSON value of a successful answer that says that it is JSON; raises Unavailable."""
        if self.status != HTTPStatus.OK:
            raise Unavailable(f"{self.url}: answered with the status {self.status}, not 200")
        media_type = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type != "application/json" and not media_type.endswith("+json"):  # RFC 6839 §3.1
            raise Unavailable(f"{self.url}: answered with {media_type[:80]!r}, not with application/json")
        try:
            return decode_json(self.body)
        except MalformedRequest as error:
            raise Unavailable(f"{self.url}: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Egress:
    """Asks other servers. It holds no connection, and so nothing needs to be given back."""

    resolve: Resolve = resolve
    network: Any = None
    """What dials, an ``httpcore.AsyncNetworkBackend``; None: the system."""

    async def get(
        self, url: str, *, named: str = "", roots: bytes | None = None, budget: Budget | None = None
    ) -> Answer:
        """What stands at ``url``, or where it redirects to; raises Unavailable, which names the URL and the rule.

        ``named`` is the URL that the operator wrote, when ``url`` was found by following it. ``roots`` are PEM
        certificates that are trusted instead of the system's.
        """
        budget = budget or Budget()
        try:
            async with asyncio.timeout(budget.seconds):
                trust = await asyncio.to_thread(_trust, roots)
                return await self._follow(destination(url), destination(named or url), trust, budget)
        except TimeoutError as error:
            raise Unavailable(f"{url}: no answer within {budget.seconds:g} seconds") from error

    async def _follow(self, to: Destination, named: Destination, trust: ssl.SSLContext, budget: Budget) -> Answer:
        start = to
        for _ in range(budget.redirects + 1):
            check_scheme(to, named)
            answer = await self._ask(to, named, trust, budget)
            location = answer.headers.get("location")
            if answer.status not in _REDIRECTS or not location:
                return answer
            to = destination(urldefrag(urljoin(to.url, location)).url)
        raise Unavailable(f"{start.url}: redirects more than {budget.redirects} times")

    async def _ask(self, to: Destination, named: Destination, trust: ssl.SSLContext, budget: Budget) -> Answer:
        from mica import dialing  # slow to import, and only servers go out

        async def addresses(host: str, port: int) -> tuple[str, ...]:
            try:
                found = await self.resolve(host, port)
            except (OSError, ValueError) as error:  # the resolver's own codec for names raises UnicodeError
                raise Unavailable(f"{to.url}: {host} cannot be resolved: {error}") from error
            return check_addresses(found, to, named)

        async with dialing.exchange(to, addresses, trust, self.network) as response:
            headers = _joined(response.headers)
            body = b""
            if response.status not in _REDIRECTS:
                coding = headers.get("content-encoding", "identity").strip().lower()
                body = await _bounded(response.aiter_stream(), coding, to.url, budget.octets)
            return Answer(url=to.url, status=response.status, headers=headers, body=body)


def _trust(roots: bytes | None) -> ssl.SSLContext:
    """What a server's certificate is verified with: the system's roots, where there are no others; raises Unavailable.

    Without ``cadata`` the standard library takes the system's, and empty roots are not what it means by none.
    """
    if roots is not None and not roots.strip():
        raise Unavailable("the roots cannot be read: there are none")
    try:
        return ssl.create_default_context(cadata=None if roots is None else roots.decode("ascii"))
    except (ssl.SSLError, ValueError) as error:
        raise Unavailable(f"the roots cannot be read: {error}") from error


def _joined(fields: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """The fields by their names; what came twice is not half forgotten: ``no-store`` may be in the first."""
    headers: dict[str, str] = {}
    for octets, value in fields:
        name, text = octets.decode("latin-1").lower(), value.decode("latin-1")
        headers[name] = f"{headers[name]}, {text}" if name in headers else text
    return headers


async def _bounded(chunks: AsyncIterable[bytes], coding: str, url: str, most: int) -> bytes:
    """The body, decoded; raises Unavailable as soon as it is longer than ``most``, however small it came."""
    if coding not in ("identity", "gzip", "x-gzip"):
        raise Unavailable(f"{url}: is encoded with {coding[:40]!r}, which was not asked for")
    decoder = None if coding == "identity" else zlib.decompressobj(_GZIP)
    body, received = bytearray(), 0
    try:
        async for chunk in chunks:
            received += len(chunk)
            # One octet too many is enough to know; a bomb is never unpacked (threat: 1 MiB that becomes 1 GiB).
            body += chunk if decoder is None else decoder.decompress(chunk, most + 1 - len(body))
            if max(received, len(body)) > most:
                raise Unavailable(f"{url}: is longer than {most} octets")
    except zlib.error as error:
        raise Unavailable(f"{url}: is not gzip") from error
    if decoder is not None and not decoder.eof:
        raise Unavailable(f"{url}: its gzip ends too soon")
    return bytes(body)
