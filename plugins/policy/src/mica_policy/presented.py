"""What a certificate presents to be judged: its names, each as the kind of name that it is to a policy."""

from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID

from mica import CertType, MalformedRequest, TBSCertificate, names
from mica_policy import canonical

_NOUNS = {
    "dns": "DNS name", "ip": "IP address", "email": "e-mail address", "uri": "URI", "cn": "common name",
    "principal": "principal",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Named:
    """A name of one kind; ``value`` is canonical, and None where the name has no such form."""

    kind: str
    value: Any


@dataclass(frozen=True, slots=True)
class Presented:
    """One name. ``own`` is asked about first, and only if its lists say nothing, what it means."""

    shown: str
    """For people; whatever was in it, it is safe in a line."""
    meant: Named | None = None
    own: Named | None = None
    never: str = ""
    """Why no rule could ever allow it."""
    again: bool = False
    """Whether what it means is presented besides, and judged there."""


def x509_names(tbs: TBSCertificate) -> list[Presented]:
    """The names of an X.509 certificate: its subjectAltName, its common names, the e-mail addresses of its subject."""
    subject = tbs.parsed.subject
    common_names = [str(each.value) for each in subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    # RFC 5280 §4.1.2.6: where old certificates have their e-mail address.
    emails = [str(each.value) for each in subject.get_attributes_for_oid(NameOID.EMAIL_ADDRESS)]
    return [*x509_order(common_names, tbs.names), *map(_email, emails)]


def x509_order(common_names: Iterable[str], alternative_names: Iterable[x509.GeneralName]) -> Iterator[Presented]:
    """These common names and names, as they are judged."""
    named = [(name, _named(name)) for name in alternative_names]
    present = {each for _, each in named}
    yield from (_common_name(text, present) for text in common_names if text)
    for name, each in named:
        if each is None:
            yield Presented(_shown(f"name of the kind {type(name).__name__}", names.text(name)), never=_UNSPOKEN)
        else:
            yield Presented(_shown(_NOUNS[each.kind], str(name.value)), each)


def ssh_names(cert_type: CertType, valid_principals: Iterable[str]) -> list[Presented]:
    """The principals of an SSH certificate, as they are judged."""
    return [(_host if cert_type is CertType.HOST else _user)(text) for text in valid_principals]


_UNSPOKEN = "no rule can speak of it"


@lru_cache(maxsize=1024)
def _classified(text: str) -> Named | None:
    """What ``text`` means where any kind of name may stand; None where it is free text."""
    try:
        return _named(names.classify(text))
    except MalformedRequest:
        return None


def _named(name: x509.GeneralName) -> Named | None:
    if isinstance(name, x509.DNSName):
        return Named("dns", canonical.dns(name.value))
    if isinstance(name, x509.IPAddress):
        is_one = isinstance(name.value, canonical.Address)
        return Named("ip", canonical.address(name.value) if is_one else None)  # type: ignore[arg-type]
    if isinstance(name, x509.RFC822Name):
        return Named("email", canonical.email(name.value))
    if isinstance(name, x509.UniformResourceIdentifier):
        return Named("uri", canonical.uri_host(name.value))
    return None


def _common_name(text: str, present: Set[Named | None]) -> Presented:
    meant = _classified(canonical.plain(text))
    again = meant is not None and meant in present
    return Presented(_shown("common name", text), meant, own=Named("cn", text), again=again)


def _email(text: str) -> Presented:
    return Presented(_shown("e-mail address of the subject", text), Named("email", canonical.email(text)))


def _user(text: str) -> Presented:
    """As step-ca has it, addresses and URIs are no names of users."""
    meant = _classified(text)
    if meant is not None and meant.kind in ("ip", "uri"):
        return Presented(_shown("principal", text), never=f"a user's principal must not be {_A[meant.kind]}")
    kind = "email" if "@" in text else "principal"
    return Presented(_shown("principal", text), Named(kind, canonical.email(text) if kind == "email" else text))


def _host(text: str) -> Presented:
    meant, own = _classified(text), Named("principal", canonical.host(text))
    if meant is not None and meant.kind == "uri":
        return Presented(_shown("principal", text), own=own, never="a host's principal must not be a URI")
    return Presented(_shown("principal", text), meant, own=own)


_A = {"ip": "an IP address", "uri": "a URI"}


def _shown(noun: str, text: str) -> str:
    plain = text.isascii() and text.isprintable() and not text.startswith(" ") and not text.endswith(" ")
    return f"{noun} {text if plain else ascii(text)}"
