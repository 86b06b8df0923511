"""Commits as rows: what is written inside a transaction, and what forbids it."""

# ruff: noqa: S608 - what is put into statements here is our own text, never a value

import sqlite3
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

from mica import (
    AlreadyRevoked,
    CertificateId,
    CertificateRevoked,
    Commit,
    Conflict,
    Issuance,
    MicaError,
    ProvisionerRef,
    Revocation,
    SpentToken,
    TokenReused,
)
from mica_storage_sqlite.faults import unstorable
from mica_storage_sqlite.rows import microseconds, names_column, serial_octets, token_digest

# With one row per statement, Python's module gives the GIL away for each row, and while the event loop is busy it
# comes back milliseconds later. So rows travel in statements of 1, 2, 4 … 64 rows, each of them compiled once.
_MOST_ROWS = 64
_MOST_INTERNED = 4096

_TAKEN = (sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY)
# By exact type: the subclasses blame the values, these the database (disk full, damaged, locked …).
_FATAL = (sqlite3.OperationalError, sqlite3.DatabaseError)


class Ledger:
    """Writes commits through one connection, whose transactions its caller begins and ends."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._issuers = _Interned(connection, "issuers", "kind", "digest")
        self._provisioners = _Interned(connection, "provisioners", "name")
        self._credentials = _Interned(connection, "credentials", "provisioner", "type", "credential_id")

    def record(self, commits: Sequence[Commit]) -> list[Exception | None]:
        """Each commit is written, or why it is not stands in its place; raises sqlite3.Error when nothing can be.

        All are tried as one; when that fails, each is tried by itself, in a savepoint of its own.
        """
        if len(commits) > 1 and _independent(commits) and self._attempt(commits) is None:
            return [None] * len(commits)
        return [self._attempt((commit,)) for commit in commits]

    def forget_tokens(self, keys: Sequence[tuple[int, bytes]], until: int) -> int:
        """The spent tokens with these keys are gone, none of which ended after ``until``; their number."""
        self._connection.execute("UPDATE pruned SET until = max(until, ?)", (until,))
        forgotten = self._connection.executemany("DELETE FROM spent WHERE provisioner = ? AND digest = ?", keys)
        return forgotten.rowcount

    def rehearse(self) -> None:
        """A write was possible, and is undone."""
        self._connection.execute("SAVEPOINT rehearsal")
        self._connection.execute("UPDATE pruned SET until = until")
        self._connection.execute("ROLLBACK TO rehearsal")
        self._connection.execute("RELEASE rehearsal")

    def _attempt(self, commits: Sequence[Commit]) -> Exception | None:
        """All of ``commits`` is written, or nothing is and the reason returned."""
        self._connection.execute("SAVEPOINT attempt")
        try:
            self._write(commits)
        except Exception as error:
            if type(error) in _FATAL:
                raise
            self._connection.execute("ROLLBACK TO attempt")
            self._connection.execute("RELEASE attempt")
            self.forget_interned()
            # Returned, not raised: it belongs to whoever waits for this commit, and to nobody else.
            return unstorable(error) if isinstance(error, UnicodeEncodeError) else error
        self._connection.execute("RELEASE attempt")
        return None

    def forget_interned(self) -> None:
        """Ids that a rollback may have undone are looked up again."""
        for interned in (self._issuers, self._provisioners, self._credentials):
            interned.clear()

    def _write(self, commits: Sequence[Commit]) -> None:
        ((last, pruned),) = self._connection.execute(
            "SELECT (SELECT max(id) FROM certificates), (SELECT until FROM pruned)"
        ).fetchall()
        self._spend([token for commit in commits for token in commit.spends], pruned)
        self._require_unrevoked([id for commit in commits for id in commit.unless_revoked])
        self._revoke([revocation for commit in commits for revocation in commit.revocations])
        self._issue([issuance for commit in commits for issuance in commit.issuances], (last or 0) + 1)

    def _spend(self, tokens: Sequence[SpentToken], pruned: int) -> None:
        rows = [
            (self._provisioners[token.provisioner,], token_digest(token.id), microseconds(token.until))
            for token in tokens
        ]
        reused = TokenReused("the one-time token has been used: ask for a new one")
        if any(until <= pruned for _, _, until in rows):
            raise reused
        self._insert("spent", rows, taken=reused)

    def _require_unrevoked(self, ids: Sequence[CertificateId]) -> None:
        keys = [self._certificate(id) for id in ids]
        for chunk in _chunks(keys):
            marks = ",".join(["(?,?)"] * len(chunk))
            sql = f"SELECT count(*) FROM revocations WHERE (issuer, serial) IN (VALUES {marks})"
            ((revoked,),) = self._connection.execute(sql, list(chain.from_iterable(chunk))).fetchall()
            if revoked:
                raise CertificateRevoked("the certificate has been revoked: order a new one")

    def _revoke(self, revocations: Sequence[Revocation]) -> None:
        rows = [
            (
                *self._certificate(revocation.id),
                microseconds(revocation.revoked_at),
                revocation.reason_code,
                revocation.reason,
                self._credential(revocation.provisioner)[1],
                revocation.request_id,
            )
            for revocation in revocations
        ]
        self._insert(
            "revocations (issuer, serial, revoked_at, reason_code, reason, credential, request_id)",
            rows,
            taken=AlreadyRevoked("the certificate is revoked already: nothing is left to do"),
        )

    def _issue(self, issuances: Sequence[Issuance], first: int) -> None:
        self._insert(
            "certificates",
            [(number, *self._columns(issuance)) for number, issuance in enumerate(issuances, first)],
            taken=Conflict("a certificate of this issuer has the serial number already: ask again"),
        )
        self._insert(
            "names",
            [row for number, issuance in enumerate(issuances, first) for row in self._name_rows(number, issuance)],
        )

    def _columns(self, issuance: Issuance) -> tuple[Any, ...]:
        return (
            *self._certificate(issuance.id),
            issuance.certificate,
            *self._credential(issuance.provisioner),
            issuance.subject,
            names_column(issuance),
            microseconds(issuance.not_before),
            microseconds(issuance.not_after),
            microseconds(issuance.issued_at),
            issuance.request_id,
            *((None, None) if issuance.replaces is None else self._certificate(issuance.replaces)),
        )

    def _name_rows(self, number: int, issuance: Issuance) -> Iterable[tuple[str, int, int, int]]:
        issuer, names = self._issuer(issuance.id), dict.fromkeys(issuance.names, 1)
        names.setdefault(issuance.subject, 0)
        return ((name, issuer, number, is_name) for name, is_name in names.items())

    def _certificate(self, id: CertificateId) -> tuple[int, bytes]:
        return self._issuer(id), serial_octets(id.serial_number)

    def _issuer(self, id: CertificateId) -> int:
        return self._issuers[id.kind.value, id.issuer]

    def _credential(self, ref: ProvisionerRef) -> tuple[int, int]:
        provisioner = self._provisioners[ref.name,]
        return provisioner, self._credentials[provisioner, ref.type, ref.credential_id]

    def _insert(self, table: str, rows: Sequence[tuple[Any, ...]], taken: MicaError | None = None) -> None:
        """The rows are in the table; raises ``taken`` when the unique key of one of them is there already."""
        try:
            for chunk in _chunks(rows):
                sql = _insertion(table, len(chunk[0]), len(chunk))
                self._connection.execute(sql, list(chain.from_iterable(chunk)))
        except sqlite3.IntegrityError as error:
            if taken is None or error.sqlite_errorcode not in _TAKEN:
                raise
            raise taken from error


class _Interned:
    """The ids of rows of a small table, by their content; a missing row is made."""

    def __init__(self, connection: sqlite3.Connection, table: str, *columns: str) -> None:
        marks = ",".join("?" * len(columns))
        self._connection = connection
        self._insert = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks}) ON CONFLICT DO NOTHING"
        self._select = f"SELECT id FROM {table} WHERE ({', '.join(columns)}) = ({marks})"
        self._ids: dict[tuple[Any, ...], int] = {}

    def __getitem__(self, content: tuple[Any, ...]) -> int:
        id = self._ids.get(content)
        if id is None:
            self._connection.execute(self._insert, content)
            ((id,),) = self._connection.execute(self._select, content).fetchall()
            if len(self._ids) >= _MOST_INTERNED:  # credential ids may be as many as certificates
                self._ids.clear()
            self._ids[content] = id
        return id

    def clear(self) -> None:
        """Nothing is known of the table."""
        self._ids.clear()


def _independent(commits: Sequence[Commit]) -> bool:
    """No commit revokes what any requires unrevoked: tried as one, both could hold, and in neither order would they."""
    revoked = {revocation.id for commit in commits for revocation in commit.revocations}
    return not revoked or revoked.isdisjoint(id for commit in commits for id in commit.unless_revoked)


def _chunks(rows: Sequence[tuple[Any, ...]]) -> Iterable[Sequence[tuple[Any, ...]]]:
    """The rows in order, in runs of 64, 32, … 1."""
    start = 0
    while start < len(rows):
        size = min(_MOST_ROWS, 1 << ((len(rows) - start).bit_length() - 1))
        yield rows[start : start + size]
        start += size


@lru_cache(maxsize=64)
def _insertion(table: str, width: int, height: int) -> str:
    row = f"({','.join('?' * width)})"
    return f"INSERT INTO {table} VALUES {','.join([row] * height)}"
