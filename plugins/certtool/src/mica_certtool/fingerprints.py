"""``mica certificate fingerprint``."""

import base64
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from mica.cli.kit import options, product
from mica_certtool.inspection import source

if TYPE_CHECKING:
    from mica_certtool.asn1 import Document

_FORMATS: dict[str, Callable[[bytes], str]] = {
    "hex": bytes.hex,
    "base64": lambda digest: base64.b64encode(digest).decode(),
    "base64-url": lambda digest: base64.urlsafe_b64encode(digest).decode(),
    "base64-raw": lambda digest: base64.b64encode(digest).decode().rstrip("="),
    "base64-url-raw": lambda digest: base64.urlsafe_b64encode(digest).decode().rstrip("="),
}


@click.command()
@source
@click.option("--sha1", is_flag=True, help="SHA-1 in place of SHA-256; needs --insecure.")
@click.option(
    "--format", "layout", type=click.Choice(tuple(_FORMATS)), default="hex", show_default=True, help="Encoding."
)
def fingerprint(
    file: str | None,
    bundle: bool,
    roots: str | None,
    servername: str | None,
    insecure: bool,
    sha1: bool,
    layout: str,
) -> None:
    """Print the fingerprint of a certificate or a certificate signing request."""
    if sha1:
        options.require_insecure("--sha1", insecure)
    from mica_certtool.documents import load  # cryptography is slow to import

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pyca's remarks on odd certificates are for programmers
        found = load(file, bundle=bundle, roots=roots, servername=servername, insecure=insecure)
    for number, document in enumerate(found):
        text = _FORMATS[layout](_digest(document, sha1=sha1))
        product(f"{number}: {text}" if bundle else text)


def _digest(document: "Document", *, sha1: bool) -> bytes:
    from cryptography.hazmat.primitives import hashes

    from mica_certtool.layouts import digest

    return digest(document, hashes.SHA1() if sha1 else hashes.SHA256())  # noqa: S303 - --insecure was given
