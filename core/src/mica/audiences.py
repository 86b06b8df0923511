"""Which operation a token is meant for: its ``aud``, compared with the URLs of this authority."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

from mica.errors import Unauthorized
from mica.grants import Operation
from mica.tokens import UnverifiedToken

#: The path of each operation that a token can order, below the root or below ``/1.0``.
PATHS = {
    "/sign": Operation.X509_SIGN,
    "/renew": Operation.X509_RENEW,
    "/revoke": Operation.X509_REVOKE,
    "/ssh/sign": Operation.SSH_SIGN,
    "/ssh/renew": Operation.SSH_RENEW,
    "/ssh/rekey": Operation.SSH_REKEY,
    "/ssh/revoke": Operation.SSH_REVOKE,
}

_MAX_LENGTH = 1024


@dataclass(frozen=True, slots=True)
class Audiences:
    """The URLs that mean this authority."""

    hosts: frozenset[str]
    """DNS names and addresses in lower case; IPv6 without brackets."""
    ports: frozenset[int | None]
    """Ports that mean this authority; None stands for a URL that names no port."""

    @classmethod
    def of(cls, url: str, address: str, dns_names: Iterable[str]) -> "Audiences":
        """The audiences of the authority reached at ``url``, listening at ``address``, with these names."""
        ports = {None, urlsplit(url).port or 443, urlsplit(f"//{address}").port}
        hosts = {urlsplit(url).hostname or "", *(name.strip("[]").lower() for name in dns_names)}
        return cls(frozenset(hosts), frozenset(ports))

    def operation(self, token: UnverifiedToken, *, fragment: str = "") -> Operation:
        """The one operation that the token's audience selects; raises Unauthorized when it selects none or several.

        An audience is ``https://<host>[:port]/<path>`` or ``…/1.0/<path>``; ``fragment`` is what must follow its
        ``#``: provisioners other than JWK have one there, ``x5c/NAME``.
        """
        operations = {
            operation for audience in token.audiences if (operation := _operation(self, audience, fragment)) is not None
        }
        if len(operations) != 1:
            raise Unauthorized(
                f"audience {list(token.audiences)} selects {len(operations)} operations of this authority"
            )
        return operations.pop()


# Clients send the same few audiences for ever; to take one apart is slower than all the rest of the comparison.
@lru_cache(maxsize=256)
def _operation(ours: Audiences, audience: str, fragment: str) -> Operation | None:
    if len(audience) > _MAX_LENGTH:
        return None
    try:
        parts = urlsplit(audience)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    # urlsplit drops blanks, tabs and newlines: the text must be nothing but these parts.
    if parts.geturl() != audience:
        return None
    if parts.scheme != "https" or parts.query or parts.username is not None or parts.password is not None:
        return None
    if host not in ours.hosts or port not in ours.ports or parts.fragment != fragment:
        return None
    return PATHS.get(parts.path.removeprefix("/1.0"))
