"""Whether the files are one log, whole and unchanged: read once, in bounded memory."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mica_auditlog.chain import Chain, Finding
from mica_auditlog.lines import START, members_of
from mica_auditlog.parts import Part, Taken

#: Findings that are kept; the others are counted.
KEPT = 200
_BEHIND = "a writer was ended before it wrote the head, or somebody added lines or put an older head there"
#: What is told of each line that is whole and in its place.
Watch = Callable[[bytes], None]


@dataclass(frozen=True, slots=True)
class Found:
    """A finding, and where."""

    place: str
    """``audit.jsonl:12``; empty where it is about the whole."""
    finding: Finding

    def __str__(self) -> str:
        return f"{self.place}: {self.finding.message}" if self.place else self.finding.message


@dataclass(slots=True)
class Report:
    """What was read, and what was found."""

    lines: int = 0
    files: list[Path] = field(default_factory=list)
    first: int = -1
    chain: Chain = field(default_factory=Chain)
    """The last line."""
    found: list[Found] = field(default_factory=list)
    faults: int = 0

    def add(self, findings: Iterable[Finding], place: str = "") -> None:
        """The findings are in the report, or at least in its count."""
        for finding in findings:
            self.faults += finding.fault
            if len(self.found) < KEPT:
                self.found.append(Found(place, finding))

    @property
    def sound(self) -> bool:
        """Whether there is nothing that should not be."""
        return not self.faults


@dataclass(slots=True)
class Anchors:
    """Lines whose hashes are known from elsewhere: from the head file, and from whoever kept one."""

    hashes: dict[int, dict[str, str]] = field(default_factory=dict)
    """By number: each hash, and what names it."""

    def add(self, seq: int, hash: str, source: str) -> None:
        """Line ``seq`` must have ``hash``."""
        self.hashes.setdefault(seq, {}).setdefault(hash, source)

    def judge(self, seq: int, hash: bytes) -> Iterator[Finding]:
        """What is wrong with the line by what is known of it; nobody asks again."""
        for known, source in self.hashes.pop(seq, {}).items():
            if known != hash.decode():
                yield Finding("anchor", f"line {seq} of the log is not the one that {source} names")

    def left(self, first: int, last: int) -> Iterator[Finding]:
        """What is wrong when these lines did not come at all."""
        for seq, known in sorted(self.hashes.items()):
            source = " and ".join(known.values())
            if seq > last:
                yield Finding(
                    "truncated", f"the log ends with line {last}, and {source} names line {seq}: its end is missing"
                )
            elif seq < first:
                yield Finding("anchor-before", f"{source} names line {seq}, before all that is here", fault=False)


def verify(taken: Taken, anchors: Mapping[int, str] | None = None, *, watch: Watch | None = None) -> Report:
    """What is wrong with the log. ``anchors`` are hashes by number that were kept elsewhere; raises Unreadable.

    A log that begins later than with line 0 is whole when one of them is the line before.
    """
    known, report = Anchors(), Report()
    for seq, hash in (anchors or {}).items():
        known.add(seq, hash, f"--head {seq}:{hash[:8]}…")
    if taken.head is not None:
        known.add(taken.head.seq, taken.head.hash, "the head file")
    else:
        message = f"{taken.problem}: whether lines are missing after the last that is known cannot be told; give --head"
        report.add([Finding("headless", message, fault=not anchors)])
    authority = ""
    for part in taken.parts:
        authority = _read(part, report, known, authority, watch)
    report.add(report.chain.end(), report.files[-1].name if report.files else "")
    report.add(known.left(report.first, report.chain.seq))
    if taken.head is not None and report.chain.seq > taken.head.seq:
        message = f"the log goes on behind line {taken.head.seq}, which the head file has for its last: {_BEHIND}"
        report.add([Finding("behind-head", message, fault=False)])
    return report


def _read(part: Part, report: Report, known: Anchors, authority: str, watch: Watch | None) -> str:
    """The file has been followed; whose log it is."""
    name, chain = part.path.name, report.chain
    report.files.append(part.path)
    number = 0
    for number, line in enumerate(part.lines(), 1):
        if number == 1:
            if chain.seq < 0 and report.first < 0:
                report.add(_begin(line, report, known), f"{name}:1")
            authority = _whose(line, authority, report, name)
        before = chain.seq
        if findings := chain.follow(line):
            report.add(findings, f"{name}:{number}")
        if chain.seq != before:
            if chain.seq in known.hashes:
                report.add(known.judge(chain.seq, chain.hash), f"{name}:{number}")
            if watch is not None:
                watch(line)
    report.lines += number
    return authority


def _begin(line: bytes, report: Report, known: Anchors) -> Iterator[Finding]:
    """What is missing before the first line of all."""
    match = START.match(line)
    report.first = int(match[1]) if match else 0
    if not match or not report.first:
        return
    before, prev = report.first - 1, match[2]
    report.chain.seq, report.chain.hash = before, prev
    if before in known.hashes:
        yield from known.judge(before, prev)
    else:
        remedy = f"name the files that have them, or --head {before}:HASH as it was kept elsewhere"
        yield Finding("front", f"the log begins with line {report.first}, those before are missing; {remedy}")


def _whose(line: bytes, authority: str, report: Report, name: str) -> str:
    """The authority whose log the file is, as its first line says, if it does."""
    found = members_of(line).get("authority")
    if not isinstance(found, str):
        return authority
    if authority and found != authority:
        report.add([Finding("authority", f"is of the log of {found}, and others are of {authority}'s")], f"{name}:1")
    return authority or found
