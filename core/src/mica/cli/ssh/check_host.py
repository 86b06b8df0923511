"""``mica ssh check-host``: an answer in the exit code, for the ``Match exec`` of ssh_config(5)."""

from typing import TYPE_CHECKING

import click

from mica.cli import options
from mica.cli.console import product, report, wants_json

if TYPE_CHECKING:
    from pathlib import Path

_KNOWN, _NOT = 0, 1


@click.command(
    "check-host",
    epilog=options.examples(
        "mica ssh check-host build1.harbour.example || test $? -eq 1",
        "mica ssh check-host --verbose build1.harbour.example || test $? -eq 1",
    ),
)
@click.argument("host")
@click.option("--verbose", "-v", is_flag=True, help="Print true or false, and tell when the CA gives no answer.")
@options.connection
@options.json_output
def check_host(host: str, verbose: bool, ca_url: str | None, root: "Path | None") -> int:
    """Tell whether the CA has certified a host of this name. Exit code 0: it has; 1: not, or nobody knows.

    Answers are kept: for five minutes that it has, for one minute that it has not. When the CA does not answer within
    a second and a half, the last answer counts.
    """
    from mica.cli.ssh.reaching import hostchecks  # pathlib and json are slow to import

    answer = hostchecks.answer(host, ca_url, root)
    if wants_json():
        report({"host": answer.host, "known": answer.known, "source": answer.source, "problem": answer.problem})
    elif verbose:
        hostchecks.tell(answer)
        product("true" if answer.known else "false")
    return _KNOWN if answer.known else _NOT
