"""A certificate that came from the CA: checked before it is kept, and told about."""

from collections.abc import Mapping
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from mica import names
from mica.cli.console import chosen, report, wants_json
from mica.client import Issued, NotTheCA
from mica.client.renewtoken import common_name
from mica.pkix import UNREADABLE, subject_alternative_names


def accept(issued: Issued, public_key: CertificatePublicKeyTypes) -> x509.Certificate:
    """The certificate, which is for ``public_key``; raises NotTheCA when the CA sent another, or none."""
    try:
        certificate = x509.load_pem_x509_certificate(issued.certificate.encode())
        theirs = certificate.public_key()
    except UNREADABLE as error:
        raise NotTheCA("the CA sent something that is not a certificate") from error
    if theirs != public_key:
        raise NotTheCA("the CA sent a certificate for another key than the one it was asked for")
    return certificate


def tell(certificate: x509.Certificate, url: str, files: Mapping[str, Path]) -> None:
    """The ``✔`` lines are on stderr; with ``--json``, what was issued is on stdout. ``files`` by what they hold."""
    for label, path in files.items():
        chosen(label, path)
    if wants_json():
        report(summary(certificate) | {"ca_url": url, "files": {_key(k): str(path) for k, path in files.items()}})


def summary(certificate: x509.Certificate) -> dict[str, object]:
    """What a certificate says, for scripts. The serial number is text: it exceeds what JSON readers keep exactly."""
    return {
        "serial_number": str(certificate.serial_number),
        "subject": common_name(certificate),
        "names": [names.text(name) for name in subject_alternative_names(certificate.extensions)],
        "not_before": f"{certificate.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ}",
        "not_after": f"{certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}",
        "fingerprint": certificate.fingerprint(hashes.SHA256()).hex(),
    }


def _key(label: str) -> str:
    return label.lower().replace(" ", "_")
