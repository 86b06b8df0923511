"""The Store role on SQLite: a writer, and readers beside it."""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

from mica import (
    CertificateId,
    CertificateKind,
    Commit,
    Context,
    Issuance,
    Page,
    Query,
    Revocation,
    SpentToken,
    Unavailable,
)
from mica_storage_sqlite.database import prepare
from mica_storage_sqlite.faults import translated
from mica_storage_sqlite.ledger import Ledger
from mica_storage_sqlite.reader import Reader
from mica_storage_sqlite.writer import Writer

#: Point lookups happen on the event loop. In WAL mode they wait for nobody but a process that recovers the log.
_POINT_PATIENCE = timedelta(milliseconds=50)
_PRUNED_TOGETHER = 1000
#: Less than this and the next checkpoint may fail.
_SPACE_NEEDED = 8 * 1024 * 1024

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class SQLiteConfig:
    """``[store]`` with ``type = "storage_sqlite"``."""

    path: Path = field(
        default=Path("db/mica.db"), metadata={"help": "The database file, relative to the folder of ca.toml"}
    )
    busy_timeout: timedelta = field(
        default=timedelta(seconds=5), metadata={"help": "How long a request waits for another process's write"}
    )


@dataclass(frozen=True, slots=True)
class _Parts:
    """What an open store holds."""

    writer: Writer
    points: Reader
    searches: Reader
    thread: ThreadPoolExecutor
    """The one thread that uses ``searches``."""


class SQLiteStore:
    """Remembers in one SQLite file, which several processes may have open. ``start`` opens it, ``aclose`` closes it."""

    def __init__(self, config: SQLiteConfig, context: Context) -> None:
        self._path = context.directory / config.path
        self._patience = config.busy_timeout
        self._parts: _Parts | None = None

    async def start(self) -> None:
        """The database is there, up to date and open; raises ConfigError when it must not be used, or Unavailable."""
        await asyncio.to_thread(prepare, self._path, self._patience)
        if self._parts is not None:
            return
        with translated(self._path):
            self._parts = _Parts(
                Writer(self._path, self._patience),
                Reader(self._path, _POINT_PATIENCE),
                Reader(self._path, self._patience),
                ThreadPoolExecutor(1, "mica-store-search"),
            )

    async def commit(self, commit: Commit) -> None:
        """Everything in ``commit`` is on disk, or nothing is; raises as ``Store.commit`` says."""
        await self._open.writer.record(commit)

    async def find(self, id: CertificateId) -> Issuance | None:
        """The certificate on record under ``id``."""
        return self._open.points.find(id)

    async def revocation(self, id: CertificateId) -> Revocation | None:
        """The revocation of ``id``, whether or not the certificate is on record."""
        return self._open.points.revocation(id)

    async def is_spent(self, token: SpentToken) -> bool:
        """Whether the token has been spent, or ended so long ago that its being spent may have been forgotten."""
        return self._open.points.is_spent(token)

    async def search(self, query: Query) -> Page:
        """One page of the certificates that match, newest first; raises MalformedRequest for a foreign cursor."""
        return await self._searching(partial(self._open.searches.page, query))

    async def revocations(
        self, kind: CertificateKind, issuer: bytes, *, after: int = -1, limit: int = 1000
    ) -> tuple[Revocation, ...]:
        """What is revoked of the issuer's, ascending by serial number from beyond ``after``; raises MalformedRequest.

        Fewer than ``limit`` are all that there are.
        """
        return await self._searching(partial(self._open.searches.revocations, kind, issuer, after, limit))

    async def prune(self, now: datetime) -> int:
        """Spent tokens whose ``until`` lies before ``now`` are forgotten, and stay refused; their number."""
        parts, forgotten, after = self._open, 0, (0, b"")
        while expired := await self._searching(partial(parts.searches.expired_tokens, now, after, _PRUNED_TOGETHER)):
            keys = [(provisioner, digest) for provisioner, digest, _ in expired]
            until = max(until for _, _, until in expired)
            forgotten += await parts.writer.alone(partial(Ledger.forget_tokens, keys=keys, until=until))
            after = keys[-1]
        return forgotten

    async def probe(self) -> None:
        """A write would succeed now; raises Unavailable."""
        await self._open.writer.alone(Ledger.rehearse)
        disk = os.statvfs(self._path.parent)
        if disk.f_bavail * disk.f_frsize < _SPACE_NEEDED:
            raise Unavailable(f"the disk of the store {self._path} is almost full: free some space")

    async def aclose(self) -> None:
        """Every commit that was accepted is on disk, and the files are closed; a second call does nothing."""
        parts, self._parts = self._parts, None
        if parts is not None:
            # All of it begins before the first wait, which may be cancelled.
            searches = parts.thread.submit(parts.searches.close)
            parts.thread.shutdown(wait=False)
            parts.points.close()
            await parts.writer.aclose()
            await asyncio.wrap_future(searches)

    @property
    def _open(self) -> _Parts:
        if self._parts is None:
            raise Unavailable(f"the store {self._path} is not open: start it first")
        return self._parts

    async def _searching(self, read: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._open.thread, read)
