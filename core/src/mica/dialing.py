"""One HTTP exchange over one connection of its own, to an address that was judged before it was dialled.

The only module that knows httpcore. It keeps no cookies, asks no proxy, follows nothing and decodes nothing: what a
client library would do in silence is done, or left undone, in ``mica.egress``.
"""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import httpcore

from mica.egressrules import Destination
from mica.errors import Unavailable

#: From the host and the port of a destination to the addresses that may be connected to.
Addresses = Callable[[str, int], Awaitable[tuple[str, ...]]]
#: How many seconds an address may keep the next one waiting (RFC 8305 §5 waits less; nothing is dialled twice here).
PATIENCE = 1.0
_HEADERS = (("Accept", "application/json"), ("Accept-Encoding", "gzip, identity"), ("User-Agent", "mica"))


class PinnedBackend(httpcore.AsyncNetworkBackend):
    """Resolves a name once, has every address judged, and connects to those: there is no second look-up."""

    def __init__(self, addresses: Addresses, inner: httpcore.AsyncNetworkBackend | None = None) -> None:
        self._addresses = addresses
        self._inner = inner or httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A connection to the first of the host's addresses that answers; raises Unavailable, ConnectError.

        One that says nothing, as an IPv6 address where no IPv6 is routed, does not use up the time of the others.
        """
        last: Exception = httpcore.ConnectError(f"{host} has no address")
        addresses = await self._addresses(host, port)
        for address in addresses:
            wait = timeout if address == addresses[-1] else PATIENCE
            try:
                return await self._inner.connect_tcp(address, port, wait, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                last = error
        raise last

    async def sleep(self, seconds: float) -> None:
        """That much later."""
        await self._inner.sleep(seconds)


@asynccontextmanager
async def exchange(
    to: Destination, addresses: Addresses, trust: ssl.SSLContext | None, inner: Any = None
) -> AsyncIterator[httpcore.Response]:
    """The response to a GET, its body not read yet; raises Unavailable. The connection ends with the block."""
    url = httpcore.URL(scheme=to.scheme.encode(), host=to.host.encode(), port=to.port, target=to.target.encode())
    headers = [("Host", to.authority), *_HEADERS]
    try:
        async with (
            httpcore.AsyncConnectionPool(ssl_context=trust, network_backend=PinnedBackend(addresses, inner)) as pool,
            pool.stream("GET", url, headers=headers) as response,
        ):
            yield response
    except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, ssl.SSLError) as error:
        raise Unavailable(f"{to.url}: {error or type(error).__name__}") from error
