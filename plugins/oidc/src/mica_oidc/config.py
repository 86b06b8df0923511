"""``[[provisioners]]`` with ``type = "oidc"``: a provider, and which of its users may do what."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from mica import MalformedRequest, names
from mica_oidc.mapping import MapRule, rule_faults

WELL_KNOWN = "/.well-known/openid-configuration"
_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*")  # a GUID, or a domain: one part of the issuer's path
_LISTEN = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]*):[0-9]{1,5}")
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")  # RFC 6749 §3.3


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
        parts = urlsplit(self.configuration_endpoint)
        if WELL_KNOWN in parts.path:
            return self.configuration_endpoint
        return urlunsplit(parts._replace(path=parts.path.rstrip("/") + WELL_KNOWN, fragment=""))

    @property
    def expected_issuer(self) -> str:
        """Whose tokens these are, as far as the configuration says: what is looked for at ``discovery_url``."""
        return self.issuer or self.discovery_url.partition(WELL_KNOWN)[0]

    def may_be_issuer(self, issuer: str) -> bool:
        """Whether ``issuer`` can be that of the provider, before it has said so itself; a last slash does not matter.

        With a tenant, the issuer is another one than that of the document, on the same host.
        """
        if issuer.rstrip("/") == self.expected_issuer.rstrip("/"):
            return True
        try:
            return bool(self.tenant_id) and urlsplit(issuer).netloc == urlsplit(self.discovery_url).netloc
        except ValueError:
            return False

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
    return [*_texts(config), *_urls(config), *_sign_in(config), *_people(config), *_rules(config)]


def _texts(config: OIDCConfig) -> Iterator[str]:
    for name in ("name", "client_id", "configuration_endpoint"):
        if not getattr(config, name) or not getattr(config, name).isprintable():
            yield f"{name}: must be printable text"


def _urls(config: OIDCConfig) -> Iterator[str]:
    for name in ("configuration_endpoint", "issuer", "jwks_uri"):
        url = getattr(config, name)
        if url and not url.isascii():
            yield f"{name}: must be ASCII: a host outside it is written with A-labels, as xn--bcher-kva.example"
        elif url and not _is_url(url):
            yield f"{name}: must be a URL that begins with https://"
    if config.tenant_id and not _TENANT.fullmatch(config.tenant_id):
        yield "tenant_id: must be a GUID or a domain"


def _is_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("https", "http") and bool(parts.hostname) and parts.username is None and parts.port != 0
    except ValueError:
        return False


def _sign_in(config: OIDCConfig) -> Iterator[str]:
    """What no client could sign in with: it would be told to everybody else first."""
    if config.listen_address and not _is_listen_address(config.listen_address):
        yield "listen_address: must be host:port, or :port"
    for index, scope in enumerate(config.scopes):
        if not _SCOPE.fullmatch(scope):
            yield f"scopes[{index}]: must be one scope, without spaces"
    for index, parameter in enumerate(config.auth_params):
        if not parameter.partition("=")[0] or "=" not in parameter or not parameter.isprintable():
            yield f"auth_params[{index}]: must be name=value"


def _is_listen_address(text: str) -> bool:
    return _LISTEN.fullmatch(text) is not None and int(text.rpartition(":")[2]) < 2**16


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
