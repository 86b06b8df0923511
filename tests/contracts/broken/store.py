"""Broken copies of the SQLite store: what each forgets, mixes up or does by halves, StoreContract notices."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest

from mica import (
    CertificateId,
    CertificateKind,
    CertificateRevoked,
    Commit,
    Conflict,
    Found,
    Issuance,
    MicaError,
    Page,
    Query,
    Revocation,
    SpentToken,
    Store,
    TokenReused,
    Unavailable,
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


@pytest.mark.caught(by="test_one_part_that_cannot_be_leaves_nothing_of_the_others", because="DID NOT RAISE.*Revoked")
class TestLosesThePrecondition(Broken):
    """A commit does not look at ``unless_revoked``: what is revoked is renewed (design: never, 5)."""

    class Store(SQLiteStore):
        async def commit(self, commit: Commit) -> None:
            await super().commit(replace(commit, unless_revoked=()))


@pytest.mark.caught(by="test_two_that_each_forbid_the_other_do_not_both_succeed", because="Counter")
class TestChecksThePreconditionBeforehand(Broken):
    """``unless_revoked`` is looked at before the transaction: a renewal overtakes a revocation."""

    class Store(SQLiteStore):
        async def commit(self, commit: Commit) -> None:
            for id in commit.unless_revoked:
                if await self.revocation(id) is not None:
                    raise CertificateRevoked("revoked")
            await super().commit(replace(commit, unless_revoked=()))


@pytest.mark.caught(by="test_of_200_uses_of_one_token_one_succeeds", because="Counter")
class TestSpendsATokenAfterLooking(Broken):
    """Whether a token is spent is looked up first and written later: two uses at once both find it unspent."""

    class Store(SQLiteStore):
        async def commit(self, commit: Commit) -> None:
            if any([await self.is_spent(token) for token in commit.spends]):
                raise TokenReused("spent")
            await super().commit(replace(commit, spends=()))
            for token in commit.spends:
                try:
                    await super().commit(Commit(spends=(token,)))
                except TokenReused:
                    continue


@pytest.mark.caught(by="test_of_200_uses_of_one_token_in_two_processes_one_succeeds", because="Counter")
class TestSpendsATokenInMemory(Broken):
    """Tokens are remembered by the process and not by the file: another worker takes them again."""

    class Store(SQLiteStore):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            self.spent: set[tuple[str, str]] = set()

        async def commit(self, commit: Commit) -> None:
            keys = [(token.provisioner, token.id) for token in commit.spends]
            if len({*keys}) < len(keys) or self.spent.intersection(keys):
                raise TokenReused("spent")
            self.spent.update(keys)
            await super().commit(replace(commit, spends=()))

        async def is_spent(self, token: SpentToken) -> bool:
            return (token.provisioner, token.id) in self.spent


@pytest.mark.caught(by="test_a_spent_token_is_spent_whenever_it_is_said_to_end", because="assert False")
class TestSpendsATokenWithItsEnd(Broken):
    """The end of a token is part of what it is remembered by: told with another end, it is new."""

    class Store(SQLiteStore):
        async def commit(self, commit: Commit) -> None:
            spends = tuple(replace(token, id=f"{token.id} {token.until}") for token in commit.spends)
            await super().commit(replace(commit, spends=spends))

        async def is_spent(self, token: SpentToken) -> bool:
            return await super().is_spent(replace(token, id=f"{token.id} {token.until}"))


@pytest.mark.caught(by="test_what_is_not_on_record_is_not_found", because="assert not True")
class TestMixesUpTheTokensOfProvisioners(Broken):
    """Tokens are remembered by their ids alone, so that one provisioner's token spends another's."""

    class Store(SQLiteStore):
        async def commit(self, commit: Commit) -> None:
            spends = tuple(replace(token, provisioner="") for token in commit.spends)
            await super().commit(replace(commit, spends=spends))

        async def is_spent(self, token: SpentToken) -> bool:
            return await super().is_spent(replace(token, provisioner=""))


@pytest.mark.caught(by="test_one_part_that_cannot_be_leaves_nothing_of_the_others", because="half of a commit")
class TestDoesHalfACommit(Broken):
    """The certificates of a commit are on record before it is known whether the rest of it can be."""

    class Store(SQLiteStore):
        async def commit(self, commit: Commit) -> None:
            await super().commit(Commit(issuances=commit.issuances))
            await super().commit(replace(commit, issuances=()))


@pytest.mark.caught(by="test_one_part_that_cannot_be_leaves_nothing_of_the_others", because="half of a commit")
class TestSpendsTheTokenOfARefusedRequest(Broken):
    """The tokens of a commit are spent first: a request that is refused has burnt them."""

    class Store(SQLiteStore):
        async def commit(self, commit: Commit) -> None:
            await super().commit(Commit(spends=commit.spends))
            await super().commit(replace(commit, spends=()))


@pytest.mark.caught(by="test_one_part_that_cannot_be_leaves_nothing_of_the_others", because="DID NOT RAISE.*Conflict")
class TestPassesOverASerialNumberThatIsTaken(Broken):
    """A certificate whose serial number is taken is dropped without a word, and handed out."""

    class Store(SQLiteStore):
        async def commit(self, commit: Commit) -> None:
            try:
                await super().commit(commit)
            except Conflict:
                await super().commit(replace(commit, issuances=()))


@pytest.mark.caught(by="test_one_part_that_cannot_be_leaves_nothing_of_the_others", because="DID NOT RAISE.*Already")
class TestRevokesTwice(Broken):
    """A second revocation of a certificate is thought to be done."""

    class Store(SQLiteStore):
        async def commit(self, commit: Commit) -> None:
            new = [found for found in commit.revocations if await self.revocation(found.id) is None]
            await super().commit(replace(commit, revocations=tuple(new)))


@pytest.mark.caught(by="test_a_revocation_holds_whatever_is_pruned", because="DID NOT RAISE.*CertificateRevoked")
class TestForgetsRevocationsWhenPruning(Broken):
    """Old revocations are pruned along with old tokens (Vault CVE-2021-29653)."""

    class Store(SQLiteStore):
        async def prune(self, now: datetime) -> int:
            sql = "DELETE FROM revocations"
            await self._open.writer.alone(lambda ledger: ledger._connection.execute(sql).rowcount)
            return await super().prune(now)


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


@pytest.mark.caught(by="test_pruning_forgets_tokens_that_have_ended_and_nothing_else", because="assert 7 == 5")
class TestPrunesTokensThatAreStillGood(Broken):
    """A token is forgotten a minute before its end, and is good once more."""

    class Store(SQLiteStore):
        async def prune(self, now: datetime) -> int:
            return await super().prune(now + timedelta(minutes=1))


@pytest.mark.caught(by="test_a_clock_that_is_set_back_revives_no_token", because="assert False")
class TestRevivesTokensWhenTheClockIsSetBack(Broken):
    """What was pruned is gone without a trace: a clock that is set back makes spent tokens good (threat 35)."""

    class Store(SQLiteStore):
        async def prune(self, now: datetime) -> int:
            forgotten = await super().prune(now)
            sql = "UPDATE pruned SET until = -9223372036854775808"
            await self._open.writer.alone(lambda ledger: ledger._connection.execute(sql).rowcount)
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


@pytest.mark.caught(by="test_a_certificate_is_found_as_it_was_recorded", because="None == Issuance")
class TestAnswersBeforeItHasWritten(Broken):
    """A commit is answered before it is on record: a power cut loses what a client holds (design: never, 4)."""

    class Store(SQLiteStore):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            self.writing: set[asyncio.Task[None]] = set()

        async def commit(self, commit: Commit) -> None:
            task = asyncio.ensure_future(super().commit(commit))
            self.writing.add(task)

        async def aclose(self) -> None:
            await asyncio.gather(*self.writing, return_exceptions=True)
            await super().aclose()


@pytest.mark.caught(by="test_a_second_opening_sees_every_commit_at_once", because="half of a commit")
class TestKeepsCertificatesInMemoryUntilItCloses(Broken):
    """Certificates are written when the store closes; until then the process that made them alone knows them."""

    class Store(SQLiteStore):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            self.kept: dict[CertificateId, Issuance] = {}

        async def commit(self, commit: Commit) -> None:
            await super().commit(replace(commit, issuances=()))
            self.kept |= {issuance.id: issuance for issuance in commit.issuances}

        async def find(self, id: CertificateId) -> Issuance | None:
            return self.kept.get(id) or await super().find(id)

        async def aclose(self) -> None:
            kept, self.kept = tuple(self.kept.values()), {}
            if kept:
                await super().commit(Commit(issuances=kept))
            await super().aclose()


@pytest.mark.caught(by="test_what_is_not_on_record_is_not_found", because="is None|assert Issuance")
class TestTakesSSHForX509(Broken):
    """A certificate is found by issuer and serial number, whatever its kind (GO-2025-4181)."""

    class Store(SQLiteStore):
        async def find(self, id: CertificateId) -> Issuance | None:
            return await super().find(id) or await super().find(replace(id, kind=CertificateKind.X509))


@pytest.mark.caught(by="test_a_revocation_ends_one_of_the_namesakes", because="assert")
class TestRevokesEveryNamesake(Broken):
    """A revocation is looked up by serial number and issuer alone: it ends a certificate of the other kind too."""

    class Store(SQLiteStore):
        async def revocation(self, id: CertificateId) -> Revocation | None:
            found = [await super(type(self), self).revocation(replace(id, kind=kind)) for kind in CertificateKind]
            return next((revocation for revocation in found if revocation is not None), None)


@pytest.mark.caught(by="test_whoever_goes_away_leaves_everything_or_nothing", because="Unavailable|not open")
class TestDiesWithAWaiterWhoGoesAway(Broken):
    """A request that is cancelled while it waits takes the writer along (threat 42)."""

    class Store(SQLiteStore):
        async def commit(self, commit: Commit) -> None:
            try:
                await super().commit(commit)
            except asyncio.CancelledError:
                await self.aclose()
                raise


@pytest.mark.caught(by="test_whoever_goes_away_leaves_everything_or_nothing", because="half of a commit")
class TestLeavesHalfOfWhatACancelledWaiterAsked(Broken):
    """Between two parts of a commit the event loop gets its turn: who is cancelled there leaves the first part."""

    class Store(SQLiteStore):
        async def commit(self, commit: Commit) -> None:
            await super().commit(replace(commit, revocations=()))
            await super().commit(Commit(revocations=commit.revocations))


@pytest.mark.caught(by="test_requests_that_fail_do_not_harm_those_beside_them", because="assert")
class TestBlamesThoseBesideARequestThatFails(Broken):
    """When one of the commits that wait together cannot be, the next is told that it cannot be either."""

    class Store(SQLiteStore):
        blamed: MicaError | None = None

        async def commit(self, commit: Commit) -> None:
            try:
                await super().commit(commit)
            except MicaError as error:
                self.blamed = error
                raise
            error, self.blamed = self.blamed, None
            if error is not None:
                raise error


@pytest.mark.caught(by="test_closing_finishes_what_was_accepted", because="Unavailable")
class TestDropsWhatWaitsWhenItCloses(Broken):
    """Closing forgets the commits that wait."""

    class Store(SQLiteStore):
        async def aclose(self) -> None:
            if self._parts is not None:
                waiting, self._parts.writer._gathered = self._parts.writer._gathered, []
                for request in waiting:
                    request.answer.set_exception(Unavailable("closed"))
            await super().aclose()


@pytest.mark.caught(by="test_closing_twice_is_fine_and_a_closed_store_says_so", because="DID NOT RAISE.*Unavailable")
class TestSaysThatItWorksWhateverHappens(Broken):
    """The probe never looks: a store that cannot write is said to be well."""

    class Store(SQLiteStore):
        async def probe(self) -> None:
            return None


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


@pytest.mark.caught(by="test_one_part_that_cannot_be_leaves_nothing_of_the_others", because="half of a commit|assert")
class TestRemembersThatACertificateWasNotThere(Broken):
    """What was not found once is thought to be absent for ever: a cache that no commit clears."""

    class Store(SQLiteStore):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            self.absent: set[CertificateId] = set()

        async def revocation(self, id: CertificateId) -> Revocation | None:
            if id in self.absent:
                return None
            found = await super().revocation(id)
            self.absent |= {id} if found is None else set()
            return found


@pytest.mark.caught(by="test_a_list_is_in_the_order_of_the_numbers", because="assert")
class TestListsRevocationsInTheOrderOfOctets(Broken):
    """Revocations are listed in the order of text: pages that begin beyond a number leave some out."""

    class Store(SQLiteStore):
        async def revocations(self, *arguments: Any, **members: Any) -> tuple[Revocation, ...]:
            listed = await super().revocations(*arguments, **members)
            return tuple(sorted(listed, key=lambda revocation: str(revocation.id.serial_number)))


@pytest.mark.caught(by="test_a_list_has_each_revocation_whole_on_record_or_not", because="assert")
class TestListsRevocationsOfWhatIsOnRecordAlone(Broken):
    """A revocation whose certificate is not on record stands in no list."""

    class Store(SQLiteStore):
        async def revocations(self, *arguments: Any, **members: Any) -> tuple[Revocation, ...]:
            listed = await super().revocations(*arguments, **members)
            return tuple([revocation for revocation in listed if await self.find(revocation.id) is not None])


@pytest.mark.caught(by="test_a_list_without_a_limit_of_its_own_has_a_thousand", because="assert")
class TestCutsALongListShort(Broken):
    """Whoever asks for all revocations gets a thousand, and no sign that there are more."""

    class Store(SQLiteStore):
        async def revocations(self, kind: CertificateKind, issuer: bytes, **members: Any) -> tuple[Revocation, ...]:
            limit = min(members.pop("limit", 1000), 1000)
            return await super().revocations(kind, issuer, limit=limit, **members)


@pytest.mark.caught(by="test_kinds_and_issuers_have_their_own_lists", because="assert")
class TestListsTheRevocationsOfBothKinds(Broken):
    """The list of X.509 has the serial numbers of SSH in it."""

    class Store(SQLiteStore):
        async def revocations(self, kind: CertificateKind, issuer: bytes, **members: Any) -> tuple[Revocation, ...]:
            lists = [await super(type(self), self).revocations(kind, issuer, **members) for kind in CertificateKind]
            return tuple(sorted(sum(lists, ()), key=lambda revocation: revocation.id.serial_number))
