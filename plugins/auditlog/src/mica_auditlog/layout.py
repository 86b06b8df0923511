"""Lines as people read them, and which of them they want to see."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

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
            return datetime.fromisoformat(match[3].decode().replace("Z", "+00:00"))
    return datetime.min.replace(tzinfo=UTC)


def row(line: bytes) -> str:
    """The line in one row: number, time, event, certificate, who, why."""
    members = members_of(line)
    certificate = members.get("certificate") or {}
    provisioner = members.get("provisioner") or {}
    names = certificate.get("names") or ([members["subject"]] if members.get("subject") else [])
    words = (
        f"{members.get('seq', ''):>8}",
        members.get("time"),
        f"{members.get('event', ''):9}",
        members.get("operation"),
        certificate.get("kind"),
        certificate.get("serial_number"),
        ",".join(map(str, names)),
        f"by {provisioner['name']}" if provisioner.get("name") else None,
        "; ".join(map(str, members.get("reasons") or ())) or members.get("reason"),
        f"count {members['count']}" if "count" in members else None,
        f"request {members['request_id']}" if members.get("request_id") else None,
    )
    return " ".join(str(word) for word in words if word)
