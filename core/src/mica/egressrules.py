"""Where the server may go: which URLs, and at which addresses (RFC 6890, RFC 9110 §4.2).

The operator's own URL leads to any address: an identity provider may well be on the local network. What that URL leads
on to, by a redirect or in a document, was named by somebody else. It leads to the operator's own host or to a public
address, and nowhere else: not to the cloud's metadata, not to the neighbour's database.
"""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from mica.errors import Unavailable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

MAX_URL = 2048
#: IPv6 that carries an IPv4 address inside: mapped (RFC 4291 §2.5.5), Teredo (RFC 4380), 6to4 (RFC 3056).
_CARRIERS = tuple(map(ipaddress.IPv6Network, ("::ffff:0:0/96", "::/96", "2001::/32", "2002::/16")))
#: What some version of ``ipaddress`` takes for public, and is not everybody's: protocol assignments,
#: a cloud's metadata among them (RFC 6890 §2.2.2), the anycast of 6to4 (RFC 7526), the host below an Azure machine,
#: local NAT64 (RFC 8215), documentation (RFC 9637).
_NOT_EVERYBODYS = tuple(
    map(
        ipaddress.ip_network,
        ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32", "64:ff9b:1::/48", "3fff::/20"),
    )
)
#: What an IPv6-only network reaches IPv4 by (RFC 6052 §2.1): as good as the address in its last 32 bits.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
#: RFC 1034 §3.5, and the underscore that people use. What is longer makes a resolver fail, and not by an OSError.
_HOST = re.compile(
    r"(?=.{1,254}$)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """A URL taken apart once, so that what was judged is what is connected to."""

    url: str
    scheme: str
    host: str
    """In lower case, an IPv6 address without brackets."""
    port: int
    target: str
    """Path and query, as the request line has them."""

    @property
    def authority(self) -> str:
        """Host and port, as the Host field has them (RFC 9110 §7.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


_PORTS = {"https": 443, "http": 80}


def destination(url: str) -> Destination:
    """Where ``url`` leads; raises Unavailable when it is no absolute http or https URL in ASCII, or has a user.

    A host outside ASCII is written with A-labels (RFC 5890 §2.3.2.1): who reads it otherwise would go elsewhere.
    """
    if len(url) > MAX_URL or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise Unavailable(f"{url[:200]!r} is not a URL")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise Unavailable(f"{url[:200]!r} is not a URL: {error}") from error
    if parts.scheme not in _PORTS or not host:
        raise Unavailable(f"{url!r}: must begin with https:// and name a host")
    if parts.username is not None or parts.password is not None:
        raise Unavailable(f"{parts.scheme}://…@{host}: a URL must not hold a user or a password")
    if port == 0 or not _is_host(host):
        raise Unavailable(f"{url!r}: names no host and port that one can connect to")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    port = port or _PORTS[parts.scheme]
    return Destination(url=url, scheme=parts.scheme, host=host.lower(), port=port, target=target)


def _is_host(host: str) -> bool:
    """Whether it is an address without a zone, or can be a name."""
    try:
        return "%" not in host and ipaddress.ip_address(host) is not None
    except ValueError:
        return ":" not in host and _HOST.fullmatch(host) is not None


def check_scheme(to: Destination, named: Destination) -> None:
    """The connection is encrypted, or never leaves the machine because the operator wants it so; raises Unavailable."""
    if to.scheme == "https" or (named.scheme == "http" and is_named(to, named)):
        return
    raise Unavailable(f"{to.url}: must begin with https://")


def is_named(to: Destination, named: Destination) -> bool:
    """Whether ``to`` is on the very host that the operator named."""
    return to.host == named.host


def check_addresses(addresses: Iterable[str], to: Destination, named: Destination) -> tuple[str, ...]:
    """The addresses of ``to``'s host, each of which may be connected to; raises Unavailable when any may not."""
    found = tuple(dict.fromkeys(addresses))
    if not found:
        raise Unavailable(f"{to.host}: has no address")
    for text in found:
        address = ipaddress.ip_address(text.partition("%")[0])
        if to.scheme == "http" and not address.is_loopback:
            raise Unavailable(f"{to.url}: must begin with https://: {to.host} is not this machine")
        if not is_named(to, named) and not is_public(address):
            raise Unavailable(
                f"{to.url}: leads to {address}, which is not a public address; the operator did not name it"
            )
    return found


def is_public(address: Address) -> bool:
    """Whether anybody on the Internet can be there, and nobody else."""
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64:
            return is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        if any(address in carrier for carrier in _CARRIERS) or address.is_site_local:
            return False
    if any(address in network for network in _NOT_EVERYBODYS):
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)
