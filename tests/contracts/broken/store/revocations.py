"""Broken copies of the SQLite store that lose or mix up revocations, or list some of them."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from tests.contracts.broken.store.original import Broken

from mica import (
    CertificateId,
    CertificateKind,
    Revocation,
)
from mica_storage_sqlite import SQLiteStore


@pytest.mark.caught(by="test_a_revocation_holds_whatever_is_pruned", because="DID NOT RAISE.*CertificateRevoked")
class TestForgetsRevocationsWhenPruning(Broken):
    """Old revocations are pruned along with old tokens (Vault CVE-2021-29653)."""

    class Store(SQLiteStore):
        async def prune(self, now: datetime) -> int:
            sql = "DELETE FROM revocations"
            await self._open.writer.alone(lambda ledger: ledger._connection.execute(sql).rowcount)
            return await super().prune(now)


@pytest.mark.caught(by="test_a_revocation_ends_one_of_the_namesakes", because="assert")
class TestRevokesEveryNamesake(Broken):
    """A revocation is looked up by serial number and issuer alone: it ends a certificate of the other kind too."""

    class Store(SQLiteStore):
        async def revocation(self, id: CertificateId) -> Revocation | None:
            found = [await super(type(self), self).revocation(replace(id, kind=kind)) for kind in CertificateKind]
            return next((revocation for revocation in found if revocation is not None), None)


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
