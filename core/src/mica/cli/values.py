"""Where flags get their values: the command line, then ``MICA_<FLAG>``, then the files of defaults; click's order."""

import os
from collections.abc import Sequence
from copy import copy
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from mica.cli import table
from mica.cli.console import settings
from mica.cli.errors import CLIError, FileProblem, Usage

if TYPE_CHECKING:
    from pathlib import Path

_PLACES = "mica.cli.values.places"  # in click's meta: flag → the file that its default is from
_CA_FLAGS = ("--ca-url", "--ca-config")
#: A command line that says one of these leads to its CA without defaults.
_CA_SAID = ("--ca-url", "--ca-config", "--token")


class CommandLineOnly(click.Option):
    """An option that neither the environment nor ``defaults.json`` sets."""


def listen(command: click.Command) -> None:
    """Every flag of ``command`` listens to ``MICA_<FLAG>``, under each of its long names."""
    for option in _settable(command):
        if option.envvar is None:
            option.envvar = _variables(option)
        if option.multiple:
            # click splits at white space; the habit here is the comma. The type may be shared with other options.
            option.type = copy(option.type)
            option.type.split_envvar_value = _split  # type: ignore[method-assign, assignment]


def given(command: click.Command, context: click.Context, arguments: Sequence[str]) -> dict[str, object]:
    """What the command line says, by the spelling that was used: ``--issuer``, not the name of the parameter.

    A mistake in it is for click to tell; then nothing is known here. A command may have more flags than it knows of
    before it is parsed (``ca provisioner add``), so an unknown one is no mistake.
    """
    help_ = click.Option(list(_help_names(command)), is_flag=True)
    params = [variant for parameter in (help_, *command.params) for variant in _spellings(parameter)]
    spelt = click.Command(command.name, params=params, add_help_option=False)
    inner = click.Context(spelt, parent=context, **{**command.context_settings, "ignore_unknown_options": True})
    try:
        return dict(spelt.make_parser(inner).parse_args(list(arguments))[0])
    except click.UsageError:
        return {}


def asks_for_help(command: click.Command, said: dict[str, object]) -> bool:
    """Whether what the command line says is that its flags are to be explained."""
    return not said.keys().isdisjoint(_help_names(command))


def refuse_doubles(command: click.Command, said: dict[str, object]) -> None:
    """No flag was given under two of its names; raises Usage."""
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.multiple:
            names = [name for name in parameter.opts if name in said]
            if len(names) > 1:
                raise Usage(f"{names[0]!r} and {names[1]!r} are two names of one flag", hint="give one of them")


def default_values(
    path: str, command: click.Command, context: click.Context, said: dict[str, object]
) -> dict[str, object]:
    """What the files of defaults say about the flags of this command, by parameter; raises FileProblem."""
    if path in table.WITHOUT_DEFAULTS:
        return {}
    from mica.cli import paths  # pathlib is slow, and help needs none of it

    layers = paths.defaults(settings().config, ask=_needs_ca(path, command, said))
    values: dict[str, object] = {}
    places: dict[str, Path] = context.meta.setdefault(_PLACES, {})
    for option in _settable(command) if layers else ():
        names = _long_names(option)
        for file, entries in layers:
            name = next((name for name in names if name in entries), None)
            if name is not None and option.name:
                values[option.name] = _fitting(option, name, entries[name], file)
                places[option.name] = file
                break
    return values


def with_origin(error: click.BadParameter) -> click.BadParameter | CLIError:
    """``error``; as an error that names the variable or the file that the bad value is from, where it is from one."""
    if error.ctx is None or error.param is None or not error.param.name:
        return error
    source, text = error.ctx.get_parameter_source(error.param.name), error.format_message().removesuffix(".")
    text, hint = text[:1].lower() + text[1:], f"{error.ctx.command_path} --help"
    if source is ParameterSource.ENVIRONMENT:
        envvar = error.param.envvar or ()
        variables = (envvar,) if isinstance(envvar, str) else envvar
        return Usage(f"{next(filter(os.environ.get, variables), 'the environment')}: {text}", hint=hint)
    if source is ParameterSource.DEFAULT_MAP:
        file = error.ctx.meta.get(_PLACES, {}).get(error.param.name, "defaults.json")
        return FileProblem(f"{file}: {text}", hint=hint)
    return error


def _help_names(command: click.Command) -> tuple[str, ...]:
    return tuple(command.context_settings.get("help_option_names", ("--help",)))


def _needs_ca(path: str, command: click.Command, said: dict[str, object]) -> bool:
    """Whether the command cannot do without knowing which CA is meant."""
    talks = path.startswith("ca ") or any(name in _CA_FLAGS for option in command.params for name in option.opts)
    return talks and not any(name in said or os.environ.get(_variable(name)) for name in _CA_SAID)


def _spellings(parameter: click.Parameter) -> list[click.Parameter]:
    """``parameter``, once for each of its names, and called by it."""
    if not isinstance(parameter, click.Option) or parameter.secondary_opts:
        return [parameter]
    variants: list[click.Parameter] = []
    for name in parameter.opts:
        variant = copy(parameter)
        variant.opts, variant.name = [name], name
        variants.append(variant)
    return variants


def _split(text: str) -> list[str]:
    return [item for item in map(str.strip, text.split(",")) if item]


def _fitting(option: click.Option, name: str, value: object, file: "Path") -> object:
    if option.multiple:
        return value if isinstance(value, list) else [str(value)]
    if isinstance(value, list):
        raise FileProblem(f"{file}: {name!r} takes one value, not a list")
    if option.is_flag or not isinstance(value, bool):
        return value if option.is_flag else str(value)
    raise FileProblem(f"{file}: {name!r} takes a value, not {str(value).lower()}")


def _settable(command: click.Command) -> list[click.Option]:
    """The options of ``command`` that the environment and the defaults may set."""
    return [
        option
        for option in command.params
        if isinstance(option, click.Option) and not isinstance(option, CommandLineOnly) and _long_names(option)
    ]


def _long_names(option: click.Option) -> list[str]:
    return [name.removeprefix("--") for name in option.opts if name.startswith("--")]


def _variables(option: click.Option) -> list[str]:
    return [_variable(name) for name in _long_names(option)]


def _variable(name: str) -> str:
    return f"MICA_{name.removeprefix('--').upper().replace('-', '_')}"
