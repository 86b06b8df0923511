"""``mica ca provisioner add``, ``update``, ``remove``: the configuration is changed on the CA's own host.

Which flags there are, the plugins say that ``ca.toml`` enables, and the one of ``--type``: each field of a
provisioner's table has one.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from mica.cli import options
from mica.cli.ca import offers
from mica.cli.ca.configuration import ca_config, read_text
from mica.cli.ca.fieldflags import parameter
from mica.cli.ca.offers import TypedCommand
from mica.cli.console import report, say, wants_json, warn
from mica.cli.errors import CLIError, FileProblem, Usage
from mica.cli.files import settle, write_atomic

if TYPE_CHECKING:
    from pathlib import Path

_password_file = options.password_file("Password of the provisioner's private key")
_WHERE = {"added": "to", "changed": "in", "removed": "from"}
_TELL = "The CA does not know yet: send it SIGHUP (systemctl reload), or start it again."


class _Editing:
    """One change of one configuration file."""

    def __init__(self, ca_config: "Path | None") -> None:
        self.path, self.text, document = read_text(ca_config)
        settle([self.path], force=True)  # nobody should type a password for a file that cannot be written
        self.tables = _tables(self.path, document)
        self.plugins = document.get("plugins", [])
        signers = document.get("signers")
        self.signs_ssh = isinstance(signers, Mapping) and "ssh" in signers

    def find(self, name: str) -> int:
        """Where the provisioner of that name stands; raises CLIError that lists those that there are."""
        names = [table.get("name") for table in self.tables]
        if name in names:
            return names.index(name)
        listed = ", ".join(map(str, names)) or "none"
        raise CLIError(f"{self.path}: there is no provisioner {name!r}", hint=f"there is {listed}")

    def refuse_taken(self, name: str) -> None:
        """No provisioner has that name; raises CLIError."""
        if any(table.get("name") == name for table in self.tables):
            raise CLIError(
                f"{self.path}: there is a provisioner {name!r} already",
                hint=f"change it with: mica ca provisioner update {name}; or choose another name",
            )

    def save(self, text: str, done: str, name: str) -> None:
        """The file holds ``text``, which the CA would accept, and that is reported; raises CLIError with every fault.

        ``done`` is what has become of the provisioner ``name``.
        """
        if faults := _faults(self.path, text):
            raise CLIError("\n".join(faults), hint=f"{self.path} is as it was")
        write_atomic(self.path, text.encode(), mode=0o644)
        if wants_json():
            report({"provisioner": name, "change": done, "config": str(self.path), "reload_needed": True})
            return
        say(f"The provisioner {name} has been {done} {_WHERE[done]} {self.path}.")
        say(_TELL)

    def warn_of_ssh(self, values: Mapping[str, Any]) -> None:
        """Whoever allowed SSH certificates where none are signed has been told how they are."""
        if values.get(parameter("--ssh")) and not self.signs_ssh:
            warn(f"{self.path} has no [signers.ssh], and no SSH certificates are issued until mica ca enable-ssh")


@click.command(
    cls=TypedCommand,
    epilog=options.examples(
        "mica ca provisioner add ci --create --password-file password.txt",
        "mica ca provisioner add ops --public-key jwk.pub.json --x509-max-dur 7d",
    ),
)
@click.argument("name")
@click.option("--type", "type_", cls=options.CommandLineOnly, default="JWK", metavar="TYPE", help="Its type [JWK].")
@ca_config
@_password_file
@options.json_output
@click.pass_context
def add(context: click.Context, /, name: str, type_: str, ca_config: "Path | None", **values: Any) -> None:
    """Add the provisioner NAME to ca.toml, which enables its type's plugin, if it is installed.

    Flags that begin with the name of a type in their help are for that type alone.
    """
    from mica.cli.ca import documents  # tomlkit is slow to import
    from mica.pins import names

    editing = _Editing(ca_config)
    editing.refuse_taken(name)
    offer = offers.find(offers.found(context), type_, editing.path)
    table: dict[str, Any] = {"type": offer.type, "name": name}
    offer.fill(table, values, editing.path.parent, creating=True)
    if editing.signs_ssh:
        table["claims"] = {"enable_ssh_ca": True, **table.get("claims", {})}
    text = documents.added(editing.text, table)
    if new := offer.type not in names(editing.plugins):
        text = documents.enabled(text, [offer.type])
    editing.save(text, "added", name)
    if new and not wants_json():
        say(f"Its plugin, {offer.type}, has been enabled there.")
    editing.warn_of_ssh(values)


@click.command(
    cls=TypedCommand,
    removable=True,
    epilog=options.examples("mica ca provisioner update admin --x509-default-dur 12h --x509-max-dur 48h"),
)
@click.argument("name")
@click.option("--name", "new_name", cls=options.CommandLineOnly, metavar="NEW", help="Give it another name.")
@ca_config
@_password_file
@options.json_output
@click.pass_context
def update(context: click.Context, /, name: str, new_name: str | None, ca_config: "Path | None", **values: Any) -> None:
    """Change the provisioner NAME in ca.toml.

    A repeatable flag adds to what is there; its --remove- twin takes away. An empty value takes a setting out.
    """
    from mica.cli.ca import documents

    editing = _Editing(ca_config)
    index = editing.find(name)
    before = editing.tables[index]
    offer = offers.find(offers.found(context), str(before.get("type")), editing.path)
    table = {**before, "claims": dict(before["claims"])} if isinstance(before.get("claims"), Mapping) else dict(before)
    if new_name is not None and new_name != name:
        editing.refuse_taken(new_name)
        table["name"] = new_name
    offer.fill(table, values, editing.path.parent, creating=False)
    if table == before:
        raise Usage(f"nothing about the provisioner {name} is to be changed", hint="name what is, with a flag")
    editing.save(documents.changed(editing.text, index, table), "changed", name)
    editing.warn_of_ssh(values)
    if table["name"] != name:
        warn(f"certificates that {name} vouched for cannot be renewed any more: no provisioner has that name")


@click.command(epilog=options.examples("mica ca provisioner remove admin --json"))
@click.argument("name")
@ca_config
@options.json_output
def remove(name: str, ca_config: "Path | None") -> None:
    """Remove the provisioner NAME from ca.toml. What it vouched for stays valid, and cannot be renewed."""
    from mica.cli.ca import documents

    editing = _Editing(ca_config)
    text = documents.removed(editing.text, editing.find(name))
    editing.save(text, "removed", name)
    warn(f"certificates that {name} vouched for cannot be renewed any more, and stay valid until they expire")


def _tables(path: "Path", document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The provisioners as they stand in the file; raises FileProblem."""
    tables = document.get("provisioners", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise FileProblem(f"{path}: provisioners must be an array of tables, [[provisioners]]")
    return tables


def _faults(path: "Path", text: str) -> tuple[str, ...]:
    """What the CA would find wrong with a configuration that says ``text``; its keys and chains are not looked at."""
    from mica.assembly import Assembly
    from mica.authority import shared_keys
    from mica.clock import system_clock
    from mica.config import Settings, parse, structure_core
    from mica.hooks import Hooks

    path = path.absolute()
    core, faults = structure_core(parse(text.encode(), path))
    assembly = Assembly(Settings(path=path, core=core, faults=tuple(faults)), Hooks(), system_clock)
    assembly.load_plugins({})
    assembly.store()
    shared = shared_keys({}, assembly.entries())
    return tuple(dict.fromkeys([*faults, *assembly.faults, *shared]))
