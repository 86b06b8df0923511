"""``mica certificate verify``."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from mica.cli.kit import CLIError, Usage, options, product, report, wants_json
from mica.clock import system_clock
from mica_certtool.reading import sources
from mica_certtool.reading.remarks import silenced
from mica_certtool.reading.sources import Source

if TYPE_CHECKING:
    from cryptography import x509

    from mica_certtool.judging.judgement import Question


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What the flags ask for."""

    file: str
    host: str | None
    roots: str | None
    issuing_ca: str | None
    purpose: str
    crls: tuple[str, ...]
    servername: str | None
    insecure: bool

    @property
    def source(self) -> Source:
        """Where the certificate is. A server is not verified before it is judged here, with reasons."""
        return Source(file=self.file, bundle=True, servername=self.servername, insecure=True)


@click.command(
    epilog=options.examples(
        "mica certificate verify svc.crt --roots root_ca.crt",
        "mica certificate verify svc.crt --roots root_ca.crt --host svc.example --purpose server --verbose",
        "mica certificate verify svc.crt --roots root_ca.crt --json",
        "mica certificate verify https://ca.example:8443 --roots root_ca.crt",
    )
)
@click.argument("file", metavar="FILE|URL|-")
@click.option("--host", metavar="NAME", help="The certificate must be for this DNS name or address.")
@click.option("--roots", metavar="FILE|DIR,…", help="Roots to trust [the system's].")
@click.option("--issuing-ca", metavar="FILE", help="Certificates of issuers that FILE lacks.")
@click.option(
    "--purpose",
    type=click.Choice(("server", "client", "any")),
    default="any",
    show_default=True,
    help="What the certificate must be good for, in TLS.",
)
@click.option("--crl", "crls", multiple=True, metavar="FILE", help="Revocation list to look into; repeatable.")
@sources.server_name("Name to ask a server for (SNI), and to find in its certificate.")
@options.insecure
@click.option("--verbose", "-v", is_flag=True, help="Tell each check that was passed.")
@options.json_output
@silenced()
def verify(verbose: bool, **flags: Any) -> int:
    """Check a certificate up to a trusted root. Silent and 0 when it is good; the reasons and 1 when it is not.

    The chain may stand in FILE, in any order. A server's certificate must be for the name in its URL, unless
    --insecure is given. Revocation is checked with --crl alone; nothing is fetched.
    """
    from mica_certtool.judging import judgement  # cryptography is slow to import

    order = Order(**flags)
    question = _question(order)
    judged = judgement.judge(question)
    if wants_json():
        report(judgement.members(judged))
        return 0 if judged.holds else 1
    if not judged.holds:
        raise CLIError(f"{order.source.place}: not valid: {'; '.join(judged.reasons)}", hint=judged.hint)
    if verbose:
        for row in judgement.rows(judged, question):
            product(row)
    return 0


def _question(order: Order) -> "Question":
    from mica_certtool.judging import judgement, validation
    from mica_certtool.reading import documents
    from mica_certtool.reading.anchors import anchors

    host = _wanted_host(order)
    trusted = anchors(order.roots)
    return judgement.Question(
        given=tuple(documents.certificates(order.source)),
        others=tuple(documents.certificates_in(order.issuing_ca)) if order.issuing_ca else (),
        anchors=tuple(trusted),
        lists=tuple(one for crl in order.crls for one in documents.revocation_lists_in(crl)) if order.crls else None,
        demands=validation.Demands(at=system_clock(), purpose=order.purpose, host=host),
        is_server=order.source.is_url,
    )


def _wanted_host(order: Order) -> "x509.GeneralName | None":
    """What the certificate must be for; that of a server, unless insecure, for the name in its URL or of its SNI."""
    if order.host is not None:
        return _host(order.host, "--host")
    if order.insecure or not order.source.is_url:
        return None
    from mica_certtool.reading.servers import host_of  # ssl is slow to import

    return _host(order.servername or host_of(order.file), "--servername")


def _host(text: str, flag: str) -> "x509.GeneralName":
    from cryptography import x509

    from mica import MalformedRequest
    from mica.cli.kit import classify

    try:
        name = classify(text)
    except MalformedRequest as error:
        raise Usage(f"invalid value {text!r} for flag '{flag}': {error}") from error
    if not isinstance(name, x509.DNSName | x509.IPAddress):
        raise Usage(f"invalid value {text!r} for flag '{flag}': a DNS name or an address is needed")
    return name
