"""What a TLS server presents."""

import socket
import ssl
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from mica.cli.kit import FileProblem, Unreachable, Usage
from mica.clock import system_clock
from mica_certtool.reading.anchors import anchors
from mica_certtool.reading.asn1 import UNREADABLE
from mica_certtool.reading.sources import Source

_PORTS = {"https": 443, "tls": 443, "tcp": 443, "smtps": 465, "ldaps": 636}
_PATIENCE = 10.0  # seconds, for each of connecting and handshake
_EXPIRED = 10  # X509_V_ERR_CERT_HAS_EXPIRED


def presented(source: Source, *, even_expired: bool = False) -> list[x509.Certificate]:
    """The certificates of the server at the URL ``source.file``: its own, in a bundle all that it sends.

    The server is verified against ``source.roots`` (files and directories, separated by commas) or the system's, unless
    ``source.insecure``. ``even_expired`` lets a certificate pass whose only fault is that it has expired.
    Raises Usage, FileProblem, Unreachable.
    """
    url = source.place
    host, port = _address(url)
    try:
        found = _shaken(url, host, port, _context(source.roots, insecure=source.insecure), source.servername)
    except ssl.SSLCertVerificationError as error:
        found = _expired(url, host, port, source.servername) if even_expired and error.verify_code == _EXPIRED else []
        if not found:
            raise Unreachable(
                f"{url}: the server is not trusted: {error.verify_message}",
                hint="--roots FILE trusts other roots, --insecure looks without trusting",
            ) from error
    return found if source.bundle else found[:1]


def host_of(url: str) -> str:
    """The name or address of the server at ``url``; raises Usage."""
    return _address(url)[0]


def _shaken(url: str, host: str, port: int, context: ssl.SSLContext, servername: str | None) -> list[x509.Certificate]:
    """What the server sent in a handshake; raises SSLCertVerificationError when ``context`` does not trust it."""
    try:
        with (
            socket.create_connection((host, port), _PATIENCE) as connection,
            context.wrap_socket(connection, server_hostname=servername or host) as session,
        ):
            found = _chain(session)
    except ssl.SSLCertVerificationError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a host name that cannot be one
        raise Unreachable(f"{url}: cannot be reached: {error}") from error
    if not found:
        raise Unreachable(f"{url}: the server presented no certificate")
    try:
        certificates = [x509.load_der_x509_certificate(der) for der in found]
        _ = [(certificate.subject, certificate.issuer) for certificate in certificates]  # read when asked for
        return certificates
    except UNREADABLE as error:
        raise FileProblem(f"{url}: the server's certificate cannot be read: {error}") from error


def _expired(url: str, host: str, port: int, servername: str | None) -> list[x509.Certificate]:
    """What the server presents, if its own certificate has expired; nothing, if that of an issuer has."""
    found = _shaken(url, host, port, _context(None, insecure=True), servername)
    return found if found[0].not_valid_after_utc < system_clock() else []


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
    elif roots is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        ders = b"".join(certificate.public_bytes(Encoding.DER) for certificate in anchors(roots))
        context.load_verify_locations(cadata=ders)
    return context


def _chain(session: ssl.SSLSocket) -> list[bytes]:
    """All that the server sent. Python 3.13 has a method for it; before, it is the inner object that has one."""
    sent = getattr(session, "get_unverified_chain", None)
    if sent is not None:
        return list(sent())
    inner = session._sslobj  # type: ignore[attr-defined]  # 3.11 and 3.12 change no more
    return [ssl.PEM_cert_to_DER_cert(certificate.public_bytes()) for certificate in inner.get_unverified_chain() or ()]
