"""A query as SQL: every condition has an index, and a page costs what is on it, not what is on record."""

# ruff: noqa: S608 - what is put into statements here is our own text, never a value

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from mica import MalformedRequest, Query, Status
from mica_storage_sqlite.rows import FOUND, microseconds, serial_octets

MOST_ROWS = 1000
#: How many of the newest certificates are looked through before an index is asked that has another order.
WINDOW = 5000

_END = 2**63 - 1
_CURSOR = re.compile(r"[1-9a-f][0-9a-f]{0,15}", re.ASCII)

# By field of the query: what a certificate that meets it satisfies.
_CONDITIONS = {
    "kind": "c.issuer IN (SELECT id FROM issuers WHERE kind = :kind)",
    "name": "EXISTS (SELECT 1 FROM names n WHERE n.name = :name AND n.certificate = c.id AND n.is_name)",
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
    in_order: bool = True
    """The newest candidates come first by themselves. Otherwise all of them have to be sorted."""


_BY_ID = _Source(tables="certificates c NOT INDEXED")
_BY_SERIAL = _Source(
    tables="certificates c INDEXED BY certificates_serial",
    condition="c.issuer IN (SELECT id FROM issuers)",  # of which there are few, with one candidate each
)
_BY_NAME = _Source(
    tables="names n CROSS JOIN certificates c ON c.id = n.certificate",
    condition="n.name = :name",
    id="n.certificate",
)
_BY_SUBJECT = _Source(
    tables="names n CROSS JOIN certificates c ON c.id = n.certificate",
    condition="n.name = :subject",  # subjects are among the names (schema.py)
    id="n.certificate",
)
_BY_PROVISIONER = _Source(tables="certificates c INDEXED BY certificates_provisioner")
_BY_REVOCATION = _Source(
    tables="revocations v CROSS JOIN certificates c ON c.issuer = v.issuer AND c.serial = v.serial", in_order=False
)
_BY_EXPIRY = _Source(tables="certificates c INDEXED BY certificates_not_after", in_order=False)
_BY_KIND = _Source(tables="certificates c INDEXED BY certificates_serial", in_order=False)

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


def plans(query: Query) -> Iterator[Plan]:
    """The statements to try, until one fills the page or none is left; raises MalformedRequest.

    Usually it is one. Where the candidates are not in order (by expiry, revocation or kind), the newest few thousand
    certificates are looked through first, which fills most pages; if it does not, matches are few or old, and sorted.
    """
    source, conditions, parameters = _source(query), _conditions(query), _parameters(query)
    if not source.in_order:
        yield Plan(sql=_statement(_BY_ID, [*conditions, _WINDOW]), parameters=parameters)
    yield Plan(sql=_statement(source, conditions), parameters=parameters)


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
        (query.kind is not None, _BY_KIND),
    )
    return next((source for fits, source in choices if fits), _BY_ID)


def _conditions(query: Query) -> list[str]:
    conditions = [sql for name, sql in _CONDITIONS.items() if getattr(query, name) is not None]
    return conditions if query.status is None else [*conditions, _STATUSES[query.status]]


def _statement(source: _Source, conditions: list[str]) -> str:
    where = " AND ".join([source.condition, f"{source.id} < :before", *conditions])
    page = f"SELECT {source.id} AS id FROM {source.tables} WHERE {where} ORDER BY {source.id} DESC LIMIT :rows"
    return f"WITH page AS MATERIALIZED ({page}) {FOUND}"


def _parameters(query: Query) -> dict[str, Any]:
    moments = {"now": query.now, "expires_before": query.expires_before, "expires_after": query.expires_after}
    return {
        "kind": query.kind,
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
        return _END
    if not _CURSOR.fullmatch(cursor) or int(cursor, 16) > _END:
        raise MalformedRequest("cursor must be the next_cursor of the page before, and is not: begin without one")
    return int(cursor, 16)
