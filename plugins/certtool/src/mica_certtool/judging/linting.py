"""``mica certificate lint``."""

from typing import TYPE_CHECKING

import click

from mica.cli import kit
from mica.cli.kit import options, printable, product, report, wants_json
from mica_certtool.reading import sources
from mica_certtool.reading.remarks import silenced
from mica_certtool.reading.sources import Source

if TYPE_CHECKING:
    from cryptography import x509

    Named = dict[x509.Name, list[x509.Certificate]]

_MAX_DEPTH = 10


@click.command(
    epilog=options.examples(
        "mica certificate lint svc.crt",
        "mica certificate lint --json root_ca.crt",
        "mica certificate lint https://ca.example:8443 --roots root_ca.crt",
    )
)
@sources.flags
@options.json_output
@silenced()
def lint(source: Source) -> int:
    """Hold a certificate against the rules of RFC 5280. Findings, each with its section, and 1; else nothing and 0.

    Issuers in the same file are taken into account, and judged themselves with --bundle.
    """
    from mica_certtool.reading import documents  # cryptography is slow to import

    found = documents.certificates(source._replace(bundle=True))
    named = _by_subject(found)
    judged = found if source.bundle else found[:1]
    findings = [_findings(one, named) for one in judged]
    if wants_json():
        report({"clean": not any(findings), "certificates": list(map(_members, judged, findings))})
    else:
        for one, texts in zip(judged, findings, strict=True):
            for text in texts:
                product(printable(f"{_title(one)}: {text}" if source.bundle else text))
    return 1 if any(findings) else 0


def _findings(certificate: "x509.Certificate", named: "Named") -> list[str]:
    from cryptography.hazmat.primitives.serialization import Encoding

    above = [issuer.public_bytes(Encoding.DER) for issuer in _above(certificate, named)]
    return kit.lint_certificate(certificate.public_bytes(Encoding.DER), above)


def _by_subject(certificates: "list[x509.Certificate]") -> "Named":
    named: Named = {}
    for certificate in certificates:
        named.setdefault(certificate.subject, []).append(certificate)
    return named


def _above(certificate: "x509.Certificate", named: "Named") -> "list[x509.Certificate]":
    """What may be an issuer of ``certificate``, or an issuer's issuer, by name; a few, however large the file."""
    found: list[x509.Certificate] = []
    name = certificate.issuer
    for _ in range(_MAX_DEPTH):
        candidates = [one for one in named.get(name, ())[:_MAX_DEPTH] if one not in found]
        if not candidates:
            break
        found += candidates
        name = candidates[0].issuer
    return found


def _members(certificate: "x509.Certificate", findings: list[str]) -> dict[str, object]:
    from mica_certtool.reading.members import summary

    split = [text.partition(": ") for text in findings]
    return {**summary(certificate), "findings": [{"rule": rule, "message": message} for rule, _, message in split]}


def _title(certificate: "x509.Certificate") -> str:
    from mica_certtool.judging.paths import title

    return title(certificate)
