"""Requests that wait together travel in one transaction; and other habits of the SQLite store."""

import asyncio
import struct
from datetime import timedelta
from importlib.metadata import entry_points
from pathlib import Path

from mica.testing.contexts import Clock, make_context
from mica.testing.records import NOW, make_order, make_token
from mica_storage_sqlite import SQLiteConfig, SQLiteStore


async def build(directory: Path) -> SQLiteStore:
    store = SQLiteStore(SQLiteConfig(path=Path("mica.db")), make_context(Clock(), directory))
    await store.start()
    return store


def transactions(path: Path) -> int:
    """How many commits a write-ahead log has, by its file format (https://sqlite.org/fileformat2.html §4.1)."""
    log = path.read_bytes()
    (page_size,) = struct.unpack(">8xI20x", log[:32])
    frames = [log[start : start + 24] for start in range(32, len(log), 24 + page_size)]
    salt = log[16:24]
    return sum(struct.unpack(">4xI16x", frame)[0] > 0 for frame in frames if frame[8:16] == salt)


async def test_requests_that_wait_together_share_a_transaction(tmp_path: Path) -> None:
    store = await build(tmp_path)
    await store.commit(make_order())
    before = transactions(tmp_path / "mica.db-wal")
    await asyncio.gather(*(store.commit(make_order()) for _ in range(200)))
    assert 1 <= transactions(tmp_path / "mica.db-wal") - before <= 20
    await store.aclose()


async def test_probing_leaves_nothing_in_the_log(tmp_path: Path) -> None:
    store = await build(tmp_path)
    await store.commit(make_order())
    before = (tmp_path / "mica.db-wal").read_bytes()
    await store.probe()
    assert (tmp_path / "mica.db-wal").read_bytes() == before
    await store.aclose()


async def test_pruning_by_a_clock_that_runs_years_ahead_refuses_no_later_token(tmp_path: Path) -> None:
    store = await build(tmp_path)
    await store.commit(make_order(spends=(make_token(until=NOW + timedelta(minutes=5)),)))
    assert await store.prune(NOW + timedelta(days=36_500)) == 1
    later = make_token(until=NOW + timedelta(minutes=6))
    assert not await store.is_spent(later)
    await store.commit(make_order(spends=(later,)))
    await store.aclose()


async def test_a_store_can_be_opened_again_after_it_was_closed(tmp_path: Path) -> None:
    store = await build(tmp_path)
    await store.aclose()
    await store.start()
    await store.start()
    await store.commit(make_order())
    await store.aclose()


def test_the_entry_point_offers_one_kind_of_store() -> None:
    (entry,) = entry_points(group="mica", name="storage_sqlite")
    (kind,) = entry.load().register_stores()
    assert (kind.name, kind.config, kind.build) == ("storage_sqlite", SQLiteConfig, SQLiteStore)
