"""``mica certificate bundle``."""

from typing import TYPE_CHECKING

import click

from mica.cli.kit import FileProblem, options, report, say, settle, wants_json, write_all
from mica_certtool.outputs import PUBLIC
from mica_certtool.reading.remarks import silenced

if TYPE_CHECKING:
    from pathlib import Path


@click.command(
    epilog=options.examples(
        "mica certificate bundle svc.crt intermediate_ca.crt bundle.crt",
        "mica certificate bundle intermediate_ca.crt root_ca.crt chain.crt",
    )
)
@click.argument("crt", metavar="CRT", type=options.FILE)
@click.argument("ca", metavar="CA", type=options.FILE)
@click.argument("bundle_file", metavar="BUNDLE", type=options.FILE)
@options.force
@options.json_output
@silenced()
def bundle(crt: "Path", ca: "Path", bundle_file: "Path", force: bool) -> None:
    """Write the certificate in CRT, and behind it that of the CA that issued it. Of each file the first counts."""
    settle([bundle_file], force=force)
    from mica_certtool.judging import paths  # cryptography is slow to import
    from mica_certtool.making import chains
    from mica_certtool.reading.documents import certificates_in
    from mica_certtool.reading.members import summary

    certificate, issuer = certificates_in(crt)[0], certificates_in(ca)[0]
    if not paths.is_signed_by(certificate, issuer):
        raise FileProblem(
            f"{ca}: {paths.title(issuer)} did not issue {paths.title(certificate)} in {crt}",
            hint="the certificate comes first, then the certificate of the CA that issued it",
        )
    write_all([(bundle_file, chains.pem((certificate, issuer)), PUBLIC)])
    if wants_json():
        report({"bundle": str(bundle_file), "certificates": list(map(summary, (certificate, issuer)))})
    say(f"Your certificate has been bundled with its issuer in {bundle_file}.")
