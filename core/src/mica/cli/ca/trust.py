"""``mica ca bootstrap``, ``health``, ``root``, ``roots``, ``federation``: what a CA is trusted by, and how it is."""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from mica.cli import console, options
from mica.cli.ca.answers import reported
from mica.cli.console import chosen, json_text, product, report, say, wants_json
from mica.cli.errors import FileProblem, Usage
from mica.cli.files import read_input, settle, write_all, write_atomic
from mica.cli.options import FILE, URL
from mica.cli.paths import base_path, made_private, read_defaults

if TYPE_CHECKING:
    from pathlib import Path

_PRIVATE, _PUBLIC = 0o600, 0o644


@click.command(
    epilog=options.examples(
        "mica ca bootstrap --ca-url https://ca.example:8443 --fingerprint $(mica certificate fingerprint root_ca.crt)",
        "mica ca bootstrap --context prod --ca-url https://ca.example:8443"
        " --fingerprint $(mica certificate fingerprint root_ca.crt)",
    )
)
@click.option("--ca-url", type=URL(), metavar="URL", required=True, help="Where the CA is.")
@click.option("--fingerprint", metavar="SHA256", required=True, help="Fingerprint of the CA's root certificate.")
@click.option("--install", is_flag=True, help="Also put the root certificate into the system's trust store.")
@click.option(
    "--provisioner",
    "--issuer",
    "provisioner",
    cls=options.CommandLineOnly,
    metavar="NAME",
    help="Also remember to use this provisioner.",
)
@options.new_context
@options.force
@options.json_output
@reported()
def bootstrap(
    ca_url: str,
    fingerprint: str,
    install: bool,
    provisioner: str | None,
    context: str | None,
    authority: str | None,
    profile: str | None,
    force: bool,
) -> None:
    """Fetch the root certificate with this fingerprint, trust it, and remember the CA.

    With --context, or once there are contexts, the CA is remembered as a context, which becomes the current one.
    """
    from urllib.parse import urlsplit  # it and contexts are slow to import

    from mica.cli import contexts

    wanted, base = _fingerprint(fingerprint), base_path()
    place = contexts.planned(
        base,
        context=context or console.settings().context,
        authority=authority,
        profile=profile,
        host=urlsplit(ca_url).hostname,
    )
    if place is not None:
        contexts.refuse_another(place, force=force)
    remembered = {"ca-url": ca_url, "fingerprint": wanted} | ({"provisioner": provisioner} if provisioner else {})
    root_file = _remember(place.home if place else base, remembered, force=force)
    if place is not None:
        contexts.enter(place)
        chosen("Context", place.name)
    if install:
        from mica.cli import truststore

        chosen("Trust store", truststore.install(root_file).file)
    if wants_json():
        names = {"context": place.name, "authority": place.authority, "profile": place.profile} if place else {}
        report({"ca_url": ca_url, "fingerprint": wanted, "root": str(root_file), **names, "installed": install})


def _remember(home: "Path", remembered: dict[str, str], *, force: bool) -> "Path":
    """The root is in ``home`` and so are the defaults that name the CA; where the root is."""
    from mica.client import Client  # slow to import

    root_file, config = home.absolute() / "certs" / "root_ca.crt", home.absolute() / "defaults.json"
    ca_url, wanted = remembered["ca-url"], remembered["fingerprint"]
    settings = {**remembered, "root": str(root_file)}
    with made_private([home, root_file.parent]):
        # What stands there already and says the same is no loss, and needs no question.
        news = [
            file
            for file, same in ((root_file, _is_root(root_file, wanted)), (config, _says(config, settings)))
            if not same
        ]
        settle(news, force=force)
        pem = Client(ca_url).root(wanted).encode()
        contents = {root_file: (pem, _PRIVATE), config: ((json_text(settings) + "\n").encode(), _PUBLIC)}
        write_all([(file, *contents[file]) for file in news])
    say(f"The root certificate has been saved in {root_file}.")
    say(f"The authority configuration has been saved in {config}.")
    return root_file


@click.command(epilog=options.examples("mica ca health"))
@options.connection
@options.json_output
@reported()
def health(ca_url: str | None, root: "Path | None") -> None:
    """Print ok when the CA answers and is well."""
    from mica.cli.ca.connection import connect  # the client is slow to import

    connection = connect(ca_url, root)
    connection.client.health()
    if wants_json():
        report({"ca_url": connection.url, "status": "ok"})
    else:
        product("ok")


@click.command(
    epilog=options.examples(
        "mica ca root --ca-url https://ca.example:8443 --fingerprint $(mica certificate fingerprint root_ca.crt)"
    )
)
@click.argument("file", type=FILE, required=False)
@click.option("--ca-url", type=URL(), metavar="URL", help="Where the CA is.")
@click.option("--fingerprint", metavar="SHA256", required=True, help="Fingerprint of the root certificate.")
@options.force
@reported()
def root(file: "Path | None", ca_url: str | None, fingerprint: str, force: bool) -> None:
    """Fetch the root certificate with this fingerprint, to stdout or to FILE. The CA need not be trusted yet."""
    from mica.client import Client

    if ca_url is None:
        raise Usage("flag '--ca-url' is required")
    wanted = _fingerprint(fingerprint)
    _settle(file, force)
    _deliver([Client(ca_url).root(wanted)], file, "The root certificate")


@click.command(epilog=options.examples("mica ca roots", "mica ca roots roots.pem"))
@click.argument("file", type=FILE, required=False)
@options.connection
@options.force
@reported()
def roots(file: "Path | None", ca_url: str | None, root: "Path | None", force: bool) -> None:
    """Fetch all current root certificates, to stdout or to FILE."""
    from mica.cli.ca.connection import connect

    _settle(file, force)
    _deliver(connect(ca_url, root).client.roots(), file, "The root certificate bundle")


@click.command(epilog=options.examples("mica ca federation federation.pem"))
@click.argument("file", type=FILE, required=False)
@options.connection
@options.force
@reported()
def federation(file: "Path | None", ca_url: str | None, root: "Path | None", force: bool) -> None:
    """Fetch the root certificates of the CA and of its federation, to stdout or to FILE."""
    from mica.cli.ca.connection import connect

    _settle(file, force)
    _deliver(connect(ca_url, root).client.federation(), file, "The federation certificate bundle")


def _settle(file: "Path | None", force: bool) -> None:
    if file is not None:
        settle([file], force=force)


def _deliver(pems: Iterable[str], file: "Path | None", what: str) -> None:
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


def _is_root(path: "Path", wanted: str) -> bool:
    from mica.cli.ca.connection import root_fingerprint

    try:
        return root_fingerprint(path, read_input(path)) == wanted
    except FileProblem:
        return False


def _says(config: "Path", settings: dict[str, str]) -> bool:
    """Whether the defaults name this CA; what else they say is the user's, and stays."""
    try:
        there = read_defaults(config) or {}
    except FileProblem:
        return False
    return all(there.get(name) == value for name, value in settings.items())
