"""``mica certificate key``."""

import base64
from typing import TYPE_CHECKING

import click

from mica.cli.kit import FileProblem, options, settle
from mica_certtool import outputs
from mica_certtool.reading.remarks import silenced
from mica_certtool.reading.sources import Source

if TYPE_CHECKING:
    from pathlib import Path

_LINE = 64  # characters (RFC 7468 §2)


@click.command(
    epilog=options.examples(
        "mica certificate key svc.crt",
        "mica certificate key svc.csr --out svc.pub",
        "mica certificate key - < svc.crt | openssl pkey -pubin -noout -text",
    )
)
@click.argument("file", required=False, metavar="[FILE|-]")
@outputs.out()
@options.force
@silenced()
def key(file: str | None, out: "Path | None", force: bool) -> None:
    """Print the public key of a certificate or of a certificate signing request, in PEM."""
    if out is not None:
        settle([out], force=force)
    outputs.deliver(_public_key(Source(file=file)), out, mode=outputs.PUBLIC, what="public key")


def _public_key(source: Source) -> bytes:
    """The SubjectPublicKeyInfo (RFC 5280 §4.1) as it stands there, whatever the kind of key; raises FileProblem."""
    from cryptography import x509  # slow to import

    from mica_certtool.reading import asn1, documents

    (found,) = documents.load(source)
    assert not isinstance(found, x509.CertificateRevocationList)  # certificates and requests were asked for
    try:
        text = base64.b64encode(asn1.parts(found).spki.whole)
    except (ValueError, IndexError) as error:
        raise FileProblem(f"{source.place}: cannot be read: {error}", hint="get the file once more") from error
    lines = [text[i : i + _LINE] for i in range(0, len(text), _LINE)]
    return b"\n".join([b"-----BEGIN PUBLIC KEY-----", *lines, b"-----END PUBLIC KEY-----", b""])
