"""The writer: whatever befalls the file, whole lines stay, the chain goes on, and a reader is told what happened."""

import hashlib
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from plugins.auditlog.tests.conftest import codes, event, verified

from mica.testing.contexts import URL, Clock
from mica_auditlog.entries import Entry, entry
from mica_auditlog.journal import Journal, NotWritten
from mica_auditlog.places import Places, Unsuitable


def _entries(first: int, count: int = 1) -> list[Entry]:
    return [entry(event(number)) for number in range(first, first + count)]


def _lines(log: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_a_new_log_begins_with_whose_it_is_and_every_line_has_the_hash_of_the_one_before(
    journal: Journal, log: Path
) -> None:
    journal.append(_entries(1, 2))
    first, second, third = _lines(log)
    assert (first["seq"], first["event"], first["authority"]) == (0, "begun", URL)
    for number, line in enumerate((second, third), 1):
        tool = subprocess.run(f"sed -n {number}p {log} | sha256sum", shell=True, capture_output=True, check=True).stdout
        assert (line["seq"], line["prev"]) == (number, tool.split()[0].decode())
    assert verified(log).sound


def test_the_head_has_number_and_hash_of_the_last_line(journal: Journal, log: Path) -> None:
    journal.append(_entries(1, 3))
    head = json.loads(Places(log).head.read_text())
    last = log.read_bytes().splitlines(keepends=True)[-1]
    assert (head["seq"], head["hash"]) == (3, hashlib.sha256(last).hexdigest())


def test_files_and_folder_are_their_owners_alone_whatever_the_umask(journal: Journal, log: Path) -> None:
    before = os.umask(0)
    try:
        journal.append(_entries(1))
    finally:
        os.umask(before)
    assert stat.S_IMODE(log.parent.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in log.parent.iterdir()} == {0o600}


@pytest.mark.parametrize("name", ["audit.jsonl", "audit.jsonl.head", "audit.jsonl.lock"])
def test_a_link_in_the_place_of_a_file_is_not_followed(journal: Journal, log: Path, tmp_path: Path, name: str) -> None:
    target = tmp_path / "target"
    target.write_text("precious")
    log.parent.mkdir(mode=0o700)
    (log.parent / name).symlink_to(target)
    with pytest.raises(Unsuitable, match="no link"):
        journal.append(_entries(1))
    assert target.read_text() == "precious"


def test_a_folder_that_is_a_link_or_open_to_others_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    for folder, reason in (("link", "no link"), ("open", "others can write")):
        with pytest.raises(Unsuitable, match=reason):
            Journal(places=Places(tmp_path / folder / "log"), authority=URL, now=Clock()).append(())


def test_a_fifo_in_the_place_of_the_log_does_not_hang_the_writer(journal: Journal, log: Path) -> None:
    log.parent.mkdir(mode=0o700)
    os.mkfifo(log)
    with pytest.raises(Unsuitable):
        journal.append(())


def test_the_log_of_another_authority_is_not_continued(journal: Journal, log: Path) -> None:
    journal.append(())
    other = Journal(places=Places(log), authority="https://other.example", now=Clock())
    with pytest.raises(Unsuitable, match="name another path"):
        other.append(())
    Places(log).head.unlink()
    with pytest.raises(Unsuitable, match="name another path"):
        other.append(())


def test_a_file_that_is_no_log_is_left_alone(journal: Journal, log: Path) -> None:
    log.parent.mkdir(mode=0o700)
    log.write_text("shopping list\n")
    with pytest.raises(Unsuitable, match="is no audit log"):
        journal.append(_entries(1))
    assert log.read_text() == "shopping list\n"


def test_half_a_line_is_kept_and_marked_and_no_whole_line_is_lost(journal: Journal, log: Path) -> None:
    journal.append(_entries(1, 2))
    whole = log.read_bytes()
    torn = whole.splitlines()[-1][:57]
    log.write_bytes(whole + torn)
    journal.append(_entries(3))
    assert log.read_bytes().startswith(whole + torn + b"\n")
    recovered = json.loads(log.read_bytes().splitlines()[-2])
    assert (recovered["event"], recovered["reason"], recovered["torn_octets"]) == ("recovered", "torn", 57)
    report = verified(log)
    assert (report.sound, codes(report)) == (True, ["recovered-torn"])


def test_lines_that_a_killed_writer_wrote_before_the_head_are_kept(journal: Journal, log: Path) -> None:
    journal.append(_entries(1))
    head = Places(log).head.read_bytes()
    journal.append(_entries(2, 2))
    log.write_bytes(log.read_bytes() + b'{"seq":4,"prev":"12')
    Places(log).head.write_bytes(head)
    journal.append(_entries(4))
    numbers = [line.split(b'"serial_number":"')[1][:1] for line in log.read_bytes().splitlines() if b"issued" in line]
    assert numbers == [b"1", b"2", b"3", b"4"]
    assert verified(log).sound


@pytest.mark.parametrize("octets", [1, 20, 250, None], ids=["one", "half", "most", "all"])
def test_a_writer_that_was_killed_when_it_had_begun_a_new_file_leaves_a_sound_log(
    journal: Journal, log: Path, octets: int | None
) -> None:
    journal.append(_entries(1))
    head = Places(log).head.read_bytes()
    log.rename(log.with_name("audit.jsonl.1"))
    journal.append(_entries(2))
    Places(log).head.write_bytes(head)
    log.write_bytes(log.read_bytes()[:octets])
    journal.append(_entries(3))
    report = verified(log)
    assert (report.sound, codes(report)) == (True, ["recovered-torn"] if octets else [])
    assert log.read_bytes().count(b'"event":"continued"') == 1
    assert (b'"serial_number":"2"' in log.read_bytes()) is (octets is None)


def test_lines_in_a_new_file_that_continue_nothing_stay_visible(journal: Journal, log: Path) -> None:
    journal.append(_entries(1))
    log.rename(log.with_name("audit.jsonl.1"))
    log.write_bytes(log.with_name("audit.jsonl.1").read_bytes())
    journal.append(_entries(2))
    assert "recovered-replaced" in codes(verified(log))
    assert not verified(log).sound


@pytest.mark.parametrize("member", ["size", "inode"])
def test_a_head_that_can_be_no_head_does_not_stop_the_log(journal: Journal, log: Path, member: str) -> None:
    journal.append(_entries(1))
    head = json.loads(Places(log).head.read_bytes())
    Places(log).head.write_text(json.dumps({**head, member: -1}))
    journal.append(_entries(2))
    assert codes(verified(log)) == ["recovered-headless"]


def test_a_first_line_that_was_torn_begins_anew(journal: Journal, log: Path) -> None:
    log.parent.mkdir(mode=0o700)
    log.write_bytes(b'{"seq":0,"prev":"0000')
    journal.append(_entries(1))
    assert [line["seq"] for line in _lines(log)] == [0, 1]
    assert verified(log).sound


def test_a_removed_end_stays_visible_after_more_has_been_written(journal: Journal, log: Path) -> None:
    journal.append(_entries(1, 5))
    kept = log.read_bytes().splitlines(keepends=True)[:3]
    log.write_bytes(b"".join(kept))
    journal.append(_entries(6))
    report = verified(log)
    assert codes(report) == ["recovered-shortened", "gap"]
    assert "lines 3 to 5 missing" in str(report.found[1])


def test_a_removed_end_and_head_stay_visible(journal: Journal, log: Path) -> None:
    journal.append(_entries(1, 5))
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:3]))
    Places(log).head.unlink()
    journal.append(_entries(6))
    assert codes(verified(log)) == ["recovered-headless"]


