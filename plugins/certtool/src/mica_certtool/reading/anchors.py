"""Trust anchors: the root certificates that ``--roots`` names, or those of the system."""

import ssl
from collections.abc import Iterator
from pathlib import Path

from cryptography import x509

from mica.cli.kit import CLIError, FileProblem
from mica_certtool.reading.asn1 import UNREADABLE
from mica_certtool.reading.documents import certificates_in

_HINT = "--roots FILE names the roots to trust"


def anchors(roots: str | None) -> list[x509.Certificate]:
    """The certificates in ``roots``: files and directories, separated by commas; without it those of the system.

    What cannot be read, or holds no certificate, is an error, never a reason to trust something else. Raises
    FileProblem, CLIError when the system has none.
    """
    if roots is None:
        return _distinct(_of_the_system())
    places = [place.strip() for place in roots.split(",") if place.strip()]
    if not places:
        raise FileProblem("--roots names no file", hint=_HINT)
    return _distinct(certificate for place in places for certificate in _in(place))


def _in(place: str) -> list[x509.Certificate]:
    if not Path(place).is_dir():
        return certificates_in(place)
    try:
        files = sorted(file for file in Path(place).iterdir() if not file.name.startswith(".") and file.is_file())
    except OSError as error:
        raise FileProblem(f"{place}: cannot be read: {(error.strerror or str(error)).lower()}", hint=_HINT) from error
    if not files:
        raise FileProblem(f"{place}: is a directory without files, so it holds no root certificate", hint=_HINT)
    return [certificate for file in files for certificate in certificates_in(str(file))]


def _of_the_system() -> Iterator[x509.Certificate]:
    """What OpenSSL would trust: SSL_CERT_FILE and SSL_CERT_DIR, else where the system keeps its roots."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_default_certs()
    found = context.get_ca_certs(binary_form=True)  # a directory is not read before it is needed
    paths = ssl.get_default_verify_paths()
    if not found and paths.capath is not None:
        found = [der for file in sorted(Path(paths.capath).iterdir()) for der in _ders(file)]
    if not found:
        raise CLIError("this system has no root certificates", hint=_HINT)
    for der in found:
        try:
            yield x509.load_der_x509_certificate(der)
        except UNREADABLE:
            continue  # one odd root of hundreds takes nothing from the others


def _ders(file: Path) -> list[bytes]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cafile=str(file))
    except OSError:  # whatever else lies in the directory; ssl.SSLError is an OSError
        return []
    return context.get_ca_certs(binary_form=True)


def _distinct(certificates: Iterator[x509.Certificate]) -> list[x509.Certificate]:
    return list(dict.fromkeys(certificates))
