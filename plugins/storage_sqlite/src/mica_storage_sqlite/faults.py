"""SQLite's errors as an operator can use them."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mica import MalformedRequest, MicaError, Unavailable

# By primary result code (https://sqlite.org/rescode.html): what is wrong, and the remedy.
_MEANINGS = {
    sqlite3.SQLITE_BUSY: ("is locked by another process", "end the program that holds it"),
    sqlite3.SQLITE_LOCKED: ("is locked by another process", "end the program that holds it"),
    sqlite3.SQLITE_FULL: ("does not fit on its disk", "free some space"),
    sqlite3.SQLITE_IOERR: ("cannot be read or written", "see whether its disk is full or failing"),
    sqlite3.SQLITE_READONLY: ("may not be written", "give the authority's user write access to it and to its folder"),
    sqlite3.SQLITE_PERM: ("may not be opened", "give the authority's user access to it and to its folder"),
    sqlite3.SQLITE_CANTOPEN: ("cannot be opened", "see whether it is there and the authority's user may open it"),
    sqlite3.SQLITE_NOTADB: ("is not a database", "restore it from a backup, or name another file"),
    sqlite3.SQLITE_CORRUPT: ("is damaged", "stop the authority and restore it from a backup"),
}
_UNKNOWN = ("does not answer", "see SQLite's own words")


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """What SQLite and the file system raise within becomes Unavailable, naming ``path`` and the remedy."""
    try:
        yield
    except MicaError:
        raise
    except sqlite3.Error as error:
        raise unavailable(path, error) from error
    except UnicodeEncodeError as error:
        raise unstorable(error) from error
    except OSError as error:
        raise Unavailable(f"the store {path} cannot be reached ({error.strerror}): see its folder") from error


def unavailable(path: Path, error: sqlite3.Error) -> Unavailable:
    """The message for ``error``, which concerns the database at ``path``."""
    code = getattr(error, "sqlite_errorcode", None)  # absent when Python's module raised it, not SQLite
    what, remedy = _UNKNOWN if code is None else _MEANINGS.get(code & 0xFF, _UNKNOWN)
    return Unavailable(f"the store {path} {what} ({error}): {remedy}")


def unstorable(error: UnicodeEncodeError) -> MalformedRequest:
    """The message for text that has no UTF-8 form: a lone surrogate, which JSON can smuggle in as ``\\ud800``."""
    return MalformedRequest(f"text must be valid Unicode, and {error.object[error.start]!r} is half a character")
