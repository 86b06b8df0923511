"""``mica certificate needs-renewal``: an answer in the exit code, for units, timers and scripts."""

from datetime import datetime
from typing import TYPE_CHECKING

import click

from mica.cli.kit import FileProblem, options, product, report, say, span, wants_json
from mica.cli.renewal.verdict import NO, YES, Missing, NeedsRenewal, needs_renewal, threshold
from mica.clock import system_clock
from mica_certtool.reading import sources
from mica_certtool.reading.remarks import silenced
from mica_certtool.reading.sources import Source

if TYPE_CHECKING:
    from cryptography import x509

    from mica.cli.renewal.schedule import Lifetime, Threshold


@click.command(
    "needs-renewal",
    cls=NeedsRenewal,
    epilog=options.examples(
        "mica certificate needs-renewal svc.crt || test $? -eq 1",
        "if mica certificate needs-renewal svc.crt --expires-in 75%; then mica ca renew svc.crt svc.key; fi",
        "mica certificate needs-renewal svc.crt --expires-in 24h --json || test $? -eq 1",
    ),
)
@sources.flags
@threshold
@silenced()
def needs_renewal_(source: Source, expires_in: "Threshold", verbose: bool) -> int:
    """Tell whether it is time to renew a certificate. Exit code 0: yes; 1: no; 2: no such file; 255: an error.

    With --bundle, one certificate that is due is enough.
    """
    found = _certificates(source)
    now = system_clock()
    due = [one for one in found if needs_renewal(_lifetime(one), expires_in, now=now)]
    first = due[0] if due else min(found, key=lambda one: one.not_valid_after_utc)
    if wants_json():
        report(_members(first, now, due=bool(due)))
    elif verbose and due:
        product("certificate needs renewal")
    elif verbose:
        say(f"certificate does not need renewal: {span(first.not_valid_after_utc - now)} remaining")
    return YES if due else NO


def _certificates(source: Source) -> "list[x509.Certificate]":
    if source.is_url:
        from mica_certtool.reading.servers import presented  # ssl is slow to import

        return presented(source, even_expired=True)
    from mica_certtool.reading import documents  # cryptography is slow to import

    try:
        return documents.certificates(source)
    except FileProblem as error:
        from pathlib import Path

        if source.file not in (None, "-") and not Path(source.place).exists():
            raise Missing(error.message, hint=error.hint) from error
        raise


def _lifetime(certificate: "x509.Certificate") -> "Lifetime":
    from mica.cli.renewal.schedule import Lifetime

    return Lifetime(start=certificate.not_valid_before_utc, end=certificate.not_valid_after_utc)


def _members(certificate: "x509.Certificate", now: datetime, *, due: bool) -> dict[str, object]:
    from mica_certtool.reading.members import summary

    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return {
        "needs_renewal": due,
        **summary(certificate),
        "remaining": max(0, int((end - now).total_seconds())),
        "elapsed_percent": round((now - start) / (end - start) * 100, 1) if end > start else 100.0,
    }
