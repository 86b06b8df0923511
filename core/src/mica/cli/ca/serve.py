"""``mica ca serve``."""

from typing import TYPE_CHECKING

import click

from mica.cli import options
from mica.cli.ca.configuration import locate
from mica.cli.errors import CLIError

if TYPE_CHECKING:
    from pathlib import Path


@click.command(epilog=options.examples("mica ca serve --password-file ca-password.txt --workers 2"))
@click.argument("config", required=False, type=options.FILE)
@options.password_file("Password of the CA keys", alias_of=None)
@click.option("--workers", type=click.IntRange(1, 256), help="Worker processes [one for each core].")
@click.option("--log-format", type=click.Choice(("text", "json")), default="text", help="How log lines look [text].")
def serve(config: "Path | None", password_file: str | None, workers: int | None, log_format: str) -> None:
    """Run the CA that CONFIG describes ($MICAPATH/ca.toml when it is left out).

    SIGHUP reads the configuration again, SIGTERM ends the service once everything in flight is answered.
    """
    from mica.cli.ca.credentials import ca_password
    from mica.web.supervisor import serve as run

    path, _ = locate(config)
    secret = ca_password(path, password_file)
    status = run(path, password=secret, workers=workers, log_format="json" if log_format == "json" else "text")
    if status:
        raise CLIError("the CA could not start", hint="the lines above say why; mica ca check names every mistake")
