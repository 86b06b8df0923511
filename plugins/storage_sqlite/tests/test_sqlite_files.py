"""Which file becomes the database: made for its owner alone, brought up to date, or refused with the remedy."""

import asyncio
import os
import shutil
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

import mica_storage_sqlite.schema
from mica import AlreadyRevoked, CertificateKind, Commit, ConfigError, Query, Status, Unavailable
from mica.testing.contexts import Clock, make_context
from mica.testing.records import NOW, make_id, make_order, make_revocation, make_token
from mica.testing.store_place import is_whole
from mica_storage_sqlite import SQLiteConfig, SQLiteStore

CONFIG = SQLiteConfig(path=Path("mica.db"), busy_timeout=timedelta(milliseconds=100))
NOBODY = 65534


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


@contextmanager
def unprivileged() -> Iterator[Path]:
    """A folder of an ordinary user, who we are meanwhile: root may write to everything."""
    folder = Path(tempfile.mkdtemp(prefix="mica-"))
    root = os.geteuid() == 0
    if root:
        os.chown(folder, NOBODY, NOBODY)
        os.seteuid(NOBODY)
    try:
        yield folder
    finally:
        folder.chmod(0o700)
        if root:
            os.seteuid(0)
        shutil.rmtree(folder)


async def test_a_file_that_is_no_database_is_refused_untouched(tmp_path: Path) -> None:
    path = tmp_path / "mica.db"
    path.write_bytes(b"these are my notes\n" * 100)
    path.chmod(0o600)
    with pytest.raises(Unavailable, match=r"is not a database .*: restore it from a backup, or name another file"):
        await build(tmp_path).start()
    assert path.read_bytes() == b"these are my notes\n" * 100


async def test_the_database_of_another_program_is_refused_untouched(tmp_path: Path) -> None:
    path = tmp_path / "mica.db"
    stranger = sqlite3.connect(path)
    stranger.execute("CREATE TABLE bookmarks (url TEXT)")
    stranger.close()
    path.chmod(0o600)
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=r"store.path: .* is the database of another program: name a new file"):
        await build(tmp_path).start()
    assert path.read_bytes() == before


async def test_a_newer_schema_is_refused_untouched(tmp_path: Path) -> None:
    path = tmp_path / "mica.db"
    async with opened(tmp_path):
        pass
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=r"has schema version 99, and this mica knows .*: run the version of mica"):
        await build(tmp_path).start()
    assert path.read_bytes() == before


async def test_an_older_schema_is_brought_up_to_date_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order = make_order()
    async with opened(tmp_path) as store:
        await store.commit(order)
    migrations = (*mica_storage_sqlite.schema.MIGRATIONS, ("ALTER TABLE pruned ADD COLUMN note TEXT",))
    monkeypatch.setattr(mica_storage_sqlite.schema, "MIGRATIONS", migrations)
    for _ in range(2):
        async with opened(tmp_path) as store:
            assert await is_whole(store, order)
    connection = sqlite3.connect(tmp_path / "mica.db")
    assert connection.execute("PRAGMA user_version").fetchone() == (len(migrations),)
    connection.close()


def _written_by_version_1(folder: Path) -> None:
    """A database as the version of mica before SSH left it, from ``sqlite3 mica.db .dump``."""
    path = folder / "mica.db"
    connection = sqlite3.connect(path)
    connection.executescript(Path(__file__).with_name("version_1.sql").read_text())
    connection.close()
    path.chmod(0o600)


async def test_what_the_first_version_wrote_is_found_by_this_one(tmp_path: Path) -> None:
    _written_by_version_1(tmp_path)
    async with opened(tmp_path):
        pass
    async with opened(tmp_path) as store:
        for conditions, serials in (
            ({}, [3, 2, 2, 1]),
            ({"name": "svc.example"}, [3, 2, 2, 1]),
            ({"name": "svc.example", "kind": CertificateKind.X509}, [2, 2, 1]),
            ({"name": "svc.example", "issuers": (b"\x01" * 32,)}, [2, 1]),
            ({"name": "alice@example.com"}, []),
            ({"subject": "alice@example.com"}, [3]),
            ({"subject": "svc.example"}, [2, 1]),
            ({"status": Status.REVOKED}, [2]),
            ({"kind": CertificateKind.SSH, "expires_after": NOW}, [3]),
            ({"expires_after": NOW + timedelta(days=7)}, [2]),
        ):
            rows = (await store.search(Query(now=NOW, **conditions))).rows
            assert [row.issuance.id.serial_number for row in rows] == serials, conditions
        listed = await store.revocations(CertificateKind.X509, b"\x01" * 32)
        assert [revocation.id.serial_number for revocation in listed] == [2, 127, 200, 256, 2**70]
        assert await store.is_spent(make_token(id="spent"))
        assert rows[0].issuance.replaces == replace(listed[0].id, serial_number=1)
        await store.commit(make_order(revocations=(make_revocation(make_id()),)))
        await store.commit(Commit(revocations=(make_revocation(make_id(issuer=b"\x02" * 32)),)))
        with pytest.raises(AlreadyRevoked):
            await store.commit(Commit(revocations=(listed[0],)))
    connection = sqlite3.connect(tmp_path / "mica.db")
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()


