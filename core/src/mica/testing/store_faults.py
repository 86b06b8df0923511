"""What a store must do when the system fails it, and when those who wait for it go away."""

import asyncio
import os
import resource
import shutil
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mica.errors import MicaError, Unavailable
from mica.records import Commit, Query
from mica.roles import Store
from mica.testing.records import NOW, make_id, make_issuance, make_order, make_revocation, make_token
from mica.testing.store_place import Placed, attempt, is_whole
from mica.testing.suspensions import cancelled_at_every_await
from mica.testing.untried import cannot_be_tried, does_not_concern

_DISK = 8 * 1024 * 1024
#: With which a record is large for a file, and for a disk.
_LARGE, _HUGE = 20_000, 200_000


@contextmanager
def file_size_limit(octets: int) -> Iterator[None]:
    """The system refuses to write beyond so many octets of any file (EFBIG)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (octets, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def small_disk(directory: Path) -> Iterator[Path]:
    """A file system of 8 MiB below ``directory``; the test is left untried where it cannot be had."""
    place = directory / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={_DISK}", "tmpfs", str(place)]
    if os.geteuid() or shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        cannot_be_tried("only root can mount a small disk")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def _order(octets: int) -> Commit:
    return make_order(
        issuances=(make_issuance(certificate=os.urandom(octets)),), revocations=(make_revocation(make_id()),)
    )


class FaultContract(Placed):
    """A fault is said plainly, recorded by nobody, and survived."""

    @pytest.mark.asyncio
    async def test_a_full_disk_refuses_and_then_works_again(self, tmp_path: Path) -> None:
        with small_disk(tmp_path) as place:
            kept = _order(100)
            async with self.open_store(place) as store:
                await store.commit(kept)
                (place / "ballast").write_bytes(bytes(max(0, shutil.disk_usage(place).free - _HUGE)))
                orders = [_order(_HUGE) for _ in range(_DISK // _HUGE)]
                answers = [await attempt(store, order) for order in orders]
                await _are_as_answered(store, orders, answers)
                if not any(answers) and {path.name for path in place.rglob("*")} == {"ballast"}:
                    does_not_concern("it keeps no files below the directory that open_store is given")
                assert any(answers), "more was acknowledged than the disk holds; write to the disk before you answer"
                assert await is_whole(store, kept)
                (place / "ballast").unlink()
                lost = orders[answers.index(next(filter(None, answers)))]
                await store.commit(lost)
            async with self.open_store(place) as store:
                assert await is_whole(store, lost)
                assert await is_whole(store, kept)

    @pytest.mark.asyncio
    async def test_a_file_that_may_not_grow_refuses_and_then_works_again(self, tmp_path: Path) -> None:
        orders = [_order(_LARGE) for _ in range(8)]
        async with self.open_store(tmp_path) as store:
            await store.commit(orders[0])
            with file_size_limit(_LARGE // 2):
                answers = await asyncio.gather(*(attempt(store, order) for order in orders[1:]))
                answers.append(await attempt(store, last := _order(_LARGE)))
            await _are_as_answered(store, [*orders[1:], last], answers)
            await store.commit(after := _order(_LARGE))
        async with self.open_store(tmp_path) as store:
            await _are_as_answered(store, [*orders, last, after], [None, *answers, None])

    @pytest.mark.parametrize("name", ["find", "revocation", "is_spent", "search", "prune", "probe"])
    @pytest.mark.asyncio
    async def test_whoever_leaves_while_asking_harms_nobody(self, tmp_path: Path, name: str) -> None:
        order = _order(100)
        asked: dict[str, Callable[[Store], Awaitable[Any]]] = {
            "find": lambda store: store.find(order.issuances[0].id),
            "revocation": lambda store: store.revocation(order.revocations[0].id),
            "is_spent": lambda store: store.is_spent(order.spends[0]),
            "search": lambda store: store.search(Query(now=NOW)),
            "prune": lambda store: store.prune(NOW),
            "probe": lambda store: store.probe(),
        }
        async with self.open_store(tmp_path) as store:
            await store.commit(order)
            async for task in cancelled_at_every_await(lambda at: asked[name](store)):
                assert task.cancelled() or task.exception() is None
                await store.commit(make_order())
                assert await is_whole(store, order)

    @pytest.mark.asyncio
    async def test_whoever_leaves_at_any_await_of_a_commit_leaves_everything_or_nothing(self, tmp_path: Path) -> None:
        old = make_id()
        orders: list[Commit] = []

        def commit(at: int) -> Awaitable[None]:
            orders.append(make_order(revocations=(make_revocation(make_id()),), unless_revoked=(old,)))
            return store.commit(orders[at])

        async with self.open_store(tmp_path) as store:
            async for task in cancelled_at_every_await(commit):
                await store.commit(make_order(spends=(make_token(),)))  # it lives; and the other's fate is settled
                assert await is_whole(store, orders[-1]) or task.cancelled(), "it was answered, and is not on record"
            whole = [await is_whole(store, order) for order in orders]
        async with self.open_store(tmp_path) as store:
            assert [await is_whole(store, order) for order in orders] == whole


async def _are_as_answered(store: Store, orders: list[Commit], answers: list[MicaError | None]) -> None:
    """What was acknowledged is there; what was refused is not, or, by a store that cannot know, wholly."""
    for order, answer in zip(orders, answers, strict=True):
        assert answer is None or type(answer) is Unavailable, f"not a word about the fault: {answer!r}"
        assert await is_whole(store, order) or answer is not None, "it was acknowledged, and is not on record"
