"""From claims to names, by rules and never by templates: a rule gives names of its own, or copies a claim's value.

A value that is copied stands for one plain name. What could be read as more than that (a list, a pattern, a path that
leads elsewhere, another host) refuses the whole token: it is somebody's attempt, or a mistake in the rule.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

from cryptography import x509

from mica import CertType, MalformedRequest, Unauthorized, names, principals

_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+-]*")
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_SEGMENTS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:@+~=-]*(?:/[A-Za-z0-9_][A-Za-z0-9_.:@+~=-]*)*")
_MOST_COPIED = 64  # of one claim's values: a certificate is no directory


def _names(kind: str) -> Any:
    return field(default=(), metadata={"help": f"{kind} that are given"})


def _text(help: str) -> Any:
    return field(default="", metadata={"help": help})


@dataclass(frozen=True, slots=True, kw_only=True)
class MapRule:
    """``[[provisioners.map]]``: when every claim in ``when`` has one of its values, these names are given."""

    when: Mapping[str, tuple[str, ...]] = field(
        default_factory=dict,
        metadata={"help": "The claims that the rule is for, each with its values, of which one will do"},
    )
    principals: tuple[str, ...] = _names("SSH principals")
    dns: tuple[str, ...] = _names("DNS names")
    emails: tuple[str, ...] = _names("E-mail addresses")
    uris: tuple[str, ...] = _names("URIs")
    claim: str = _text("The claim that is copied; each of its values when it is an array")
    to: Literal["", "principal", "dns", "email", "uri"] = _text("To what kind of name the claim is copied")
    prefix: str = _text("What stands before a copied principal or URI")
    suffix: str = _text("What stands behind a copied principal or DNS name")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapped:
    """What the rules give: SSH principals and SANs."""

    principals: tuple[str, ...] = ()
    names: tuple[x509.GeneralName, ...] = ()

    def __bool__(self) -> bool:
        """Whether they give anything."""
        return bool(self.principals or self.names)


def rule_faults(rule: MapRule) -> list[str]:
    """Every mistake in the rule, each by its field."""
    return [*_shape_faults(rule), *_given_faults(rule), *_affix_faults(rule)]


def _shape_faults(rule: MapRule) -> Iterator[str]:
    given = rule.principals or rule.dns or rule.emails or rule.uris
    if bool(rule.claim) != bool(rule.to):
        yield "claim: claim and to go together: which claim is copied, and to what kind of name"
    if not given and not rule.claim:
        yield "principals: the rule gives no name; it needs principals, dns, emails, uris, or claim and to"
    if not rule.when:
        yield 'when: is missing: everybody at the provider would get these names; when = { sub = ["…"] } says who'
    yield from (f"when.{claim}: must have at least one value" for claim, values in rule.when.items() if not values)


def _given_faults(rule: MapRule) -> Iterator[str]:
    if rule.principals:
        yield from (f"principals: {fault}" for fault in principals.faults(rule.principals))
    for name, texts, parse in (("dns", rule.dns, names.dns), ("emails", rule.emails, names.email)):
        yield from (f"{name}: {fault}" for fault in _unparsable(texts, parse))
    yield from (f"uris: {fault}" for fault in _unparsable(rule.uris, names.uri))


def _unparsable(texts: Iterable[str], parse: Any) -> Iterator[str]:
    for text in texts:
        try:
            parse(text)
        except MalformedRequest as error:
            yield str(error)


def _affix_faults(rule: MapRule) -> Iterator[str]:
    """What stands before or behind a value must not let the value decide more than its own part."""
    if rule.prefix and rule.to not in ("principal", "uri"):
        yield f"prefix: goes with to = principal or uri, not with {rule.to or 'none'}"
    if rule.suffix and rule.to not in ("principal", "dns"):
        yield f"suffix: goes with to = principal or dns, not with {rule.to or 'none'}"
    if rule.to == "dns" and rule.suffix and not _is_domain(rule.suffix):
        yield 'suffix: must begin with a dot and be a domain, as ".ci.example"'
    if rule.to == "uri" and not _is_closed(rule.prefix):
        yield 'prefix: must be a URI up to a whole part of its path, as "spiffe://harbour.example/ci/"'
    if rule.to == "principal" and (rule.prefix + rule.suffix) and not _PLAIN.fullmatch(f"{rule.prefix}x{rule.suffix}"):
        yield "prefix: prefix and suffix of a principal are letters, digits and _ . @ + - alone"


def _is_domain(suffix: str) -> bool:
    return suffix.startswith(".") and not list(_unparsable((f"x{suffix}",), names.dns))


def _is_closed(prefix: str) -> bool:
    """Whether the scheme and the host are at an end before the value begins."""
    try:
        parts = urlsplit(prefix)
        names.uri(f"{prefix}x")
    except (MalformedRequest, ValueError):
        return False
    return (
        prefix.endswith(("/", ":")) and bool(parts.scheme) and bool(parts.path) and "?" not in prefix + parts.fragment
    )


def apply(rules: Iterable[MapRule], claims: Mapping[str, Any]) -> Mapped:
    """What every rule that holds gives, in their order; raises Unauthorized when a value cannot be copied."""
    given: list[str] = []
    alternative: list[x509.GeneralName] = []
    for rule in filter(lambda rule: _holds(rule, claims), rules):
        given += rule.principals
        alternative += [*map(names.dns, rule.dns), *map(names.email, rule.emails), *map(names.uri, rule.uris)]
        for value in _values(claims, rule.claim) if rule.claim else ():
            if rule.to == "principal":
                given.append(_principal(rule, value))
            else:
                alternative.append(_name(rule, value))
    return Mapped(principals=tuple(dict.fromkeys(given)), names=tuple(alternative))


def _holds(rule: MapRule, claims: Mapping[str, Any]) -> bool:
    """Whether each claim has one of the values; a claim that is neither text nor an array of texts has none."""
    return all(not set(allowed).isdisjoint(_texts(claims.get(claim))) for claim, allowed in rule.when.items())


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [member for member in value if isinstance(member, str)] if isinstance(value, list | tuple) else []


def _values(claims: Mapping[str, Any], claim: str) -> list[str]:
    """The texts of the claim, none when it is absent; raises Unauthorized when it is something else."""
    value = claims.get(claim)
    if value is None:
        return []
    texts = _texts(value)
    if not isinstance(value, str) and (not isinstance(value, list | tuple) or len(texts) != len(value)):
        raise _uncopied(claim, "is neither text nor an array of texts")
    if len(texts) > _MOST_COPIED:
        raise _uncopied(claim, f"has more than {_MOST_COPIED} values")
    return texts


def _principal(rule: MapRule, value: str) -> str:
    principal = f"{rule.prefix}{value}{rule.suffix}"
    if not _PLAIN.fullmatch(value) or principals.faults((principal,)):
        raise _uncopied(rule.claim, f"is no plain name: {value[:80]!r}")
    return principals.canonical((principal,), CertType.USER)[0]


def _name(rule: MapRule, value: str) -> x509.GeneralName:
    """The value as a name of the rule's kind; raises Unauthorized when it is more than its part of one."""
    try:
        if rule.to == "email":
            return names.email(value)
        if rule.to == "uri":
            if not _SEGMENTS.fullmatch(value):
                raise MalformedRequest(f"{value[:80]!r} is not a path of plain words")
            return names.uri(rule.prefix + value)
        if rule.suffix and not _LABEL.fullmatch(value):
            raise MalformedRequest(f"{value[:80]!r} is not one label of a DNS name")
        name = names.dns(value + rule.suffix)
        if name.value.startswith("*"):
            raise MalformedRequest(f"{value[:80]!r} stands for more than one name")
        if name.value.rpartition(".")[
            2
        ].isdigit():  # RFC 1123 §2.1: what ends so is an address, and some take it for one
            raise MalformedRequest(f"{value[:80]!r} has the form of an address, not of a name")
    except MalformedRequest as error:
        raise _uncopied(rule.claim, str(error)) from error
    return name


def _uncopied(claim: str, reason: str) -> Unauthorized:
    return Unauthorized(f"the token's claim {claim[:80]!r} cannot become a name: it {reason}")
