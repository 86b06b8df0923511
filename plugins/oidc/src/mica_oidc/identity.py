"""Who the bearer of a verified ID token is, and whether they are let in (OpenID Connect Core §2, §5.1)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mica import MalformedRequest, Unauthorized, UnverifiedToken, names
from mica_oidc.config import OIDCConfig
from mica_oidc.mapping import Mapped, apply

_MAX_SUBJECT = 255  # OpenID Connect Core §2: "MUST NOT exceed 255 ASCII characters in length"
_MAX_NONCE = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Somebody whom the provider vouches for."""

    issuer: str
    subject: str
    email: str
    """In canonical form; empty when the token has none."""
    is_admin: bool
    mapped: Mapped


def identify(token: UnverifiedToken, config: OIDCConfig) -> Identity:
    """The identity in a token whose signature, issuer, audience and times are good; raises Unauthorized."""
    subject = token.subject
    if not subject or not subject.isprintable() or len(subject) > _MAX_SUBJECT:
        raise Unauthorized(f"token's sub must be printable text of at most {_MAX_SUBJECT} characters")
    email, groups = _email(token.payload, config), token.strings("groups")
    is_admin = _is_admin(email, groups, config)
    if config.groups and set(config.groups).isdisjoint(groups):
        raise _shut_out("token's groups have none of those that are let in")
    mapped = apply(config.map, token.payload)
    if not is_admin:
        _require_domain(email, config)
        if config.map and not email and not mapped:
            # A provider that gives everybody in the world a token, as those of CI services do, vouches for nobody.
            raise Unauthorized("token has no email, and no rule of map gives it a name")
    return Identity(issuer=token.issuer, subject=subject, email=email, is_admin=is_admin, mapped=mapped)


def spend_id(token: UnverifiedToken) -> str:
    """Under what the token is remembered: its nonce, one for each login; without one, its digest."""
    nonce = token.payload.get("nonce")
    if nonce is None or nonce == "":
        return token.digest
    if not isinstance(nonce, str) or not nonce.isprintable() or len(nonce) > _MAX_NONCE:
        raise Unauthorized(f"token's nonce must be printable text of at most {_MAX_NONCE} characters")
    return nonce


def _email(claims: Mapping[str, Any], config: OIDCConfig) -> str:
    """The address, canonical; raises Unauthorized when it is none, or the provider does not stand by it."""
    email, verified = claims.get("email"), claims.get("email_verified")
    if email is None or email == "":
        return ""
    # Some providers write the boolean as a string; 1 is none of the two.
    if not (verified is None or verified is True or verified == "true"):
        raise _shut_out("token's email is not verified")
    if verified is None and config.require_email_verified:
        raise Unauthorized("token does not say that its email is verified, which require_email_verified demands")
    if not isinstance(email, str):
        raise Unauthorized("token's email is not text")
    try:
        return names.email(email).value
    except MalformedRequest as error:
        raise Unauthorized(f"token's email cannot be certified: {error}") from error


def _is_admin(email: str, groups: tuple[str, ...], config: OIDCConfig) -> bool:
    """Whether the address or a group is among the admins; of an address, the domain is compared without case."""
    return (bool(email) and email in map(_canonical, config.admins)) or not set(config.admins).isdisjoint(groups)


def _canonical(admin: str) -> str:
    try:
        return names.email(admin).value if "@" in admin else ""
    except MalformedRequest:
        return ""  # the name of a group


def _require_domain(email: str, config: OIDCConfig) -> None:
    """The address is in a domain that is let in. Who could leave it out would be let in otherwise."""
    allowed = {names.dns(domain).value for domain in config.domains}
    if allowed and email.rpartition("@")[2] not in allowed:
        raise _shut_out("token's email is not in a domain that is let in")


def _shut_out(reason: str) -> Unauthorized:
    """What somebody learns who has shown who they are: they may have signed in with another account than they meant."""
    return Unauthorized(reason, public=reason)
