"""``mica certificate format``: PEM becomes DER, and DER becomes PEM, octet by octet."""

from typing import TYPE_CHECKING

import click

from mica.cli.kit import options, settle, warn
from mica_certtool import outputs
from mica_certtool.reading import inputs
from mica_certtool.reading.remarks import silenced

if TYPE_CHECKING:
    from pathlib import Path


@click.command(
    "format",
    epilog=options.examples(
        "mica certificate format svc.crt --out svc.der",
        "mica certificate format < svc.csr | openssl req -inform DER -noout -subject",
        "mica certificate format crl.pem --out crl.der",
    ),
)
@click.argument("file", required=False, metavar="[FILE|-]")
@outputs.out()
@options.force
@silenced()
def format_(file: str | None, out: "Path | None", force: bool) -> None:
    """Turn a certificate, a request or a revocation list from PEM into DER, or from DER into PEM.

    Of a PEM file the first counts: DER holds one. The file named by --out has the mode of FILE.
    """
    if out is not None:
        settle([out], force=force)
    data, place = inputs.read(file, "certificate")
    outputs.deliver(_converted(data, place), out, mode=outputs.mode_like(file), what="file")


def _converted(data: bytes, place: str) -> bytes:
    """``data`` in the other encoding; raises FileProblem when it is none of the three."""
    from cryptography.hazmat.primitives.serialization import Encoding  # slow to import

    from mica_certtool.reading.documents import EVERYTHING, parse

    found = list(parse(data, place, EVERYTHING))
    octets = found[0].public_bytes(Encoding.DER)
    if octets == data:
        return found[0].public_bytes(Encoding.PEM)
    if len(found) > 1:
        warn(f"{place} holds {len(found)} documents; DER holds one, and this is the first")
    return octets
