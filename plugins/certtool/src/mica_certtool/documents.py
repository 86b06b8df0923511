"""Certificates and requests out of files, stdin and TLS servers."""

import re
import sys
from collections.abc import Callable, Iterator
from typing import TypeVar

from cryptography import x509

from mica.cli.kit import FileProblem, Usage, read_input
from mica_certtool.asn1 import UNREADABLE, Document

_BLOCK = re.compile(rb"-----BEGIN ([^\r\n-]+)-----(.*?)-----END \1-----", re.DOTALL)
_CERTIFICATE = frozenset({b"CERTIFICATE", b"X509 CERTIFICATE"})
_REQUEST = frozenset({b"CERTIFICATE REQUEST", b"NEW CERTIFICATE REQUEST"})  # RFC 7468 §7
_UTF8_MARK, _UTF16_MARKS = b"\xef\xbb\xbf", (b"\xff\xfe", b"\xfe\xff")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://")
_SEQUENCE = b"\x30"

Loaded = TypeVar("Loaded")


def load(
    source: str | None, *, bundle: bool, roots: str | None, servername: str | None, insecure: bool
) -> list[Document]:
    """The documents at ``source``: the first, all with ``bundle``. Nothing and ``-`` are stdin, a URL is a TLS server.

    Raises FileProblem when there is none or one cannot be read, Unreachable when the server is not what it should be.
    """
    if source is not None and _SCHEME.match(source):
        from mica_certtool.servers import presented  # ssl is slow to import

        found: list[Document] = list(
            presented(source, roots=roots, servername=servername, insecure=insecure, chain=bundle)
        )
        return found if bundle else found[:1]
    if source is None and sys.stdin.isatty():
        raise Usage("there is no file to read", hint="name a file, a URL, or - and write to stdin")
    place = "stdin" if source in (None, "-") else str(source)
    found = list(parse(read_input(source or "-"), place))
    return found if bundle else found[:1]


def parse(data: bytes, place: str) -> Iterator[Document]:
    """The documents in ``data``, PEM or DER; raises FileProblem, which begins with ``place``."""
    data = data.removeprefix(_UTF8_MARK)  # Windows' editors write it
    if not data.strip():
        raise FileProblem(f"{place}: is empty", hint="a certificate or a certificate signing request is needed")
    if data.startswith(_UTF16_MARKS):
        raise FileProblem(f"{place}: is UTF-16 text", hint="save it as plain ASCII")
    blocks = [(match[1], match[0]) for match in _BLOCK.finditer(data)]
    wanted = [(label, block) for label, block in blocks if label in _CERTIFICATE | _REQUEST]
    if wanted:
        for number, (label, block) in enumerate(wanted, 1):
            yield _from_pem(label, block, place if len(wanted) == 1 else f"{place}: block {number}")
    elif blocks or not data.startswith(_SEQUENCE):
        raise FileProblem(f"{place}: {_what_it_is(data, [label for label, _ in blocks])}", hint="name a certificate")
    else:
        yield _from_der(data, place)


def _from_pem(label: bytes, block: bytes, place: str) -> Document:
    if label in _CERTIFICATE:
        # The label X509 CERTIFICATE is an old spelling (RFC 7468 §5.1 lets parsers take it).
        return _tried(x509.load_pem_x509_certificate, block.replace(b" X509 CERTIFICATE-", b" CERTIFICATE-"), place)
    return _tried(x509.load_pem_x509_csr, block, place)


def _from_der(data: bytes, place: str) -> Document:
    try:
        return x509.load_der_x509_certificate(data)
    except UNREADABLE as error:
        try:
            return x509.load_der_x509_csr(data)
        except UNREADABLE:
            raise FileProblem(f"{place}: is neither a certificate nor a request in DER: {_said(error)}") from error


def _tried(parser: Callable[[bytes], Loaded], block: bytes, place: str) -> Loaded:
    try:
        return parser(block)
    except UNREADABLE as error:
        raise FileProblem(f"{place}: is damaged: {_said(error)}", hint="get the file once more") from error


def _said(error: Exception) -> str:
    """The first line of what a parser said; parsers add advice for programmers."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _what_it_is(data: bytes, labels: list[bytes]) -> str:
    if labels:
        return f"holds a {labels[0].decode('ascii', 'replace')}, not a certificate"
    if b"-----BEGIN CERTIFICATE" in data:
        return "is cut off: its PEM block has no end"
    return "holds neither PEM nor DER"