async def test_a_database_brought_up_to_date_has_the_tables_of_a_new_one(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    _written_by_version_1(tmp_path)
    schemas = []
    for folder in (tmp_path, tmp_path / "new"):
        async with opened(folder):
            connection = sqlite3.connect(folder / "mica.db")
            rows = connection.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY name").fetchall()
            connection.close()
        schemas.append([(kind, name, " ".join(str(sql).replace('"', "").split())) for kind, name, sql in rows])
    assert schemas[0] == schemas[1]


async def test_a_migration_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(tmp_path):
        pass
    migrations = (*mica_storage_sqlite.schema.MIGRATIONS, ("CREATE TABLE new (id)", "CREATE TABLE pruned (id)"))
    with monkeypatch.context() as patch:
        patch.setattr(mica_storage_sqlite.schema, "MIGRATIONS", migrations)
        with pytest.raises(Unavailable):
            await build(tmp_path).start()
    async with opened(tmp_path) as store:
        await store.commit(make_order())


async def test_many_processes_may_make_the_database_at_once(tmp_path: Path) -> None:
    stores = [build(tmp_path, SQLiteConfig()) for _ in range(8)]
    await asyncio.gather(*(store.start() for store in stores))
    orders = [make_order() for _ in stores]
    await asyncio.gather(*(store.commit(order) for store, order in zip(stores, orders, strict=True)))
    assert all([await is_whole(stores[0], order) for order in orders])
    await asyncio.gather(*(store.aclose() for store in stores))


async def test_folder_and_files_are_closed_to_everybody_else(tmp_path: Path) -> None:
    mask = os.umask(0)
    try:
        store = build(tmp_path, SQLiteConfig(path=Path("new/db/mica.db")))
        await store.start()
        await store.commit(make_order())
    finally:
        os.umask(mask)
    folder = tmp_path / "new" / "db"
    assert {oct(path.stat().st_mode & 0o777) for path in (folder, folder.parent)} == {"0o700"}
    assert {path.name: oct(path.stat().st_mode & 0o777) for path in folder.iterdir()} == dict.fromkeys(
        ("mica.db", "mica.db-wal", "mica.db-shm"), "0o600"
    )
    await store.aclose()


@pytest.mark.parametrize("mode", [0o666, 0o620, 0o604])
async def test_a_file_that_others_can_write_or_read_is_refused(tmp_path: Path, mode: int) -> None:
    async with opened(tmp_path):
        pass
    (tmp_path / "mica.db").chmod(mode)
    with pytest.raises(ConfigError, match=rf"must be closed to others \(mode {mode:04o}\): chmod 600"):
        await build(tmp_path).start()


async def test_a_folder_that_others_can_write_to_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(ConfigError, match=r"others may replace files in .*: chmod o-w"):
        await build(tmp_path).start()


@pytest.mark.parametrize("mode", [0o400, 0o000])
async def test_a_file_without_access_is_named_with_the_remedy(mode: int) -> None:
    with unprivileged() as folder:
        async with opened(folder):
            pass
        (folder / "mica.db").chmod(mode)
        store = build(folder)
        with pytest.raises(ConfigError, match=r"must be open to the authority's user: chown .* chmod 600"):
            await store.start()
        (folder / "mica.db").chmod(0o600)
        await store.start()
        await store.commit(make_order())
        await store.aclose()


async def test_a_folder_that_cannot_be_made_is_named_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "db").write_text("in the way")
    with pytest.raises(Unavailable, match=r"db/mica\.db cannot be reached .*: see its folder"):
        await build(tmp_path, SQLiteConfig()).start()


async def test_building_a_store_touches_nothing(tmp_path: Path) -> None:
    store = build(tmp_path)
    with pytest.raises(Unavailable, match="is not open: start it first"):
        await store.commit(make_order())
    await store.aclose()
    assert list(tmp_path.iterdir()) == []
