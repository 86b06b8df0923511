"""The reader: whatever is changed, taken away, moved, repeated or brought from elsewhere is found and named."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from plugins.auditlog.tests.conftest import codes, event, verified

from mica.testing.contexts import URL, Clock
from mica_auditlog.entries import entry
from mica_auditlog.heads import read_head
from mica_auditlog.journal import Journal
from mica_auditlog.lines import digest, encode
from mica_auditlog.parts import Unreadable, take
from mica_auditlog.places import Places
from mica_auditlog.verification import verify

_LINES = 8


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of nine lines in two files, one of which marks half a line."""
    log = tmp_path_factory.mktemp("original") / "audit.jsonl"
    journal = Journal(places=Places(log), authority=URL, now=Clock())
    journal.append([entry(event(number)) for number in range(3)])
    with log.open("ab") as file:
        file.write(b'{"seq":4,"pr')
    journal.append([entry(event(3))])
    log.rename(log.with_name("audit.jsonl.1"))
    journal.append([entry(event(number)) for number in range(4, 6)])
    assert verified(log).sound
    return log


def _changed(original: Path, folder: Path, name: str, change: Callable[[bytes], bytes]) -> Path:
    """A copy of the log, one file of it changed; the head is as it was."""
    for path in folder.iterdir():
        path.unlink()
    for path in original.parent.iterdir():
        data = path.read_bytes()
        (folder / path.name).write_bytes(change(data) if path.name == name else data)
    return folder / original.name


_PROPERTY = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
_FILE = st.sampled_from(["audit.jsonl", "audit.jsonl.1"])


@_PROPERTY
@given(name=_FILE, data=st.data())
def test_any_change_of_a_single_octet_is_found(original: Path, tmp_path: Path, name: str, data: Any) -> None:
    size = original.with_name(name).stat().st_size
    place, octet = data.draw(st.integers(0, size - 1)), data.draw(st.integers(0, 255))

    def change(old: bytes) -> bytes:
        assume(old[place] != octet)
        return old[:place] + bytes([octet]) + old[place + 1 :]

    assert not verified(_changed(original, tmp_path, name, change)).sound


@_PROPERTY
@given(name=_FILE, data=st.data(), repeated=st.booleans())
def test_any_line_that_is_removed_or_repeated_is_found(
    original: Path, tmp_path: Path, name: str, data: Any, repeated: bool
) -> None:
    def change(old: bytes) -> bytes:
        lines = old.splitlines(keepends=True)
        index = data.draw(st.integers(0, len(lines) - 1))
        return b"".join([*lines[:index], *([lines[index]] * 2 if repeated else []), *lines[index + 1 :]])

    assert not verified(_changed(original, tmp_path, name, change)).sound


@_PROPERTY
@given(name=_FILE, data=st.data())
def test_any_two_lines_that_change_places_are_found(original: Path, tmp_path: Path, name: str, data: Any) -> None:
    def change(old: bytes) -> bytes:
        lines = old.splitlines(keepends=True)
        first, second = (data.draw(st.integers(0, len(lines) - 1)) for _ in range(2))
        assume(lines[first] != lines[second])
        lines[first], lines[second] = lines[second], lines[first]
        return b"".join(lines)

    assert not verified(_changed(original, tmp_path, name, change)).sound


@_PROPERTY
@given(data=st.data())
def test_any_end_that_is_cut_off_is_found(original: Path, tmp_path: Path, data: Any) -> None:
    size = original.stat().st_size
    left = data.draw(st.integers(0, size - 1))
    assert not verified(_changed(original, tmp_path, "audit.jsonl", lambda old: old[:left])).sound


def test_a_finding_names_file_line_and_what_is_wrong(original: Path, tmp_path: Path) -> None:
    log = _changed(original, tmp_path, "audit.jsonl.1", lambda old: old.replace(b"request-1", b"request-X"))
    (found,) = (found for found in verified(log).found if found.finding.fault)
    assert str(found) == (
        "audit.jsonl.1:4: line 3 of the log does not continue line 2: one was changed, or is another's"
    )


def test_files_that_were_deleted_are_a_gap_unless_the_line_before_is_given(original: Path, tmp_path: Path) -> None:
    log = _changed(original, tmp_path, "", bytes)
    last = log.with_name("audit.jsonl.1").read_bytes().splitlines(keepends=True)[-1]
    log.with_name("audit.jsonl.1").unlink()
    report = verified(log)
    assert codes(report) == ["front"]
    assert "begins with line 6" in str(report.found[0])
    assert verified(log, anchors={5: digest(last)}).sound
    assert codes(verified(log, anchors={5: "0" * 64})) == ["anchor"]


