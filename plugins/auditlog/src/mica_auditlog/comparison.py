"""The log beside the record: what was issued or revoked, and is not in the log; what is in it, and not on record."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from mica import CertificateId, CertificateKind, Query, RevocationLister, Store
from mica_auditlog.chain import Finding
from mica_auditlog.lines import START, members_of, timestamp

#: How far before the moment of reading nothing is missed: the log is written after the record.
GRACE = timedelta(seconds=10)
_PAGE = 500
_KINDS = {b"i": "certificate", b"r": "revocation of the certificate"}
_EVENTS = {b"issued": b"i", b"renewed": b"i", b"revoked": b"r"}


@dataclass(slots=True)
class Comparison:
    """What is on record, less what the log has told so far. Some 150 octets of memory for each certificate."""

    begin: datetime
    """The time of the log's first line; nothing before is missed."""
    now: datetime
    _known: dict[bytes, bool] = field(default_factory=dict)
    """By kind of event and certificate: whether the log must have it."""
    _extra: int = 0
    _first_extra: list[bytes] = field(default_factory=list)

    async def read(self, store: Store) -> None:
        """What the store has is known; raises Unavailable."""
        issuers: set[tuple[CertificateKind, bytes]] = set()
        async for id, issued_at, revoked_at in _rows(store, self.now):
            issuers.add((id.kind, id.issuer))
            self._add(b"i", id, issued_at)
            if revoked_at is not None:
                self._add(b"r", id, revoked_at)
        if isinstance(store, RevocationLister):
            for kind, issuer in issuers:
                async for id, revoked_at in _revoked(store, kind, issuer):
                    self._add(b"r", id, revoked_at)

    def watch(self, line: bytes) -> None:
        """The log has this line."""
        match = START.match(line)
        what = _EVENTS.get(match[4]) if match else None
        if match is None or what is None:
            return
        certificate = members_of(line).get("certificate", {})
        try:
            issuer, number = bytes.fromhex(certificate["issuer"]), int(certificate["serial_number"])
            key = _key(what, CertificateId(kind=certificate["kind"], issuer=issuer, serial_number=number))
        except (KeyError, TypeError, ValueError, OverflowError):
            return
        if self._known.pop(key, None) is None and match[3].decode() < timestamp(self.now):
            self._extra += 1
            if len(self._first_extra) < _PAGE:
                self._first_extra.append(key)

    def findings(self) -> Iterator[Finding]:
        """What the log lacks, and what it has in excess."""
        for key, expected in self._known.items():
            if expected:
                yield Finding("not-in-log", f"the {_told(key)} is on record, and not in the log")
        for key in self._first_extra:
            yield Finding("not-on-record", f"the {_told(key)} is in the log, and not on record")
        if (more := self._extra - len(self._first_extra)) > 0:
            yield Finding("not-on-record", f"{more} more are in the log, and not on record")

    def _add(self, what: bytes, id: CertificateId, at: datetime) -> None:
        # An event in the process's hands when the record was read need not be in the log yet.
        self._known[_key(what, id)] = self.begin <= at <= self.now - GRACE


async def _rows(store: Store, now: datetime) -> AsyncIterator[tuple[CertificateId, datetime, datetime | None]]:
    query, more = Query(now=now, limit=_PAGE), True
    while more:
        page = await store.search(query)
        for row in page.rows:
            end = row.revocation
            yield row.issuance.id, row.issuance.issued_at, end.revoked_at if end else None
        query, more = replace(query, cursor=page.next_cursor), bool(page.next_cursor)


async def _revoked(
    store: RevocationLister, kind: CertificateKind, issuer: bytes
) -> AsyncIterator[tuple[CertificateId, datetime]]:
    """Those as well whose certificate is not on record."""
    after = -1
    while page := await store.revocations(kind, issuer, after=after):
        for each in page:
            yield each.id, each.revoked_at
        after = page[-1].id.serial_number


def _key(what: bytes, id: CertificateId) -> bytes:
    return what + str(id.kind).encode()[:1] + id.issuer + id.serial_number.to_bytes(21, "big")


def _told(key: bytes) -> str:
    kind = "x509" if key[1:2] == b"x" else "ssh"
    number = int.from_bytes(key[-21:], "big")
    return f"{_KINDS[key[:1]]} {number} ({kind}, issuer {key[2:-21].hex()[:16]}…)"
