"""Connections to the database file."""

import sqlite3
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

from mica import ConfigError
from mica_storage_sqlite.faults import translated
from mica_storage_sqlite.files import FolderLock, guard, make
from mica_storage_sqlite.schema import migrate, version

#: STRICT tables (https://sqlite.org/stricttables.html) need it.
OLDEST_SQLITE = (3, 37, 0)

# 16 MiB between checkpoints: pages that many transactions touch are then written back once.
_CHECKPOINT_PAGES = 4096
_WAL_BYTES_KEPT = 64 * 1024 * 1024


def connect(path: Path, busy_timeout: timedelta) -> sqlite3.Connection:
    """A connection to the database that exists at ``path``, outside any transaction, for one thread at a time.

    Commits reach the disk before they return: without ``synchronous = FULL`` the last of them could be lost in a
    power cut (https://sqlite.org/pragma.html#pragma_synchronous).
    """
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?mode=rw",
        uri=True,
        timeout=busy_timeout.total_seconds(),
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA trusted_schema = OFF")
        # Debian's SQLite overwrites what is deleted. Spent tokens are no secret.
        connection.execute("PRAGMA secure_delete = OFF")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES:d}")
        connection.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES_KEPT:d}")
    except BaseException:
        connection.close()
        raise
    return connection


def prepare(path: Path, busy_timeout: timedelta) -> None:
    """The database at ``path`` exists and has this version's tables; raises ConfigError or Unavailable.

    Several processes may do this at once. A database that is as it should be is not written to.
    """
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise ConfigError([f"store: SQLite is {sqlite3.sqlite_version}, and 3.37 is needed: use a newer Python"])
    with translated(path):
        make(path)
        guard(path)
        lock = FolderLock(path.parent, busy_timeout)
        try:
            with lock.held():
                _bring_up_to_date(path, busy_timeout)
        finally:
            lock.close()


def _bring_up_to_date(path: Path, busy_timeout: timedelta) -> None:
    connection = connect(path, busy_timeout)
    try:
        version(connection, path)  # refuses a stranger's database before anything in it is changed
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchall()[0]
        if mode != "wal":
            raise ConfigError([f"store.path: {path} cannot have a write-ahead log there: put it on a local disk"])
        connection.execute("BEGIN IMMEDIATE")
        migrate(connection, path)
        connection.execute("COMMIT")
    finally:
        connection.close()
