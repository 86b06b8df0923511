"""``mica ca serve``."""

import os
from pathlib import Path

import click

from mica.cli import options
from mica.cli.kit import CLIError, mica_path, password, password_from_source

#: The credential that ``mica ca serve`` looks for when systemd lends it some (systemd.exec(5), LoadCredential=).
CREDENTIAL = "mica-ca-password"


@click.command()
@click.argument("config", required=False, type=options.FILE)
@options.password_file("Password of the CA keys", alias_of=None)
@click.option("--workers", type=click.IntRange(1, 256), help="Worker processes [one for each core].")
@click.option("--log-format", type=click.Choice(("text", "json")), default="text", help="How log lines look [text].")
def serve(config: Path | None, password_file: str | None, workers: int | None, log_format: str) -> None:
    """Run the CA that CONFIG describes ($MICAPATH/ca.toml when it is left out).

    SIGHUP reads the configuration again, SIGTERM ends the service once everything in flight is answered.
    """
    from mica.web.supervisor import serve as run

    path = config or mica_path() / "ca.toml"
    secret = ca_password(path, password_file)
    status = run(path, password=secret, workers=workers, log_format="json" if log_format == "json" else "text")
    if status:
        raise CLIError("the CA could not start", hint="the lines above say why; mica ca check names every mistake")


def ca_password(path: Path, source: str | None) -> bytes | None:
    """The password of the CA keys: from ``source``, systemd, or whoever is asked; None when no key has one."""
    if source is not None:
        return password_from_source(source)
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    if credentials and (Path(credentials) / CREDENTIAL).exists():
        return password_from_source(str(Path(credentials) / CREDENTIAL))
    if _any_encrypted(path):
        return password(None, "Please enter the password of the CA keys", flag="--password-file")
    return None


def _any_encrypted(path: Path) -> bool:
    """Whether a key file that the configuration names is encrypted. What is wrong with it is for others to say."""
    from mica.config import load
    from mica.errors import ConfigError

    try:
        settings = load(path)
    except ConfigError:
        return False
    uris = [str(table.get("key", "")) for table in settings.core.signers.values()]
    return any(_encrypted(settings.directory / uri.partition(":")[2]) for uri in uris if uri.startswith("file:"))


def _encrypted(key: Path) -> bool:
    try:
        return b"ENCRYPTED" in key.read_bytes()[:200]
    except OSError:
        return False
