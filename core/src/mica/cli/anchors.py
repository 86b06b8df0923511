"""The certificate of a CA in a file, as trust stores take it."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from mica.cli import files
from mica.cli.console import warn
from mica.cli.errors import FileProblem, Usage

if TYPE_CHECKING:
    from cryptography import x509

_UTF8_MARK = b"\xef\xbb\xbf"
_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
_LONGEST_PREFIX = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """A CA certificate in a file, and the name that it has in a store."""

    path: Path
    name: str
    """A prefix, and the fingerprint."""
    fingerprint: str
    """SHA-256 of the certificate, hexadecimal."""
    certificate: "x509.Certificate"
    is_pem: bool

    @property
    def pem(self) -> bytes:
        """The certificate alone, whatever else stands in the file."""
        from cryptography.hazmat.primitives.serialization import Encoding

        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def operand(self) -> str:
        """The path for a shell's command line, wherever that is typed."""
        return quote(str(self.path.absolute()))

    def check_dates(self) -> None:
        """The certificate has not expired; raises FileProblem. Of one that is not valid yet, stderr tells."""
        from mica.clock import system_clock

        begins, ends = self.certificate.not_valid_before_utc, self.certificate.not_valid_after_utc
        now = system_clock()
        if now > ends:
            raise FileProblem(f"{self.path}: expired at {ends:%Y-%m-%d %H:%M:%S} UTC", hint="get the CA's present root")
        if now < begins:
            warn(f"{self.path}: is not valid before {begins:%Y-%m-%d %H:%M:%S} UTC")


def read_anchor(path: Path, prefix: str) -> Anchor:
    """The one certificate in the file, PEM or DER, which is a CA's (RFC 5280 §4.2.1.9); raises Usage, FileProblem."""
    if not prefix or len(prefix) > _LONGEST_PREFIX or prefix[0] in ".-_" or not _NAME_CHARACTERS.issuperset(prefix):
        raise Usage(
            f"invalid value {prefix!r} for flag '--prefix'",
            hint=f"letters, digits, '.', '_' and '-', at most {_LONGEST_PREFIX}, beginning with a letter or a digit",
        )
    data = files.read_input(path).removeprefix(_UTF8_MARK)
    from cryptography.hazmat.primitives import hashes

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pyca's remarks on odd certificates are for programmers
        found = _parsed(data, path)
        if not _is_ca(found, path):
            raise FileProblem(
                f"{path}: is not the certificate of a CA, and only such are trusted for others",
                hint="name the root certificate; mica ca root fetches it",
            )
    fingerprint = found.fingerprint(hashes.SHA256()).hex()
    return Anchor(
        path=path,
        name=f"{prefix}-{fingerprint}",
        fingerprint=fingerprint,
        certificate=found,
        is_pem=b"-----BEGIN" in data,
    )


def _parsed(data: bytes, path: Path) -> "x509.Certificate":
    from cryptography import x509

    from mica.cli.mistakes import mistaken

    try:
        if b"-----BEGIN" not in data:
            return x509.load_der_x509_certificate(data)
        found = x509.load_pem_x509_certificates(data)
    except ValueError as error:
        raise mistaken(data, path, "a certificate") from error
    if len(found) > 1:
        raise FileProblem(f"{path}: holds {len(found)} certificates", hint="give each a file of its own")
    return found[0]


def _is_ca(certificate: "x509.Certificate", path: Path) -> bool:
    from cryptography import x509

    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise FileProblem(f"{path}: its extensions cannot be read: {error}") from error
