"""A search costs what it lists, not what is on record: SQLite's own plans and counts of its steps say so."""

import itertools
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mica import CertificateKind, Commit, MalformedRequest, Query, Status
from mica.testing.contexts import Clock, make_context
from mica.testing.records import NOW, make_id, make_issuance, make_order
from mica_storage_sqlite import SQLiteConfig, SQLiteStore
from mica_storage_sqlite.database import connect, prepare
from mica_storage_sqlite.ledger import Ledger
from mica_storage_sqlite.reader import Reader
from mica_storage_sqlite.rows import LIST_REVOCATIONS, listing_key
from mica_storage_sqlite.search import ISSUERS, WINDOW, plans

PATIENCE = timedelta(seconds=5)
DIGESTS = tuple(bytes([number]) * 32 for number in range(1, 4))
FILTERS: dict[str, Any] = {
    "kind": CertificateKind.X509,
    "issuers": DIGESTS,
    "name": "n7.example",
    "subject": "s7.example",
    "provisioner": "p1",
    "serial_number": 1 << 120,
    "expires_before": NOW,
    "expires_after": NOW,
    "status": Status.VALID,
}
# An hour between certificates' ends, so that a moment divides them; every tenth is revoked. One in a hundred is SSH,
# for users or for hosts; every user is "root".
FILL = """
    INSERT INTO issuers VALUES (1, 'x509', :one), (2, 'ssh', :two), (3, 'ssh', :three);
    INSERT INTO provisioners VALUES (1, 'p0'), (2, 'p1');
    INSERT INTO credentials VALUES (1, 1, 'JWK', 'k'), (2, 2, 'JWK', 'k');
    WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < :rows)
    INSERT INTO certificates SELECT n, 1 + (n % 100 = 1) + (n % 200 = 1), CAST(printf('%016d', n) AS BLOB),
        zeroblob(64), 1 + n % 2, 1 + n % 2, printf('s%d.example', n), printf('["n%d.example"]', n), 0,
        :now + (n - :rows / 2) * 3600000000, n, '', NULL, NULL FROM n;
    INSERT INTO names SELECT printf('n%d.example', id), issuer, id, 1 FROM certificates;
    INSERT INTO names SELECT subject, issuer, id, 0 FROM certificates;
    INSERT INTO names SELECT 'root', issuer, id, 1 FROM certificates WHERE issuer <> 3;
    INSERT INTO revocations SELECT NULL, issuer, serial, 0, 0, '', 1, '' FROM certificates WHERE id % 10 = 0;
"""


def fill(path: Path, rows: int) -> None:
    prepare(path, PATIENCE)
    connection = connect(path, PATIENCE)
    connection.execute("BEGIN")
    for statement in FILL.split(";\n"):
        values: dict[str, Any] = {"rows": rows, "now": int(NOW.timestamp()) * 1_000_000}
        values |= dict(zip(("one", "two", "three"), DIGESTS, strict=True))
        connection.execute(statement, {name: value for name, value in values.items() if f":{name}" in statement})
    connection.execute("COMMIT")
    connection.close()


def details(connection: sqlite3.Connection, query: Query) -> Iterator[str]:
    for plan in plans(query, connection.execute(ISSUERS).fetchall()):
        for row in connection.execute(f"EXPLAIN QUERY PLAN {plan.sql}", plan.parameters):
            yield row[3]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    paths = {rows: tmp_path_factory.mktemp("filled") / "mica.db" for rows in (20_000, 100_000)}
    for rows, path in paths.items():
        fill(path, rows)
    return paths


def test_no_combination_of_conditions_looks_at_every_certificate(filled: dict[int, Path]) -> None:
    connection = connect(filled[20_000], PATIENCE)
    for status in (None, *Status):
        for size in range(len(FILTERS)):
            for names in itertools.combinations([name for name in FILTERS if name != "status"], size):
                query = Query(now=NOW, status=status, **{name: FILTERS[name] for name in names})
                for detail in details(connection, query):
                    # The revocations are the candidates of "revoked"; issuers are a handful; page is the page.
                    scanned = detail.startswith("SCAN")
                    assert not scanned or detail.split()[1] in ("page", "v", "issuers", "CONSTANT"), (query, detail)
    connection.close()


#: What an SSH CA asks for, by its host key and the one before: the newest certificate of a host; all that are valid.
CHECK_HOST = Query(now=NOW, kind=CertificateKind.SSH, issuers=DIGESTS[1:], name="root", status=Status.VALID, limit=1)
HOSTS = Query(now=NOW, kind=CertificateKind.SSH, issuers=DIGESTS[1:], status=Status.VALID, limit=1000)


def test_the_newest_certificate_of_a_name_is_read_off_an_index_by_issuer(filled: dict[int, Path]) -> None:
    connection = connect(filled[20_000], PATIENCE)
    for issuers, runs in ((DIGESTS[1:], 2), (DIGESTS[2:], 1)):
        found = list(details(connection, replace(CHECK_HOST, issuers=issuers)))
        search = "SEARCH n USING PRIMARY KEY (name=? AND issuer=? AND certificate<?)"
        assert found.count(search) == runs
        page = found[: found.index("SCAN page")]
        assert not any("TEMP B-TREE" in detail for detail in page), "the page is sorted"
    connection.close()


