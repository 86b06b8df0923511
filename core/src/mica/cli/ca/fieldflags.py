"""Flags from the fields of a configuration dataclass: what ``ca.toml`` can say, the command line can say too."""

import dataclasses
import os
import types
import typing
from collections.abc import Collection, Iterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from mica.cli import options
from mica.cli.errors import Usage

if TYPE_CHECKING:
    from pathlib import Path

_PREFIX = "given_"


class DurationText(options.Duration):
    """A duration, kept as it was written; the empty text stands for none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value:
            super().convert(value, param, ctx)
        return value


_TYPES: dict[type, click.ParamType[Any]] = {
    str: click.STRING,
    int: click.INT,
    bool: click.BOOL,
    timedelta: DurationText(),
}


class FieldFlag(NamedTuple):  # a dataclass is slow to make
    """One field of a table that has a flag."""

    field: str
    name: str
    """The flag, without its dashes."""
    help: str
    type: click.ParamType[Any]
    many: bool = False
    """It may be repeated, and the field is an array."""

    def options(self, *, removable: bool) -> Iterator[click.Option]:
        """The flag for click; of an array that is ``removable``, its ``--remove-…`` twin also."""
        if self.type is click.BOOL:
            spelled = f"--{self.name}/--no-{self.name}"
            yield options.CommandLineOnly([spelled, parameter(self.name)], default=None, help=self.help)
            return
        yield self._option(self.name, self.help)
        if self.many and removable:
            yield self._option(f"remove-{self.name}", f"Take this out of --{self.name}.")

    def _option(self, name: str, help: str) -> click.Option:
        return options.CommandLineOnly([f"--{name}", parameter(name)], type=self.type, multiple=self.many, help=help)

    def apply(self, table: dict[str, Any], given: Mapping[str, Any], directory: "Path") -> None:
        """What was given is in ``table``; paths are relative to ``directory`` where they lie below it.

        An empty text takes a member out. Raises Usage when what is to be removed from an array is not in it.
        """
        value = given.get(parameter(self.name))
        if self.many:
            self._apply_array(table, given, directory)
        elif value is not None:
            from pathlib import Path  # slow to import, and help needs none of it

            if value in ("", Path()):
                table.pop(self.field, None)
            else:
                table[self.field] = _as_toml(value, directory)

    def _apply_array(self, table: dict[str, Any], given: Mapping[str, Any], directory: "Path") -> None:
        more = [_as_toml(value, directory) for value in given.get(parameter(self.name)) or ()]
        less = [_as_toml(value, directory) for value in given.get(parameter(f"remove-{self.name}")) or ()]
        if not more and not less:
            return
        there = list(table.get(self.field, ()))
        for value in less:
            if value not in there:
                listed = ", ".join(map(str, there)) or "nothing"
                raise Usage(f"flag '--remove-{self.name}': {value!r} is not there", hint=f"there is {listed}")
        table[self.field] = [value for value in dict.fromkeys([*there, *more]) if value not in less]


def parameter(flag: str) -> str:
    """Under which name click hands over the value of ``flag``; no parameter of a command's own has such a name."""
    return _PREFIX + flag.removeprefix("--").replace("-", "_")


def given(values: Mapping[str, Any]) -> dict[str, Any]:
    """Those of ``values`` that were on the command line and come from fields."""
    return {name: value for name, value in values.items() if name.startswith(_PREFIX) and value not in (None, ())}


def field_flags(
    config: type[Any], *, without: Collection[str] = (), names: Mapping[str, str] | None = None
) -> tuple[FieldFlag, ...]:
    """The flags of a configuration dataclass; a field whose type no flag can say has none.

    A field's metadata has its ``help``, and perhaps ``flag``: another name than its own, or None. ``names`` go before.
    """
    hints = typing.get_type_hints(config)
    flags = []
    for field in dataclasses.fields(config):
        name = (names or {}).get(field.name, field.metadata.get("flag", field.name.replace("_", "-")))
        shape = _shape(hints[field.name])
        if field.name in without or name is None or shape is None:
            continue
        type_, many = shape
        help = str(field.metadata.get("help", ""))
        flags.append(FieldFlag(field=field.name, name=name.lstrip("-"), help=help, type=type_, many=many))
    return tuple(flags)


def _shape(hint: Any) -> tuple[click.ParamType[Any], bool] | None:
    """The type of a field's values, and whether it holds several; None when no flag can say them."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        members = [argument for argument in arguments if argument is not type(None)]
        return _shape(members[0]) if len(members) == 1 else None
    if origin is typing.Literal and all(isinstance(argument, str) for argument in arguments):
        return click.Choice(arguments), False
    if origin in (tuple, frozenset):
        inner = _shape(arguments[0])
        return (inner[0], True) if inner and not inner[1] and inner[0] is not click.BOOL else None
    if isinstance(hint, type) and issubclass(hint, os.PathLike):
        return options.FILE, False
    return (_TYPES[hint], False) if hint in _TYPES else None


def _as_toml(value: Any, directory: "Path") -> Any:
    if not isinstance(value, os.PathLike):
        return value
    from pathlib import Path

    path, home = Path(os.path.normpath(Path.cwd() / value)), directory.resolve()
    return str(path.relative_to(home)) if path.is_relative_to(home) else str(path)
