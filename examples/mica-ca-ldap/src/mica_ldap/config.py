"""``[[provisioners]]`` with ``type = "ldap"``: a directory, and which of its groups may have which names."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mica import MalformedRequest, names, principals

_ATTRIBUTE = re.compile(r"[A-Za-z][A-Za-z0-9-]*")  # RFC 4512 §2.5
_MATCHED = re.compile(rf"{_ATTRIBUTE.pattern}(:[0-9.]+:)?")  # RFC 4515 §3: with a matching rule


def _setting(help: str, **more: Any) -> Any:
    return field(metadata={"help": help, **more.pop("metadata", {})}, **more)


@dataclass(frozen=True, slots=True, kw_only=True)
class MapRule:
    """``[[provisioners.map]]``: the members of a group may have these names."""

    group: str = _setting("The group's DN")
    principals: tuple[str, ...] = _setting("SSH principals", default=())
    dns: tuple[str, ...] = _setting("DNS names", default=())
    emails: tuple[str, ...] = _setting("E-mail addresses", default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class LDAPConfig:
    """The table."""

    name: str = _setting("The provisioner's name")
    url: str = _setting("ldaps://host[:port]; or ldap://host[:port], where StartTLS comes before all else")
    roots: Path | None = _setting("PEM file of the roots that the directory is verified with", default=None)
    key: Path = _setting("PEM file of the private key, EC P-256, that passwords are sealed to")
    bind_dn: str = _setting("The account that finds users and groups")
    bind_password_file: Path = _setting("File with its password")
    base: str = _setting("The DN below which users are")
    filter: str = _setting("Who may log in: an LDAP filter", default="(objectClass=person)")
    user_attribute: str = _setting("The attribute with the user name, an SSH principal", default="uid")
    email_attribute: str = _setting("The attribute with e-mail addresses; empty: none are given", default="mail")
    member_attribute: str = _setting("A group's attribute with its members' DNs", default="member")
    ask_at_renewal: bool = _setting("Renew only for users who may log in, and have the names, still", default=True)
    max_failures: int = _setting("So many logins of a user may fail within the failure window", default=5)
    failure_window: timedelta = _setting("How long a failed login counts", default=timedelta(minutes=15))
    map: tuple[MapRule, ...] = _setting("What groups give which names", default=(), metadata={"flag": None})


def faults(config: LDAPConfig) -> list[str]:
    """Every mistake in the table, each by its field."""
    return [*_place_faults(config), *_word_faults(config)] + [
        f"map[{index}].{fault}" for index, rule in enumerate(config.map) for fault in _rule_faults(rule)
    ]


def _place_faults(config: LDAPConfig) -> Iterator[str]:
    url = urlsplit(config.url)
    try:
        sound = url.scheme in ("ldaps", "ldap") and bool(url.hostname) and url.port != 0
    except ValueError:
        sound = False
    if not sound or url.path.strip("/") or url.query or url.username is not None:
        yield "url: must be ldaps://host[:port], or ldap://host[:port] for StartTLS"
    for member in ("name", "bind_dn", "base"):  # an empty DN binds anonymously, and finds nobody (RFC 4513 §5.1.1)
        if not getattr(config, member):
            yield f"{member}: must not be empty"


def _word_faults(config: LDAPConfig) -> Iterator[str]:
    if not (config.filter.startswith("(") and config.filter.endswith(")")):
        yield "filter: must be a filter in parentheses, such as (objectClass=person)"
    if not _ATTRIBUTE.fullmatch(config.user_attribute):
        yield "user_attribute: must be the name of an attribute"
    if config.email_attribute and not _ATTRIBUTE.fullmatch(config.email_attribute):
        yield "email_attribute: must be the name of an attribute, or empty"
    if not _MATCHED.fullmatch(config.member_attribute):
        yield "member_attribute: must be the name of an attribute, perhaps with :a matching rule:"
    if config.max_failures < 1:
        yield "max_failures: must be at least 1"
    if config.failure_window < timedelta(seconds=1):
        yield "failure_window: must be at least 1s"


def _rule_faults(rule: MapRule) -> Iterator[str]:
    if not rule.group:
        yield "group: must not be empty"
    if not (rule.principals or rule.dns or rule.emails):
        yield "principals: the rule gives no name; it needs principals, dns or emails"
    if rule.principals:
        yield from (f"principals: {fault}" for fault in principals.faults(rule.principals))
    yield from _unparsable("dns", rule.dns, names.dns)
    yield from _unparsable("emails", rule.emails, names.email)


def _unparsable(member: str, texts: Iterable[str], parse: Callable[[str], object]) -> Iterator[str]:
    for text in texts:
        try:
            parse(text)
        except MalformedRequest as error:
            yield f"{member}: {error}"
