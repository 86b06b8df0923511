"""Names in the one form in which they are compared, however they were spelled; None where a name has none.

What is canonical already stays as it is.
"""

import re
import unicodedata
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import urlsplit

from mica import MalformedRequest, names, principals

Address = IPv4Address | IPv6Address

# What clients take for the end of an address: 127.0.0.1, and 127.0.0.0x1 as inet_aton(3) reads it.
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
# RFC 4518 §2.2 maps it to nothing, as it does control and format characters; and letters that nobody sees
# (Unicode §5.21, Default_Ignorable_Code_Point).
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u1806\u180b-\u180d\u180f\u3164\ufe00-\ufe0f\uffa0\ufffc\U000e0100-\U000e01ef]"
)


def dns(text: str) -> str | None:
    """The name in lower case, A-labels, without a trailing dot; ``*.`` may stand before it.

    None for what no resolver takes for a name: one whose last label is a number is an address (RFC 1123 §2.1).
    """
    try:
        name = names.dns(text).value
    except MalformedRequest:
        return None
    return None if _NUMBER.fullmatch(name.rpartition(".")[2]) else name


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


def host(text: str) -> str:
    """A host's principal as ssh compares it, without the dot at the end that a user may type."""
    return principals.lowered(text).removesuffix(".")


def folded(text: str) -> str:
    """Free text without differences of case, compatibility, white space and what nobody sees (RFC 5280 §7.1)."""
    text = plain(text)
    if text.isascii():
        return text.lower()
    text = _compatible(_compatible(unicodedata.normalize("NFD", text)))  # Unicode §3.13, D146
    return " ".join(text.split())


def plain(text: str) -> str:
    """Free text as people see it: nothing invisible in it, single spaces, none around it."""
    if not (text.isascii() and text.isprintable()):
        text = "".join(character for character in _UNSEEN.sub("", text) if _is_seen(character))
    return " ".join(text.split())


def _is_seen(character: str) -> bool:
    return character.isspace() or unicodedata.category(character) not in ("Cc", "Cf")


def _compatible(text: str) -> str:
    return unicodedata.normalize("NFKD", text.casefold())
