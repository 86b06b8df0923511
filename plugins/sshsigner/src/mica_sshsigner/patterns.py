"""The operator's own pieces of configuration, sent behind the usual ones: a text with ``${Variables}`` in it.

``${Name}`` stands for what the client sends, ``${Name:-word}`` for ``word`` where it sends nothing, and ``$${`` for
``${`` itself. There are no conditions and no loops: whatever is in the file is in the configuration.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mica import ConfigError, Context
from mica_sshsigner.templates import Rendered
from mica_sshsigner.variables import Variables

_TYPES = ("snippet", "prepend-line", "file")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_PLACE = re.compile(
    r"\$(?P<literal>\$\{)|\$\{(?P<name>[A-Za-z][A-Za-z0-9_]*)(?::-(?P<default>[^{}\n]*))?\}|(?P<odd>\$\{)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PatternSettings:
    """One of ``[[plugin.sshsigner.user_templates]]`` or ``host_templates``."""

    name: str = field(metadata={"help": "What clients show, such as bastion.tpl"})
    type: str = field(
        metadata={"help": "snippet, between two marks in the file; prepend-line, at its top; file, the whole"}
    )
    path: str = field(metadata={"help": "The client's file: absolute, below ~/, ${STEPPATH}/, or its own folder"})
    file: Path = field(metadata={"help": "The text to send, in which ${Name} and ${Name:-word} stand for --set Name=…"})

    def faults(self) -> Iterator[str]:
        """What keeps a client from using it."""
        if not _NAME.fullmatch(self.name):
            yield "name: must be letters, digits and . _ -"
        if self.type not in _TYPES:
            yield f"type: must be one of {', '.join(_TYPES)}"
        if not self.path or not self.path.isprintable() or ".." in self.path.split("/") or self.path.endswith("/"):
            yield "path: must name a file, without .. or control characters"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """A piece of configuration with places for variables."""

    name: str
    type: str
    path: str
    text: str

    def render(self, variables: Variables) -> Rendered:
        """The piece for these variables; raises MalformedRequest that names the variable which is missing or wrong."""
        content = _PLACE.sub(lambda place: _value(place, variables), self.text)
        return Rendered(name=self.name, type=self.type, path=self.path, content=content)


def read_patterns(
    context: Context, setting: str, tables: Iterable[PatternSettings], taken: Iterable[str]
) -> tuple[Pattern, ...]:
    """The operator's pieces, none named as one of ``taken``; raises ConfigError with every fault below ``setting``."""
    names, patterns, faults = set(taken), [], []
    for index, table in enumerate(tables):
        found = list(table.faults())
        if table.name in names:
            found.append(f"name: {table.name} is taken; choose another")
        names.add(table.name)
        try:
            text = _read(context, table)
        except ConfigError as error:
            found += error.faults
        else:
            patterns.append(Pattern(name=table.name, type=table.type, path=table.path, text=text))
        faults += [f"{setting}[{index}].{fault}" for fault in found]
    if faults:
        raise ConfigError(faults)
    return tuple(patterns)


def render_all(patterns: Iterable[Pattern], data: Mapping[str, str]) -> tuple[Rendered, ...]:
    """Every piece for one client's ``data``; raises MalformedRequest."""
    variables = Variables(data)
    return tuple(pattern.render(variables) for pattern in patterns)


def _read(context: Context, table: PatternSettings) -> str:
    octets = context.read(context.directory / table.file)
    try:
        text = octets.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise ConfigError([f"file: {table.file}: is no text in UTF-8"]) from error
    if odd := next((place for place in _PLACE.finditer(text) if place["odd"]), None):
        number = text.count("\n", 0, odd.start()) + 1
        raise ConfigError([f"file: {table.file}: line {number}: ${{ must begin ${{Name}}; write $${{ for ${{ itself"])
    if table.type == "prepend-line" and "\n" in text.removesuffix("\n"):
        raise ConfigError([f"file: {table.file}: must be one line for prepend-line"])
    return text


def _value(place: re.Match[str], variables: Variables) -> str:
    if place["literal"]:
        return "${"
    return variables.plain(place["name"], default=place["default"])
