"""One line of the log: a JSON object in ASCII, with its number and the SHA-256 of the line before it.

The first four members always stand in this order, so that a reader of a million lines need not parse them.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

#: What the first line of all has as the hash of the line before.
NOTHING = "0" * 64
#: No line is longer; a reader need not hold more. A certificate's names are what makes lines long.
MAX_OCTETS = 16 << 20
#: How a line begins: its number, the hash of the line before, its time, its event.
START = re.compile(
    rb'\{"seq":(0|[1-9][0-9]{0,17}),"prev":"([0-9a-f]{64})","time":"([0-9TZ:.-]{20,32})","event":"([a-z]{1,20})"[,}]'
)

_ENCODER = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":"))

#: The lines that are about the log itself.
BEGUN, CONTINUED, RECOVERED, LOST = "begun", "continued", "recovered", "lost"


def encode(seq: int, prev: str, time: str, event: str, members: Mapping[str, Any]) -> bytes:
    """The line, its end included. Nothing in ``members`` can end it: all but printable ASCII is escaped (RFC 8259)."""
    first = {"seq": seq, "prev": prev, "time": time, "event": event}
    text = _ENCODER.encode({**first, **members})
    return text.replace("\x7f", "\\u007f").encode("ascii") + b"\n"


def digest(line: bytes) -> str:
    """The SHA-256 of the line with its end, in hex: what ``sed -n 5p audit.jsonl | sha256sum`` prints."""
    return hashlib.sha256(line).hexdigest()


def members_of(line: bytes) -> dict[str, Any]:
    """What the line says; empty when it is no JSON object."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def timestamp(moment: datetime) -> str:
    """``moment``, in UTC, to the millisecond: ``2031-03-14T09:26:53.000Z``."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
