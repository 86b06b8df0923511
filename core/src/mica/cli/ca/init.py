"""``mica ca init``: a new CA, from questions or flags to files."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from mica.cli import options
from mica.cli.ca.init_questions import Answers, answers
from mica.cli.kit import (
    FileProblem,
    Usage,
    chosen,
    mica_path,
    read_input,
    read_key,
    report,
    say,
    wants_json,
    write_all,
)


@click.command()
@click.option("--name", metavar="NAME", help="Name of the PKI, for the subjects of its CA certificates.")
@click.option("--dns", multiple=True, metavar="NAME", help="DNS name or IP address of the CA; repeatable.")
@click.option("--address", metavar="HOST:PORT", help="Where the server listens.")
@click.option("--provisioner", metavar="NAME", help="Name of the first provisioner.")
@click.option("--with-ca-url", metavar="URL", type=options.URL(), help="URL for clients [https://<first dns>:<port>].")
@options.password_file("Password of the CA keys, and of the provisioner's key unless it has its own")
@click.option("--provisioner-password-file", metavar="FILE", help="Password of the first provisioner's key.")
@click.option("--root", type=options.FILE, help="Existing root certificate.")
@click.option("--key", type=options.FILE, help="Key of the existing root; it is used once and not copied.")
@click.option("--key-password-file", metavar="FILE", help="Password of the existing root's key.")
@click.option("--deployment-type", type=click.Choice(("standalone",)), help="There is one type; step's habit.")
@options.force
@options.json_output
def init(**flags: Any) -> None:
    """Create a root, an intermediate, a first provisioner and the configuration, below $MICAPATH.

    Nothing is asked, made or written when there is a CA already, unless --force is given.
    """
    home = mica_path()
    if (flags["root"] is None) != (flags["key"] is None):
        raise Usage("flags '--root' and '--key' go together", hint="give both, or neither")
    _refuse_existing(home, force=flags["force"])
    given = answers(flags)
    files, fingerprint = _found(home, given, flags)
    _write(home, files)
    _summarise(home, given, [path for path, _, _ in files], fingerprint)


def _refuse_existing(home: Path, *, force: bool) -> None:
    from mica import foundation

    there = [str(home / path) for path in foundation.FILES if (home / path).exists()]
    if there and not force:
        raise FileProblem(
            f"there is a CA already: {', '.join(there)}",
            hint="set MICAPATH to another folder, or give --force to replace the keys and the configuration",
        )


class _Desk:
    """What the first provisioner's table is made with."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def read(self, path: Path) -> bytes:
        """A file that the user named."""
        return read_input(path)

    def passwords(self, label: str) -> Iterator[bytes]:
        """The same; nothing that is made here is encrypted already."""
        yield self._secret

    def new_password(self, label: str, flag: str) -> bytes:
        """The password that was given for the provisioner."""
        return self._secret


def _found(home: Path, given: Answers, flags: Mapping[str, Any]) -> tuple[list[tuple[Path, bytes, int]], str]:
    """The files of the new CA (path below its folder, contents, mode; keys first), and the root's fingerprint."""
    from mica import foundation
    from mica.client.sources import table_maker
    from mica.clock import system_clock

    now = system_clock()
    root = _existing_root(flags) if flags["root"] else foundation.new_root(given.name, now)
    say("Using the existing root certificate." if flags["root"] else "Generating root certificate... done!")
    intermediate = foundation.new_intermediate(given.name, root, now)
    say("Generating intermediate certificate... done!")
    table = table_maker("jwk").table(given.provisioner, {"create": True}, _Desk(given.provisioner_password))
    configuration = foundation.configuration(
        url=given.url, address=given.address, dns_names=given.dns_names, provisioner=given.provisioner, table=table
    )
    root_file = home / foundation.ROOT
    defaults = {"ca-url": given.url, "fingerprint": root.fingerprint, "root": str(root_file.absolute())}
    files = [
        (foundation.INTERMEDIATE_KEY, intermediate.key_pem(given.password), 0o600),
        (foundation.ROOT, root.pem, 0o644),
        (foundation.INTERMEDIATE, intermediate.pem, 0o644),
        (foundation.DEFAULTS, (json.dumps(defaults, indent=2) + "\n").encode(), 0o644),
        (foundation.CONFIGURATION, configuration.encode(), 0o644),
    ]
    if not flags["root"]:
        files.insert(0, (foundation.ROOT_KEY, root.key_pem(given.password), 0o600))
    return files, root.fingerprint


def _existing_root(flags: Mapping[str, Any]) -> Any:
    from mica import foundation
    from mica.errors import ConfigError

    key = read_key(flags["key"], flags["key_password_file"], flag="--key-password-file")
    try:
        return foundation.adopt_root(read_input(flags["root"]), key, where=str(flags["root"]))
    except ConfigError as error:
        raise FileProblem(str(error)) from error


def _write(home: Path, files: list[tuple[Path, bytes, int]]) -> None:
    from mica import foundation

    below = {(home / path).parent for path in (foundation.DATABASE, *(path for path, _, _ in files))}
    for folder in sorted({home, *below}):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_all([(home / path, contents, mode) for path, contents, mode in files])


def _summarise(home: Path, given: Answers, paths: list[Path], fingerprint: str) -> None:
    from mica import foundation

    labels = {
        foundation.ROOT: "Root certificate",
        foundation.ROOT_KEY: "Root private key",
        foundation.INTERMEDIATE: "Intermediate certificate",
        foundation.INTERMEDIATE_KEY: "Intermediate private key",
        foundation.DEFAULTS: "Default configuration",
        foundation.CONFIGURATION: "Certificate Authority configuration",
    }
    say("")
    for path, label in labels.items():
        if path in paths:
            chosen(label, home / path)
    chosen("Root fingerprint", fingerprint)
    chosen("Database folder", home / foundation.DATABASE.parent)
    if foundation.ROOT_KEY in paths:
        say(f"Move {home / foundation.ROOT_KEY} offline: it is not needed to run the CA.")
    say("Start the CA: mica ca serve")
    if wants_json():
        named = {label.lower().replace(" ", "_"): str(home / path) for path, label in labels.items() if path in paths}
        report({**named, "root_fingerprint": fingerprint, "ca_url": given.url})
