"""What the CA has on record, read from its store on its own host. Keys are not touched, and no password is needed."""

import hashlib
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime

from mica import sshfoundation
from mica.assembly import Assembly
from mica.clock import system_clock
from mica.config import Settings
from mica.errors import ConfigError
from mica.hooks import Hooks
from mica.issuers import read_certificates
from mica.pkix import tbs_parts
from mica.records import CertificateId, CertificateKind, Found, Query, Revocation
from mica.roles import Startable, Store
from mica.sshkeys import KeyLine
from mica.sshwire import MalformedSSH

#: The rows of one page: what a store is asked for at once.
PAGE = 500
_FURTHER_KEYS = ("further_user_keys", "further_host_keys")
_PUBLIC_KEYS = (str(sshfoundation.USER_PUBLIC_KEY), str(sshfoundation.HOST_PUBLIC_KEY))


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


async def with_serial_number(store: Store, serial_number: int, kind: CertificateKind | None) -> list[Found]:
    """Every certificate on record with that serial number; they have different issuers or kinds."""
    query = Query(now=now(), serial_number=serial_number, kind=kind)
    return [row async for rows, _ in pages(store, query, None) for row in rows]


async def revocations(
    store: Store, settings: Settings, serial_number: int, kind: CertificateKind | None
) -> list[Revocation]:
    """What revoked a certificate that is not on record itself, for each issuer of the CA's that can be told."""
    issuers = dict.fromkeys(
        [
            *((CertificateKind.X509, digest) for digest in _issuers(settings)),
            *((CertificateKind.SSH, digest) for digest in _ssh_keys(settings)),
            *((CertificateKind.SSH, digest) for digest in await _recorded_ssh_keys(store)),
        ]
    )
    found = [
        await store.revocation(CertificateId(kind=each, issuer=issuer, serial_number=serial_number))
        for each, issuer in issuers
        if kind in (None, each)
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


def _ssh_keys(settings: Settings) -> Iterator[bytes]:
    """SHA-256 of each of the SSH CA's keys whose public half can be read; the keys themselves are encrypted."""
    table = settings.core.signers.get("ssh", {})
    paths = [path for name in _FURTHER_KEYS for path in _texts(table.get(name))]
    for path in [*paths, *_PUBLIC_KEYS]:
        try:
            lines = settings.files.read(settings.directory / path).decode()
            yield hashlib.sha256(KeyLine.parse(lines.strip(), path).blob).digest()
        except (ConfigError, MalformedSSH, UnicodeDecodeError):  # one place less to look, as above
            continue


def _texts(value: object) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


async def _recorded_ssh_keys(store: Store) -> Iterable[bytes]:
    """What signed the newest SSH certificates: keys whose public half may be in no file."""
    page = await store.search(Query(now=now(), kind=CertificateKind.SSH, limit=PAGE))
    return dict.fromkeys(row.issuance.id.issuer for row in page.rows)
