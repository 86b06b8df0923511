"""``mica certificate fingerprint``."""

from typing import TYPE_CHECKING

import click

from mica.cli.kit import options, product, report, wants_json
from mica_certtool.reading import sources
from mica_certtool.reading.octets import FORMATS
from mica_certtool.reading.remarks import silenced
from mica_certtool.reading.sources import Source

if TYPE_CHECKING:
    from mica_certtool.reading.documents import Loaded


@click.command(
    epilog=options.examples(
        "mica certificate fingerprint root_ca.crt",
        "mica certificate fingerprint --format base64-url-raw root_ca.crt",
        "mica certificate fingerprint --bundle svc.crt",
        "mica certificate fingerprint --insecure https://ca.example:8443",
    )
)
@sources.flags
@click.option("--sha1", is_flag=True, help="SHA-1 in place of SHA-256; needs --insecure.")
@click.option(
    "--format", "layout", type=click.Choice(tuple(FORMATS)), default="hex", show_default=True, help="Encoding."
)
@options.json_output
@silenced()
def fingerprint(source: Source, sha1: bool, layout: str) -> None:
    """Print the fingerprint of a certificate or a certificate signing request."""
    if sha1:
        options.require_insecure("--sha1", source.insecure)
    from mica_certtool.reading.documents import load  # cryptography is slow to import

    texts = [FORMATS[layout](_digest(document, sha1=sha1)) for document in load(source)]
    if wants_json():
        report({"algorithm": "sha1" if sha1 else "sha256", "format": layout, "fingerprints": texts})
        return
    for number, text in enumerate(texts):
        product(f"{number}: {text}" if source.bundle else text)


def _digest(document: "Loaded", *, sha1: bool) -> bytes:
    from cryptography.hazmat.primitives import hashes

    from mica_certtool.reading.layouts import digest

    return digest(document, hashes.SHA1() if sha1 else hashes.SHA256())  # noqa: S303 - --insecure was given
