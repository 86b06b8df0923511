"""``mica ssh fingerprint``."""

import base64
import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from mica.cli import options
from mica.cli.console import printable, product, report, wants_json
from mica.cli.errors import FileProblem

if TYPE_CHECKING:
    from mica.cli.ssh.inputs import Entry

#: By the names that ``--format`` knows them by; ``raw`` is without padding.
_FORMATS: dict[str, Callable[[bytes], str]] = {
    "base64-raw": lambda octets: base64.b64encode(octets).decode().rstrip("="),
    "base64": lambda octets: base64.b64encode(octets).decode(),
    "base64-url": lambda octets: base64.urlsafe_b64encode(octets).decode(),
    "base64-url-raw": lambda octets: base64.urlsafe_b64encode(octets).decode().rstrip("="),
    "hex": bytes.hex,
}


@click.command(
    epilog=options.examples(
        "mica ssh fingerprint id_ecdsa.pub",
        "mica ssh fingerprint --certificate id_ecdsa-cert.pub",
        "mica ssh fingerprint --format hex --json id_ecdsa.pub",
    )
)
@click.argument("file", metavar="FILE|-")
@click.option(
    "--format",
    "layout",
    type=click.Choice(tuple(_FORMATS)),
    default="base64-raw",
    show_default=True,
    help="Encoding of the SHA-256 digest.",
)
@click.option("--certificate", "whole", is_flag=True, help="Of the whole certificate, not of the key in it.")
@options.json_output
def fingerprint(file: str, layout: str, whole: bool) -> None:
    """Print size, fingerprint, comment and type of SSH keys and certificates, one a line."""
    from mica.cli.ssh.inputs import entries

    described = [_described(entry, _FORMATS[layout], whole=whole) for entry in entries(file)]
    if wants_json():
        report({"algorithm": "sha256", "format": layout, "fingerprints": described})
        return
    for one in described:
        comment = one["comment"] or "no comment"
        product(printable(f"{one['bits']} SHA256:{one['fingerprint']} {comment} ({one['type']})"))


def _described(entry: "Entry", encode: Callable[[bytes], str], *, whole: bool) -> dict[str, object]:
    key, line = entry.key(), entry.line
    if whole and not line.is_certificate:
        raise FileProblem(
            f"{entry.place}: holds a public key, and '--certificate' needs a certificate",
            hint="leave the flag out, or name the -cert.pub file",
        )
    return {
        "bits": key.bits,
        "fingerprint": encode(hashlib.sha256(line.blob if whole else key.blob).digest()),
        "comment": line.comment,
        "type": f"{key.kind}-CERT" if line.is_certificate else key.kind,
    }
