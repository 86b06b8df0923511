"""``mica ca bootstrap``, ``health``, ``root``, ``roots``, ``federation``: what a CA is trusted by, and how it is."""

import json
import re
from collections.abc import Iterable
from pathlib import Path

import click

from mica.cli import options
from mica.cli.ca.connection import connect, reported, root_fingerprint
from mica.cli.console import product, say
from mica.cli.errors import FileProblem, Usage
from mica.cli.files import read_input, settle, write_all, write_atomic
from mica.cli.options import FILE, URL
from mica.cli.paths import defaults, defaults_file, mica_path
from mica.client import Client

_PRIVATE, _PUBLIC = 0o600, 0o644


@click.command()
@click.option("--ca-url", type=URL(), metavar="URL", required=True, help="Where the CA is.")
@click.option("--fingerprint", metavar="SHA256", required=True, help="Fingerprint of the CA's root certificate.")
@options.force
@reported()
def bootstrap(ca_url: str, fingerprint: str, force: bool) -> None:
    """Fetch the root certificate with this fingerprint, trust it, and remember the CA."""
    wanted = _fingerprint(fingerprint)
    root_file, config = mica_path() / "certs" / "root_ca.crt", defaults_file()
    settings = {"ca-url": ca_url, "fingerprint": wanted, "root": str(root_file.absolute())}
    for directory in (mica_path(), root_file.parent):
        _make_private(directory)
    # What stands there already and says the same is no loss, and needs no question.
    changed = [path for path, same in ((root_file, _is_root(root_file, wanted)), (config, _says(settings))) if not same]
    settle(changed, force=force)
    pem = Client(ca_url).root(wanted).encode()
    write_all([(root_file, pem, _PRIVATE), (config, (json.dumps(settings, indent=2) + "\n").encode(), _PUBLIC)])
    say(f"The root certificate has been saved in {root_file}.")
    say(f"The authority configuration has been saved in {config}.")


@click.command()
@options.connection
@reported()
def health(ca_url: str | None, root: Path | None) -> None:
    """Print ok when the CA answers and is well."""
    connect(ca_url, root).client.health()
    product("ok")


@click.command()
@click.argument("file", type=FILE, required=False)
@click.option("--ca-url", type=URL(), metavar="URL", help="Where the CA is.")
@click.option("--fingerprint", metavar="SHA256", required=True, help="Fingerprint of the root certificate.")
@options.force
@reported()
def root(file: Path | None, ca_url: str | None, fingerprint: str, force: bool) -> None:
    """Fetch the root certificate with this fingerprint, to stdout or to FILE. The CA need not be trusted yet."""
    if ca_url is None:
        raise Usage("flag '--ca-url' is required")
    wanted = _fingerprint(fingerprint)
    _settle(file, force)
    _deliver([Client(ca_url).root(wanted)], file, "The root certificate")


@click.command()
@click.argument("file", type=FILE, required=False)
@options.connection
@options.force
@reported()
def roots(file: Path | None, ca_url: str | None, root: Path | None, force: bool) -> None:
    """Fetch all current root certificates, to stdout or to FILE."""
    _settle(file, force)
    _deliver(connect(ca_url, root).client.roots(), file, "The root certificate bundle")


@click.command()
@click.argument("file", type=FILE, required=False)
@options.connection
@options.force
@reported()
def federation(file: Path | None, ca_url: str | None, root: Path | None, force: bool) -> None:
    """Fetch the root certificates of the CA and of its federation, to stdout or to FILE."""
    _settle(file, force)
    _deliver(connect(ca_url, root).client.federation(), file, "The federation certificate bundle")


def _settle(file: Path | None, force: bool) -> None:
    if file is not None:
        settle([file], force=force)


def _deliver(pems: Iterable[str], file: Path | None, what: str) -> None:
    text = "".join(pems)
    if file is None:
        product(text, nl=False)
        return
    write_atomic(file, text.encode(), mode=_PRIVATE)
    say(f"{what} has been saved in {file}.")


def _fingerprint(text: str) -> str:
    """``text`` as 64 hexadecimal digits in lower case; raises Usage."""
    digits = re.sub(r"[-: ]", "", text).lower()
    if not re.fullmatch(r"[0-9a-f]{64}", digits):
        raise Usage(
            f"invalid value {text!r} for flag '--fingerprint'",
            hint="it is the SHA-256 of the root certificate, 64 hexadecimal digits: mica certificate fingerprint FILE",
        )
    return digits


def _make_private(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise FileProblem(f"{directory}: cannot be made: {(error.strerror or str(error)).lower()}") from error


def _is_root(path: Path, wanted: str) -> bool:
    try:
        return root_fingerprint(path, read_input(path)) == wanted
    except FileProblem:
        return False


def _says(settings: dict[str, str]) -> bool:
    try:
        return defaults() == settings
    except FileProblem:
        return False