def test_a_head_that_was_kept_elsewhere_shows_a_log_that_was_written_anew(original: Path, tmp_path: Path) -> None:
    kept = read_head(Places(original).head)
    assert kept is not None
    log = tmp_path / "audit.jsonl"
    forger = Journal(places=Places(log), authority=URL, now=Clock())
    forger.append([entry(event(number)) for number in range(20)])
    assert verified(log).sound
    assert codes(verified(log, anchors={kept.seq: kept.hash})) == ["anchor"]
    assert codes(verified(log, anchors={99: kept.hash})) == ["truncated"]


def test_a_line_of_another_chain_is_found(original: Path, tmp_path: Path) -> None:
    line = encode(2, "1" * 64, "2031-03-14T09:26:53.000Z", "issued", {})

    def change(old: bytes) -> bytes:
        lines = old.splitlines(keepends=True)
        return b"".join([*lines[:2], line, *lines[3:]])

    report = verified(_changed(original, tmp_path, "audit.jsonl.1", change))
    assert codes(report)[:2] == ["edited", "edited"]


def test_a_file_of_another_authority_is_found(original: Path, tmp_path: Path) -> None:
    log = _changed(original, tmp_path, "audit.jsonl", lambda old: old.replace(URL.encode(), b"https://evil.example"))
    assert "authority" in codes(verified(log))


def test_without_a_head_the_end_is_not_taken_for_the_end(original: Path, tmp_path: Path) -> None:
    log = _changed(original, tmp_path, "", bytes)
    Places(log).head.unlink()
    assert codes(verified(log)) == ["headless", "recovered-torn"]
    Places(log).head.write_text('{"seq": 1}')
    assert "is damaged" in str(verified(log).found[0])


def test_an_older_head_is_told_and_is_what_a_crash_leaves(original: Path, tmp_path: Path) -> None:
    log = _changed(original, tmp_path, "", bytes)
    head = json.loads(Places(log).head.read_bytes())
    line = original.read_bytes().splitlines(keepends=True)[0]
    older = {**head, "seq": json.loads(line)["seq"], "hash": digest(line), "size": len(line)}
    Places(log).head.write_text(json.dumps(older))
    report = verified(log)
    assert (report.sound, codes(report)) == (True, ["recovered-torn", "behind-head"])


def test_what_lies_beside_the_log_is_not_read_as_lines_and_its_head_counts(original: Path, tmp_path: Path) -> None:
    log = _changed(original, tmp_path, "", bytes)
    Places(log).new_head.write_bytes(b"{")
    everything = sorted(tmp_path.iterdir())
    (tmp_path / "folder").mkdir()
    assert {path.name[11:] for path in everything} == {"", ".1", ".head", ".lock", ".head.new"}
    report = verify(take([tmp_path / "folder" / ".." / log.name, *everything]))
    assert (report.sound, report.files) == (True, [log.with_name("audit.jsonl.1"), log])
    assert codes(verify(take([path for path in everything if path != log]))) == ["recovered-torn", "truncated"]
    with pytest.raises(Unreadable, match=r"audit\.jsonl\.head: lies beside a log"):
        take([Places(log).head])


def test_lost_events_are_told_and_are_no_fault_of_the_chain(journal: Journal, log: Path) -> None:
    from mica_auditlog.entries import Entry

    journal.append([Entry("2031-03-14T09:26:53.000Z", "lost", {"count": 7})])
    report = verified(log)
    assert report.sound and str(report.found[0]).endswith("7 events before this line could not be written")


def test_a_large_log_is_read_quickly_in_bounded_memory(tmp_path: Path) -> None:
    import tracemalloc

    log, prev = tmp_path / "audit.jsonl", "0" * 64
    members = dict(entry(event(1)).members)
    with log.open("wb") as file:
        for number in range(30_000):
            kind = "issued" if number else "begun"
            line = encode(number, prev, "2031-03-14T09:26:53.000Z", kind, members)
            prev = digest(line)
            file.write(line)
    started = time.perf_counter()
    report = verified(log, anchors={29_999: prev})
    assert report.lines == 30_000 and report.sound
    assert time.perf_counter() - started < 15
    tracemalloc.start()
    verified(log, anchors={29_999: prev})
    assert tracemalloc.get_traced_memory()[1] < 4_000_000
    tracemalloc.stop()
