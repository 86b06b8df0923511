"""The same name in other letters: what no verdict may depend on."""

import dataclasses
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import urlsplit, urlunsplit

from cryptography import x509

from mica.sshcert import CertType
from mica.testing.samples import Sample, X509Sample


def respelled(sample: Sample) -> Iterator[Sample]:
    """``sample`` with one of its names spelled in another way, once for each name and way."""
    if isinstance(sample, X509Sample):
        for place, name in enumerate(sample.names):
            for other in _other_names(name):
                yield dataclasses.replace(sample, names=(*sample.names[:place], other, *sample.names[place + 1 :]))
    elif sample.cert_type is CertType.HOST:  # names of users are no domain names, and mean what they are
        for place, principal in enumerate(sample.principals):
            for text in _other_hosts(principal):
                principals = (*sample.principals[:place], text, *sample.principals[place + 1 :])
                yield dataclasses.replace(sample, principals=principals)


def _other_names(name: x509.GeneralName) -> Iterator[x509.GeneralName]:
    if isinstance(name, x509.DNSName):
        yield from map(x509.DNSName, _other_hosts(name.value))
    elif isinstance(name, x509.RFC822Name):
        local, _, host = name.value.rpartition("@")  # the local part is the host's business (RFC 5321 §2.4)
        yield x509.RFC822Name(f"{local}@{host.upper()}")
    elif isinstance(name, x509.UniformResourceIdentifier):
        parts = urlsplit(name.value)
        yield x509.UniformResourceIdentifier(urlunsplit(parts._replace(netloc=parts.netloc.upper())))
        yield x509.UniformResourceIdentifier(name.value.replace(parts.scheme, parts.scheme.upper(), 1))
    elif isinstance(name, x509.IPAddress) and isinstance(name.value, IPv4Address):
        yield x509.IPAddress(IPv6Address(f"::ffff:{name.value}"))


def _other_hosts(host: str) -> Iterator[str]:
    """In capitals, in both cases, and with the dot of the root (RFC 1034 §3.1, RFC 4343 §3)."""
    yield from (other for other in (host.upper(), host.swapcase(), host.title()) if other != host)
    yield f"{host}."
