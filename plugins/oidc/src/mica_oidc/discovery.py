"""What a provider says of itself: its issuer, and where its keys are (OpenID Connect Discovery §4)."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from mica import Egress, Unavailable
from mica_oidc.config import OIDCConfig

TENANT = "{tenantid}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """An OpenID provider, as far as tokens are concerned."""

    issuer: str
    jwks_uri: str
    named: str
    """The operator's URL that led to ``jwks_uri``: that URL itself, or the one of the discovery document."""


async def discover(config: OIDCConfig, http: Egress, roots: bytes | None) -> Provider:
    """The provider that the configuration names; raises Unavailable.

    Where the operator says both issuer and keys, nobody is asked. Else the discovery document is, and its issuer must
    be the one that it was looked for at (Discovery §4.3), or the one that the operator says.
    """
    if config.issuer and config.jwks_uri:
        return Provider(issuer=config.issuer, jwks_uri=config.jwks_uri, named=config.jwks_uri)
    url = config.discovery_url
    document = (await http.get(url, roots=roots)).json()
    if not isinstance(document, dict):
        raise Unavailable(f"{url}: is no JSON object")
    issuer = _issuer(config, _text(document, "issuer", url))
    if config.jwks_uri:
        return Provider(issuer=issuer, jwks_uri=config.jwks_uri, named=config.jwks_uri)
    return Provider(issuer=issuer, jwks_uri=_text(document, "jwks_uri", url), named=url)


def _text(document: dict[str, Any], member: str, url: str) -> str:
    value = document.get(member)
    if not isinstance(value, str) or not value or not value.isprintable():
        raise Unavailable(f"{url}: has no {member}")
    return value


def _issuer(config: OIDCConfig, found: str) -> str:
    """The issuer of the tokens; raises Unavailable when the document speaks for another one."""
    url, expected = config.discovery_url, config.expected_issuer
    if TENANT in found:
        # Entra ID: one document for all tenants, whose issuer is a pattern. Which tenant, only the operator can say.
        if not config.tenant_id:
            raise Unavailable(f"{url}: its issuer has {TENANT}; set tenant_id to the tenant whose users are let in")
        issuer = found.replace(TENANT, config.tenant_id)
        is_expected = issuer == config.issuer or urlsplit(issuer).netloc == urlsplit(url).netloc
    else:
        issuer, is_expected = found, found.rstrip("/") == expected.rstrip("/")
    if not is_expected:
        raise Unavailable(
            f"{url}: speaks for the issuer {found!r}, not for {expected!r}; if that is right, set issuer = {found!r}"
        )
    return issuer
