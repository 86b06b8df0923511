"""What goes wrong with files and disks is said plainly, recorded by nobody, and survived."""

import asyncio
import fcntl
import os
import re
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

import mica_storage_sqlite.writer
from mica import Query, Unavailable
from mica.testing.contexts import Clock, make_context
from mica.testing.records import NOW, make_issuance, make_order
from mica.testing.store_faults import small_disk
from mica.testing.store_place import is_whole
from mica_storage_sqlite import SQLiteConfig, SQLiteStore

CONFIG = SQLiteConfig(path=Path("mica.db"), busy_timeout=timedelta(milliseconds=100))


def build(directory: Path, config: SQLiteConfig = CONFIG) -> SQLiteStore:
    return SQLiteStore(config, make_context(Clock(), directory))


@asynccontextmanager
async def opened(directory: Path) -> AsyncIterator[SQLiteStore]:
    store = build(directory)
    await store.start()
    try:
        yield store
    finally:
        await store.aclose()


async def test_a_full_disk_is_named_and_the_remedy(tmp_path: Path) -> None:
    with small_disk(tmp_path) as place:
        async with opened(place) as store:
            await store.commit(make_order())
            (place / "ballast").write_bytes(bytes(shutil.disk_usage(place).free - 20_000))
            with pytest.raises(Unavailable, match=r"mica\.db .*: .*(disk|space)"):
                await store.commit(make_order(issuances=(make_issuance(certificate=bytes(100_000)),)))
            with pytest.raises(Unavailable, match="almost full: free some space"):
                await store.probe()


async def test_a_locked_database_refuses_and_then_works_again(tmp_path: Path) -> None:
    order = make_order()
    async with opened(tmp_path) as store:
        stranger = sqlite3.connect(tmp_path / "mica.db", isolation_level=None)
        stranger.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match=r"mica\.db is locked by another process .*: end the program"):
            await store.commit(order)
        with pytest.raises(Unavailable):
            await store.probe()
        assert not await is_whole(store, order)
        stranger.execute("ROLLBACK")
        stranger.close()
        await store.commit(order)
        assert await is_whole(store, order)


async def test_a_process_that_never_ends_its_write_is_waited_for_only_so_long(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        for _ in range(3):
            descriptor = os.open(tmp_path, os.O_RDONLY)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            for _ in range(2):
                with pytest.raises(Unavailable, match="is locked by another process"):
                    await store.commit(make_order())
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            await asyncio.sleep(0.05)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # nobody holds it for nothing
            os.close(descriptor)
            await store.commit(make_order())


async def test_closing_does_not_wait_for_a_process_that_never_ends_its_write(tmp_path: Path) -> None:
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    async with opened(tmp_path) as store:
        descriptor = os.open(tmp_path, os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with pytest.raises(Unavailable, match="is locked by another process"):
            await store.commit(make_order())
        await store.aclose()
        os.close(descriptor)
    await asyncio.sleep(0.05)
    assert len(list(Path("/proc/self/fd").iterdir())) <= descriptors


async def test_a_damaged_file_refuses_until_it_is_restored(tmp_path: Path) -> None:
    path, order = tmp_path / "mica.db", make_order()
    async with opened(tmp_path) as store:
        await store.commit(order)
    good = path.read_bytes()
    async with opened(tmp_path) as store:
        path.write_bytes(good[:4096] + b"\xa5" * (len(good) - 4096))
        with pytest.raises(Unavailable, match=r"mica\.db is damaged .*: stop the authority and restore"):
            await store.commit(make_order())
        with pytest.raises(Unavailable, match="is damaged"):
            await store.find(order.issuances[0].id)
        with pytest.raises(Unavailable, match="is damaged"):
            await store.search(Query(now=NOW))
        path.write_bytes(good)
        await store.commit(make_order())
        assert await is_whole(store, order)


async def test_a_file_that_was_replaced_is_not_written_to(tmp_path: Path) -> None:
    path, order = tmp_path / "mica.db", make_order()
    async with opened(tmp_path) as store:
        await store.commit(order)
        path.rename(tmp_path / "elsewhere.db")
        with pytest.raises(Unavailable, match="cannot be reached"):
            await store.commit(make_order())
        shutil.copy(tmp_path / "elsewhere.db", path)
        with pytest.raises(Unavailable, match="has been replaced: restart the authority"):
            await store.commit(make_order())
        (tmp_path / "elsewhere.db").rename(path)
        await store.commit(make_order())
        assert await is_whole(store, order)


async def test_more_than_a_bounded_number_waiting_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mica_storage_sqlite.writer, "MOST_WAITING", 50)
    async with opened(tmp_path) as store:
        stranger = sqlite3.connect(tmp_path / "mica.db", isolation_level=None)
        stranger.execute("BEGIN IMMEDIATE")
        tasks = [asyncio.ensure_future(store.commit(make_order())) for _ in range(200)]
        await asyncio.sleep(0.02)
        refused = [task.exception() for task in tasks if task.done()]
        assert len(refused) >= 100
        assert all(re.search("50 requests waiting: try again later", str(error)) for error in refused)
        stranger.execute("ROLLBACK")
        stranger.close()
        await asyncio.gather(*tasks, return_exceptions=True)
        await store.commit(make_order())
