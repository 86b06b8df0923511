"""Certificates, requests and revocation lists out of files, stdin and TLS servers."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Final, cast

from cryptography import x509

from mica.cli import kit
from mica.cli.kit import FileProblem
from mica_certtool.reading import inputs
from mica_certtool.reading.asn1 import UNREADABLE, Document
from mica_certtool.reading.sources import Source

Loaded = Document | x509.CertificateRevocationList


class Kind:
    """What a file may hold, in words. No Enum: to make one costs every command more than reading a certificate."""

    CERTIFICATE: Final = "a certificate"
    REQUEST: Final = "a certificate signing request"
    CRL: Final = "a certificate revocation list"


#: What ``load`` takes when it is not told otherwise.
CERTIFIABLE = (Kind.CERTIFICATE, Kind.REQUEST)
EVERYTHING = (Kind.CERTIFICATE, Kind.REQUEST, Kind.CRL)

_LABELS = {
    "CERTIFICATE": Kind.CERTIFICATE,
    "X509 CERTIFICATE": Kind.CERTIFICATE,  # an old spelling, as the next two (RFC 7468 §5.1, §7)
    "CERTIFICATE REQUEST": Kind.REQUEST,
    "NEW CERTIFICATE REQUEST": Kind.REQUEST,
    "X509 CRL": Kind.CRL,
}
_MARK = re.compile(rb"-----(BEGIN|END) ([^\r\n-]+)-----")
_BEGIN = b"-----BEGIN "
_SEQUENCE = b"\x30"


def load(source: Source, kinds: Sequence[str] = CERTIFIABLE) -> list[Loaded]:
    """What is at ``source``: the first, or all of a bundle.

    Raises FileProblem when there is none of ``kinds`` or one cannot be read, Unreachable when the server is not what
    it should be.
    """
    if source.is_url:
        from mica_certtool.reading.servers import presented  # ssl is slow to import

        return list(presented(source))
    data, place = inputs.read(source.file, "certificate")
    return list(islice(parse(data, place, kinds), None if source.bundle else 1))


def certificates(source: Source) -> list[x509.Certificate]:
    """As ``load``, certificates alone."""
    return _judgeable(cast("list[x509.Certificate]", load(source, (Kind.CERTIFICATE,))), source.place)


def certificates_in(file: str | Path) -> list[x509.Certificate]:
    """Every certificate in ``file``, ``-`` being stdin, never a server; raises FileProblem when there is none."""
    data, place = inputs.read(file, "certificate")
    return _judgeable(cast("list[x509.Certificate]", list(parse(data, place, (Kind.CERTIFICATE,)))), place)


def revocation_lists_in(file: str | Path) -> list[x509.CertificateRevocationList]:
    """Every revocation list in ``file``, ``-`` being stdin; raises FileProblem when there is none."""
    data, place = inputs.read(file, "revocation list")
    return cast("list[x509.CertificateRevocationList]", list(parse(data, place, (Kind.CRL,))))


def _judgeable(found: list[x509.Certificate], place: str) -> list[x509.Certificate]:
    """``found``, whose names can be read: pyca looks at them when they are asked for. Raises FileProblem."""
    try:
        for certificate in found:
            _ = certificate.subject, certificate.issuer
    except UNREADABLE as error:
        raise FileProblem(f"{place}: is damaged: {_said(error)}", hint="get the file once more") from error
    return found


def parse(data: bytes, place: str, kinds: Sequence[str] = CERTIFIABLE) -> Iterator[Loaded]:
    """What of ``kinds`` is in ``data``, PEM or DER; raises FileProblem, which begins with ``place``."""
    data = inputs.cleaned(data, place, *_named(kinds))
    labels: list[str] = []
    several = data.count(_BEGIN) > 1
    for number, (label, block) in enumerate(_blocks(data, place, kinds), 1):
        labels.append(label)
        if _LABELS.get(label) in kinds:
            yield _from_pem(_LABELS[label], block, f"{place}: block {number}" if several else place)
    if not any(_LABELS.get(label) in kinds for label in labels):
        yield _from_der(data, place, labels, kinds)


def _blocks(data: bytes, place: str, kinds: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """The PEM blocks with their labels (RFC 7468 §2); a block that has no end is told when it was asked for."""
    begun: re.Match[bytes] | None = None
    for mark in _MARK.finditer(data):
        if mark[1] == b"BEGIN":
            _complain_of(begun, place, kinds)
            begun = mark
        elif begun is not None and mark[2] == begun[2]:
            yield begun[2].decode("ascii", "replace"), data[begun.start() : mark.end()]
            begun = None
    _complain_of(begun, place, kinds)


def _complain_of(begun: re.Match[bytes] | None, place: str, kinds: Sequence[str]) -> None:
    if begun is not None and _LABELS.get(begun[2].decode("ascii", "replace")) in kinds:
        raise _cut_off(place)


def _cut_off(place: str) -> FileProblem:
    return FileProblem(f"{place}: is cut off: its PEM block has no end", hint="get the file once more")


def _from_pem(kind: str, block: bytes, place: str) -> Loaded:
    try:
        if kind == Kind.CERTIFICATE:
            return x509.load_pem_x509_certificate(block)
        return x509.load_pem_x509_csr(block) if kind == Kind.REQUEST else x509.load_pem_x509_crl(block)
    except UNREADABLE as error:
        raise kit.mistaken(block, place, kind) from error


_DER: dict[str, Callable[[bytes], Loaded]] = {
    Kind.CERTIFICATE: x509.load_der_x509_certificate,
    Kind.REQUEST: x509.load_der_x509_csr,
    Kind.CRL: x509.load_der_x509_crl,
}


def _from_der(data: bytes, place: str, labels: list[str], kinds: Sequence[str]) -> Loaded:
    """The one DER document that ``data`` is; raises FileProblem that says what it is instead."""
    if not labels and data.startswith(_SEQUENCE):
        for kind in kinds:
            with suppress(*UNREADABLE):
                return _DER[kind](data)
        if kit.recognition.of_der(data) in kinds:
            raise kit.mistaken(data, place, *kinds)
    raise kit.mistaken(data, place, *_named(kinds))


def _named(kinds: Sequence[str]) -> Sequence[str]:
    """The kinds that messages ask for: whoever has a revocation list knows that it can be shown as well."""
    return CERTIFIABLE if kinds == EVERYTHING else kinds


def _said(error: Exception) -> str:
    """The first line of what a parser said; parsers add advice for programmers."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__
