"""Name constraints: whether names lie where an issuer may issue (RFC 5280 §4.2.1.10).

In doubt a name violates: a wildcard that could stand for an excluded host, a URI without a host, a kind of name that
is constrained and that nobody here can compare.
"""

import ipaddress
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509

from mica.names import text

#: Whether the first value lies in the subtree that the second one names.
_Within = Callable[[Any, Any], bool]


def violations(names: Iterable[x509.GeneralName], constraints: Iterable[x509.NameConstraints]) -> list[str]:
    """A finding for each of ``names`` that one of ``constraints`` does not let its issuer issue.

    Besides the subjectAltName, ``names`` has the subject as a DirectoryName and its e-mail addresses as RFC822Name.
    """
    names = tuple(names)
    return [
        f"RFC 5280 §4.2.1.10: {text(name)} {fault}"
        for constraint in constraints
        for name in names
        if (fault := _fault(name, constraint))
    ]


def _fault(name: x509.GeneralName, constraints: x509.NameConstraints) -> str | None:
    kind = type(name)
    permitted = [tree for tree in constraints.permitted_subtrees or () if type(tree) is kind]
    excluded = [tree for tree in constraints.excluded_subtrees or () if type(tree) is kind]
    if not permitted and not excluded:
        return None
    if kind not in _PERMITTED or (kind is x509.UniformResourceIdentifier and not _uri_host(name.value)):
        return "cannot be compared with the issuer's name constraints, which have subtrees of its kind"
    for tree in excluded:
        if _EXCLUDED[kind](name.value, tree.value):
            return f"is excluded by the issuer's name constraints ({text(tree)})"
    if permitted and not any(_PERMITTED[kind](name.value, tree.value) for tree in permitted):
        return f"is outside the issuer's name constraints (permitted: {', '.join(map(text, permitted))})"
    return None


def _dns_permitted(name: str, tree: str) -> bool:
    """Labels may be added on the left. A leading dot, which the RFC does not define, demands at least one."""
    return _in_domain(name, tree.removeprefix(".")) and not (tree.startswith(".") and _same(name, tree[1:]))


def _dns_excluded(name: str, tree: str) -> bool:
    domain = tree.removeprefix(".")
    if name.startswith("*."):
        # The wildcard stands for one label, so it also reaches an excluded host right below its domain.
        return _in_domain(name[2:], domain) or _same(domain.partition(".")[2], name[2:])
    return _in_domain(name, domain)


def _email_within(address: str, tree: str) -> bool:
    """A mailbox, all mailboxes on one host, or on all hosts in a domain (``.example``)."""
    local, _, host = address.rpartition("@")
    if "@" in tree:
        tree_local, _, tree_host = tree.rpartition("@")
        return local == tree_local and _same(host, tree_host)
    return _host_within(host, tree)


def _uri_within(uri: str, tree: str) -> bool:
    """All URIs on one host, or on all hosts in a domain (``.example``)."""
    return _host_within(_uri_host(uri) or "", tree)


def _uri_host(uri: str) -> str | None:
    """The host, unless it is none or an address: then the constraint cannot be met."""
    host = urlsplit(uri).hostname
    try:
        ipaddress.ip_address(host or "")
    except ValueError:
        return host
    return None


def _ip_within(address: Any, network: Any) -> bool:
    return address.version == network.version and address in network


def _directory_within(name: x509.Name, tree: x509.Name) -> bool:
    """``name`` begins with the RDNs of ``tree``."""
    prefix = [_folded(rdn) for rdn in tree.rdns]
    return [_folded(rdn) for rdn in name.rdns[: len(prefix)]] == prefix


def _folded(rdn: x509.RelativeDistinguishedName) -> frozenset[tuple[str, str]]:
    """The RDN without differences of case and white space (RFC 5280 §7.1)."""
    return frozenset((item.oid.dotted_string, " ".join(str(item.value).casefold().split())) for item in rdn)


def _host_within(host: str, tree: str) -> bool:
    return host.lower().endswith(tree.lower()) and host != tree if tree.startswith(".") else _same(host, tree)


def _in_domain(name: str, domain: str) -> bool:
    return not domain or _same(name, domain) or name.lower().endswith("." + domain.lower())


def _same(name: str, other: str) -> bool:
    return name.lower() == other.lower()


_PERMITTED: dict[type[x509.GeneralName], _Within] = {
    x509.DNSName: _dns_permitted,
    x509.RFC822Name: _email_within,
    x509.UniformResourceIdentifier: _uri_within,
    x509.IPAddress: _ip_within,
    x509.DirectoryName: _directory_within,
}
_EXCLUDED = _PERMITTED | {x509.DNSName: _dns_excluded}
