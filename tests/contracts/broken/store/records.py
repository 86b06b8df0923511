"""Broken copies of the SQLite store that do not find what was recorded, or something else."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.contracts.broken.store.original import Broken

from mica import (
    CertificateId,
    CertificateKind,
    Commit,
    Found,
    Issuance,
    Page,
    Query,
)
from mica_storage_sqlite import SQLiteStore


@pytest.mark.caught(by="test_pruning_forgets_tokens_that_have_ended_and_nothing_else", because="None == Issuance")
class TestForgetsExpiredCertificatesWhenPruning(Broken):
    """Expired certificates are pruned, and what was issued is known no more."""

    class Store(SQLiteStore):
        async def find(self, id: CertificateId) -> Issuance | None:
            found = await super().find(id)
            return None if found is None or found.not_after < datetime.now(found.not_after.tzinfo) else found

        async def prune(self, now: datetime) -> int:
            forgotten = await super().prune(now)

            def delete(ledger: Any) -> None:
                microseconds = int(now.timestamp()) * 1_000_000
                where = "WHERE certificate IN (SELECT id FROM certificates WHERE not_after < ?)"
                ledger._connection.execute(f"DELETE FROM names {where}", (microseconds,))
                ledger._connection.execute("DELETE FROM certificates WHERE not_after < ?", (microseconds,))

            await self._open.writer.alone(delete)
            return forgotten


@pytest.mark.caught(by="test_a_search_finds_what_a_plain_loop_finds", because="assert|Error")
class TestSearchLosesTheLastRowOfAPage(Broken):
    """The row at the end of a full page is on no page."""

    class Store(SQLiteStore):
        async def search(self, query: Query) -> Page:
            page = await super().search(query)
            return replace(page, rows=page.rows[:-1]) if page.next_cursor and query.limit > 1 else page


@pytest.mark.caught(by="test_a_search_finds_what_a_plain_loop_finds", because="assert")
class TestSearchTakesTheLastMomentForExpired(Broken):
    """A certificate counts as expired in the last moment of its validity (RFC 5280 §4.1.2.5 says it is valid)."""

    class Store(SQLiteStore):
        async def search(self, query: Query) -> Page:
            return await super().search(replace(query, now=query.now + timedelta(microseconds=1)))


@pytest.mark.caught(by="test_a_revocation_shows_in_the_next_search", because="cation=None")
class TestSearchForgetsThatACertificateIsRevoked(Broken):
    """What a search finds is never said to be revoked."""

    class Store(SQLiteStore):
        async def search(self, query: Query) -> Page:
            page = await super().search(query)
            return replace(page, rows=tuple(Found(issuance=found.issuance) for found in page.rows))


@pytest.mark.caught(
    by="test_pages_have_no_gaps_or_repetitions_while_certificates_are_issued", because="a certificate a second time"
)
class TestPagesAreCounted(Broken):
    """A page begins at the n-th certificate: what is issued meanwhile moves rows to the next page, a second time."""

    class Store(SQLiteStore):
        async def search(self, query: Query) -> Page:
            page = await super().search(replace(query, limit=1000, cursor=""))
            start = int(query.cursor or "0")
            end = start + query.limit
            return Page(rows=page.rows[start:end], next_cursor=str(end) if end < len(page.rows) else "")


@pytest.mark.caught(by="test_a_cursor_that_no_page_gave_is_refused", because="DID NOT RAISE.*MalformedRequest")
class TestTakesAnyCursor(Broken):
    """A cursor that no page gave is taken for the beginning."""

    class Store(SQLiteStore):
        async def search(self, query: Query) -> Page:
            cursor = query.cursor if query.cursor.isascii() and query.cursor.isalnum() else ""
            return await super().search(replace(query, cursor=cursor))


@pytest.mark.caught(by="test_what_is_not_on_record_is_not_found", because="is None|assert Issuance")
class TestTakesSSHForX509(Broken):
    """A certificate is found by issuer and serial number, whatever its kind (GO-2025-4181)."""

    class Store(SQLiteStore):
        async def find(self, id: CertificateId) -> Issuance | None:
            return await super().find(id) or await super().find(replace(id, kind=CertificateKind.X509))


@pytest.mark.caught(by="test_a_certificate_is_found_as_it_was_recorded", because="names")
class TestLosesNames(Broken):
    """Of several names only the first is kept: the record does not say what was certified."""

    class Store(SQLiteStore):
        async def commit(self, commit: Commit) -> None:
            issued = tuple(replace(issuance, names=issuance.names[:1]) for issuance in commit.issuances)
            await super().commit(replace(commit, issuances=issued))


@pytest.mark.caught(by="test_who_vouched_is_kept_with_each_credential", because="type=|ProvisionerRef")
class TestMixesUpProvisionersOfOneName(Broken):
    """Who vouched is remembered by name, and a provisioner of another type renews what was never its own."""

    class Store(SQLiteStore):
        async def find(self, id: CertificateId) -> Issuance | None:
            found = await super().find(id)
            return found and replace(found, provisioner=replace(found.provisioner, type="JWK"))
