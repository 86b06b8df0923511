"""Broken copies of the SQLite store that do a commit by halves, or without looking, or only in words."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from tests.contracts.broken.store.original import Broken

from mica import (
    CertificateId,
    CertificateRevoked,
    Commit,
    Conflict,
    Issuance,
    MicaError,
    Unavailable,
)
from mica_storage_sqlite import SQLiteStore


@pytest.mark.caught(by="test_one_part_that_cannot_be_leaves_nothing_of_the_others", because="(RAISE|raise).*Revoked")
class TestLosesThePrecondition(Broken):
    """A commit does not look at ``unless_revoked``: what is revoked is renewed (never, 5)."""

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


@pytest.mark.caught(by="test_one_part_that_cannot_be_leaves_nothing_of_the_others", because="half|without")
class TestDoesHalfACommit(Broken):
    """The certificates of a commit are on record before it is known whether the rest of it can be."""

    class Store(SQLiteStore):
        async def commit(self, commit: Commit) -> None:
            await super().commit(Commit(issuances=commit.issuances))
            await super().commit(replace(commit, issuances=()))


@pytest.mark.caught(by="test_one_part_that_cannot_be_leaves_nothing_of_the_others", because="half|without")
class TestSpendsTheTokenOfARefusedRequest(Broken):
    """The tokens of a commit are spent first: a request that is refused has burnt them."""

    class Store(SQLiteStore):
        async def commit(self, commit: Commit) -> None:
            await super().commit(Commit(spends=commit.spends))
            await super().commit(replace(commit, spends=()))


@pytest.mark.caught(by="test_one_part_that_cannot_be_leaves_nothing_of_the_others", because="(RAISE|raise).*Conflict")
class TestPassesOverASerialNumberThatIsTaken(Broken):
    """A certificate whose serial number is taken is dropped without a word, and handed out."""

    class Store(SQLiteStore):
        async def commit(self, commit: Commit) -> None:
            try:
                await super().commit(commit)
            except Conflict:
                await super().commit(replace(commit, issuances=()))


@pytest.mark.caught(by="test_one_part_that_cannot_be_leaves_nothing_of_the_others", because="(RAISE|raise).*Already")
class TestRevokesTwice(Broken):
    """A second revocation of a certificate is thought to be done."""

    class Store(SQLiteStore):
        async def commit(self, commit: Commit) -> None:
            new = [found for found in commit.revocations if await self.revocation(found.id) is None]
            await super().commit(replace(commit, revocations=tuple(new)))


@pytest.mark.caught(by="test_a_certificate_is_found_as_it_was_recorded", because="None == Issuance")
class TestAnswersBeforeItHasWritten(Broken):
    """A commit is answered before it is on record: a power cut loses what a client holds (never, 4)."""

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


@pytest.mark.caught(by="test_a_second_opening_sees_every_commit_at_once", because="half|without")
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


@pytest.mark.caught(by="test_whoever_goes_away_leaves_everything_or_nothing", because="half|without")
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
