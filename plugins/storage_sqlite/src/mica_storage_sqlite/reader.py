"""What is on record, read through a connection that sees every commit made before, by whichever process."""

import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from mica import CertificateId, CertificateKind, Issuance, MalformedRequest, Page, Query, Revocation, SpentToken
from mica_storage_sqlite import rows, search
from mica_storage_sqlite.database import connect
from mica_storage_sqlite.faults import translated

_IS_SPENT = """
    SELECT :until <= (SELECT until FROM pruned) OR EXISTS (
        SELECT 1 FROM spent
        WHERE provisioner = (SELECT id FROM provisioners WHERE name = :provisioner) AND digest = :digest
    )
"""
_EXPIRED_TOKENS = """
    SELECT provisioner, digest, until FROM spent
    WHERE (provisioner, digest) > (?, ?) AND until < ? ORDER BY provisioner, digest LIMIT ?
"""


class Reader:
    """Reads; for one thread at a time. Every method raises Unavailable when the database cannot be read."""

    def __init__(self, path: Path, patience: timedelta) -> None:
        self._path = path
        self._patience = patience
        self._connection: sqlite3.Connection | None = None

    def find(self, id: CertificateId) -> Issuance | None:
        """The certificate on record under ``id``."""
        found = self._rows(rows.FIND, rows.id_key(id))
        return rows.issuance(found[0]) if found else None

    def revocation(self, id: CertificateId) -> Revocation | None:
        """The revocation of ``id``."""
        found = self._rows(rows.FIND_REVOCATION, rows.id_key(id))
        return rows.revocation(found[0]) if found else None

    def is_spent(self, token: SpentToken) -> bool:
        """Whether the token has been spent, or may have been: it ended before tokens that are forgotten."""
        with translated(self._path):
            digest = rows.token_digest(token.id)
        parameters = {"provisioner": token.provisioner, "digest": digest, "until": rows.microseconds(token.until)}
        ((spent,),) = self._rows(_IS_SPENT, parameters)
        return bool(spent)

    def page(self, query: Query) -> Page:
        """One page of the certificates that match; raises MalformedRequest for its limit or cursor."""
        size = search.page_size(query)
        found: Sequence[Any] = ()
        for plan in search.plans(query, self._rows(search.ISSUERS, ())):
            found = self._rows(plan.sql, plan.parameters)
            if len(found) > size:
                break
        return Page(
            rows=tuple(rows.found(row[1:]) for row in found[:size]),
            next_cursor=search.cursor_of(found[size - 1][0]) if len(found) > size else "",
        )

    def revocations(self, kind: CertificateKind, issuer: bytes, after: int, limit: int) -> tuple[Revocation, ...]:
        """At most ``limit`` revocations of the issuer's, ascending from beyond ``after``; raises MalformedRequest."""
        if limit < 1:
            raise MalformedRequest(f"limit must be at least 1, and is {limit}")
        key = rows.listing_key(kind, issuer, after, limit)
        return tuple(map(rows.revocation, self._rows(rows.LIST_REVOCATIONS, key)))

    def expired_tokens(self, now: datetime, after: tuple[int, bytes], most: int) -> Sequence[tuple[int, bytes, int]]:
        """Keys, beyond ``after`` and in order, of spent tokens that ended before ``now``; and when each did."""
        return self._rows(_EXPIRED_TOKENS, (*after, rows.microseconds(now), most))

    def close(self) -> None:
        """The connection is given back; the next read opens another."""
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
        self._connection = None

    def _rows(self, sql: str, parameters: Any) -> list[Any]:
        """Every row: a statement that is not read to its end would hold on to what it saw."""
        with translated(self._path):
            try:
                if self._connection is None:
                    self._connection = connect(self._path, self._patience)
                return self._connection.execute(sql, parameters).fetchall()
            except sqlite3.Error:
                self.close()
                raise
