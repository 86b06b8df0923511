"""The head: number and hash of the last line, in a file of its own, so that a missing end is noticed."""

import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from mica_auditlog.places import Places, open_plain

_TEXT = re.compile(r"(0|[1-9][0-9]{0,17}):([0-9a-f]{64})", re.ASCII)
_MAX_OCTETS = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The last line, and where it stands."""

    seq: int
    hash: str
    authority: str
    """The URL of the authority whose log it is."""
    size: int
    """The octets of the file up to the end of that line."""
    inode: int
    """The file, whatever it is called later."""

    @property
    def anchor(self) -> str:
        """``SEQ:HASH``, to be kept elsewhere."""
        return f"{self.seq}:{self.hash}"


def parse_anchor(text: str) -> tuple[int, str]:
    """Number and hash of ``SEQ:HASH``; raises ValueError."""
    match = _TEXT.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} must be SEQ:HASH, as mica ca audit head prints it")
    return int(match[1]), match[2]


def read_head(path: Path) -> Head | None:
    """The head at ``path``; None when there is none. Raises ValueError when it is damaged; Unsuitable, OSError."""
    try:
        descriptor = open_plain(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        text = file.read(_MAX_OCTETS)
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise ValueError("is nested too deeply") from error
    types = {"seq": int, "hash": str, "authority": str, "size": int, "inode": int}
    if not isinstance(value, dict) or {name: type(member) for name, member in value.items()} != types:
        raise ValueError(f"must have exactly the members {', '.join(types)}")
    head = Head(**value)
    parse_anchor(head.anchor)
    if head.size < 0 or head.inode < 0:
        raise ValueError("must have no negative size or inode")
    return head


def write_head(places: Places, head: Head) -> None:
    """The head is on disk, or the one before it; raises OSError. The caller holds the lock."""
    places.new_head.unlink(missing_ok=True)
    descriptor = open_plain(places.new_head, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    with os.fdopen(descriptor, "wb") as file:
        file.write(json.dumps(asdict(head)).encode() + b"\n")
        file.flush()
        os.fsync(descriptor)
    places.new_head.replace(places.head)
