"""A process of its own that works with the store of a contract, until it is killed: ``python -m`` with arguments.

The class of the contract is found by its file and name; ``open_store`` is called there on a bare instance.
"""

import asyncio
import importlib.util
import os
import sys
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from types import ModuleType
from typing import Any

from mica.errors import TokenReused
from mica.records import Commit
from mica.roles import Store
from mica.testing.records import make_id, make_issuance, make_order, make_revocation, make_token

#: How many commit at a time.
CLIENTS = 16
#: For how many tokens two processes race, and how many times each of them tries each.
TOKENS, TRIES = 20, 3


def say(*words: object) -> None:
    """The line is out, whatever happens to the process next."""
    os.write(sys.stdout.fileno(), (" ".join(map(str, words)) + "\n").encode())


async def work(store: Store) -> None:
    """For ever: certificates with their tokens and the revocation of others; each is named before and after."""

    async def client() -> None:
        while True:
            revoked = make_id()
            order = make_order(issuances=(make_issuance(), make_issuance()), revocations=(make_revocation(revoked),))
            words = [*(issuance.id.serial_number for issuance in order.issuances), revoked.serial_number]
            say("begun", *words, order.spends[0].id)
            await store.commit(order)
            say("done", *words, order.spends[0].id)

    await asyncio.gather(*(client() for _ in range(CLIENTS)))


async def race(store: Store) -> None:
    """At the word on stdin: each of the tokens is tried, all at once; those that were had are named."""
    say("ready")
    sys.stdin.readline()

    async def use(number: int) -> None:
        try:
            await store.commit(make_order(spends=(make_token(id=f"race {number}"),)))
        except TokenReused:
            return
        say("won", number)

    await asyncio.gather(*(use(number) for number in range(TOKENS) for _ in range(TRIES)))
    await store.commit(Commit())
    say("over")


WORKS: dict[str, Callable[[Store], Coroutine[Any, Any, None]]] = {"work": work, "race": race}


def load(name: str, file: str) -> ModuleType:
    """The module ``name`` if that is what ``file`` is imported as, else the one in ``file``."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        spec = None
    if spec is None or spec.origin is None or not Path(spec.origin).samefile(file):
        spec = importlib.util.spec_from_file_location("store_under_test", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def opener(name: str, file: str, qualified: str) -> Callable[[Path], AbstractAsyncContextManager[Store]]:
    """``open_store`` of the class ``qualified`` in that module."""
    found: Any = load(name, file)
    for part in qualified.split("."):
        found = getattr(found, part)
    opened: Callable[[Path], AbstractAsyncContextManager[Store]] = found().open_store
    return opened


async def main(what: str, directory: str, name: str, file: str, qualified: str) -> None:
    """The store is opened and worked with."""
    async with opener(name, file, qualified)(Path(directory)) as store:
        await WORKS[what](store)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
