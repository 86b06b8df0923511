"""``mica ssh needs-renewal``: an answer in the exit code, for units, timers and scripts."""

from datetime import datetime
from typing import TYPE_CHECKING

import click

from mica.cli import options
from mica.cli.console import product, report, say, wants_json
from mica.cli.errors import FileProblem
from mica.cli.renewal.verdict import NO, YES, Missing, NeedsRenewal, needs_renewal, threshold
from mica.clock import system_clock

if TYPE_CHECKING:
    from mica.cli.renewal.schedule import Threshold
    from mica.sshcert import SSHCertificate, TBSSSHCertificate


@click.command(
    "needs-renewal",
    cls=NeedsRenewal,
    epilog=options.examples(
        "mica ssh needs-renewal id_ecdsa-cert.pub || test $? -eq 1",
        "mica ssh needs-renewal id_ecdsa-cert.pub --expires-in 75% --verbose || test $? -eq 1",
        "mica ssh needs-renewal id_ecdsa-cert.pub --expires-in 1h --json || test $? -eq 1",
    ),
)
@click.argument("file", required=False, metavar="[FILE|-]")
@threshold
def needs_renewal_(file: str | None, expires_in: "Threshold", verbose: bool) -> int:
    """Tell whether it is time to renew an SSH certificate. Exit code 0: yes; 1: no; 2: no such file; 255: an error.

    Of several in one file, one that is due is enough. One without end never is.
    """
    now, found = system_clock(), [certificate.tbs for certificate in _certificates(file)]
    due = [tbs for tbs in found if _is_due(tbs, expires_in, now)]
    ending = [tbs for tbs in found if tbs.valid_before is not None]
    first = min(due or ending or found, key=lambda tbs: tbs.valid_before or now)
    if wants_json():
        report(_members(first, now, due=bool(due)))
    elif verbose and due:
        product("certificate needs renewal")
    elif verbose:
        say(f"certificate does not need renewal: {_remaining(first, now)}")
    return YES if due else NO


def _certificates(file: str | None) -> "list[SSHCertificate]":
    from pathlib import Path

    from mica.cli.ssh.inputs import entries  # cryptography is slow to import

    try:
        return [entry.certificate() for entry in entries(file)]
    except FileProblem as error:
        if file not in (None, "-") and not Path(file).exists():
            raise Missing(error.message, hint=error.hint) from error
        raise


def _is_due(tbs: "TBSSSHCertificate", threshold: "Threshold", now: datetime) -> bool:
    from mica.cli.renewal.schedule import Lifetime

    if tbs.valid_before is None:
        return False
    return needs_renewal(Lifetime(start=tbs.valid_after, end=tbs.valid_before), threshold, now=now)


def _members(tbs: "TBSSSHCertificate", now: datetime, *, due: bool) -> dict[str, object]:
    from mica.cli.times import rfc3339

    start, end = tbs.valid_after, tbs.valid_before
    return {
        "needs_renewal": due,
        "type": tbs.cert_type.name.lower(),
        "serial": str(tbs.serial),
        "key_id": tbs.key_id,
        "principals": list(tbs.valid_principals),
        "valid_after": rfc3339(start),
        "valid_before": None if end is None else rfc3339(end),
        "remaining": None if end is None else max(0, int((end - now).total_seconds())),
        "elapsed_percent": _elapsed(start, end, now),
        "fingerprint": tbs.public_key.fingerprint,
    }


def _elapsed(start: datetime, end: datetime | None, now: datetime) -> float | None:
    if end is None:
        return None
    return round((now - start) / (end - start) * 100, 1) if end > start else 100.0


def _remaining(tbs: "TBSSSHCertificate", now: datetime) -> str:
    from mica.cli.times import span

    return "it has no end" if tbs.valid_before is None else f"{span(tbs.valid_before - now)} remaining"
