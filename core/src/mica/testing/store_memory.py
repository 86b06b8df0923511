"""What a store must remember: across a restart, across pruning, and when the clock goes wrong."""

from datetime import timedelta
from pathlib import Path

import pytest

from mica.errors import AlreadyRevoked, CertificateRevoked, TokenReused, Unavailable
from mica.records import Commit, Query
from mica.testing.records import NOW, make_id, make_issuance, make_order, make_revocation, make_token
from mica.testing.store_place import Placed, is_whole


class MemoryContract(Placed):
    """What was answered is remembered."""

    @pytest.mark.asyncio
    async def test_everything_is_there_after_a_restart(self, tmp_path: Path) -> None:
        commit = make_order(revocations=(make_revocation(make_id()),))
        async with self.open_store(tmp_path) as store:
            await store.commit(commit)
        async with self.open_store(tmp_path) as store:
            assert await is_whole(store, commit), "what was committed is gone after a restart; have it on disk first"
            with pytest.raises(TokenReused):
                await store.commit(make_order(spends=commit.spends))
            with pytest.raises(AlreadyRevoked):
                await store.commit(Commit(revocations=commit.revocations))
            with pytest.raises(CertificateRevoked):
                await store.commit(make_order(unless_revoked=(commit.revocations[0].id,)))

    @pytest.mark.asyncio
    async def test_a_second_opening_sees_every_commit_at_once(self, tmp_path: Path) -> None:
        async with self.open_store(tmp_path) as one, self.open_store(tmp_path) as two:
            for number in range(20):
                writer, reader = (one, two) if number % 2 else (two, one)
                commit = make_order(revocations=(make_revocation(make_id()),))
                await writer.commit(commit)
                assert await is_whole(reader, commit), "a commit of one process is not seen by another; cache nothing"
                page = await reader.search(Query(now=NOW, limit=1))
                assert page.rows[0].issuance == commit.issuances[0]

    @pytest.mark.asyncio
    async def test_pruning_forgets_tokens_that_have_ended_and_nothing_else(self, tmp_path: Path) -> None:
        ended = [make_token(until=NOW - timedelta(seconds=second)) for second in range(1, 6)]
        live = [make_token(until=NOW), make_token(until=NOW + timedelta(seconds=1))]
        expired = make_issuance(not_after=NOW - timedelta(days=1))
        revocation = make_revocation(expired.id)
        async with self.open_store(tmp_path) as store:
            await store.commit(Commit(issuances=(expired,), revocations=(revocation,), spends=(*ended, *live)))
            pruned = await store.prune(NOW)
            assert pruned == len(ended), f"prune forgets tokens whose until lies before now, {len(ended)}; not {pruned}"
            assert await store.prune(NOW) == 0, "prune returns the number of those that it has forgotten now"
            assert await store.find(expired.id) == expired, "prune forgets spent tokens, and no certificate"
            assert await store.revocation(expired.id) == revocation, "prune forgets spent tokens, and no revocation"
            for token in live:
                with pytest.raises(TokenReused):
                    await store.commit(make_order(spends=(token,)))

    @pytest.mark.asyncio
    async def test_a_token_is_remembered_to_the_last_microsecond(self, tmp_path: Path) -> None:
        token = make_token(until=NOW + timedelta(microseconds=999_999))
        async with self.open_store(tmp_path) as store:
            await store.commit(Commit(spends=(token,)))
            assert await store.prune(token.until) == 0, "a token is good until its until; keep microseconds"
            assert await store.is_spent(token)
            assert await store.prune(token.until + timedelta(microseconds=1)) == 1

    @pytest.mark.parametrize(
        "other", ["ToKeN", "token ", " token", "to\u212aen", "token\u200b", f"token{'0' * 64}"], ids=ascii
    )
    @pytest.mark.asyncio
    async def test_tokens_whose_ids_are_only_alike_are_two(self, tmp_path: Path, other: str) -> None:
        one, two = make_token(id=f"token{'0' * 63}" if "0" in other else "token"), make_token(id=other)
        async with self.open_store(tmp_path) as store:
            await store.commit(Commit(spends=(one,)))
            assert not await store.is_spent(two), (
                "ids are compared code point by code point: no case, no blanks, no end"
            )
            await store.commit(Commit(spends=(two,)))
            assert await store.is_spent(two)

    @pytest.mark.asyncio
    async def test_a_revocation_holds_whatever_is_pruned(self, tmp_path: Path) -> None:
        issuance = make_issuance()
        async with self.open_store(tmp_path) as store:
            await store.commit(Commit(issuances=(issuance,)))
            await store.commit(Commit(revocations=(make_revocation(issuance.id),)))
            await store.prune(NOW + timedelta(days=10_000))
        async with self.open_store(tmp_path) as store:
            with pytest.raises(CertificateRevoked):
                await store.commit(make_order(unless_revoked=(issuance.id,)))

    @pytest.mark.asyncio
    async def test_a_clock_that_is_set_back_revives_no_token(self, tmp_path: Path) -> None:
        tokens = [make_token(until=NOW + timedelta(minutes=minute)) for minute in range(5)]
        for number, token in enumerate(tokens):
            async with self.open_store(tmp_path) as store:
                await store.commit(make_order(spends=(token,)))
                # The clock runs ahead for a moment, everything spent so far is forgotten …
                assert await store.prune(token.until + timedelta(days=1)) == 1
            # … and after a restart it is right again: what has not ended yet must not come back.
            async with self.open_store(tmp_path) as store:
                for old in tokens[: number + 1]:
                    assert await store.is_spent(old), (
                        "a pruned token serves again; remember the last until of the pruned"
                    )
                    with pytest.raises(TokenReused):
                        await store.commit(make_order(spends=(old,)))

    @pytest.mark.asyncio
    async def test_pruning_in_one_process_binds_the_others(self, tmp_path: Path) -> None:
        token = make_token()
        async with self.open_store(tmp_path) as one, self.open_store(tmp_path) as two:
            await two.commit(make_order())
            await one.commit(make_order(spends=(token,)))
            assert await one.prune(NOW + timedelta(days=1)) == 2
            assert await two.is_spent(token), "what one process has pruned serves again in another; ask the record"
            with pytest.raises(TokenReused):
                await two.commit(make_order(spends=(token,)))

    @pytest.mark.asyncio
    async def test_many_ended_tokens_are_pruned_in_one_call(self, tmp_path: Path) -> None:
        ended = tuple(make_token(until=NOW - timedelta(seconds=number % 7 + 1)) for number in range(2500))
        async with self.open_store(tmp_path) as store:
            await store.commit(make_order(spends=(*ended, make_token())))
            assert await store.prune(NOW) == len(ended)

    @pytest.mark.asyncio
    async def test_a_store_that_works_says_so_and_records_nothing(self, tmp_path: Path) -> None:
        async with self.open_store(tmp_path) as store:
            await store.probe()
            assert (await store.search(Query(now=NOW))).rows == ()
            await store.commit(make_order())

    @pytest.mark.asyncio
    async def test_closing_twice_is_fine_and_a_closed_store_says_so(self, tmp_path: Path) -> None:
        issuance = make_issuance()
        async with self.open_store(tmp_path) as store:
            await store.aclose()
            await store.aclose()
            for refused in (
                store.commit(Commit(issuances=(issuance,))),
                store.find(issuance.id),
                store.search(Query(now=NOW)),
                store.probe(),
                store.prune(NOW),
            ):
                with pytest.raises(Unavailable):
                    await refused
