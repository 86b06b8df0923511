"""Whether a line continues the one before: its number is the next one, and it has the other's hash."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mica_auditlog.lines import BEGUN, LOST, NOTHING, RECOVERED, START, digest, members_of

#: Why a writer had to find its place again, as a ``recovered`` line says it; and what that means to a reader.
REASONS = {
    "torn": "the line before it was torn: a writer was ended, or the disk was full, in the middle of it",
    "headless": "the writer found no head file, or a damaged one: lines before it may have been removed at the end",
    "shortened": "the writer found the file shorter than it had been",
    "replaced": "the writer found another file in the place of its own, one with lines in it",
    "foreign": "the writer found lines before it that no writer had written",
}
#: Those that a crash explains, with nothing missing.
HARMLESS = frozenset({"torn"})
_TELLING = frozenset({RECOVERED.encode(), LOST.encode()})


class Finding(NamedTuple):
    """Something about a line. What is a ``fault`` should not be; the rest is worth knowing."""

    code: str
    message: str
    fault: bool = True


@dataclass(slots=True)
class Chain:
    """The last line that was followed: its number (-1: none yet) and its hash."""

    seq: int = -1
    hash: bytes = NOTHING.encode()
    stray: bytes = b""
    """What came after it and is no line: half of one, perhaps."""

    def follow(self, line: bytes) -> Sequence[Finding]:
        """What is wrong with ``line`` as the next one, which it is from now on."""
        match = START.match(line)
        if match is None or not line.endswith(b"}\n"):
            found = self.end()
            self.stray = line
            return found
        seq, prev = int(match[1]), match[2]
        if seq == self.seq + 1 and prev == self.hash and not self.stray and match[4] not in _TELLING:
            self.seq, self.hash = seq, hashlib.sha256(line).hexdigest().encode()
            if seq == 0 and match[4] != BEGUN.encode():
                return (Finding("genesis", "is line 0, and does not say whose log begins"),)
            return ()
        return self._examined(seq, prev, line, match[4].decode())

    def end(self) -> Sequence[Finding]:
        """What is wrong with what came after the last line."""
        stray, self.stray = self.stray, b""
        if not stray:
            return ()
        return (
            Finding("stray", f"after line {self.seq} of the log there is what is no line of it: {_excerpt(stray)}"),
        )

    def _examined(self, seq: int, prev: bytes, line: bytes, event: str) -> Sequence[Finding]:
        found: list[Finding] = []
        if event == RECOVERED:
            found += self._recovery(line)
        elif event == LOST:
            count = members_of(line).get("count")
            found.append(Finding("lost", f"{count} events before this line could not be written", fault=False))
        found += self.end()
        if seq <= self.seq:
            return [*found, Finding("order", f"is line {seq} of the log, and comes after line {self.seq}")]
        if seq > self.seq + 1:
            missing = f"line {self.seq + 1}" if seq == self.seq + 2 else f"lines {self.seq + 1} to {seq - 1}"
            found.append(Finding("gap", f"is line {seq} of the log: {missing} missing before it"))
        elif prev != self.hash:
            before = f"line {seq - 1}" if seq else "nothing"
            found.append(
                Finding("edited", f"line {seq} of the log does not continue {before}: one was changed, or is another's")
            )
        self.seq, self.hash = seq, digest(line).encode()
        return found

    def _recovery(self, line: bytes) -> Iterator[Finding]:
        """What a writer says that it found; half a line before it is accounted for when its hash is the one named."""
        members = members_of(line)
        reason = str(members.get("reason"))
        meaning = REASONS.get(reason, "the writer had to find its place again, for a reason unknown here")
        yield Finding(f"recovered-{reason}"[:40], meaning, fault=reason not in HARMLESS)
        torn = members.get("torn_sha256")
        if self.stray and torn == digest(self.stray):
            self.stray = b""
        elif torn is not None:
            yield Finding("torn", "the half line that it tells of is not before it, or was changed")


def _excerpt(octets: bytes) -> str:
    text = octets[:60].decode("ascii", "backslashreplace").rstrip("\n")
    return f"{text}…" if len(octets) > 60 else text
