"""The rules of ``mica.lint`` on the subject and its alternative names."""

from collections.abc import Iterator
from typing import NamedTuple

from cryptography import x509

from mica import der, names
from mica.errors import MalformedRequest

_COMMON_NAME, _EMAIL, _DOMAIN_COMPONENT = map(
    der.oid, ("2.5.4.3", "1.2.840.113549.1.9.1", "0.9.2342.19200300.100.1.25")
)
_IA5_STRING = 0x16
_DIRECTORY_STRINGS = (der.UTF8_STRING, der.PRINTABLE_STRING)
_UB_COMMON_NAME = 64  # RFC 5280 appendix A.1, in characters.


class Attribute(NamedTuple):
    """One AttributeTypeAndValue: the type as encoded, the value's tag and octets (RFC 5280 §4.1.2.4)."""

    type: bytes
    tag: int
    value: bytes


def attributes(name: bytes) -> list[Attribute]:
    """The attributes of an encoded Name; raises ValueError or MalformedRequest. pyca would warn of some."""
    found = []
    ((_, rdns, _),) = der.elements(name)
    for _, rdn, _ in der.elements(rdns):
        for _, pair, _ in der.elements(rdn):
            (_, _, type_), (tag, octets, _) = der.elements(pair)
            found.append(Attribute(type_, tag, octets))
    return found


def subject_faults(subject: list[Attribute]) -> Iterator[str]:
    """What is wrong with the attributes of a subject (RFC 5280 §4.1.2.4, §4.1.2.6)."""
    for attribute in subject:
        if attribute.type in (_EMAIL, _DOMAIN_COMPONENT):
            if attribute.tag != _IA5_STRING:
                yield "RFC 5280 §4.1.2.4: emailAddress and domainComponent must be an IA5String"
        elif attribute.tag not in _DIRECTORY_STRINGS:
            yield "RFC 5280 §4.1.2.4: attributes of the subject must be a UTF8String or PrintableString"
        text = _text(attribute)
        if text is None:
            yield "RFC 5280 §4.1.2.4: attributes of the subject must hold characters of their type of string only"
        elif attribute.type == _COMMON_NAME and not 1 <= len(text) <= _UB_COMMON_NAME:
            yield f"RFC 5280 appendix A.1: the commonName must have 1 to {_UB_COMMON_NAME} characters"


def alternative_name_faults(
    extension: x509.Extension[x509.SubjectAlternativeName] | None, *, subject_is_empty: bool
) -> Iterator[str]:
    """What is wrong with the subjectAltName, or with its absence (RFC 5280 §4.2.1.6)."""
    if extension is None:
        if subject_is_empty:
            yield "RFC 5280 §4.2.1.6: a certificate with an empty subject must have a subjectAltName"
        return
    if extension.critical != subject_is_empty:
        must = "must" if subject_is_empty else "must not"
        yield f"RFC 5280 §4.2.1.6: the subjectAltName {must} be critical, the subject being what it is"
    if not len(extension.value):
        yield "RFC 5280 §4.2.1.6: the subjectAltName must not be empty"
    for name in extension.value:
        try:
            if names.canonical(name) != name:
                yield f"RFC 5280 §4.2.1.6: {names.text(name)!r} must be in canonical form"
        except MalformedRequest as error:
            yield f"RFC 5280 §4.2.1.6: {error}"


def constrained_names(subject: x509.Name, names: tuple[x509.GeneralName, ...]) -> list[x509.GeneralName]:
    """Every name to which name constraints apply: the alternative names, the subject, and what is in the subject.

    The e-mail addresses of the subject are named by RFC 5280 §4.2.1.10. A CN counts as a host, as OpenSSL has it, when
    no DNS name stands beside it.
    """
    found = list(names)
    if subject.rdns:
        found.append(x509.DirectoryName(subject))
    for attribute in subject:
        if attribute.oid == x509.NameOID.EMAIL_ADDRESS:
            found.append(x509.RFC822Name(str(attribute.value)))
    if not any(isinstance(name, x509.DNSName) for name in names):
        found += _hosts(subject)
    return found


def _hosts(subject: x509.Name) -> Iterator[x509.DNSName]:
    for attribute in subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME):
        try:
            name = names.classify(str(attribute.value))
        except MalformedRequest:
            continue
        if isinstance(name, x509.DNSName) and "." in name.value:
            yield name


def _text(attribute: Attribute) -> str | None:
    """The value, None when its octets are no characters. (pyca minds the alphabet of a PrintableString.)"""
    try:
        return attribute.value.decode("ascii" if attribute.tag == _IA5_STRING else "utf-8")
    except UnicodeDecodeError:
        return None
