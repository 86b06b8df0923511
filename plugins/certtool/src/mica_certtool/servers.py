"""What a TLS server presents."""

import socket
import ssl
from urllib.parse import urlsplit

from cryptography import x509

from mica.cli.kit import FileProblem, Unreachable, Usage
from mica_certtool.asn1 import UNREADABLE

_PORTS = {"https": 443, "tls": 443, "tcp": 443, "smtps": 465, "ldaps": 636}
_PATIENCE = 10.0  # seconds, for each of connecting and handshake


def presented(
    url: str, *, roots: str | None, servername: str | None, insecure: bool, chain: bool
) -> list[x509.Certificate]:
    """The certificates of the server at ``url``, leaf first; only the leaf without ``chain``.

    The server is verified against ``roots`` (files, separated by commas) or the system's, unless ``insecure``.
    Raises Usage, FileProblem, Unreachable.
    """
    host, port = _address(url)
    context = _context(roots, insecure=insecure)
    try:
        with (
            socket.create_connection((host, port), _PATIENCE) as connection,
            context.wrap_socket(connection, server_hostname=servername or host) as session,
        ):
            found = _chain(session) if chain else [session.getpeercert(binary_form=True) or b""]
    except ssl.SSLCertVerificationError as error:
        raise Unreachable(
            f"{url}: the server is not trusted: {error.verify_message}",
            hint="--roots FILE trusts other roots, --insecure looks without trusting",
        ) from error
    except (OSError, ValueError) as error:  # ValueError: a host name that cannot be one
        raise Unreachable(f"{url}: cannot be reached: {error}") from error
    try:
        return [x509.load_der_x509_certificate(der) for der in found]
    except UNREADABLE as error:
        raise FileProblem(f"{url}: the server's certificate cannot be read: {error}") from error


def _address(url: str) -> tuple[str, int]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise Usage(f"{url!r} is not a URL: {error}") from error
    if parts.scheme not in _PORTS:
        raise Usage(f"{url!r}: {parts.scheme}:// is not known", hint=f"one of {', '.join(f'{s}://' for s in _PORTS)}")
    if not parts.hostname:
        raise Usage(f"{url!r} names no host")
    return parts.hostname, port or _PORTS[parts.scheme]


def _context(roots: str | None, *, insecure: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif roots:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        for file in roots.split(","):
            try:
                context.load_verify_locations(cafile=file.strip())
            except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
                raise FileProblem(f"{file.strip()}: no root certificate can be read from it: {error}") from error
    return context


def _chain(session: ssl.SSLSocket) -> list[bytes]:
    """All that the server sent; the method is new in Python 3.13."""
    sent = getattr(session, "get_unverified_chain", None)
    if sent is None:
        raise Usage("--bundle of a URL needs Python 3.13", hint="leave --bundle out to see the first certificate")
    return list(sent())
