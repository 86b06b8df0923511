"""The store of a mica certificate authority in one SQLite file: ``[store] type = "storage_sqlite"``."""

from collections.abc import Iterable

from mica import Kind, Store, hookimpl, kind
from mica_storage_sqlite.store import SQLiteConfig, SQLiteStore

__all__ = ["SQLiteConfig", "SQLiteStore"]


@hookimpl
def register_stores() -> Iterable[Kind[Store]]:
    """The one kind of store that this plugin offers."""
    return [kind("storage_sqlite", SQLiteConfig, SQLiteStore)]
