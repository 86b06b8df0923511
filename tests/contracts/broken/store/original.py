"""The suites of the SQLite store, and the same turned on another store."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ClassVar

from mica import (
    Store,
)
from mica.testing.contexts import Clock, make_context
from mica_storage_sqlite import SQLiteConfig, SQLiteStore
from mica_storage_sqlite.contracts import TestSQLiteStore


class Broken(TestSQLiteStore):
    """The suite of the plugin, turned on another store."""

    Store: ClassVar[type[SQLiteStore]]

    @asynccontextmanager
    async def open_store(self, directory: Path) -> AsyncIterator[Store]:
        store = self.Store(SQLiteConfig(), make_context(Clock(), directory))
        await store.start()
        try:
            yield store
        finally:
            await store.aclose()
