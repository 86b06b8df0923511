"""What a store must do with processes of its own: none of them loses a thing when one is killed (SIGKILL)."""

import inspect
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from mica.errors import CertificateRevoked, TokenReused
from mica.records import CertificateId
from mica.roles import Store
from mica.testing import store_work
from mica.testing.records import make_id, make_order, make_token
from mica.testing.store_place import Placed

#: How long a process may take to do anything, in seconds.
PATIENCE = 30.0


class Worker:
    """``store_work`` in a process of its own."""

    def __init__(self, process: "subprocess.Popen[bytes]", output: Path) -> None:
        self.process, self._output = process, output

    def lines(self) -> list[list[str]]:
        """What it has said, without a last line that it did not finish."""
        return [line.split() for line in self._output.read_text().rpartition("\n")[0].splitlines()]

    def wait_for(self, word: str, times: int = 1) -> None:
        """It has said so, so many times since it began."""
        deadline = time.monotonic() + PATIENCE
        while self.times(word) < times:
            assert time.monotonic() < deadline, f"nothing is {word}: {self.lines()[-3:]}"
            assert self.process.poll() is None, "the process of the store ended by itself; see stderr"
            time.sleep(0.005)

    def kill(self) -> list[list[str]]:
        """It is dead at once; what it had said."""
        self.process.kill()
        self.process.wait()
        return self.lines()

    def times(self, word: str) -> int:
        """How often it has said so."""
        return sum(line[0] == word for line in self.lines())


class CrashContract(Placed):
    """What was acknowledged is on record, and of what was not, everything or nothing."""

    @contextmanager
    def worker(self, what: str, directory: Path, output: Path) -> Iterator[Worker]:
        """A process that works with the store in ``directory``; it is gone afterwards."""
        store = type(self)
        command: list[str | Path] = [
            "-m",
            store_work.__name__,
            what,
            directory,
            store.__module__,
            inspect.getfile(store),
            store.__qualname__,
        ]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        file: IO[bytes]
        with output.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, *command], stdout=file, stdin=subprocess.PIPE, env=environment, cwd=Path.cwd()
            )
        try:
            yield Worker(process, output)
        finally:
            process.kill()
            process.communicate()

    @pytest.mark.asyncio
    async def test_what_was_acknowledged_before_kill_9_is_on_record_and_nothing_by_half(self, tmp_path: Path) -> None:
        place, said = _place(tmp_path), []
        for number in range(2):
            moment = random.random() / 5
            with self.worker("work", place, tmp_path / f"said {number}") as worker:
                worker.wait_for("done", 5)
                time.sleep(moment)
                said += worker.kill()
            await self._verify(place, said)

    @pytest.mark.asyncio
    async def test_a_process_that_is_killed_takes_nothing_from_another(self, tmp_path: Path) -> None:
        place = _place(tmp_path)
        with self.worker("work", place, tmp_path / "one") as one, self.worker("work", place, tmp_path / "two") as two:
            one.wait_for("done", 5)
            two.wait_for("done", 5)
            said = one.kill()
            two.wait_for("done", two.times("done") + 2 * store_work.CLIENTS)
            await self._verify(place, said + two.kill())

    @pytest.mark.asyncio
    async def test_what_two_processes_want_at_once_one_of_them_has(self, tmp_path: Path) -> None:
        place = _place(tmp_path)
        with self.worker("race", place, tmp_path / "one") as one, self.worker("race", place, tmp_path / "two") as two:
            for worker in (one, two):
                worker.wait_for("ready")
            for worker in (one, two):
                assert worker.process.stdin is not None
                worker.process.stdin.write(b"go\n")
                worker.process.stdin.flush()
            for worker in (one, two):
                assert worker.process.wait(PATIENCE) == 0
                assert worker.lines()[-1] == ["over"]
            won = sorted(int(line[1]) for line in [*one.lines(), *two.lines()] if line[0] == "won")
        assert won == list(range(store_work.TOKENS)), (
            f"two processes raced for {store_work.TOKENS} tokens, each of which one attempt has; had were {won}. "
            "Look whether a token is spent inside the transaction that spends it, under a lock that binds processes"
        )
        async with self.open_store(place) as store:
            for number in won:
                with pytest.raises(TokenReused):
                    await store.commit(make_order(spends=(make_token(id=f"race {number}"),)))

    async def _verify(self, place: Path, said: list[list[str]]) -> None:
        done = {tuple(words) for event, *words in said if event == "done"}
        begun = {tuple(words) for event, *words in said if event == "begun"}
        async with self.open_store(place) as store:
            for words in begun:
                await _settled(store, words, acknowledged=words in done)
            *_, revoked, token = next(iter(done))
            with pytest.raises(TokenReused):
                await store.commit(make_order(spends=(make_token(id=token),)))
            with pytest.raises(CertificateRevoked):
                await store.commit(make_order(unless_revoked=(_id(revoked),)))
            await store.commit(make_order())


async def _settled(store: Store, words: tuple[str, ...], *, acknowledged: bool) -> None:
    *issued, revoked, token = words
    parts = [await store.find(_id(serial)) is not None for serial in issued]
    parts += [await store.revocation(_id(revoked)) is not None, await store.is_spent(make_token(id=token))]
    assert len(set(parts)) == 1, f"after kill -9 a part of a commit is on record ({parts}); write it in one transaction"
    assert parts[0] or not acknowledged, (
        "after kill -9 a commit that was answered is gone; have it on disk (fsync) first"
    )


def _place(tmp_path: Path) -> Path:
    (place := tmp_path / "place").mkdir()
    return place


def _id(serial_number: str) -> CertificateId:
    usual = make_id()
    return CertificateId(kind=usual.kind, issuer=usual.issuer, serial_number=int(serial_number))
