"""An OpenID provider as it describes itself (OpenID Connect Discovery 1.0 §4), and how it knows this program."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from mica.client.errors import Unreachable
from mica.client.oauth.web import Web, check_url

_WELL_KNOWN = "/.well-known/openid-configuration"
_TENANT = "{tenantid}"  # as Entra's issuer for several tenants has it


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """What the provider knows of this program. The secret of a native application is none (RFC 8252 §8.5)."""

    client_id: str
    client_secret: str = field(default="", repr=False)
    scopes: tuple[str, ...] = ("openid", "email")
    parameters: tuple[tuple[str, str], ...] = ()
    """Further ones of the request in the browser, such as ``prompt``."""

    @property
    def credentials(self) -> dict[str, str]:
        """What a request that is no browser's says of the program (RFC 6749 §2.3.1)."""
        secret = {"client_secret": self.client_secret} if self.client_secret else {}
        return {"client_id": self.client_id, **secret}


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """Where a provider takes which request."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    device_endpoint: str = ""
    """Empty when it has none (RFC 8628 §4)."""
    names_itself: bool = False
    """Its answers in the browser always say whose they are (RFC 9207)."""
    identifies: bool = True
    """Whether it says who signed in: it speaks OpenID Connect, not OAuth alone."""
    scopes: tuple[str, ...] = ("openid", "email")
    """What it is asked for when nobody says otherwise."""


#: Providers that can be named in a word: where they describe themselves, or what they would say if they did.
NAMES: Mapping[str, str | Provider] = {
    "google": "https://accounts.google.com",
    "github": Provider(
        issuer="https://github.com/login/oauth",
        authorization_endpoint="https://github.com/login/oauth/authorize",
        token_endpoint="https://github.com/login/oauth/access_token",  # noqa: S106  # a URL
        device_endpoint="https://github.com/login/device/code",
        identifies=False,
        scopes=("user:email",),
    ),
}


def discover(endpoint: str, web: Web, *, tenant_id: str = "") -> Provider:
    """The provider whose issuer, or whose discovery document, ``endpoint`` is; raises Unreachable.

    ``tenant_id`` stands for ``{tenantid}`` in the issuer, by which one document serves many.
    """
    check_url(endpoint)
    url = endpoint if _WELL_KNOWN in urlsplit(endpoint).path else endpoint.rstrip("/") + _WELL_KNOWN
    said = web.read(url)
    issuer = _text(said, "issuer", url)
    shared = bool(tenant_id) and _TENANT in issuer
    if shared:
        issuer = issuer.replace(_TENANT, tenant_id)
    _check_issuer(issuer, url, shared=shared)
    return Provider(
        issuer=issuer,
        authorization_endpoint=check_url(_text(said, "authorization_endpoint", url)),
        token_endpoint=check_url(_text(said, "token_endpoint", url)),
        device_endpoint=check_url(_text(said, _DEVICE, url)) if said.get(_DEVICE) else "",
        names_itself=said.get("authorization_response_iss_parameter_supported") is True,
    )


_DEVICE = "device_authorization_endpoint"


def _check_issuer(issuer: str, url: str, *, shared: bool) -> None:
    """The document at ``url`` speaks for its own issuer (Discovery §4.3), else any server could speak for any."""
    expected = url.partition(_WELL_KNOWN)[0]
    same = issuer.rstrip("/") == expected.rstrip("/")
    if not same and not (shared and urlsplit(issuer).netloc == urlsplit(expected).netloc):
        raise Unreachable(f"{url} speaks for another issuer: {issuer!r}", hint="name that one, if it is the right one")


def _text(said: Mapping[str, Any], member: str, url: str) -> str:
    value = said.get(member)
    if not isinstance(value, str) or not value:
        raise Unreachable(f"{url} does not say its {member}, as an OpenID provider does")
    return value
