"""Names that a certificate may carry: parsed, normalised, compared.

A name is a ``cryptography.x509.GeneralName`` throughout. Two names are the same when their canonical forms are
equal (RFC 5280 §7); nothing is ever matched by prefix, suffix or case-folded text of another kind.
"""

import ipaddress
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from cryptography import x509

from mica.errors import MalformedRequest

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"  # RFC 1034 §3.5, and the underscore that people use
_DNS_NAME = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})*")
_MAX_DNS_NAME = 253  # RFC 1035 §2.3.4, without the root's octets
_URI_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_URI = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+")  # RFC 3986 §2
# RFC 5321 §4.1.2: Dot-string. A Quoted-string could hold anything, and nobody reads it the same way.
_LOCAL_PART = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_MAX_LOCAL_PART = 64  # RFC 5321 §4.5.3.1.1

#: What a client may call each kind, in the order in which names are listed.
KINDS: dict[type[x509.GeneralName], str] = {
    x509.DNSName: "DNS names",
    x509.IPAddress: "IP addresses",
    x509.RFC822Name: "email addresses",
    x509.UniformResourceIdentifier: "URIs",
}


def classify(text: str) -> x509.GeneralName:
    """The name that ``text`` means: an IP address, else a URI with a scheme, else an e-mail address, else a DNS name.

    The name is canonical. Raises MalformedRequest when it is none of them.
    """
    address = _ip_address(text)
    if address is not None:
        return x509.IPAddress(address)
    # "name:8080" has the shape of a URI with the scheme "name", and is taken for one, as step does.
    if _URI_SCHEME.match(text):
        return uri(text)
    if "@" in text:
        return email(text)
    return dns(text)


def dns(text: str) -> x509.DNSName:
    """A DNS name in lower case, A-labels, no trailing dot; ``*`` only as the whole first label (RFC 6125 §6.4.3)."""
    lowered = text.lower().removesuffix(".")
    if not lowered.isascii():
        lowered = _a_labels(lowered)
    if len(lowered) > _MAX_DNS_NAME or not _DNS_NAME.fullmatch(lowered):
        raise MalformedRequest(f"{text!r} is not a DNS name")
    if _ip_address(lowered) is not None:  # clients would take it for one, past every rule on addresses
        raise MalformedRequest(f"{text!r} is an IP address, not a DNS name")
    return x509.DNSName(lowered)


def email(text: str) -> x509.RFC822Name:
    """An address whose host is a canonical DNS name; the local part keeps its case (RFC 5280 §7.5)."""
    local, at, host = text.rpartition("@")
    if not at or host.startswith("*") or len(local) > _MAX_LOCAL_PART or not _LOCAL_PART.fullmatch(local):
        raise MalformedRequest(f"{text!r} is not an e-mail address")
    return x509.RFC822Name(f"{local}@{dns(host).value}")


def uri(text: str) -> x509.UniformResourceIdentifier:
    """An absolute URI (RFC 5280 §4.2.1.6), with scheme and host in lower case; the rest keeps its case."""
    if not _URI.fullmatch(text) or not _URI_SCHEME.match(text):
        raise MalformedRequest(f"{text!r} is not a URI")
    scheme, _, rest = text.partition(":")
    try:
        host = urlsplit(text).hostname
        urlsplit(text).port  # noqa: B018 - parsing it is the check
    except ValueError as error:
        raise MalformedRequest(f"{text!r} is not a URI") from error
    if not rest:
        raise MalformedRequest(f"{text!r} is not a URI: nothing follows its scheme")
    if rest.startswith("//"):
        if not host:
            raise MalformedRequest(f"{text!r} has no host, which RFC 5280 §4.2.1.6 demands after //")
        end = min((i for i in map(rest.find, "/?#", (2, 2, 2)) if i >= 0), default=len(rest))
        user, at, host_port = rest[2:end].rpartition("@")
        rest = f"//{user}{at}{host_port.lower()}{rest[end:]}"
    return x509.UniformResourceIdentifier(f"{scheme.lower()}:{rest}")


def canonical(name: x509.GeneralName) -> x509.GeneralName:
    """``name`` as it is compared and issued; raises MalformedRequest for a kind that is never issued."""
    if isinstance(name, x509.DNSName):
        return dns(name.value)
    if isinstance(name, x509.RFC822Name):
        return email(name.value)
    if isinstance(name, x509.UniformResourceIdentifier):
        return uri(name.value)
    if isinstance(name, x509.IPAddress):
        # RFC 5280 §4.2.1.6: a subject's iPAddress is one address; networks belong in name constraints.
        if not isinstance(name.value, ipaddress.IPv4Address | ipaddress.IPv6Address):
            raise MalformedRequest(f"{name.value} is a network, not an address")
        return name
    raise MalformedRequest(f"a name of the kind {type(name).__name__} cannot be issued")


def text(name: x509.GeneralName) -> str:
    """``name`` as people write it."""
    if isinstance(name, x509.DirectoryName):
        return name.value.rfc4514_string()
    if isinstance(name, x509.OtherName):
        return f"otherName {name.type_id.dotted_string}"
    if isinstance(name, x509.RegisteredID):
        return name.value.dotted_string
    return str(name.value)


def ordered(names: Iterable[x509.GeneralName]) -> tuple[x509.GeneralName, ...]:
    """``names`` without repetitions: DNS, IP, e-mail, URI, then other kinds, and within a kind as they came."""
    unique = tuple(dict.fromkeys(names))
    if len(unique) < 2:
        return unique
    kinds = {kind: index for index, kind in enumerate(KINDS)}
    # Other kinds are never issued; the ceiling says so to whoever asks for them.
    return tuple(sorted(unique, key=lambda name: kinds.get(type(name), len(kinds))))


def _ip_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if ":" not in bare and not bare[-1:].isdigit():
        return None  # an IPv4 address ends in a digit; to have ipaddress find that out is slow
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        raise MalformedRequest(f"{text!r} has a zone, which a certificate cannot carry")
    return address


def _a_labels(name: str) -> str:
    import idna  # only for names outside ASCII: the import is slow

    try:
        head, dot, rest = name.partition(".")
        if head == "*" and dot:
            return "*." + idna.encode(rest, uts46=True).decode()
        return idna.encode(name, uts46=True).decode()
    except idna.IDNAError as error:
        raise MalformedRequest(f"{name!r} is not a DNS name: {error}") from error
