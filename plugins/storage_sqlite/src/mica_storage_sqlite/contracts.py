"""The SQLite store keeps the contract of every store, and of those that tell all that is revoked."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from mica import Store
from mica.testing.contexts import Clock, make_context
from mica.testing.store import StoreContract
from mica.testing.store_revocations import RevocationListContract
from mica_storage_sqlite import SQLiteConfig, SQLiteStore


class TestSQLiteStore(StoreContract, RevocationListContract):
    """Its records are in the file ``db/mica.db`` of the folder that it is given."""

    @asynccontextmanager
    async def open_store(self, directory: Path) -> AsyncIterator[Store]:
        store = SQLiteStore(SQLiteConfig(), make_context(Clock(), directory))
        await store.start()
        try:
            yield store
        finally:
            await store.aclose()
