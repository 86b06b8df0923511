"""``mica plugin new``."""

from typing import TYPE_CHECKING

import click

from mica.cli import options
from mica.cli.kit import FileProblem, product, report, say, wants_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

KINDS = ("provisioner", "store", "keys", "policy", "listener", "routes")


@click.command(
    epilog=options.examples(
        "mica plugin new badge --kind provisioner", "mica plugin new curfew --kind policy --directory curfew"
    )
)
@click.argument("name")
@click.option("--kind", type=click.Choice(KINDS), required=True, help="What it will be.")
@click.option("--directory", type=options.FILE, metavar="DIR", help="Where the project goes [mica-ca-NAME, here].")
@options.json_output
def new(name: str, kind: str, directory: "Path | None") -> None:
    """Write the project of a new plugin NAME: complete, installable, and it passes its own tests.

    The folder must be new or empty. What the plugin does is small and sound: replace it step by step, and let
    mica plugin check NAME tell whether it still keeps its contracts.
    """
    from pathlib import Path

    from mica.cli.plugins.rendering import rendered, require_name

    require_name(name, kind)
    place = directory or Path(f"mica-ca-{name.replace('_', '-')}")
    files = rendered(name, kind)
    _write(place, files)
    if wants_json():
        report({"plugin": name, "kind": kind, "directory": str(place), "files": [path.as_posix() for path in files]})
        return
    say(f"The plugin {name} has been written. Install it where mica is, and let it prove itself:")
    say(f"  pip install --editable {place} && mica plugin check {name}")
    product(str(place))


def _write(place: "Path", files: "Mapping[Path, str]") -> None:
    """The files are below ``place``, where nothing was; raises FileProblem, with nothing of an earlier file lost."""
    try:
        place.mkdir(parents=True, exist_ok=True)
        if any(place.iterdir()):
            raise FileProblem(f"{place}: is not empty", hint="nothing is overwritten; choose another --directory")
        for path, text in files.items():
            (place / path).parent.mkdir(parents=True, exist_ok=True)
            with (place / path).open("x", encoding="utf-8", newline="\n") as file:
                file.write(text)
    except OSError as error:
        raise FileProblem(f"{error.filename or place}: cannot be written: {error.strerror}") from error
