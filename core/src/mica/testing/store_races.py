"""What a store must do when many want something at once, and when some of them go away."""

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from mica.errors import AlreadyRevoked, CertificateRevoked, Conflict, TokenReused
from mica.records import CertificateId, Commit
from mica.roles import Store
from mica.testing.records import make_id, make_issuance, make_order, make_revocation, make_token
from mica.testing.store_place import Placed, attempt, is_whole


class RaceContract(Placed):
    """Whoever asks at the same time gets an answer as if they had asked one after the other."""

    @pytest.mark.asyncio
    async def test_of_200_uses_of_one_token_one_succeeds(self, tmp_path: Path) -> None:
        async with self.open_store(tmp_path) as store:
            await _exactly_one([store] * 200)

    @pytest.mark.asyncio
    async def test_of_200_uses_of_one_token_in_two_processes_one_succeeds(self, tmp_path: Path) -> None:
        async with self.open_store(tmp_path) as one, self.open_store(tmp_path) as two:
            await _exactly_one([one, two] * 100)

    @pytest.mark.asyncio
    async def test_requests_that_fail_do_not_harm_those_beside_them(self, tmp_path: Path) -> None:
        taken, revoked, spent = make_issuance(), make_revocation(make_id()), make_token()
        bad: dict[type, Callable[[], Commit]] = {
            TokenReused: lambda: make_order(spends=(spent,)),
            Conflict: lambda: make_order(issuances=(make_issuance(id=taken.id),)),
            AlreadyRevoked: lambda: make_order(revocations=(make_revocation(revoked.id),)),
            CertificateRevoked: lambda: make_order(unless_revoked=(revoked.id,)),
            type(None): make_order,
        }
        expected = [kind for _ in range(10) for kind in bad]
        commits = [bad[kind]() for kind in expected]
        async with self.open_store(tmp_path) as store:
            await store.commit(Commit(issuances=(taken,), revocations=(revoked,), spends=(spent,)))
            errors = await asyncio.gather(*(attempt(store, commit) for commit in commits))
            assert [type(error) for error in errors] == expected
            for commit, error in zip(commits, errors, strict=True):
                if error is None:
                    assert await is_whole(store, commit)
                else:
                    assert await store.find(commit.issuances[0].id) in (None, taken)

    @pytest.mark.asyncio
    async def test_no_renewal_that_begins_after_a_revocation_succeeds(self, tmp_path: Path) -> None:
        async with self.open_store(tmp_path) as one, self.open_store(tmp_path) as two:
            for _ in range(20):
                issuance = make_issuance()
                await one.commit(Commit(issuances=(issuance,)))
                await _race_renewal_and_revocation(one, two, issuance.id)

    @pytest.mark.asyncio
    async def test_two_that_each_forbid_the_other_do_not_both_succeed(self, tmp_path: Path) -> None:
        async with self.open_store(tmp_path) as one, self.open_store(tmp_path) as two:
            for stores in ((one, one), (one, two)):
                for _ in range(10):
                    mine, yours = make_id(), make_id()
                    errors = await asyncio.gather(
                        attempt(stores[0], Commit(revocations=(make_revocation(mine),), unless_revoked=(yours,))),
                        attempt(stores[1], Commit(revocations=(make_revocation(yours),), unless_revoked=(mine,))),
                    )
                    assert Counter(map(type, errors)) == {type(None): 1, CertificateRevoked: 1}

    @pytest.mark.asyncio
    async def test_of_many_revocations_of_one_certificate_one_succeeds(self, tmp_path: Path) -> None:
        id = make_id()
        async with self.open_store(tmp_path) as one, self.open_store(tmp_path) as two:
            errors = await asyncio.gather(
                *(attempt(store, Commit(revocations=(make_revocation(id),))) for store in [one, two] * 20)
            )
        assert Counter(map(type, errors)) == {type(None): 1, AlreadyRevoked: 39}

    @pytest.mark.parametrize("steps", range(12))
    @pytest.mark.asyncio
    async def test_whoever_goes_away_leaves_everything_or_nothing(self, tmp_path: Path, steps: int) -> None:
        async with self.open_store(tmp_path) as store:
            for pause in (0, 0.000_1, 0.001):
                commit = make_order(revocations=(make_revocation(make_id()),))
                task = asyncio.ensure_future(store.commit(commit))
                for _ in range(steps):
                    await asyncio.sleep(pause)
                task.cancel()
                await asyncio.wait([task])
                await store.commit(make_order())  # it lives; and by now the fate of the other is settled
                whole = await is_whole(store, commit)
                assert whole or task.cancelled(), "it was answered, and is not on record"

    @pytest.mark.asyncio
    async def test_those_who_stay_are_served_when_others_go_away(self, tmp_path: Path) -> None:
        commits = [make_order() for _ in range(100)]
        async with self.open_store(tmp_path) as store:
            tasks = [asyncio.ensure_future(store.commit(commit)) for commit in commits]
            await asyncio.sleep(0)
            for task in tasks[::2]:
                task.cancel()
            await asyncio.wait(tasks)
            assert [task.result() for task in tasks[1::2]] == [None] * 50
            for commit, task in zip(commits, tasks, strict=True):
                assert await is_whole(store, commit) or task.cancelled()

    @pytest.mark.asyncio
    async def test_closing_finishes_what_was_accepted(self, tmp_path: Path) -> None:
        commits = [make_order() for _ in range(100)]
        async with self.open_store(tmp_path) as store:
            tasks = [asyncio.ensure_future(store.commit(commit)) for commit in commits]
            await asyncio.sleep(0)
            await store.aclose()
            await asyncio.gather(*tasks)
        async with self.open_store(tmp_path) as store:
            assert all([await is_whole(store, commit) for commit in commits])


async def _exactly_one(stores: list[Store]) -> None:
    token = make_token()
    commits = [make_order(spends=(token,)) for _ in stores]
    errors = await asyncio.gather(*map(attempt, stores, commits))
    counted = Counter(type(error).__name__ for error in errors)
    assert counted == {"NoneType": 1, "TokenReused": len(stores) - 1}, (
        f"of {len(stores)} commits at once that spend one token, one is done and the others raise TokenReused, not "
        f"{dict(counted)}; look whether it is spent inside the transaction that spends it"
    )
    winner = errors.index(None)
    for store in stores[:2]:
        on_record = [await store.find(commit.issuances[0].id) is not None for commit in commits]
        assert [number for number, there in enumerate(on_record) if there] == [winner]


async def _race_renewal_and_revocation(one: Store, two: Store, id: CertificateId) -> None:
    revoked = asyncio.Event()

    async def renew(store: Store) -> None:
        for _ in range(10_000):
            late = revoked.is_set()
            error = await attempt(store, make_order(unless_revoked=(id,)))
            if error is not None:
                assert isinstance(error, CertificateRevoked), f"a renewal of what is revoked must raise that: {error!r}"
                return
            assert not late, "a renewal overtook the revocation; look at unless_revoked inside the transaction"
            await asyncio.sleep(0)  # a store may answer without waiting
        raise AssertionError("the revocation never took hold")

    async def revoke() -> None:
        await asyncio.sleep(0.001)
        await two.commit(Commit(revocations=(make_revocation(id),)))
        revoked.set()

    await asyncio.gather(renew(one), renew(two), renew(one), revoke())