def test_valid_certificates_of_an_issuer_are_read_off_an_index_by_issuer(filled: dict[int, Path]) -> None:
    connection = connect(filled[20_000], PATIENCE)
    assert "SEARCH c USING INDEX certificates_expiry (issuer=? AND not_after>?)" in details(connection, HOSTS)
    connection.close()


def test_revocations_are_read_off_an_index_in_order(filled: dict[int, Path]) -> None:
    connection = connect(filled[20_000], PATIENCE)
    key = listing_key(CertificateKind.SSH, DIGESTS[1], 7, 1000)
    found = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {LIST_REVOCATIONS}", key)]
    assert found[0] == "SEARCH r USING INDEX revocations_in_order (issuer=? AND (width,serial)>(?,?))"
    assert not any("SCAN" in detail or "TEMP B-TREE" in detail for detail in found)
    connection.close()


def test_more_issuers_than_can_be_merged_are_searched_all_the_same(tmp_path: Path) -> None:
    prepare(tmp_path / "mica.db", PATIENCE)
    connection = connect(tmp_path / "mica.db", PATIENCE)
    digests = [number.to_bytes(32) for number in range(600)]
    orders = [make_order(issuances=(make_issuance(id=make_id(issuer=digest), names=("a",)),)) for digest in digests]
    Ledger(connection).record(orders)
    connection.close()
    reader = Reader(tmp_path / "mica.db", PATIENCE)
    for issuers in ((), tuple(digests)):
        rows = reader.page(Query(now=NOW, name="a", issuers=issuers, limit=1000)).rows
        assert [row.issuance.id.issuer for row in rows] == digests[::-1]
    reader.close()


def steps(path: Path, query: Query) -> tuple[int, int]:
    """How many steps SQLite's machine takes for one page, in tens; and how many rows the page has."""
    reader, count = Reader(path, PATIENCE), itertools.count()
    reader.page(replace(query, limit=1))  # opens
    assert reader._connection is not None
    reader._connection.set_progress_handler(lambda: next(count) and None, 10)
    page = reader.page(query)
    reader.close()
    return next(count), len(page.rows)


@pytest.mark.parametrize(
    "conditions",
    [
        {},
        {"name": "n7.example"},
        {"subject": "s7.example"},
        {"provisioner": "p1"},
        {"provisioner": "none"},
        {"serial_number": int.from_bytes(b"0000000000000007")},
        {"status": Status.VALID},
        {"status": Status.REVOKED},
        {"kind": CertificateKind.X509},
        {"kind": CertificateKind.SSH, "limit": 10},
        {"expires_after": NOW},
        {"name": "root"},
        {"name": "root", "issuers": DIGESTS[2:]},
        {"name": "root", "issuers": DIGESTS, "limit": 1},
        {"name": "n7.example", "issuers": DIGESTS[:2]},
        {"subject": "s7.example", "kind": CertificateKind.SSH},
        {"issuers": DIGESTS[2:], "limit": 1},
    ],
    ids=str,
)
def test_a_page_takes_as_many_steps_among_100000_certificates_as_among_20000(
    filled: dict[int, Path], conditions: dict[str, Any]
) -> None:
    query = Query(now=NOW, **conditions)
    (small, small_rows), (large, large_rows) = (steps(path, query) for path in filled.values())
    assert small_rows == large_rows
    assert large <= small * 1.2 + 10


@pytest.mark.parametrize("issuer", DIGESTS[1:])
def test_a_page_of_an_issuers_valid_certificates_takes_steps_for_them_alone(
    filled: dict[int, Path], issuer: bytes
) -> None:
    query = replace(HOSTS, issuers=(issuer,))
    count, rows = steps(filled[100_000], query)
    assert rows == 250
    # The window and these are looked at; a look at each of the 50,000 that are valid would take several times as many.
    assert count * 10 < 100_000


def test_matches_older_than_the_window_are_found(filled: dict[int, Path]) -> None:
    reader = Reader(filled[20_000], PATIENCE)
    expired = Query(now=NOW, status=Status.EXPIRED, limit=1000)  # the newest half is valid
    first = reader.page(expired)
    second = reader.page(replace(expired, cursor=first.next_cursor))
    reader.close()
    serials = [int(found.issuance.id.serial_number.to_bytes(16).decode()) for found in (*first.rows, *second.rows)]
    assert WINDOW < 10_000
    assert serials == [n for n in range(9_999, 0, -1) if n % 10][:2000]


async def test_a_page_has_at_most_1000_rows(tmp_path: Path) -> None:
    store = SQLiteStore(SQLiteConfig(), make_context(Clock(), tmp_path))
    await store.start()
    await store.commit(Commit(issuances=tuple(make_issuance() for _ in range(1001))))
    page = await store.search(Query(now=NOW, limit=10**9))
    assert len(page.rows) == 1000
    assert len((await store.search(Query(now=NOW, limit=10**9, cursor=page.next_cursor))).rows) == 1
    await store.aclose()


@pytest.mark.parametrize(
    "members", [{"limit": 0}, {"limit": -1}, {"cursor": "0"}, {"cursor": "F"}, {"cursor": "f" * 16}]
)
async def test_a_limit_or_cursor_out_of_range_is_refused(tmp_path: Path, members: dict[str, Any]) -> None:
    store = SQLiteStore(SQLiteConfig(), make_context(Clock(), tmp_path))
    await store.start()
    with pytest.raises(MalformedRequest, match=f"^{next(iter(members))} must be"):
        await store.search(Query(now=NOW, **members))
    await store.aclose()
