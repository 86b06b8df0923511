"""``ca.toml`` as text: something is added, changed or removed, and everything else stays as its operator wrote it.

tomlkit counts the comments above a table to the table before it. So the text is cut at the headers, tomlkit works on
one provisioner's piece alone, and what comes out is read again and compared with what was meant.
"""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import tomlkit

from mica.cli.errors import CLIError
from mica.pins import names

_KEY = "provisioners"
#: TOML's lexemes, as far as headers are to be told from what looks like one (https://toml.io/en/v1.0.0).
_LEXEME = re.compile(
    r'''"""(?:[^"\\]|\\.|"{1,2}(?!"))*"{3,5}'''  # the last two quotation marks may be content
    r"""|'''(?:[^']|'{1,2}(?!'))*'{3,5}"""
    r"""|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|\#[^\n]*|\n|[\[\]{}]|[^"'\#\n\[\]{}]+""",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class _Piece:
    """Where one provisioner stands in the text, its sub-tables included."""

    start: int
    end: int


def added(text: str, table: Mapping[str, Any]) -> str:
    """``text`` with a provisioner more, after the others; raises CLIError when that cannot be written."""
    expected = tomllib.loads(text)
    pieces = _pieces(text)
    if _KEY in expected and not pieces:
        document: Any = tomlkit.parse(text)
        document[_KEY].append(_item(table))
        result = tomlkit.dumps(document)
    else:
        element = tomlkit.table()
        for name, value in table.items():
            element.add(name, _item(value))
        array = tomlkit.aot()
        array.append(element)
        block = tomlkit.dumps({_KEY: array}).strip("\n") + "\n"
        result = _inserted(text, pieces[-1].end if pieces else len(text), block)
    expected.setdefault(_KEY, []).append(dict(table))
    return _verified(result, expected)


def enabled(text: str, plugins: Iterable[str]) -> str:
    """``text`` whose plugins are these besides; raises CLIError as ``added`` does."""
    expected = tomllib.loads(text)
    there = names(expected["plugins"])  # one that is pinned stays so
    new = [name for name in plugins if name not in there]
    document: Any = tomlkit.parse(text)
    for name in new:
        document["plugins"].append(name)
    return _verified(tomlkit.dumps(document), {**expected, "plugins": [*expected["plugins"], *new]})


def with_signer(text: str, name: str, table: Mapping[str, Any]) -> str:
    """``text`` with a signer more, after the others; raises CLIError as ``added`` does."""
    expected = tomllib.loads(text)
    headers = pairwise([*_headers(text), (len(text), {})])
    ends = [_end(text, start, following) for (start, header), (following, _) in headers if "signers" in header]
    element, signers = tomlkit.table(), tomlkit.table(is_super_table=True)
    element.update(table)
    signers.add(name, element)
    block = tomlkit.dumps({"signers": signers}).strip("\n") + "\n"
    expected["signers"] = {**expected["signers"], name: dict(table)}
    return _verified(_inserted(text, ends[-1] if ends else len(text), block), expected)


def removed(text: str, index: int) -> str:
    """``text`` without that provisioner; comments outside its table stay. Raises CLIError as ``added`` does."""
    expected = tomllib.loads(text)
    del expected[_KEY][index]
    pieces = _pieces(text)
    if not pieces:
        document: Any = tomlkit.parse(text)
        del document[_KEY][index]
        return _verified(tomlkit.dumps(document), expected)
    head, tail = text[: pieces[index].start], text[pieces[index].end :]
    if re.search(r"(^|\n)\r?\n$", head):  # one empty line is enough between what stands before and after
        tail = re.sub(r"^\r?\n", "", tail)
    if not expected[_KEY]:
        del expected[_KEY]
    return _verified(head + tail, expected)


def changed(text: str, index: int, table: Mapping[str, Any]) -> str:
    """``text`` with that provisioner's table saying what ``table`` says; raises CLIError as ``added`` does."""
    expected = tomllib.loads(text)
    expected[_KEY][index] = dict(table)
    pieces = _pieces(text)
    start, end = (pieces[index].start, pieces[index].end) if pieces else (0, len(text))
    document: Any = tomlkit.parse(text[start:end])
    _apply(document[_KEY][0 if pieces else index], table)
    return _verified(text[:start] + tomlkit.dumps(document) + text[end:], expected)


def _apply(item: MutableMapping[str, Any], table: Mapping[str, Any]) -> None:
    """``item`` says what ``table`` says; what is the same is not touched."""
    for name in [name for name in item if name not in table]:
        del item[name]
    for name, value in table.items():
        there = item.get(name)
        if isinstance(there, MutableMapping) and isinstance(value, Mapping):
            _apply(there, value)
        elif there is None or there != value:
            item[name] = _item(value)


def _item(value: Any) -> Any:
    """``value`` as TOML; a table stands in one line, as a value."""
    if not isinstance(value, Mapping):
        return tomlkit.item(list(value) if isinstance(value, tuple) else value)
    table = tomlkit.inline_table()
    for name, member in value.items():
        table.add(name, _item(member))
    return table


def _verified(text: str, expected: Mapping[str, Any]) -> str:
    try:
        if tomllib.loads(text) == expected:
            return text
    except tomllib.TOMLDecodeError:
        pass
    raise CLIError(
        "the way in which ca.toml lists its plugins, signers or provisioners is too unusual to be edited safely; "
        "edit it by hand"
    )


def _inserted(text: str, position: int, block: str) -> str:
    head, tail = text[:position], text[position:]
    if head and not head.endswith("\n"):
        head += "\n"
    if head.strip():
        block = "\n" + block
    return head + (block.replace("\n", "\r\n") if "\r\n" in text else block) + tail


def _pieces(text: str) -> list[_Piece]:
    """Where each ``[[provisioners]]`` stands, in their order; none when they are written as a value."""
    headers = [*_headers(text), (len(text), {})]
    pieces: list[_Piece] = []
    inside = False
    for (start, header), (following, _) in pairwise(headers):
        end = _end(text, start, following)
        if isinstance(header.get(_KEY), list):
            pieces.append(_Piece(start, end))
            inside = True
        elif _KEY in header and inside:
            pieces[-1] = _Piece(pieces[-1].start, end)
        else:
            inside = False
    return pieces


def _headers(text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each table's header: where its line starts, and what TOML makes of that line."""
    depth, line, fresh = 0, 0, True
    for match in _LEXEME.finditer(text):
        lexeme = match[0]
        if lexeme == "\n" and depth == 0:
            line, fresh = match.end(), True
        if lexeme.isspace() or lexeme.startswith("#"):
            continue
        if fresh and depth == 0 and lexeme == "[":
            yield line, tomllib.loads(text[line:].split("\n", 1)[0].strip())
        fresh = False
        depth += (lexeme in ("[", "{")) - (lexeme in ("]", "}"))


def _end(text: str, start: int, following: int) -> int:
    """Where the table from ``start`` ends: what stands after its last line and an empty one belongs to what follows.

    Without an empty line, the comments above the next header do.
    """
    lines = text[start:following].splitlines(keepends=True)
    last = max(number for number, line in enumerate(lines) if not _is_aside(line))
    trailing = lines[last + 1 :]
    blank = next((number for number, line in enumerate(trailing) if not line.strip()), None)
    if blank is None:
        blank = 0 if following < len(text) else len(trailing)
    return start + sum(map(len, lines[: last + 1 + blank]))


def _is_aside(line: str) -> bool:
    return not line.strip() or line.lstrip().startswith("#")
