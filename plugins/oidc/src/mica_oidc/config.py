"""``[[provisioners]]`` with ``type = "oidc"``: a provider, and which of its users may do what."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mica import MalformedRequest, names
from mica_oidc.mapping import MapRule, rule_faults

WELL_KNOWN = "/.well-known/openid-configuration"


def _setting(default: Any, help: str, json: str, **more: Any) -> Any:
    return field(default=default, metadata={"help": help, "json": json, **more})


@dataclass(frozen=True, slots=True, kw_only=True)
class OIDCConfig:
    """The table. What has a ``json`` name of step's is public in ``GET /provisioners``, the client secret included."""

    name: str
    client_id: str = field(metadata={"help": "The client id that ID tokens are made for (aud)", "json": "clientID"})
    client_secret: str = _setting("", "The client secret of a public client: anybody can read it", "clientSecret")
    configuration_endpoint: str = field(
        metadata={"help": "The issuer's URL, or that of its discovery document", "json": "configurationEndpoint"}
    )
    tenant_id: str = _setting("", "What replaces {tenantid} in the issuer (Entra ID)", "tenantID")
    admins: tuple[str, ...] = _setting((), "An e-mail address or group of administrators", "admins", flag="admin")
    domains: tuple[str, ...] = _setting((), "A domain whose e-mail addresses are let in", "domains", flag="domain")
    groups: tuple[str, ...] = _setting((), "A group whose members are let in", "groups", flag="group")
    listen_address: str = _setting("", "Where the client's login listens, host:port", "listenAddress")
    scopes: tuple[str, ...] = _setting((), "A scope that the client asks for", "scopes", flag="scope")
    auth_params: tuple[str, ...] = _setting(
        (), "A parameter of the client's authorization request, name=value", "authParams", flag="auth-param"
    )
    require_email_verified: bool = _setting(
        False, "Refuse an e-mail address that the provider does not call verified", "requireEmailVerified"
    )
    issuer: str = _setting("", "The tokens' issuer, where it is not the configuration endpoint", "issuer")
    jwks_uri: str = _setting("", "The keys' URL, where it is not the one of the discovery document", "jwksURI")
    roots: Path | None = _setting(
        None, "PEM file of the roots that the provider is verified with", "oidcRoots", flag="oidc-root"
    )
    map: tuple[MapRule, ...] = _setting((), "What claims give which names", "map", flag=None)

    @property
    def discovery_url(self) -> str:
        """The URL of the discovery document (OpenID Connect Discovery §4)."""
        if WELL_KNOWN in urlsplit(self.configuration_endpoint).path:
            return self.configuration_endpoint
        return self.configuration_endpoint.rstrip("/") + WELL_KNOWN

    def describe(self) -> Mapping[str, Any]:
        """The members that step's clients read; those that are opt are left out when empty."""
        always = {
            "clientID": self.client_id,
            "clientSecret": self.client_secret,
            "configurationEndpoint": self.configuration_endpoint,
        }
        optional = {
            "tenantID": self.tenant_id,
            "admins": list(self.admins),
            "domains": list(self.domains),
            "groups": list(self.groups),
            "listenAddress": self.listen_address,
            "scopes": list(self.scopes),
            "authParams": list(self.auth_params),
        }
        return always | {name: value for name, value in optional.items() if value}


def faults(config: OIDCConfig) -> list[str]:
    """Every mistake in the table, each by its field."""
    return [*_texts(config), *_urls(config), *_people(config), *_rules(config)]


def _texts(config: OIDCConfig) -> Iterator[str]:
    for name in ("name", "client_id", "configuration_endpoint"):
        if not getattr(config, name) or not getattr(config, name).isprintable():
            yield f"{name}: must be printable text"


def _urls(config: OIDCConfig) -> Iterator[str]:
    for name in ("configuration_endpoint", "issuer", "jwks_uri"):
        url = getattr(config, name)
        try:
            parts = urlsplit(url)
            is_sound = bool(parts.hostname) and parts.scheme in ("https", "http") and parts.username is None
        except ValueError:
            is_sound = False
        if url and not is_sound:
            yield f"{name}: must be a URL that begins with https://"


def _people(config: OIDCConfig) -> Iterator[str]:
    for index, domain in enumerate(config.domains):
        try:
            if names.dns(domain).value.startswith("*"):
                yield f"domains[{index}]: must be one domain, without *"
        except MalformedRequest as error:
            yield f"domains[{index}]: {error}"
    for name in ("admins", "groups"):
        if not all(value and value.isprintable() for value in getattr(config, name)):
            yield f"{name}: must be printable texts, none of them empty"


def _rules(config: OIDCConfig) -> Iterator[str]:
    for index, rule in enumerate(config.map):
        yield from (f"map[{index}].{fault}" for fault in rule_faults(rule))
