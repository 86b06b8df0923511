"""``mica certificate inspect``."""

from typing import TYPE_CHECKING

import click

from mica.cli.kit import FileProblem, Usage, json_text, options, product, wants_json
from mica.clock import system_clock
from mica_certtool.reading import sources
from mica_certtool.reading.remarks import silenced
from mica_certtool.reading.sources import Source

if TYPE_CHECKING:
    from mica_certtool.reading.documents import Loaded


@click.command(
    epilog=options.examples(
        "mica certificate inspect svc.crt",
        "mica certificate inspect --short --bundle svc.crt",
        "mica certificate inspect --format json svc.csr",
        "mica certificate inspect https://ca.example:8443 --roots root_ca.crt",
        "cat crl.pem | mica certificate inspect",
    )
)
@sources.flags
@click.option("--short", is_flag=True, help="A few lines.")
@click.option(
    "--format", "layout", type=click.Choice(("text", "json", "pem")), default="text", show_default=True, help="Layout."
)
@options.json_output
@silenced()
def inspect(source: Source, short: bool, layout: str) -> None:
    """Show a certificate, a certificate signing request or a revocation list."""
    layout = "json" if wants_json() else layout
    if short and layout != "text":
        raise Usage(f"flag '--short' is incompatible with '--format {layout}'")
    from mica_certtool.reading.documents import EVERYTHING, load  # cryptography is slow to import

    found = load(source, EVERYTHING)
    try:
        text = _text(found, layout="short" if short else layout)
    except _unshowable() as error:
        raise FileProblem(f"{source.place}: cannot be shown: {error}") from error
    product(text)


def _unshowable() -> tuple[type[Exception], ...]:
    from mica_certtool.reading.asn1 import UNREADABLE, UNREADABLE_EXTENSIONS

    return (*UNREADABLE, *UNREADABLE_EXTENSIONS, IndexError)


def _text(found: "list[Loaded]", *, layout: str) -> str:
    if layout == "json":
        shown = list(map(_members, found))
        return json_text(shown if len(shown) > 1 else shown[0])
    if layout == "pem":
        from cryptography.hazmat.primitives.serialization import Encoding

        return "".join(document.public_bytes(Encoding.PEM).decode() for document in found).rstrip("\n")
    return "\n".join(_layout(document, is_short=layout == "short") for document in found)


def _members(document: "Loaded") -> dict[str, object]:
    from cryptography import x509

    if isinstance(document, x509.CertificateRevocationList):
        from mica_certtool.reading import crls

        return crls.members(document)
    from mica_certtool.reading import members

    return members.of(document)


def _layout(document: "Loaded", *, is_short: bool) -> str:
    from cryptography import x509

    if isinstance(document, x509.CertificateRevocationList):
        from mica_certtool.reading import crls

        return crls.short(document) if is_short else crls.long(document, system_clock())
    from mica_certtool.reading import layouts

    return layouts.short(document) if is_short else layouts.long(document, system_clock())
