"""Lines as people read them, and which of them they want to see."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from mica.clock import system_clock
from mica_auditlog.lines import START, members_of, timestamp
from mica_auditlog.parts import Taken


def matching(taken: Taken, events: Sequence[str], since: datetime | timedelta | None) -> Iterator[bytes]:
    """The lines of these events since then, all where nothing is asked for; raises Unreadable."""
    moment = system_clock() - since if isinstance(since, timedelta) else since
    earliest = timestamp(moment).encode() if moment else b""
    wanted = {event.encode() for event in events}
    for part in taken.parts:
        for line in part.lines():
            match = START.match(line)
            if match and line.endswith(b"\n") and match[3] >= earliest and (not wanted or match[4] in wanted):
                yield line


def beginning(taken: Taken) -> datetime:
    """The time of the first line; the earliest there is when it has none. Raises Unreadable."""
    for part in taken.parts:
        match = START.match(next(part.lines(), b""))
        if match:
            with suppress(ValueError):  # whoever changed the line could write any time into it
                return datetime.strptime(match[3].decode(), "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
            break
    return datetime.min.replace(tzinfo=UTC)


def row(line: bytes) -> str:
    """The line in one row: number, time, event, certificate, who, why. Whatever the line holds: it may be forged."""
    members = members_of(line)
    certificate, provisioner = _table(members.get("certificate")), _table(members.get("provisioner"))
    names = _listed(certificate.get("names")) or ([members["subject"]] if members.get("subject") else [])
    words = (
        f"{members.get('seq', '')!s:>8}",
        members.get("time"),
        f"{members.get('event', '')!s:9}",
        members.get("operation"),
        certificate.get("kind"),
        certificate.get("serial_number"),
        ",".join(map(str, names)),
        f"by {provisioner['name']}" if provisioner.get("name") else None,
        "; ".join(map(str, _listed(members.get("reasons")))) or members.get("reason"),
        f"count {members['count']}" if "count" in members else None,
        f"request {members['request_id']}" if members.get("request_id") else None,
    )
    return " ".join(str(word) for word in words if word)


def _table(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
