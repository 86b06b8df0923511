"""A query as SQL: every condition has an index, and a page costs what is on it, not what is on record.

Issuers are few, and their numbers stand in the statements themselves: where an index begins with the issuer, a
statement reads one run of it for each, and what is in order within the runs is merged.
"""

# ruff: noqa: S608 - what is put into statements here is our own text, never a value

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mica import MalformedRequest, Query, Status
from mica_storage_sqlite.rows import FOUND, MOST_INTEGER, microseconds, serial_octets

MOST_ROWS = 1000
#: How many of the newest certificates are looked through before an index is asked that has another order.
WINDOW = 5000

#: All issuers, for ``plans``.
ISSUERS = "SELECT id, kind, digest FROM issuers"

# A compound SELECT has at most 500 arms, and nobody needs as many.
_MOST_MERGED = 50
_CURSOR = re.compile(r"[1-9a-f][0-9a-f]{0,15}", re.ASCII)

# By field of the query: what a certificate that meets it satisfies.
_CONDITIONS = {
    "name": "EXISTS (SELECT 1 FROM names m WHERE m.name = :name AND m.issuer = c.issuer AND m.certificate = c.id "
    "AND m.is_name)",
    "subject": "c.subject = :subject",
    "provisioner": "c.provisioner = (SELECT id FROM provisioners WHERE name = :provisioner)",
    "serial_number": "c.serial = :serial_number",
    "expires_before": "c.not_after < :expires_before",
    "expires_after": "c.not_after > :expires_after",
}
_REVOKED = "EXISTS (SELECT 1 FROM revocations r WHERE r.issuer = c.issuer AND r.serial = c.serial)"
# RFC 5280 §4.1.2.5: the validity period includes its last moment.
_STATUSES = {
    Status.VALID: f"c.not_after >= :now AND NOT {_REVOKED}",
    Status.EXPIRED: f"c.not_after < :now AND NOT {_REVOKED}",
    Status.REVOKED: _REVOKED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """Where the candidates of a query come from."""

    tables: str
    condition: str = "1"
    id: str = "c.id"
    issuer: str = "c.issuer"
    needs_issuer: bool = False
    """Its index begins with the issuer, or has it behind what is asked for."""
    in_order: bool = True
    """The newest candidates, of each issuer if it needs one, come first by themselves. Otherwise all are sorted."""


_BY_ID = _Source(tables="certificates c NOT INDEXED")
_BY_SERIAL = _Source(tables="certificates c INDEXED BY certificates_serial", needs_issuer=True)
_BY_NAME = _Source(
    tables="names n CROSS JOIN certificates c ON c.id = n.certificate",
    condition="n.name = :name",
    id="n.certificate",
    issuer="n.issuer",
    needs_issuer=True,
)
_BY_SUBJECT = replace(_BY_NAME, condition="n.name = :subject")  # subjects are among the names (schema.py)
_BY_PROVISIONER = _Source(tables="certificates c INDEXED BY certificates_provisioner")
_BY_REVOCATION = _Source(
    tables="revocations v CROSS JOIN certificates c ON c.issuer = v.issuer AND c.serial = v.serial", in_order=False
)
_BY_EXPIRY = _Source(tables="certificates c INDEXED BY certificates_expiry", needs_issuer=True, in_order=False)
_BY_ISSUER = replace(_BY_EXPIRY, tables="certificates c INDEXED BY certificates_serial")

_WINDOW = f"c.id >= min(:before, (SELECT ifnull(max(id), 0) + 1 FROM certificates)) - {WINDOW:d}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One statement, which yields at most ``limit + 1`` rows of ``rows.FOUND``, newest first."""

    sql: str
    parameters: dict[str, Any] = field(repr=False)


def page_size(query: Query) -> int:
    """How many rows a page of the query has at most; raises MalformedRequest when it asks for none."""
    if query.limit < 1:
        raise MalformedRequest(f"limit must be from 1 to {MOST_ROWS}, and is {query.limit}")
    return min(query.limit, MOST_ROWS)


def cursor_of(id: int) -> str:
    """The cursor of the page that begins after the certificate with this id."""
    return f"{id:x}"


def plans(query: Query, issuers: Iterable[tuple[int, str, bytes]]) -> Iterator[Plan]:
    """The statements to try, until one fills the page or none is left; raises MalformedRequest.

    ``issuers`` are the rows of ``ISSUERS``. Usually it is one statement; none when no issuer can be meant. Where the
    candidates are not in order (by expiry, revocation or issuer), the newest few thousand certificates are looked
    through first, which fills most pages; if it does not, matches are few or old, and sorted.
    """
    source, conditions, parameters = _source(query), _conditions(query), _parameters(query)
    meant = [id for id, kind, digest in issuers if _means(query, kind, digest)]
    if not meant:
        return
    if not source.in_order:
        yield Plan(sql=_statement(_BY_ID, [*conditions, _WINDOW], _runs(query, _BY_ID, meant)), parameters=parameters)
    yield Plan(sql=_statement(source, conditions, _runs(query, source, meant)), parameters=parameters)


def _means(query: Query, kind: str, digest: bytes) -> bool:
    return query.kind in (None, kind) and (not query.issuers or digest in query.issuers)


def _runs(query: Query, source: _Source, issuers: Sequence[int]) -> list[str]:
    """By which conditions on the issuer the candidates are read; what several of them select, is merged."""
    if source.needs_issuer and source.in_order and len(issuers) <= _MOST_MERGED:
        return [f"{source.issuer} = {id:d}" for id in issuers]
    if source.needs_issuer or query.kind is not None or query.issuers:
        return [f"{source.issuer} IN ({', '.join(f'{id:d}' for id in issuers)})"]
    return ["1"]


def _source(query: Query) -> _Source:
    """The source with the fewest candidates, as far as can be told beforehand."""
    expires = query.expires_before is not None or query.expires_after is not None
    choices = (
        (query.serial_number is not None, _BY_SERIAL),
        (query.name is not None, _BY_NAME),
        (query.subject is not None, _BY_SUBJECT),
        (query.provisioner is not None, _BY_PROVISIONER),
        (query.status is Status.REVOKED, _BY_REVOCATION),
        (expires or query.status is not None, _BY_EXPIRY),
        (query.kind is not None or bool(query.issuers), _BY_ISSUER),
    )
    return next((source for fits, source in choices if fits), _BY_ID)


def _conditions(query: Query) -> list[str]:
    conditions = [sql for name, sql in _CONDITIONS.items() if getattr(query, name) is not None]
    return conditions if query.status is None else [*conditions, _STATUSES[query.status]]


def _statement(source: _Source, conditions: Sequence[str], runs: Sequence[str]) -> str:
    where = " AND ".join([source.condition, f"{source.id} < :before", *conditions])
    arms = [f"SELECT {source.id} AS id FROM {source.tables} WHERE {run} AND {where}" for run in runs]
    page = f"{' UNION ALL '.join(arms)} ORDER BY id DESC LIMIT :rows"
    return f"WITH page AS MATERIALIZED ({page}) {FOUND}"


def _parameters(query: Query) -> dict[str, Any]:
    moments = {"now": query.now, "expires_before": query.expires_before, "expires_after": query.expires_after}
    return {
        "name": query.name,
        "subject": query.subject,
        "provisioner": query.provisioner,
        "serial_number": None if query.serial_number is None else serial_octets(query.serial_number),
        **{name: None if moment is None else microseconds(moment) for name, moment in moments.items()},
        "before": _before(query.cursor),
        "rows": page_size(query) + 1,
    }


def _before(cursor: str) -> int:
    if not cursor:
        return MOST_INTEGER
    if not _CURSOR.fullmatch(cursor) or int(cursor, 16) > MOST_INTEGER:
        raise MalformedRequest("cursor must be the next_cursor of the page before, and is not: begin without one")
    return int(cursor, 16)
