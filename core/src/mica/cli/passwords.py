"""Passwords: from a file, from stdin, from a descriptor, or from whoever sits at the terminal. Never an argument."""

import codecs
import os
import sys

from mica.cli import console, files
from mica.cli.errors import FileProblem

_MAX_PASSWORD = 1 << 16


def from_source(source: str) -> bytes:
    """The password in ``source``: a file, ``-`` for stdin, ``fd:N`` for an open descriptor.

    White space at its end is cut, and the mark that Windows' editors put before UTF-8. Raises FileProblem when it
    cannot be read, is empty, or is UTF-16.
    """
    if source == "-" and sys.stdin is not None and sys.stdin.isatty():
        raise FileProblem("-: stdin is a terminal", hint="leave the flag out to be asked without the password showing")
    data = _descriptor(source) if source.startswith("fd:") else files.read_input(source)
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise FileProblem(f"{source}: is UTF-16 text, and its octets are not what was typed", hint="save it as UTF-8")
    password = data.removeprefix(codecs.BOM_UTF8).rstrip()
    if not password:
        raise FileProblem(f"{source}: holds no password", hint="a password cannot be empty")
    if len(password) > _MAX_PASSWORD:
        raise FileProblem(f"{source}: is too large for a password")
    return password


def password(source: str | None, label: str, *, flag: str, new: bool = False) -> bytes:
    """The password from ``source``, or the answer to ``label``; ``flag`` is what would have named a source."""
    return from_source(source) if source else console.ask_password(label, flag=flag, new=new)


def given(source: str | None) -> bytes | None:
    """The password that a flag names the source of, read now, before anybody is asked for anything."""
    return from_source(source) if source is not None else None


def _descriptor(source: str) -> bytes:
    number = source.removeprefix("fd:")
    if not number.isascii() or not number.isdigit():
        raise FileProblem(f"{source}: is not a descriptor such as fd:3")
    try:
        with os.fdopen(os.dup(int(number)), "rb") as stream:
            return stream.read(_MAX_PASSWORD + 2)
    except (OSError, OverflowError) as error:
        raise FileProblem(f"{source}: cannot be read: {files.reason(error)}") from error
