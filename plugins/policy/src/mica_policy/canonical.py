"""Names in the one form in which they are compared, however they were spelled; None where a name has none.

What is canonical already stays as it is.
"""

import unicodedata
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import urlsplit

from mica import MalformedRequest, names

Address = IPv4Address | IPv6Address


def dns(text: str) -> str | None:
    """The name in lower case, A-labels, without a trailing dot; ``*.`` may stand before it.

    None for what no resolver takes for a name: one whose last label is a number is an address (RFC 1123 §2.1).
    """
    try:
        name = names.dns(text).value
    except MalformedRequest:
        return None
    return None if name[-1].isdigit() and name.rpartition(".")[2].isdigit() else name


def address(value: Address) -> Address:
    """The address; an IPv4-mapped one is the IPv4 address that it stands for (RFC 4291 §2.5.5.2)."""
    mapped = value.ipv4_mapped if isinstance(value, IPv6Address) else None
    return value if mapped is None else mapped


def email(text: str) -> str | None:
    """The address with its host as ``dns`` has it; the local part is exactly what it was (RFC 5280 §7.5)."""
    try:
        local, _, host = names.email(text).value.rpartition("@")
    except MalformedRequest:
        return None
    host_name = dns(host)
    return None if host_name is None else f"{local}@{host_name}"


def uri_host(text: str) -> str | None:
    """The URI's host as ``dns`` has it; None where it has no host, an address, or one with a ``*``."""
    try:
        host = urlsplit(names.uri(text).value).hostname or ""
    except (MalformedRequest, ValueError):
        return None
    return None if "*" in host else dns(host)


def folded(text: str) -> str:
    """Free text without differences of case, of compatibility and of white space (RFC 5280 §7.1)."""
    if text.isascii():
        return " ".join(text.lower().split())
    text = _compatible(_compatible(unicodedata.normalize("NFD", text)))  # Unicode §3.13, D146
    return " ".join(text.split())


def _compatible(text: str) -> str:
    return unicodedata.normalize("NFKD", text.casefold())
