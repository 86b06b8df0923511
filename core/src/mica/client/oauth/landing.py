"""Where the browser comes back to: the redirect URI that the provider is told, and the address that is listened at."""

from dataclasses import dataclass
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from mica.client.errors import Unreachable
from mica.client.oauth.refusals import NotSignedIn
from mica.client.oauth.web import check_url

_HTTP_PORT = 80


class Address(NamedTuple):
    """Where to listen: a loopback address, and the name of it that stands in the redirect URI."""

    ip: str
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Address":
        """``host:port`` or ``:port``, ``localhost`` or a loopback address; empty is any port of 127.0.0.1.

        Raises NotSignedIn for every other: the code is for this machine alone.
        """
        try:
            parts = urlsplit(f"//{text or '127.0.0.1:0'}")
            host, port = parts.hostname or "127.0.0.1", parts.port
            ip = ip_address("127.0.0.1" if host == "localhost" else host)
        except ValueError:
            ip, port = ip_address("0.0.0.0"), None  # noqa: S104  # refused below
        if port is None or not ip.is_loopback or parts.username is not None or {"/", "?", "#"}.intersection(text):
            raise NotSignedIn(
                f"{text!r} is no address to await a browser at", hint="such as 127.0.0.1:10000, with --listen"
            )
        return cls(str(ip), f"[{host}]" if ":" in host else host, port)


@dataclass(frozen=True, slots=True, kw_only=True)
class Landing:
    """The end of the browser's way."""

    address: Address
    url: str = ""
    """What the provider is told when that is not the address; a port that it does not name is the address's."""

    @classmethod
    def parse(cls, listen: str, url: str = "") -> "Landing":
        """At ``listen``; ``url`` is how the provider knows it, where it wants a path, or something stands before it.

        Without ``listen``, it is listened where ``url`` leads. An ``http`` URL leads to this machine (RFC 8252 §8.3);
        another machine's begins with ``https``, and passes on to ``listen``. Raises NotSignedIn.
        """
        if not url:
            return cls(address=Address.parse(listen))
        parts = _checked(url)
        if listen:
            return cls(address=Address.parse(listen), url=url)
        if parts.scheme == "https":
            raise NotSignedIn(
                f"{url} is served by another program than this one",
                hint="say with --listen where that one passes requests on to",
            )
        return cls(address=Address.parse(f"{_host(parts)}:{parts.port or 0}"), url=url)

    def redirect_uri(self, port: int) -> str:
        """What the provider is told, while ``port`` is listened at."""
        if not self.url:
            return f"http://{self.address.host}:{port}"
        parts = urlsplit(self.url)
        if parts.scheme == "http" and parts.port is None and port != _HTTP_PORT:  # RFC 8252 §7.3: any port
            return f"http://{_host(parts)}:{port}{parts.path}"
        return self.url

    def hosts(self, port: int) -> frozenset[str]:
        """What a browser, or what stands before this, may call the address."""
        names = {self.address.host, "127.0.0.1", "localhost", "[::1]"}
        bare = names if port == _HTTP_PORT else set()
        told = {urlsplit(self.redirect_uri(port)).netloc.lower()}
        return frozenset({f"{name}:{port}" for name in names} | bare | told)

    @property
    def path(self) -> str:
        """What the browser asks for."""
        return urlsplit(self.url).path or "/"


def _checked(url: str) -> SplitResult:
    try:
        parts = urlsplit(check_url(url, schemes=("https", "http")))
        local = parts.scheme == "https" or parts.hostname == "localhost" or ip_address(str(parts.hostname)).is_loopback
    except (Unreachable, ValueError):
        local = False
    if not local or "?" in url:
        raise NotSignedIn(
            f"{url!r} is no URL at which this machine awaits a browser",
            hint="such as http://localhost:10000/callback, with --listen-url; others begin with https://",
        )
    return parts


def _host(parts: SplitResult) -> str:
    """The host as a URL has it."""
    return parts.netloc.rpartition(":")[0] if parts.port is not None else parts.netloc.removesuffix(":")
