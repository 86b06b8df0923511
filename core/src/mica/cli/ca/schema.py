"""``mica ca schema``."""

from typing import TYPE_CHECKING

import click

from mica.cli import options
from mica.cli.ca.configuration import ca_config
from mica.cli.kit import FileProblem, report
from mica.cli.plugins.enabled import enabled_plugins

if TYPE_CHECKING:
    from pathlib import Path


@click.command(epilog=options.examples("mica ca schema", "mica ca schema --plugin jwk --plugin storage_sqlite"))
@ca_config
@click.option(
    "--plugin", "plugins", multiple=True, metavar="NAME", help="As if this one were enabled; may be repeated."
)
@options.json_output
def schema(ca_config: "Path | None", plugins: tuple[str, ...]) -> None:
    """Print the JSON Schema (2020-12) of ca.toml, for editors: what completes and checks it while it is written.

    It has what the plugins add that ca.toml enables; with --plugin, what those do that are named.
    """
    from mica.cli.plugins.inspection import offered  # imports much
    from mica.errors import ConfigError
    from mica.schema import of_configuration

    found = offered(plugins or enabled_plugins(ca_config))
    if found.faults:
        raise FileProblem("\n".join(found.faults), hint="mica plugin list shows what is installed")
    try:
        described = of_configuration(found.kinds)
    except ConfigError as error:
        raise FileProblem("\n".join(error.faults), hint="the plugin that brings it cannot be used so") from error
    report(described)
