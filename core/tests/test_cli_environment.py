"""Every flag of every command listens to ``MICA_<FLAG>``; the command line beats it, and it beats ``defaults.json``."""

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import click
import pytest
from click.core import ParameterSource

from mica.cli.console import Settings
from mica.cli.shell import Group, root
from mica.cli.table import WITHOUT_DEFAULTS
from mica.cli.values import CommandLineOnly

#: What neither the environment nor a file sets, because there it would be meant for something else: the root that
#: ``ca init`` adopts, what ``ca bootstrap`` writes down, what a provisioner becomes, and filters, which would silently
#: hide certificates or events.
COMMAND_LINE_ONLY = {
    "ca init": {"--root", "--key"},
    "ca bootstrap": {"--provisioner", "--issuer"},
    "ca provisioner add": {"--type"},
    "ca provisioner update": {"--name"},
    "ca certs list": {
        "--name", "--subject", "--provisioner", "--status", "--expires-within", "--serial", "--limit", "--all",
        "--kind",
    },
    "ca certs show": {"--kind"},
    "ca audit show": {"--event", "--since"},
    "ca audit verify": {"--head", "--against-store"},
}  # fmt: skip
#: What a file may not say, for it belongs to one context and profile itself.
NO_DEFAULTS = ("--context", "--authority", "--profile")


def commands(group: Group) -> Iterator[tuple[str, Group, str]]:
    """Every command: its path, the group it is in and its name there."""
    for name in group.catalogue.children(group.path):
        member = group.get_command(click.Context(group), name)
        if isinstance(member, Group):
            yield from commands(member)
        else:
            yield group.below(name), group, name


COMMANDS = list(commands(root()))


def long_options(command: click.Command) -> Iterator[tuple[click.Option, str]]:
    """Every option, once for each of its long names."""
    for option in command.params:
        if isinstance(option, click.Option):
            yield from ((option, name) for name in option.opts if name.startswith("--"))


def value_for(option: click.Option) -> str:
    """Something that the option takes."""
    if option.is_flag:
        return "true"
    if isinstance(option.type, click.Choice):
        return str(option.type.choices[-1])
    if isinstance(option.type, click.Path):
        return f"{os.environ['MICAPATH']}/ca.toml"
    for value in ("66%", "2", "24h", "ca.example", "HUP", "2031-01-01T00:00:00Z", "1924992000"):
        with suppress(click.UsageError):
            option.type.convert(value, option, click.Context(click.Command("any")))
            return value
    raise AssertionError(f"no value is known for {option.opts}")


def parsed(group: Group, name: str, arguments: list[str]) -> click.Context:
    """The command line as the shell takes it, up to where the command would run."""
    with click.Context(group, obj=Settings()) as above:
        _, command, rest = group.resolve_command(above, [name, *arguments])
    assert command is not None
    # A command that lacks what it requires, or gets what does not go together, is not what is tested here.
    return command.make_context(name, rest, parent=above, resilient_parsing=True)


def source(context: click.Context, option: click.Option) -> ParameterSource | None:
    assert option.name is not None
    return context.get_parameter_source(option.name)


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.startswith("MICA"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("MICAPATH", str(tmp_path))
    (tmp_path / "ca.toml").write_text('plugins = ["jwk"]')
    (tmp_path / "contexts" / "authorities" / "one").mkdir(parents=True)
    (tmp_path / "contexts" / "authorities" / "one" / "ca.toml").write_text('plugins = ["jwk"]')
    entry = {"66%": {"authority": "one", "profile": "one"}, "flag": {"authority": "one", "profile": "one"}}
    (tmp_path / "contexts" / "contexts.json").write_text(json.dumps(entry))


@pytest.mark.parametrize(("path", "group", "name"), COMMANDS, ids=[path for path, _, _ in COMMANDS])
def test_every_flag_listens_to_its_variable(
    path: str, group: Group, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    command = group.get_command(click.Context(group), name)
    assert command is not None
    deaf = {flag for option, flag in long_options(command) if isinstance(option, CommandLineOnly)}
    assert deaf == COMMAND_LINE_ONLY.get(path, set())
    for option, flag in long_options(command):
        if flag in deaf:
            continue
        value, variable = value_for(option), f"MICA_{flag[2:].upper().replace('-', '_')}"
        defaults = {} if path in WITHOUT_DEFAULTS or flag in NO_DEFAULTS else {flag[2:]: value}
        (tmp_path / "defaults.json").write_text(json.dumps(defaults))
        typed = [flag] if option.is_flag else [flag, "flag" if flag == "--context" else value]
        if defaults:
            assert source(parsed(group, name, []), option) is ParameterSource.DEFAULT_MAP, flag
        with monkeypatch.context() as patch:
            patch.setenv(variable, value)
            from_environment = parsed(group, name, [])
            assert source(from_environment, option) is ParameterSource.ENVIRONMENT, variable
            if option.expose_value:
                assert from_environment.params[option.name or ""] not in (None, (), []), variable
            assert source(parsed(group, name, typed), option) is ParameterSource.COMMANDLINE, flag
