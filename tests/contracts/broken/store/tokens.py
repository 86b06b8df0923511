"""Broken copies of the SQLite store that let a spent token serve again."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.contracts.broken.store.original import Broken

from mica import (
    Commit,
    SpentToken,
    TokenReused,
)
from mica_storage_sqlite import SQLiteStore


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


@pytest.mark.caught(by="test_tokens_whose_ids_are_only_alike_are_two", because="code point by code point")
class TestComparesTokensInAnyCase(Broken):
    """Ids are compared as a database with a lenient collation does: a token is spent by another (threat 18)."""

    class Store(SQLiteStore):
        async def commit(self, commit: Commit) -> None:
            spends = tuple(replace(token, id=token.id.casefold()) for token in commit.spends)
            await super().commit(replace(commit, spends=spends))

        async def is_spent(self, token: SpentToken) -> bool:
            return await super().is_spent(replace(token, id=token.id.casefold()))


@pytest.mark.caught(by="test_a_token_is_remembered_to_the_last_microsecond", because="keep microseconds")
class TestForgetsTheFractionOfASecond(Broken):
    """The end of a token is kept in whole seconds: for the rest of the last one it is good once more (threat 35)."""

    class Store(SQLiteStore):
        async def commit(self, commit: Commit) -> None:
            spends = tuple(replace(token, until=token.until.replace(microsecond=0)) for token in commit.spends)
            await super().commit(replace(commit, spends=spends))


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
