"""Tables become dataclasses: no coercion, no extra members, every mistake reported with its path."""

import dataclasses
import json
import re
import types
import typing
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import cattrs
from cattrs.gen import make_dict_structure_fn

from mica.durations import format_go, parse_duration
from mica.errors import ConfigError, MalformedRequest

T = TypeVar("T")

#: How a fault begins that a dataclass finds in itself and that has a place below: ``dns[0]: …``.
_PLACE = re.compile(r"[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*|\[\d+\])*: ")


def structure(config: type[T], table: object, where: str) -> T:
    """``table`` as a ``config``; raises ConfigError with every mistake in it, each with its path below ``where``."""
    if not isinstance(table, Mapping):
        raise ConfigError([f"{where}: must be a table, not {_kind_of(table)}"])
    try:
        return _CONVERTER.structure(table, config)
    except cattrs.BaseValidationError as error:
        raise ConfigError(_faults(error, where)) from error
    except ConfigError as error:
        raise ConfigError(f"{where}: {fault}" for fault in error.faults) from error
    except (MalformedRequest, TypeError, ValueError) as error:
        raise ConfigError([f"{where}: {error}"]) from error


def unstructure(value: Any) -> Any:
    """What TOML can say of ``value``; members that are None or have their default are left out."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        pairs = ((f, getattr(value, f.name)) for f in dataclasses.fields(value))
        return {f.name: unstructure(v) for f, v in pairs if v is not None and v != f.default}
    if isinstance(value, Mapping):
        return {key: unstructure(member) for key, member in value.items()}
    if isinstance(value, tuple | list | frozenset):
        return [unstructure(member) for member in value]
    if isinstance(value, timedelta):
        return format_go(value)
    return str(value) if isinstance(value, Path) else value


def _exactly(expected: type, article_and_noun: str) -> Any:
    def hook(value: object, _: Any) -> Any:
        if type(value) is not expected:
            raise TypeError(f"must be {article_and_noun}, not {_kind_of(value)}")
        return value

    return hook


def _duration(value: object, _: Any) -> timedelta:
    if not isinstance(value, str):
        raise TypeError(f'must be a duration such as "24h", not {_kind_of(value)}')
    return parse_duration(value)


def _path(value: object, _: Any) -> Path:
    if not isinstance(value, str) or not value or "\0" in value:
        raise TypeError(f"must be a path, not {_kind_of(value)}")
    return Path(value)


def _converter() -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True, detailed_validation=True)
    for expected, noun in ((str, "a string"), (int, "an integer"), (bool, "true or false"), (float, "a number")):
        converter.register_structure_hook(expected, _exactly(expected, noun))
    converter.register_structure_hook(timedelta, _duration)
    converter.register_structure_hook(Path, _path)
    converter.register_structure_hook_func(_is_literal, _literal)
    converter.register_structure_hook_func(_is_array, _array)
    converter.register_structure_hook_func(_is_mapping, _mapping)
    converter.register_structure_hook_func(_is_object, lambda value, _: value)
    converter.register_structure_hook_func(_is_optional, _optional)
    converter.register_structure_hook_factory(dataclasses.is_dataclass, _dataclass)
    return converter


def _dataclass(config: Any) -> Any:
    inner = make_dict_structure_fn(config, _CONVERTER, _cattrs_forbid_extra_keys=True)

    def hook(value: object, target: Any) -> Any:
        if not isinstance(value, Mapping):
            raise TypeError(f"must be a table, not {_kind_of(value)}")
        return inner(value, target)

    return hook


def _is_object(target: Any) -> bool:
    return target is object or target is Any


def _is_optional(target: Any) -> bool:
    members = typing.get_args(target)
    union = typing.get_origin(target) in (typing.Union, types.UnionType)
    return union and len(members) == 2 and type(None) in members


def _optional(value: object, target: Any) -> Any:
    (member,) = (arg for arg in typing.get_args(target) if arg is not type(None))
    return None if value is None else _CONVERTER.structure(value, member)


def _is_literal(target: Any) -> bool:
    return typing.get_origin(target) is typing.Literal


def _literal(value: object, target: Any) -> Any:
    known = typing.get_args(target)
    if not any(type(value) is type(one) and value == one for one in known):
        shown = f'"{value}"' if isinstance(value, str) else _kind_of(value)
        raise ValueError(f"must be one of {', '.join(json.dumps(one) for one in known)}, not {shown}")
    return value


def _is_array(target: Any) -> bool:
    return typing.get_origin(target) in (tuple, frozenset)


def _array(value: object, target: Any) -> Any:
    # cattrs would take a string for an array of its characters.
    if not isinstance(value, list | tuple):
        raise TypeError(f"must be an array, not {_kind_of(value)}")
    array: Any = types.GenericAlias(list, typing.get_args(target)[:1])
    return typing.get_origin(target)(_CONVERTER.structure(list(value), array))


def _is_mapping(target: Any) -> bool:
    return typing.get_origin(target) in (Mapping,)


def _mapping(value: object, target: Any) -> Any:
    if not isinstance(value, Mapping):
        raise TypeError(f"must be a table, not {_kind_of(value)}")
    table: Any = types.GenericAlias(dict, typing.get_args(target))
    return _CONVERTER.structure(dict(value), table)


def _kind_of(value: object) -> str:
    nouns = {
        str: "a string",
        bool: "a boolean",
        int: "an integer",
        float: "a number",
        list: "an array",
        dict: "a table",
    }
    return nouns.get(type(value), type(value).__name__)


def _faults(error: BaseException, where: str) -> list[str]:
    """One line for each leaf of cattrs' tree of errors."""
    if isinstance(error, cattrs.BaseValidationError):
        config = error.cl
        return [fault for inner in error.exceptions for fault in _faults(inner, where + _step(inner, config))]
    if isinstance(error, cattrs.ForbiddenExtraKeysError):
        known = ", ".join(sorted(f.name for f in dataclasses.fields(error.cl)))
        return [f'{where}: extra field "{name}"; known: {known}' for name in sorted(error.extra_fields)]
    if isinstance(error, KeyError):
        return [f"{where}: is missing"]
    if isinstance(error, ConfigError):
        return [where + (f".{fault}" if _PLACE.match(fault) else f": {fault}") for fault in error.faults]
    return [f"{where}: {error}"]


def _step(error: BaseException, config: Any) -> str:
    """The part of the path that a note of cattrs on ``error`` adds."""
    for note in getattr(error, "__notes__", ()):
        if isinstance(note, cattrs.AttributeValidationNote):
            return f".{note.name}"
        if isinstance(note, cattrs.IterableValidationNote):
            return f"[{note.index}]" if isinstance(note.index, int) else f".{note.index}"
    return ""


_CONVERTER = _converter()
