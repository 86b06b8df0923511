"""A program that commits without pause, and names each commit on stdout once it is acknowledged: load.py DIRECTORY"""

import asyncio
import sys
from pathlib import Path

from mica import Commit
from mica.testing.contexts import Clock, make_context
from mica.testing.records import make_issuance, make_order, make_revocation
from mica_storage_sqlite import SQLiteConfig, SQLiteStore


async def work(store: SQLiteStore) -> None:
    """For ever: a certificate with its token; then its revocation."""
    while True:
        order = make_order(issuances=(make_issuance(),))
        id, token = order.issuances[0].id, order.spends[0]
        await store.commit(order)
        sys.stdout.write(f"issued {id.serial_number} {token.id}\n")
        await store.commit(Commit(revocations=(make_revocation(id),)))
        sys.stdout.write(f"revoked {id.serial_number} {token.id}\n")
        sys.stdout.flush()


async def main() -> None:
    """Sixteen clients at a time."""
    store = SQLiteStore(SQLiteConfig(), make_context(Clock(), Path(sys.argv[1])))
    await store.start()
    await asyncio.gather(*(work(store) for _ in range(16)))


if __name__ == "__main__":
    asyncio.run(main())
