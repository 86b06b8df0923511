"""Rules as operators write them: each becomes a canonical value, or a fault that says what to write instead."""

from collections.abc import Callable, Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any, NamedTuple

from mica import principals
from mica_policy import canonical
from mica_policy.canonical import dns, email, folded
from mica_policy.rules import (
    ANY,
    AddressRules,
    DomainRules,
    EmailRules,
    Network,
    PrincipalRules,
    Rules,
    TextRules,
    network_of,
)


class Grammar(NamedTuple):
    """How the rules of one list are read, and what they become together. ``read`` raises ValueError."""

    read: Callable[[str], Any]
    compile: Callable[[Iterable[tuple[Any, str]]], Rules]


def compiled(listed: Iterable[str], grammar: Grammar, name: str) -> tuple[Rules, list[str]]:
    """The rules of the list ``name``, and what is wrong with them."""
    parsed, faults = [], []
    for index, text in enumerate(listed):
        try:
            parsed.append((grammar.read(_plain(text)), text))
        except ValueError as error:
            faults.append(f"{name}[{index}]: {text!r} {error}")
    if not parsed and not faults:
        faults.append(f"{name}: must hold at least one rule; leave it out, or name what it is for")
    return grammar.compile(parsed), faults


def domain(text: str) -> str:
    """A DNS name, or ``*.`` and a name; raises ValueError."""
    if "*" in text.removeprefix("*.") or text == "*.":
        raise ValueError('may have * only as its whole first label: write "*.example"')
    if text.startswith("."):
        raise ValueError(f'must not begin with a dot: write "*{text}" for the names with one label more')
    if _is_address(text):
        raise ValueError("is an IP address: put it into ip")
    if any(sign in text for sign in "@/:"):
        raise ValueError("is not a DNS name: write the name of the host alone")
    name = dns(text)
    if name is None:
        raise ValueError('is not a DNS name: write "svc.example" or "*.example"')
    return name


def network(text: str) -> Network:
    """An address, or a network in CIDR notation; raises ValueError."""
    first, slash, length = text.partition("/")
    if not _is_address(first) or "%" in text:
        raise ValueError('is not an IP address: write "10.0.0.1", "10.0.0.0/8" or "2001:db8::/32"')
    if slash and not (length.isascii() and length.isdigit()):
        raise ValueError('must have the number of its leading bits behind the "/": write "10.0.0.0/8"')
    try:
        found: IPv4Network | IPv6Network = ip_network(text, strict=False)
    except ValueError as error:
        raise ValueError('has more leading bits behind the "/" than an address has') from error
    if found.network_address != ip_address(first):
        raise ValueError(f"has bits set behind its leading ones: write {str(found)!r} or {first!r}")
    return network_of(found)


def mailbox(text: str) -> str:
    """An e-mail address, or ``@`` and a host; raises ValueError."""
    local, at, host = text.rpartition("@")
    if not at:
        raise ValueError(f'is not an e-mail address: write "ann@example", or "@{text}" for all of a host')
    found = email(text if local else f"x{text}")
    if found is None or "*" in host:
        raise ValueError('is not an e-mail address: write "ann@example", or "@example" for all of a host')
    return found if local else found.removeprefix("x")


def common_name(text: str) -> str:
    """A common name; raises ValueError."""
    if text == ANY:
        raise ValueError("stands for nothing here: name the common names, or their kinds in dns, ip, email and uri")
    return folded(text)


def user(text: str) -> str:
    """A user's principal, or ``*``; raises ValueError."""
    if "@" in text:
        raise ValueError("has an @, and such principals are e-mail addresses: put it into email")
    return _principal(text)


def host(text: str) -> str:
    """A host's principal, or ``*``; raises ValueError."""
    return _principal(canonical.host(text))


def _principal(text: str) -> str:
    if text != ANY and (faults := principals.faults((text,))):
        raise ValueError(f"must {faults[0].rpartition(' must ')[2]}")
    return text


def _plain(text: str) -> str:
    """``text``, which says something and has nothing around it; raises ValueError."""
    if not text:
        raise ValueError("is empty: name something, or leave it out")
    if text != text.strip() or not text.isprintable():
        raise ValueError("has white space around it or control characters: leave them out")
    return text


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


_DOMAIN = Grammar(domain, DomainRules.of)
_ADDRESS = Grammar(network, AddressRules.of)
_MAILBOX = Grammar(mailbox, EmailRules.of)

#: How each list of a table is read.
X509 = {
    "cn": Grammar(common_name, TextRules.of),
    "dns": _DOMAIN,
    "ip": _ADDRESS,
    "email": _MAILBOX,
    "uri": _DOMAIN,
}
SSH_USER = {"email": _MAILBOX, "principal": Grammar(user, PrincipalRules.of)}
SSH_HOST = {"dns": _DOMAIN, "ip": _ADDRESS, "principal": Grammar(host, PrincipalRules.of)}
