"""``mica ca check``."""

from typing import TYPE_CHECKING

import click

from mica.cli import options
from mica.cli.ca.configuration import locate
from mica.cli.kit import FileProblem, chosen, product, report, wants_json

if TYPE_CHECKING:
    from pathlib import Path


@click.command(epilog=options.examples("mica ca check --password-file ca-password.txt"))
@click.argument("config", required=False, type=options.FILE)
@options.password_file("Password of the CA keys")
@options.json_output
def check(config: "Path | None", password_file: str | None) -> None:
    """Check CONFIG ($MICAPATH/ca.toml when it is left out), its files and its plugins, without serving.

    Every mistake is reported, and who answers which hook.
    """
    from mica.authority import Authority
    from mica.cli.ca.credentials import ca_password
    from mica.config import load
    from mica.errors import ConfigError
    from mica.web.app import create_app

    path, _ = locate(config)
    try:
        settings = load(path, password=ca_password(path, password_file))
        authority = Authority.assemble(settings)
        create_app(authority)
    except ConfigError as error:
        faults = "\n".join(error.faults)
        raise FileProblem(faults, hint=f"{path} cannot be used until this is mended") from error
    answers = authority.hooks.answers()
    if wants_json():
        report({"config": str(path), "hooks": answers, "provisioners": [e.name for e in authority.provisioners]})
        return
    chosen("Configuration", path)
    for provisioner in authority.provisioners:
        chosen("Provisioner", f"{provisioner.name} ({provisioner.type})")
    for hook, plugins in answers.items():
        chosen(hook, ", ".join(plugins))
    product("ok")
