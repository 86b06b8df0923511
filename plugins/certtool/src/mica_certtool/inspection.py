"""``mica certificate inspect``."""

import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import click

from mica.cli.kit import FileProblem, Usage, json_text, options, product
from mica.clock import system_clock

Command = TypeVar("Command", bound=Callable[..., Any])


def source(command: Command) -> Command:
    """Where documents come from: ``file``, ``bundle``, ``roots``, ``servername``, ``insecure``."""
    command = click.option("--servername", metavar="NAME", help="Name to ask a server for (SNI).")(command)
    command = click.option("--roots", metavar="FILE,…", help="Roots that a server is verified against.")(command)
    command = click.option("--bundle", is_flag=True, help="All certificates, not only the first.")(command)
    command = options.insecure(command)
    return click.argument("file", required=False, metavar="[FILE|URL|-]")(command)


@click.command()
@source
@click.option("--short", is_flag=True, help="A few lines.")
@click.option(
    "--format", "layout", type=click.Choice(("text", "json", "pem")), default="text", show_default=True, help="Layout."
)
def inspect(
    file: str | None,
    bundle: bool,
    roots: str | None,
    servername: str | None,
    insecure: bool,
    short: bool,
    layout: str,
) -> None:
    """Show a certificate or a certificate signing request."""
    if short and layout != "text":
        raise Usage(f"flag '--short' is incompatible with '--format {layout}'")
    from mica_certtool.documents import load  # cryptography is slow to import

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pyca's remarks on odd certificates are for programmers
        found = load(file, bundle=bundle, roots=roots, servername=servername, insecure=insecure)
        try:
            text = _text(found, layout="short" if short else layout)
        except (ValueError, IndexError) as error:
            raise FileProblem(f"{file or 'stdin'}: cannot be shown: {error}") from error
    product(text)


def _text(found: list[Any], *, layout: str) -> str:
    if layout == "json":
        from mica_certtool import members

        shown = [members.of(document) for document in found]
        return json_text(shown if len(shown) > 1 else shown[0])
    if layout == "pem":
        from cryptography.hazmat.primitives.serialization import Encoding

        return "".join(document.public_bytes(Encoding.PEM).decode() for document in found).rstrip("\n")
    from mica_certtool import layouts

    if layout == "short":
        return "\n".join(map(layouts.short, found))
    now = system_clock()
    return "\n".join(layouts.long(document, now) for document in found)