def test_strange_lines_behind_the_head_are_no_part_of_the_chain(journal: Journal, log: Path) -> None:
    journal.append(_entries(1))
    with log.open("ab") as file:
        file.write(b'{"seq":2,"prev":"' + b"0" * 64 + b'","time":"2031-03-14T09:26:53.000Z","event":"issued"}\n')
    journal.append(_entries(2))
    assert not verified(log).sound
    assert "recovered-foreign" in codes(verified(log))


def test_a_renamed_file_is_followed_by_one_that_continues_it_and_names_it(journal: Journal, log: Path) -> None:
    journal.append(_entries(1, 2))
    log.rename(log.with_name("audit.jsonl.1"))
    journal.append(_entries(3))
    first = _lines(log)[0]
    assert (first["event"], first["seq"], first["file"], first["authority"]) == ("continued", 3, "audit.jsonl.1", URL)
    report = verified(log)
    assert report.sound and report.lines == 5


def test_an_empty_file_made_by_logrotate_and_a_compressed_one_are_followed(journal: Journal, log: Path) -> None:
    for number in range(3):
        journal.append(_entries(number * 10, 3))
        old = log.rename(log.with_name(f"audit.jsonl-2031030{number}"))
        log.touch(mode=0o600)
        if number:
            subprocess.run(["gzip", str(old)], check=True)
    journal.append(_entries(40))
    report = verified(log)
    assert report.sound and [path.suffix for path in report.files].count(".gz") == 2


