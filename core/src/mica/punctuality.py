"""The configured store, as the verbs see it: it answers in time and in kind, or with one of mica's errors.

A store is a plugin. One that hangs, raises or gives something else than its role says leads to 503, and to a line in
the log. A commit that was given up may land all the same; so what it held is not handed out, and its token is held on.
"""

import logging
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from mica.containment import contained
from mica.deadlines import Late, within
from mica.errors import MicaError, Unavailable, Undecided, told
from mica.records import CertificateId, CertificateKind, Commit, Issuance, Page, Query, Revocation, SpentToken
from mica.roles import RevocationLister, Startable, Store

#: How long the store may take for an answer, in seconds. More than a busy database keeps a writer waiting.
DEADLINE = 30.0
#: How long it may take to forget what has ended, which nobody waits for.
PRUNING_DEADLINE = 600.0

T = TypeVar("T")
_NOTHING = type(None)
_log = logging.getLogger("mica.store")


class PunctualStore:
    """A store with an end to every wait. Each method does what ``Store`` says, and raises Unavailable besides."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @classmethod
    def of(cls, store: Store) -> "PunctualStore":
        """``store``, with the abilities that it has."""
        return PunctualLister(store) if isinstance(store, RevocationLister) else PunctualStore(store)

    async def start(self) -> None:
        """It is open, where it needs to be opened."""
        if isinstance(self._store, Startable):
            await self._store.start()

    async def commit(self, commit: Commit) -> None:
        """See ``Store.commit``; raises Undecided when it is not known whether ``commit`` is on record, or will be."""
        try:
            await _asked("commit", self._store.commit, commit)
        except _TooLate as late:
            ids = [each.id for each in commit.issuances] + [each.id for each in commit.revocations]
            serials = ", ".join(str(id.serial_number) for id in ids)
            raise Undecided(f"{late}; whether it has recorded {serials}, its record will show") from late

    async def find(self, id: CertificateId) -> Issuance | None:
        """See ``Store.find``."""
        return await _asked("find", self._store.find, id, kinds=(Issuance, _NOTHING))

    async def revocation(self, id: CertificateId) -> Revocation | None:
        """See ``Store.revocation``."""
        return await _asked("revocation", self._store.revocation, id, kinds=(Revocation, _NOTHING))

    async def is_spent(self, token: SpentToken) -> bool:
        """See ``Store.is_spent``."""
        return await _asked("is_spent", self._store.is_spent, token, kinds=(bool,))

    async def search(self, query: Query) -> Page:
        """See ``Store.search``."""
        return await _asked("search", self._store.search, query, kinds=(Page,))

    async def prune(self, now: datetime) -> int:
        """See ``Store.prune``."""
        return await _asked("prune", self._store.prune, now, kinds=(int,), seconds=PRUNING_DEADLINE)

    async def probe(self) -> None:
        """See ``Store.probe``."""
        await _asked("probe", self._store.probe)

    async def aclose(self) -> None:
        """See ``Store.aclose``."""
        await self._store.aclose()


class PunctualLister(PunctualStore):
    """The same of a store that can tell all that is revoked."""

    async def revocations(
        self, kind: CertificateKind, issuer: bytes, *, after: int = -1, limit: int = 1000
    ) -> tuple[Revocation, ...]:
        """See ``RevocationLister.revocations``."""
        store: Any = self._store
        ask = partial(store.revocations, after=after, limit=limit)
        return await _asked("revocations", ask, kind, issuer, kinds=(tuple,))


class _TooLate(Unavailable):
    """There was no answer in time."""


async def _asked(
    method: str,
    ask: Callable[..., Awaitable[T]],
    *arguments: object,
    kinds: tuple[type[Any], ...] = (object,),
    seconds: float | None = None,
) -> T:
    """What the store answers, which is of one of these ``kinds``; raises MicaError, Unavailable for any failure."""
    try:
        with contained:
            answer = await within(DEADLINE if seconds is None else seconds, ask(*arguments))
    except MicaError:
        raise
    except Late as error:
        _log.exception("the store did not answer %s in time", method)
        raise _TooLate(f"the store did not answer {method} in time") from error
    except Exception as error:
        _log.exception("the store failed in %s", method)
        raise Unavailable(f"the store failed in {method}: {told(error, repr)}") from error
    if not isinstance(answer, kinds):
        _log.error("the store answered %s with %s", method, type(answer).__name__)
        raise Unavailable(f"the store answered {method} with {type(answer).__name__}")
    return answer
