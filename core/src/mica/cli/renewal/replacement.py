"""A certificate that is replaced once, now: the files and the CA, whether it is due, and what is done afterwards."""

import random
from datetime import timedelta
from functools import cache, partial
from pathlib import Path

import click

from mica.cli.ca.connection import connect
from mica.cli.ca.offline import Offline
from mica.cli.ca.passwordflags import check_sources
from mica.cli.console import report, say, wants_json
from mica.cli.errors import CLIError, Usage
from mica.cli.files import settle
from mica.cli.keys import is_key_uri
from mica.cli.renewal.automation import Automation
from mica.cli.renewal.flags import NOT_DUE
from mica.cli.renewal.parts import Open, Pair, Product, Reach, Way
from mica.cli.renewal.schedule import Lifetime, is_due
from mica.clock import system_clock
from mica.durations import format_go


def check_files(crt_file: Path, key_file: Path, password_file: str | None, offline: Offline | None) -> None:
    """One at most of the two files and the passwords is stdin; raises Usage."""
    secrets = {"--password-file": password_file, "--ca-password-file": offline.password_source if offline else None}
    check_sources({"CRT_FILE": crt_file, "KEY_FILE": key_file, **secrets})


def reach(ca_url: str | None, root: Path | None, offline: Offline | None) -> Reach:
    """How to come to the CA. This host's own is opened once, for its password is not asked for twice."""
    found = partial(connect, ca_url, root, offline)
    return found if offline is None else cache(found)


def _refuse_irreplaceable(pair: Pair[Open], way: Way[Open, Product]) -> None:
    """What is replaced are files; raises Usage."""
    for name, path in (("CRT_FILE", pair.certificate), ("KEY_FILE", pair.key)):
        if path in way.outputs and (str(path) == "-" or is_key_uri(path)):
            what = "stdin" if str(path) == "-" else "a URI"
            raise Usage(
                f"{name} is {what}, which cannot be replaced", hint="name another file; --help has the flags for it"
            )


def keep(pair: Pair[Open], way: Way[Open, Product], automation: Automation, reach: Reach) -> None:
    """The certificate was renewed for as long as the process was to run; raises Usage, CLIError."""
    from mica.cli.renewal import upkeep  # asyncio and more, which one renewal does not need

    if "-" in (str(pair.certificate), str(pair.key)):
        raise Usage("stdin is incompatible with '--daemon'", hint="the files are read again and again: name them")
    _refuse_irreplaceable(pair, way)
    upkeep.keep(pair, way, automation, reach)


def once(
    pair: Pair[Open], way: Way[Open, Product], automation: Automation, reach: Reach, *, force: bool
) -> tuple[Product, str]:
    """The certificate, which is in its files, and the CA's URL; the command has ended when it is not due.

    Raises what reading, settling, asking and writing raise.
    """
    _refuse_irreplaceable(pair, way)
    opened = pair.read()
    if opened.mended:
        say(f"{pair.certificate}: a replacement that was interrupted has been completed.")
    opened.check_fit()  # what is never renewed is told before it is due
    _end_unless_due(way, automation, opened.lifetime, mended=opened.mended)
    way.check(opened)
    opened.check_begun()
    settle(way.outputs, force=force)
    connection = reach()
    continued = way.make(connection, opened)
    continued.save()
    return continued, connection.url


def _end_unless_due(way: Way[Open, Product], automation: Automation, life: Lifetime, *, mended: bool) -> None:
    """The certificate is due; otherwise the command ends here, well or with ``NOT_DUE``. Raises Usage."""
    automation.check_against(life)
    threshold, now = automation.expires_in, system_clock()
    if threshold is None or is_due(life, threshold, now=now, draw=random.random()):  # noqa: S311  # spreads load
        return
    left = timedelta(seconds=round((life.end - now).total_seconds()))
    say(f"certificate not {way.done}: expires in {format_go(left)}")
    if wants_json():
        report({"renewed": False, "not_after": f"{life.end:%Y-%m-%dT%H:%M:%SZ}", "files": {}})
    if mended:
        carry_out(automation)
    click.get_current_context().exit(NOT_DUE if automation.exit_code else 0)


def carry_out(automation: Automation) -> None:
    """Whoever uses the certificate was told; raises CLIError, and the certificate is in its file all the same."""
    try:
        automation.aftermath.carry_out()
    except CLIError as error:
        raise CLIError(error.message, hint="the certificate has been saved; this failed afterwards") from error
