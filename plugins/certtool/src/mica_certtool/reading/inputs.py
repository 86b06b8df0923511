"""What a command reads: a file or stdin, fit to be parsed, and how messages call it."""

import sys
from typing import TYPE_CHECKING

from mica.cli import kit
from mica.cli.kit import Usage, read_input

if TYPE_CHECKING:
    from pathlib import Path

_UTF8_MARK, _UTF16_MARKS = b"\xef\xbb\xbf", (b"\xff\xfe", b"\xfe\xff")


def place(source: "str | Path | None") -> str:
    """How messages call ``source``: nothing and ``-`` are stdin."""
    return "stdin" if source is None or str(source) == "-" else str(source)


def read(
    source: "str | Path | None", what: str, *, hint: str = "name a file, or - and write to stdin"
) -> tuple[bytes, str]:
    """The octets at ``source``, and how messages call it. Nobody waits for ``what`` at a terminal that was not named.

    Raises FileProblem, Usage.
    """
    if source is None and sys.stdin is not None and sys.stdin.isatty():
        raise Usage(f"there is no {what} on stdin", hint=hint)
    return read_input("-" if source is None else source), place(source)


def cleaned(data: bytes, where: str, *wanted: str) -> bytes:
    """``data`` without the mark that Windows' editors write; raises FileProblem when nothing is left, or UTF-16."""
    rest = data.removeprefix(_UTF8_MARK)
    if not rest.strip() or data.startswith(_UTF16_MARKS):
        raise kit.mistaken(data, where, *wanted)
    return rest