def test_half_a_line_in_a_file_that_was_renamed_is_marked_there(journal: Journal, log: Path) -> None:
    journal.append(_entries(1, 2))
    with log.open("ab") as file:
        file.write(b'{"seq":3,')
    log.rename(log.with_name("audit.jsonl.1"))
    journal.append(_entries(3))
    report = verified(log)
    assert (report.sound, codes(report)) == (True, ["recovered-torn"])


def test_a_file_that_is_large_enough_is_renamed_and_kept(log: Path) -> None:
    journal = Journal(places=Places(log), authority=URL, now=Clock(), max_size=2000)
    for number in range(20):
        journal.append(_entries(number, 3))
    report = verified(log)
    assert report.sound and len(report.files) > 5
    issued = [line for path in report.files for line in _lines(path) if line["event"] == "issued"]
    assert len(issued) == 60


_WRITER = """
import sys
from pathlib import Path
from mica.testing.contexts import URL, Clock
from mica_auditlog.entries import Entry
from mica_auditlog.journal import Journal
from mica_auditlog.places import Places
journal = Journal(places=Places(Path(sys.argv[1])), authority=URL, now=Clock(), max_size=5_000)
for number in range(30):
    journal.append([Entry("2031-03-14T09:26:53.000Z", "denied", {"who": f"{sys.argv[2]}-{number}"})])
"""


def test_several_processes_write_one_chain(log: Path) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", _WRITER, str(log), name]) for name in "abc"]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    report = verified(log)
    assert report.sound and len(report.files) > 1
    lines = [line for path in report.files for line in _lines(path) if line["event"] == "denied"]
    assert {line["who"] for line in lines} == {f"{name}-{number}" for name in "abc" for number in range(30)}
    assert len(lines) == 90


def test_a_full_disk_leaves_whole_lines_alone_and_the_log_goes_on_when_there_is_room(small_disk: Path) -> None:
    log = small_disk / "audit/audit.jsonl"
    journal = Journal(places=Places(log), authority=URL, now=Clock())
    journal.append(_entries(1))
    filler = small_disk / "filler"
    with pytest.raises(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 1024)
    with pytest.raises(NotWritten, match="No space left") as caught:
        journal.append(_entries(2, 50))
    assert caught.value.accepted == 0
    assert log.read_bytes().endswith(b"}\n")
    filler.unlink()
    journal.append(_entries(2, 50))
    report = verified(log)
    assert report.sound and report.lines == 52


def test_a_read_only_file_system_is_told(small_disk: Path) -> None:
    log = small_disk / "audit/audit.jsonl"
    journal = Journal(places=Places(log), authority=URL, now=Clock())
    journal.append(_entries(1))
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(NotWritten, match="Read-only file system"):
        journal.append(_entries(2))
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    journal.append(_entries(2))
    assert verified(log).sound
