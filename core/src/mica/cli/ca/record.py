"""What the CA has on record, read from its store on its own host. Keys are not touched, and no password is needed."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime

from mica.assembly import Assembly
from mica.clock import system_clock
from mica.config import Settings
from mica.errors import ConfigError
from mica.hooks import Hooks
from mica.issuers import read_certificates
from mica.pkix import tbs_parts
from mica.records import CertificateId, CertificateKind, Found, Query, Revocation
from mica.roles import Startable, Store

#: The rows of one page: what a store is asked for at once.
PAGE = 500


def now() -> datetime:
    """The current time."""
    return system_clock()


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Store]:
    """The configured store, open; closed afterwards. Raises ConfigError, Unavailable."""
    assembly = Assembly(settings, Hooks(), system_clock)
    assembly.load_plugins({})
    store = assembly.store()
    # A fault elsewhere in the file is no reason not to look at what is on record.
    if store is None:
        raise ConfigError(dict.fromkeys([*settings.faults, *assembly.faults]))
    try:
        if isinstance(store, Startable):
            await store.start()
        yield store
    finally:
        await store.aclose()


async def pages(store: Store, query: Query, limit: int | None) -> AsyncIterator[tuple[tuple[Found, ...], bool]]:
    """Page after page, newest first, at most ``limit`` rows in all; with each, whether there is more beyond it."""
    left = limit
    while True:
        size = PAGE if left is None else min(PAGE, left)
        page = await store.search(replace(query, limit=size))
        left = None if left is None else left - len(page.rows)
        yield page.rows, bool(page.next_cursor)
        if not page.next_cursor or left == 0:
            return
        query = replace(query, cursor=page.next_cursor)


async def with_serial_number(store: Store, serial_number: int) -> list[Found]:
    """Every certificate on record with that serial number; they have different issuers or kinds."""
    query = Query(now=now(), serial_number=serial_number)
    return [row async for rows, _ in pages(store, query, None) for row in rows]


async def revocations(store: Store, settings: Settings, serial_number: int) -> list[Revocation]:
    """What revoked a certificate that is not on record itself, for each of the CA's X.509 issuers."""
    found = [
        await store.revocation(CertificateId(kind=CertificateKind.X509, issuer=issuer, serial_number=serial_number))
        for issuer in _issuers(settings)
    ]
    return [revocation for revocation in found if revocation is not None]


def _issuers(settings: Settings) -> list[bytes]:
    """SHA-256 of the Name of each issuer whose certificate can be read."""
    digests: dict[bytes, None] = {}
    for table in settings.core.signers.values():
        path = table.get("certificate")
        if not isinstance(path, str):
            continue
        try:
            chain = read_certificates(settings.files, settings.directory / path)
        except ConfigError:  # ``mica ca check`` reports it; here it only means one place less to look
            continue
        digests[hashlib.sha256(tbs_parts(chain[0])[5]).digest()] = None
    return list(digests)
