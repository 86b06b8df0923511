"""The JSON Schema (2020-12) of what ``mica.structuring`` reads, from the same dataclasses: for editors.

It says what a table may hold. What values must have to do with each other, the dataclasses check when they are made;
no schema says that.
"""

import dataclasses
import types
import typing
from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from mica import pins
from mica.config import CoreConfig, ProvisionerConfig, SignerConfig, SSHSignerConfig
from mica.durations import PATTERN as DURATION
from mica.errors import ConfigError
from mica.roles import Kind
from mica.structuring import unstructure

Schema = dict[str, Any]
DIALECT = "https://json-schema.org/draft/2020-12/schema"
_REMEDY = (
    "take str, int, bool, float, timedelta, Path, Literal[…], tuple[X, ...], frozenset[X], Mapping[str, X], "
    "a frozen dataclass, or one of them | None"
)
_PLAIN: dict[Any, Schema] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    bool: {"type": "boolean"},
    float: {"type": "number"},
    timedelta: {"type": "string", "pattern": DURATION, "maxLength": 64},
    Path: {"type": "string", "minLength": 1},
    object: {},
    Any: {},
}


def of_type(target: Any) -> Schema:
    """What a value must be that ``structure`` reads as ``target``; raises TypeError for what it does not read, and
    ConfigError where that is a field of a dataclass.
    """
    if target in _PLAIN:
        return dict(_PLAIN[target])
    if dataclasses.is_dataclass(target):
        return of_table([typing.cast(type[Any], target)])
    origin, arguments = typing.get_origin(target), typing.get_args(target)
    if origin is typing.Literal:
        return {"enum": list(arguments)}
    if origin is frozenset or (origin is tuple and arguments[1:] == (...,)):
        return {"type": "array", "items": of_type(arguments[0])}
    if origin is Mapping:
        return {"type": "object", "additionalProperties": of_type(arguments[1])}
    if origin in (typing.Union, types.UnionType) and len(arguments) == 2 and type(None) in arguments:
        return of_type(next(one for one in arguments if one is not type(None)))  # TOML has no null
    raise TypeError(f"{_spelled(target)} is no type that a table can hold; {_REMEDY}")


def of_table(configs: Iterable[type[Any]], **more: Schema) -> Schema:
    """What a table must hold that several dataclasses share, each its own fields; ``more`` may stand there too.

    The field of an earlier dataclass hides one of its name in a later one. Raises ConfigError for a field of a type
    that is never read.
    """
    properties: dict[str, Schema] = {}
    required: list[str] = []
    for config in configs:
        hints = _hints(config)
        for field in dataclasses.fields(config):
            if field.name not in properties:
                properties[field.name] = _of_field(config, field, hints[field.name])
                if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
                    required.append(field.name)
    table: Schema = {"type": "object", "properties": properties | more, "additionalProperties": False}
    return table | ({"required": required} if required else {})


def of_configuration(kinds: Mapping[str, Iterable[Kind[Any]]]) -> Schema:
    """What ``ca.toml`` may say where plugins offer these ``kinds``, by hook."""
    extensions = tuple(kinds.get("register_extensions", ()))
    at_provisioners = {one.name: of_type(one.provisioners) for one in extensions if one.provisioners is not None}
    core = of_table([CoreConfig])
    members = core["properties"]
    members["plugins"]["items"] = {"type": "string", "pattern": pins.PATTERN}
    members["store"] |= _one_of(kinds.get("register_stores", ()), ())
    members["signers"] |= {
        "required": ["x509"],
        "properties": {"ssh": _one_of(kinds.get("register_ssh_signers", ()), (SSHSignerConfig,))},
        "additionalProperties": _one_of(kinds.get("register_x509_signers", ()), (SignerConfig,)),
    }
    members["keys"] |= _by_kind(kinds.get("register_key_backends", ()))
    members["plugin"] |= _by_kind(extensions)
    provisioners = kinds.get("register_provisioners", ())
    members["provisioners"]["items"] = _one_of(provisioners, (ProvisionerConfig,), **at_provisioners)
    return {"$schema": DIALECT, "title": "ca.toml", **core}


def _hints(config: type[Any]) -> dict[str, Any]:
    """The types of its fields; raises ConfigError where an annotation can only be read by a type checker."""
    try:
        return typing.get_type_hints(config)
    except (NameError, TypeError) as error:
        place = f"{config.__module__}.{config.__qualname__}"
        raise ConfigError(
            [f"{place}: its annotations cannot be read: {error}; import their types at run time"]
        ) from error


def _spelled(target: Any) -> str:
    return target.__name__ if isinstance(target, type) and not typing.get_args(target) else str(target)


def _of_field(config: type[Any], field: "dataclasses.Field[Any]", hint: Any) -> Schema:
    try:
        schema = of_type(hint)
    except TypeError as error:
        raise ConfigError([f"{config.__module__}.{config.__qualname__}.{field.name}: {error}"]) from error
    if text := field.metadata.get("help"):
        schema["description"] = text
    default = field.default
    if default is dataclasses.MISSING and field.default_factory is not dataclasses.MISSING:
        default = field.default_factory()
    if default is not dataclasses.MISSING and default is not None:
        schema["default"] = unstructure(default)
    return schema


def _one_of(kinds: Iterable[Kind[Any]], common: tuple[type[Any], ...], **more: Schema) -> Schema:
    """A table that is one of the kinds, told by its ``type``, and holds what ``common`` has besides."""
    tables = []
    for kind in kinds:
        table = of_table([*common, kind.config], **more)
        table["properties"] = {"type": _named(kind.name)} | {
            name: schema for name, schema in table["properties"].items() if name != "type"
        }
        table["required"] = list(dict.fromkeys(["type", *table.get("required", ())]))
        table["title"] = kind.name
        tables.append(table)
    return {"type": "object", "oneOf": tables} if tables else {"not": {}}


def _named(name: str) -> Schema:
    """The value of ``type`` that means the kind: its name, in any case where it has none itself."""
    described = {"description": f"{name}: the kind of it"}
    if name != name.lower():
        return {"const": name, **described}
    either = "".join(f"[{letter}{letter.upper()}]" if letter.isalpha() else f"[{letter}]" for letter in name)
    return {"anyOf": [{"const": name}, {"type": "string", "pattern": f"^{either}$"}], **described}


def _by_kind(kinds: Iterable[Kind[Any]]) -> Schema:
    """Tables by the names of their kinds."""
    return {"properties": {kind.name: of_type(kind.config) for kind in kinds}, "additionalProperties": False}
