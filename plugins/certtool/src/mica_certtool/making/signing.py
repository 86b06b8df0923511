"""``mica certificate sign``: a certificate for a request, by a CA whose key is at hand."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import click

from mica.cli.kit import Usage, options, product, report, wants_json, warn
from mica_certtool.making.profiles import INTERMEDIATE_CA, LEAF, Profile, path_length
from mica_certtool.reading.remarks import silenced

if TYPE_CHECKING:
    from pathlib import Path

    from mica import Extension
    from mica_certtool.making.requests import Request

_AS_REQUESTED = "csr"


@click.command(
    epilog=options.examples(
        "mica certificate sign svc.csr intermediate_ca.crt intermediate_ca_key --password-file ca-password.txt",
        "mica certificate sign svc.csr intermediate_ca.crt intermediate_ca_key --password-file ca-password.txt"
        " --not-after 1h --bundle > new.crt",
    )
)
@click.argument("csr_file", metavar="CSR")
@click.argument("issuer_crt", type=options.FILE)
@click.argument("issuer_key")
@click.option(
    "--profile",
    type=click.Choice((LEAF.name, INTERMEDIATE_CA.name, _AS_REQUESTED)),
    default=LEAF.name,
    show_default=True,
    help="csr: the extensions that the request asks for.",
)
@click.option("--path-len", type=int, metavar="N", help="intermediate-ca: CAs that may stand below it; -1 for any [0].")
@options.validity
@click.option("--omit-cn-san", is_flag=True, help="leaf: do not add the common name to the alternative names.")
@click.option("--bundle", is_flag=True, help="Write the issuer behind the certificate.")
@options.password_file("Password of the issuer's key")
@options.json_output
@silenced()
def sign(
    csr_file: str,
    issuer_crt: "Path",
    issuer_key: str,
    profile: str,
    path_len: int | None,
    not_before: datetime | timedelta | None,
    not_after: datetime | timedelta | None,
    omit_cn_san: bool,
    bundle: bool,
    password_file: str | None,
) -> None:
    """Sign the request CSR with the key of ISSUER_CRT, a file or a key URI, and print the certificate.

    Durations in --not-before and --not-after count from now; a leaf lasts 24h, a CA ten years, and nothing outlives
    its issuer.
    """
    kind = INTERMEDIATE_CA if profile == INTERMEDIATE_CA.name else LEAF
    path_length(kind, path_len)
    if omit_cn_san and profile != LEAF.name:
        raise Usage(
            f"flag '--omit-cn-san' is incompatible with '--profile {profile}'", hint="only a leaf gets that name"
        )
    from mica.clock import system_clock
    from mica_certtool.making import chains, issuing, requests  # cryptography is slow to import
    from mica_certtool.making.issuers import read_issuer
    from mica_certtool.reading.members import summary

    now = system_clock()
    request = requests.read(csr_file)
    issuer = read_issuer(issuer_crt, issuer_key, password_file, flag="--password-file", now=now)
    issuing.check_path_length(kind, path_len, issuer)
    extensions = _extensions(request, profile, kind, path_len, omit_common_name=omit_cn_san)
    wanted = issuing.Wanted(subject=request.subject, key=request.key, extensions=tuple(extensions))
    valid = issuing.validity(not_before, not_after, lifetime=kind.lifetime, issuer=issuer, now=now)
    made = issuing.certify(wanted, issuer, valid)
    text = chains.pem((made, *(issuer.bundled if bundle else ()))).decode()
    if wants_json():
        report({"certificate": text, "profile": profile, **summary(made)})
    else:
        product(text, nl=False)


def _extensions(
    request: "Request", profile: str, kind: Profile, path_len: int | None, *, omit_common_name: bool
) -> "list[Extension]":
    from mica_certtool.making import contents

    if profile == _AS_REQUESTED:
        if request.asks_for_ca:
            warn(f"{request.place} asks for a CA, and becomes one")
        return contents.as_requested(
            request.extensions,
            request.names,
            is_ca=request.asks_for_ca,
            subject_is_empty=request.subject_is_empty,
        )
    if kind.is_ca:
        return contents.of_ca(path_length(kind, path_len))
    names = request.names if omit_common_name else request.names_with_subject
    if not names:
        warn(f"{request.place} has no names that a client could compare; the certificate has none either")
    return contents.of_leaf(request.key, names, subject_is_empty=request.subject_is_empty)
