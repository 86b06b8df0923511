"""What a CA has said about hosts, kept in a file. One that is lost, damaged or cannot be written costs a question."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from mica.cli.errors import CLIError
from mica.cli.files import write_atomic
from mica.cli.paths import make_private, read_object

_MOST = 1000
_REMEDY = "delete it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the CA said about a host, and when."""

    known: bool
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What is known of the hosts of one CA."""

    place: Path
    ca_url: str
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)
    away: datetime | None = None
    """When the CA last did not answer, if it has not answered since."""

    @classmethod
    def read(cls, place: Path, ca_url: str) -> "Memory":
        """What ``place`` holds about the CA at ``ca_url``; nothing, when it holds something else."""
        empty = cls(place=place, ca_url=ca_url)
        try:
            found = read_object(place, _REMEDY) or {}
            if found.get("ca_url") != ca_url:
                return empty
            return replace(empty, verdicts=_verdicts(found["hosts"]), away=_moment(found["away"]))
        except (CLIError, LookupError, TypeError, ValueError, AttributeError, OverflowError, OSError):
            return empty

    def verdict(self, host: str) -> Verdict | None:
        """The last answer about ``host``."""
        return self.verdicts.get(host)

    def keep(self, host: str, verdict: Verdict) -> None:
        """``verdict`` is on disk, where the disk takes it; of a thousand hosts the oldest is forgotten."""
        ordered = sorted({**self.verdicts, host: verdict}.items(), key=lambda item: item[1].at)
        replace(self, verdicts=dict(ordered[-_MOST:]), away=None)._write()

    def keep_away(self, at: datetime) -> None:
        """That the CA did not answer is on disk, where the disk takes it."""
        replace(self, away=at)._write()

    def _write(self) -> None:
        members = {
            "ca_url": self.ca_url,
            "away": None if self.away is None else self.away.timestamp(),
            "hosts": {host: [verdict.known, verdict.at.timestamp()] for host, verdict in self.verdicts.items()},
        }
        try:
            make_private(self.place.parent)
            write_atomic(self.place, json.dumps(members).encode(), mode=0o600)
        except CLIError:
            return  # ssh goes on without it


def _verdicts(rows: object) -> dict[str, Verdict]:
    found = {}
    for host, row in rows.items() if isinstance(rows, dict) else ():
        known, moment = row[0], _moment(row[1])
        if isinstance(known, bool) and moment is not None:
            found[str(host)] = Verdict(known=known, at=moment)
    return found


def _moment(value: object) -> datetime | None:
    return datetime.fromtimestamp(value, UTC) if isinstance(value, int | float) else None
