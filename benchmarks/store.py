"""What one certificate costs the SQLite store, as a multiple of one P-256 signature measured in the same run.

    python benchmarks/store.py [--seconds 4] [--directory DIR]

A row is a token spent and a certificate recorded, durably. ``batch`` requests wait at a time, as they do when so many
connections are served. "busy loop" keeps the event loop computing meanwhile, as a server's is.

The last rows read, among all that was recorded before: the newest certificate of a host, as ``ssh check-host`` asks for
it, where every certificate of users carries the name as well; and everything that is revoked, for a revocation list.
"""

import argparse
import asyncio
import os
import secrets
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from mica import (
    CertificateId,
    CertificateKind,
    Commit,
    Context,
    Issuance,
    ProvisionerRef,
    Query,
    Revocation,
    SpentToken,
    Status,
)
from mica.audiences import Audiences
from mica_storage_sqlite import SQLiteConfig, SQLiteStore

_ISSUER = sha256(b"issuer").digest()
_DER = os.urandom(640)
_JWK = ProvisionerRef(name="admin", type="JWK", credential_id=secrets.token_urlsafe(32))


def yardstick(seconds: float = 0.5) -> float:
    """The CPU seconds of one P-256 signature."""
    key, data, count = ec.generate_private_key(ec.SECP256R1()), _DER, 0
    begin = time.process_time()
    while time.process_time() - begin < seconds:
        key.sign(data, ec.ECDSA(SHA256()))
        count += 1
    return (time.process_time() - begin) / count


def _commits() -> Iterator[Commit]:
    now = datetime.now(UTC).replace(microsecond=0)
    while True:
        name = f"host-{secrets.token_hex(4)}.example"
        serial = time.time_ns() // 1_000_000 << 80 | secrets.randbits(80)
        yield Commit(
            issuances=(
                Issuance(
                    id=CertificateId(kind=CertificateKind.X509, issuer=_ISSUER, serial_number=serial),
                    certificate=_DER,
                    provisioner=_JWK,
                    subject=name,
                    names=(name,),
                    not_before=now,
                    not_after=now + timedelta(days=1),
                    issued_at=now,
                    request_id=secrets.token_hex(10),
                ),
            ),
            spends=(SpentToken(provisioner="admin", id=secrets.token_hex(32), until=now + timedelta(minutes=6)),),
        )


async def _measure(store: SQLiteStore, batch: int, seconds: float) -> tuple[float, float, int]:
    """Wall seconds, CPU seconds and rows; the making of the records is not counted."""
    made, count = _commits(), 0
    wall = cpu = 0.0
    while wall < seconds:
        commits = [next(made) for _ in range(batch)]
        begin, begin_cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*map(store.commit, commits))
        wall, cpu = wall + time.perf_counter() - begin, cpu + time.process_time() - begin_cpu
        count += batch
    return wall, cpu, count


_HOSTS, _USERS = sha256(b"host CA").digest(), sha256(b"user CA").digest()
_ROOT = "root"


def _ssh(serial: int, issuer: bytes) -> Issuance:
    (issuance,) = next(_commits()).issuances
    id = CertificateId(kind=CertificateKind.SSH, issuer=issuer, serial_number=serial)
    return replace(issuance, id=id, subject=_ROOT, names=(_ROOT,))


async def _revoked(store: SQLiteStore, users: int) -> None:
    """One host has a certificate, and so many users, who are revoked."""
    await store.commit(Commit(issuances=(_ssh(1, _HOSTS),)))
    made = [_ssh(secrets.randbits(64), _USERS) for _ in range(users)]
    ends = tuple(Revocation(id=one.id, revoked_at=one.issued_at, provisioner=_JWK) for one in made)
    await store.commit(Commit(issuances=tuple(made), revocations=ends))


async def _check_host(store: SQLiteStore, seconds: float) -> float:
    """The wall seconds of one query."""
    kind, now, count, begin = CertificateKind.SSH, datetime.now(UTC), 0, time.perf_counter()
    query = Query(now=now, kind=kind, issuers=(_HOSTS,), name=_ROOT, status=Status.VALID, limit=1)
    while time.perf_counter() - begin < seconds:
        assert len((await store.search(query)).rows) == 1
        count += 1
    return (time.perf_counter() - begin) / count


async def _list(store: SQLiteStore) -> tuple[float, int]:
    """The wall seconds that it takes to list every revocation, and their number."""
    begin, count, after = time.perf_counter(), 0, -1
    while page := await store.revocations(CertificateKind.SSH, _USERS, after=after):
        count, after = count + len(page), page[-1].id.serial_number
    return time.perf_counter() - begin, count


async def _compute() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    while True:
        for _ in range(8):
            key.sign(_DER, ec.ECDSA(SHA256()))
        await asyncio.sleep(0)


async def _run(directory: Path, seconds: float) -> None:
    signature = yardstick()
    print(f"yardstick: one P-256 signature, {signature * 1e6:.1f} µs of CPU")
    store = SQLiteStore(SQLiteConfig(path=Path("mica.db")), _context(directory))
    await store.start()
    for batch in (1, 8, 32):
        wall, cpu, rows = await _measure(store, batch, seconds)
        print(
            f"batch {batch:2d}: {cpu / rows / signature:5.2f} signatures of CPU per certificate "
            f"({cpu / rows * 1e6:.0f} µs), {rows / wall:6.0f}/s"
        )
    busy = asyncio.create_task(_compute())
    wall, _, rows = await _measure(store, 32, seconds)
    busy.cancel()
    with suppress(asyncio.CancelledError):
        await busy
    print(f"batch 32, busy loop: {wall / rows * 32 / signature:.0f} signatures of waiting, {rows / wall:6.0f}/s")
    await _revoked(store, 20_000)
    wall = await _check_host(store, seconds / 4)
    print(f"check-host: {wall / signature:.1f} signatures of waiting ({wall * 1e6:.0f} µs)")
    wall, rows = await _list(store)
    print(
        f"revocations: {wall / rows / signature:.2f} signatures of waiting each ({wall / rows * 1e6:.1f} µs, of {rows})"
    )
    await store.aclose()


def _context(directory: Path) -> Context:
    return Context(
        url="https://ca.example",
        audiences=Audiences.of("https://ca.example", "127.0.0.1:443", ()),
        directory=directory,
        now=lambda: datetime.now(UTC),
        random=os.urandom,
        read=Path.read_bytes,
        read_secret=Path.read_bytes,
    )


def main() -> None:
    """The figures are printed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4, help="how long each measurement takes (default 4)")
    parser.add_argument("--directory", type=Path, help="whose disk is measured (default: the temporary folder's)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.directory) as directory:
        asyncio.run(_run(Path(directory), arguments.seconds))


if __name__ == "__main__":
    main()
