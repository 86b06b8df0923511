"""Lists of rules, compiled: whichever length they have, a name is looked up in them a few times.

Each answers two questions, with the rule as it was written. ``covering``: which rule allows the name. ``touching``:
which rule denies it; that is a name too of which only a part is denied, and one that somebody might take for it.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from typing import Any, Protocol

from mica_policy.canonical import Address, address, folded

Network = IPv4Network | IPv6Network
ANY = "*"


class Rules(Protocol):
    """The rules of one list."""

    def covering(self, value: Any) -> str | None:
        """The rule that allows the canonical ``value``."""

    def touching(self, value: Any) -> str | None:
        """The rule that denies the canonical ``value``."""


@dataclass(frozen=True, slots=True)
class DomainRules:
    """DNS names, and ``*.d`` for every name that has exactly one label before ``d``."""

    names: Mapping[str, str]
    parents: Mapping[str, str]
    """By ``d``."""
    children: Mapping[str, str]
    """A rule for one name by what its first label stands before: what ``*.d`` in a certificate would be good for."""

    @classmethod
    def of(cls, parsed: Iterable[tuple[str, str]]) -> "DomainRules":
        """From canonical names, and how they were written."""
        listed = list(parsed)
        names = {name: rule for name, rule in listed if not name.startswith("*.")}
        return cls(
            names=names,
            parents={name[2:]: rule for name, rule in listed if name.startswith("*.")},
            children={name.partition(".")[2]: rule for name, rule in names.items()},
        )

    def covering(self, value: str) -> str | None:
        """The rule that is the name, or that is for every name beside it; for ``*.d``, the rule ``*.d``."""
        return self.names.get(value) or self.parents.get(value.partition(".")[2])

    def touching(self, value: str) -> str | None:
        """The same; and for ``*.d`` a rule for any of the names that it is good for."""
        return self.covering(value) or (self.children.get(value[2:]) if value.startswith("*.") else None)


@dataclass(frozen=True, slots=True)
class AddressRules:
    """Networks, and addresses as networks of one. Disjoint: what lies in another is left out."""

    starts: Mapping[int, list[int]]
    """The first addresses, ascending, by IP version."""
    ends: Mapping[int, list[tuple[int, str]]]
    """The last addresses, and the rules."""

    @classmethod
    def of(cls, parsed: Iterable[tuple[Network, str]]) -> "AddressRules":
        """From networks, and how they were written."""
        starts: dict[int, list[int]] = {4: [], 6: []}
        ends: dict[int, list[tuple[int, str]]] = {4: [], 6: []}
        for network, rule in sorted(parsed, key=_place_of):
            first, last, version = int(network.network_address), int(network.broadcast_address), network.version
            if not ends[version] or first > ends[version][-1][0]:
                starts[version].append(first)
                ends[version].append((last, rule))
        return cls(starts, ends)

    def covering(self, value: Address) -> str | None:
        """The rule in whose network the address lies."""
        number = int(value)
        index = bisect_right(self.starts[value.version], number) - 1
        if index < 0:
            return None
        last, rule = self.ends[value.version][index]
        return rule if number <= last else None

    def touching(self, value: Address) -> str | None:
        """The same."""
        return self.covering(value)


@dataclass(frozen=True, slots=True)
class EmailRules:
    """E-mail addresses, and ``@host`` for all of a host.

    RFC 5280 §7.5 tells local parts of upper and of lower case apart, most mail servers do not. So what is allowed is
    allowed as it is written, and what is denied is denied in every case.
    """

    rules: Mapping[str, str]
    lowered: Mapping[str, str]

    @classmethod
    def of(cls, parsed: Iterable[tuple[str, str]]) -> "EmailRules":
        """From canonical addresses and ``@host``, and how they were written."""
        rules = dict(parsed)
        return cls(rules, {address.lower(): rule for address, rule in rules.items()})

    def covering(self, value: str) -> str | None:
        """The rule that is the address, or its host's."""
        return self.rules.get(value) or self.rules.get("@" + value.rpartition("@")[2])

    def touching(self, value: str) -> str | None:
        """The rule that is the address in whatever case, or its host's."""
        return self.lowered.get(value.lower()) or self.rules.get("@" + value.rpartition("@")[2])


@dataclass(frozen=True, slots=True)
class TextRules:
    """Common names: whole, without differences of case and white space."""

    rules: Mapping[str, str]

    @classmethod
    def of(cls, parsed: Iterable[tuple[str, str]]) -> "TextRules":
        """From folded texts, and how they were written."""
        return cls(dict(parsed))

    def covering(self, value: str) -> str | None:
        """The rule that is the text."""
        return self.rules.get(folded(value))

    def touching(self, value: str) -> str | None:
        """The same."""
        return self.covering(value)


@dataclass(frozen=True, slots=True)
class PrincipalRules:
    """SSH principals; ``*`` is any. sshd tells upper from lower case, other systems do not.

    So what is allowed is allowed as it is written, and what is denied is denied in every case.
    """

    rules: Mapping[str, str]
    any: bool
    folded: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, parsed: Iterable[tuple[str, str]]) -> "PrincipalRules":
        """From principals, and how they were written."""
        rules = dict(parsed)
        return cls(rules, ANY in rules, {folded(name): rule for name, rule in rules.items()})

    def covering(self, value: str) -> str | None:
        """The rule that is the principal, letter by letter, or any."""
        return self.rules.get(value) or (ANY if self.any else None)

    def touching(self, value: str) -> str | None:
        """The rule that is the principal in whatever case, or any."""
        return self.folded.get(folded(value)) or (ANY if self.any else None)


def network_of(value: Network) -> Network:
    """The network of canonical addresses: an IPv4-mapped one is the IPv4 network that it stands for."""
    first = address(value.network_address)
    if value.version == 6 and first.version == 4 and value.prefixlen >= 96:
        return IPv4Network((int(first), value.prefixlen - 96))
    return value


def _place_of(pair: tuple[Network, str]) -> tuple[int, int, int]:
    network, _ = pair
    return network.version, int(network.network_address), network.prefixlen
