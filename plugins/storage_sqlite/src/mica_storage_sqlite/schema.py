"""The tables, and how a file of an earlier version becomes one of this version."""

import sqlite3
from pathlib import Path

from mica import ConfigError

#: "mica" in ASCII, so that ``file`` and we can tell whose database it is.
APPLICATION_ID = 0x6D696361

# Moments are microseconds since 1970 in UTC. Serial numbers are the content octets of a DER INTEGER (X.690 §8.3):
# those that begin with the time are all of one length, so that new rows go to the end of the B-tree.
# Rows of certificates are never deleted: ids ascend in the order of record, and a page of a search ends at an id.
_VERSION_1 = (
    """
    CREATE TABLE issuers (
        id INTEGER PRIMARY KEY,
        kind TEXT NOT NULL,
        digest BLOB NOT NULL,
        UNIQUE (kind, digest)
    ) STRICT
    """,
    "CREATE TABLE provisioners (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT",
    """
    CREATE TABLE credentials (
        id INTEGER PRIMARY KEY,
        provisioner INTEGER NOT NULL REFERENCES provisioners,
        type TEXT NOT NULL,
        credential_id TEXT NOT NULL,
        UNIQUE (provisioner, type, credential_id)
    ) STRICT
    """,
    # names: a JSON array, or NULL when the subject is the one name.
    # provisioner: that of the credential, repeated so that one index lists a provisioner's certificates in order.
    """
    CREATE TABLE certificates (
        id INTEGER PRIMARY KEY,
        issuer INTEGER NOT NULL REFERENCES issuers,
        serial BLOB NOT NULL,
        certificate BLOB NOT NULL,
        provisioner INTEGER NOT NULL REFERENCES provisioners,
        credential INTEGER NOT NULL REFERENCES credentials,
        subject TEXT NOT NULL,
        names TEXT,
        not_before INTEGER NOT NULL,
        not_after INTEGER NOT NULL,
        issued_at INTEGER NOT NULL,
        request_id TEXT NOT NULL,
        replaces_issuer INTEGER REFERENCES issuers,
        replaces_serial BLOB
    ) STRICT
    """,
    "CREATE UNIQUE INDEX certificates_serial ON certificates (issuer, serial)",
    "CREATE INDEX certificates_provisioner ON certificates (provisioner)",
    "CREATE INDEX certificates_not_after ON certificates (not_after)",
    # A subject that is not among the names has a row too (is_name = 0): one B-tree serves both searches.
    """
    CREATE TABLE names (
        name TEXT NOT NULL,
        certificate INTEGER NOT NULL REFERENCES certificates,
        is_name INTEGER NOT NULL,
        PRIMARY KEY (name, certificate)
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE revocations (
        id INTEGER PRIMARY KEY,
        issuer INTEGER NOT NULL REFERENCES issuers,
        serial BLOB NOT NULL,
        revoked_at INTEGER NOT NULL,
        reason_code INTEGER NOT NULL,
        reason TEXT NOT NULL,
        credential INTEGER NOT NULL REFERENCES credentials,
        request_id TEXT NOT NULL,
        UNIQUE (issuer, serial)
    ) STRICT
    """,
    # digest: SHA-256 of the token's id, whose length is the provisioner's business.
    # No index on until: it would cost every certificate more than one pass over the table costs each prune.
    """
    CREATE TABLE spent (
        provisioner INTEGER NOT NULL REFERENCES provisioners,
        digest BLOB NOT NULL,
        until INTEGER NOT NULL,
        PRIMARY KEY (provisioner, digest)
    ) STRICT, WITHOUT ROWID
    """,
    # The latest until of any token that was pruned. Whatever ended by then counts as spent, so that a clock
    # that is set back revives nothing. It only rises.
    "CREATE TABLE pruned (id INTEGER PRIMARY KEY CHECK (id = 1), until INTEGER NOT NULL) STRICT",
    "INSERT INTO pruned VALUES (1, -9223372036854775808)",
    f"PRAGMA application_id = {APPLICATION_ID}",
)

_VERSION_2 = (
    # The issuer stands between name and certificate: whether a host has a certificate of the SSH CA must not depend on
    # how many others carry the name. A search that knows no issuer reads one run for each, and merges them.
    """
    CREATE TABLE names_by_issuer (
        name TEXT NOT NULL,
        issuer INTEGER NOT NULL REFERENCES issuers,
        certificate INTEGER NOT NULL REFERENCES certificates,
        is_name INTEGER NOT NULL,
        PRIMARY KEY (name, issuer, certificate)
    ) STRICT, WITHOUT ROWID
    """,
    """
    INSERT INTO names_by_issuer SELECT n.name, c.issuer, n.certificate, n.is_name
    FROM names n CROSS JOIN certificates c ON c.id = n.certificate ORDER BY n.name, c.issuer, n.certificate
    """,
    "DROP TABLE names",
    "ALTER TABLE names_by_issuer RENAME TO names",
    "DROP INDEX certificates_not_after",
    "CREATE INDEX certificates_expiry ON certificates (issuer, not_after)",
    # Of two serial numbers that are not negative, the one with more octets is the larger: content octets are minimal.
    "ALTER TABLE revocations ADD COLUMN width INTEGER NOT NULL AS (length(serial)) VIRTUAL",
    "CREATE INDEX revocations_in_order ON revocations (issuer, width, serial)",
)

#: What turns version n into n + 1 stands at place n.
MIGRATIONS: tuple[tuple[str, ...], ...] = (_VERSION_1, _VERSION_2)


def migrate(connection: sqlite3.Connection, path: Path) -> None:
    """The database at ``path`` has this version's tables. Needs a transaction; raises as ``version`` does."""
    current = version(connection, path)
    for number, statements in enumerate(MIGRATIONS[current:], current + 1):
        for statement in statements:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {number:d}")


def version(connection: sqlite3.Connection, path: Path) -> int:
    """The version of the tables, 0 when there are none; raises ConfigError when they are another program's or newer."""
    (application_id,) = connection.execute("PRAGMA application_id").fetchall()[0]
    (number,) = connection.execute("PRAGMA user_version").fetchall()[0]
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()[0]
    if application_id != APPLICATION_ID and (tables or number or application_id):
        raise ConfigError([f"store.path: {path} is the database of another program: name a new file"])
    if number > len(MIGRATIONS):
        raise ConfigError(
            [
                f"store.path: {path} has schema version {number}, and this mica knows versions up to "
                f"{len(MIGRATIONS)}: run the version of mica that wrote it, or a later one"
            ]
        )
    return int(number)
