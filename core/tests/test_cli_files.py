"""Files that commands read and write: settled first, written whole or not at all."""

import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mica.cli import files
from mica.cli.errors import Cancelled, FileProblem, PromptNeeded, Usage

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_file_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\x00\r\n\xff")
    assert files.read_input(tmp_path / "a") == b"\x00\r\n\xff"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing", "there is no such file"),
        (".", "is a directory"),
        ("a\0b", "cannot be read"),
        ("x" * 300, "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(FileProblem, match=message):
        files.read_input(f"{tmp_path}/{name}")


def test_an_enormous_file_is_refused_without_reading_it_all() -> None:
    with pytest.raises(FileProblem, match="/dev/zero: is larger than 16 MiB"):
        files.read_input("/dev/zero")


def test_outputs_in_a_directory_that_is_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileProblem, match="there is no directory") as caught:
        files.settle([tmp_path / "no" / "svc.crt"], force=True)
    assert caught.value.hint == f"make it first: mkdir -p {tmp_path}/no"


def test_an_output_that_is_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileProblem, match="is a directory"):
        files.settle([tmp_path], force=True)


def test_two_outputs_that_are_one_file_are_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("svc.key")
    for other in (tmp_path / "svc.key", tmp_path / "." / "svc.key", tmp_path / "link"):
        with pytest.raises(Usage, match="are the same file"):
            files.settle([tmp_path / "svc.key", other], force=True)


def test_what_is_read_is_not_overwritten_under_any_name_but_a_stream_is_no_copy_of_anything(tmp_path: Path) -> None:
    (tmp_path / "svc.key").write_text("secret")
    (tmp_path / "link").symlink_to("svc.key")
    (tmp_path / "hard").hardlink_to(tmp_path / "svc.key")
    for output in ("svc.key", "./svc.key", "link", "hard"):
        with pytest.raises(Usage, match=r"would take the place of .*svc\.key, which is read"):
            files.keep_apart([None, tmp_path / output], [None, "nothing", tmp_path / "svc.key"])
    files.keep_apart([tmp_path / "new"], [tmp_path / "svc.key"])
    files.keep_apart([Path("/dev/null")], ["/dev/null"])


def test_stdin_is_no_output() -> None:
    with pytest.raises(Usage, match="- is stdin, and nothing can be written there"):
        files.settle([Path("-")], force=True)


def test_a_ring_of_links_is_a_file_problem(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(FileProblem):
        files.write_atomic(tmp_path / "a", b"x", mode=0o600)


def test_force_overwrites_without_a_question_and_new_files_need_none(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("old")
    files.settle([tmp_path / "old"], force=True)
    files.settle([tmp_path / "new", Path("/dev/null")], force=False)


def test_overwriting_is_a_question(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("old")
    program = (
        "import sys; from pathlib import Path; from mica.cli import files\n"
        "files.settle([Path(sys.argv[1])], force=False)"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "old")], start_new_session=True, capture_output=True, text=True
    )
    assert "PromptNeeded: Would you like to overwrite" in result.stderr
    assert issubclass(Cancelled, PromptNeeded)


def test_a_new_file_has_the_mode_asked_for_less_the_umask(tmp_path: Path) -> None:
    files.write_all([(tmp_path / "key", b"k", 0o600), (tmp_path / "crt", b"c", 0o644)])
    assert (mode(tmp_path / "key"), mode(tmp_path / "crt")) == (0o600, 0o644)
    before = os.umask(0o077)
    try:
        files.write_atomic(tmp_path / "private", b"c", mode=0o644)
    finally:
        os.umask(before)
    assert mode(tmp_path / "private") == 0o600


@pytest.mark.parametrize(
    ("old", "wanted", "new"),
    [(0o640, 0o600, 0o600), (0o400, 0o600, 0o400), (0o644, 0o600, 0o600), (0o640, 0o644, 0o640)],
)
def test_an_existing_file_keeps_its_mode_but_a_secret_never_gets_wider(
    tmp_path: Path, old: int, wanted: int, new: int
) -> None:
    (tmp_path / "f").touch()
    (tmp_path / "f").chmod(old)
    files.write_atomic(tmp_path / "f", b"x", mode=wanted)
    assert (mode(tmp_path / "f"), (tmp_path / "f").read_bytes()) == (new, b"x")


@root_only
def test_an_existing_file_keeps_its_owner(tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    os.chown(tmp_path / "f", 1234, 2345)
    files.write_atomic(tmp_path / "f", b"x", mode=0o600)
    assert ((tmp_path / "f").stat().st_uid, (tmp_path / "f").stat().st_gid) == (1234, 2345)


@root_only
def test_what_another_user_put_into_a_directory_for_everybody_is_not_replaced(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    (tmp_path / "theirs").mkdir()
    (tmp_path / "planted").symlink_to(tmp_path / "theirs" / "key")
    os.lchown(tmp_path / "planted", 1234, 1234)
    (tmp_path / "file").touch()
    os.chown(tmp_path / "file", 1234, 1234)
    for name in ("planted", "file"):
        with pytest.raises(FileProblem, match="was put there by another user"):
            files.settle([tmp_path / name], force=True)


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that everybody can reach; pytest closes its own to others."""
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        yield Path(place)


def as_nobody(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    before = (
        "import os, sys; sys.path[:0] = sys.argv.pop(1).split(':')\n"
        "from pathlib import Path; from mica.cli import files\n"
    )
    drop = "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
    return subprocess.run(
        [sys.executable, "-c", before + drop + program, ":".join(filter(None, sys.path)), *arguments],
        capture_output=True,
        text=True,
    )


@root_only
def test_a_directory_that_may_not_be_written_is_refused_before_anything_is_done(public: Path) -> None:
    (public / "ours").touch(mode=0o600)
    settle = "files.settle([Path(sys.argv[1])], force=True)"
    assert "you may not write in" in as_nobody(settle, str(public / "svc.crt")).stderr
    assert (
        "cannot be read: permission denied" in as_nobody("files.read_input(sys.argv[1])", str(public / "ours")).stderr
    )
    public.chmod(0o777)
    assert "belongs to another user" in as_nobody(settle, str(public / "ours")).stderr


def test_what_was_said_of_a_files_access_counts_for_an_existing_file_and_whatever_the_umask(tmp_path: Path) -> None:
    (tmp_path / "old").touch(mode=0o600)
    before = os.umask(0o077)
    try:
        files.write_all([(tmp_path / name, b"x", files.Access(mode=0o644)) for name in ("old", "new")])
    finally:
        os.umask(before)
    assert (mode(tmp_path / "old"), mode(tmp_path / "new")) == (0o644, 0o644)


@root_only
def test_a_file_is_given_to_who_was_named_before_it_takes_its_name(tmp_path: Path) -> None:
    (tmp_path / "old").touch()
    os.chown(tmp_path / "old", 1234, 2345)
    files.write_atomic(tmp_path / "old", b"x", mode=files.Access(mode=0o600, exact=False, uid=3456))
    files.write_atomic(tmp_path / "new", b"x", mode=files.Access(mode=0o640, gid=2345))
    old, new = (tmp_path / "old").stat(), (tmp_path / "new").stat()
    assert (old.st_uid, old.st_gid, stat.S_IMODE(old.st_mode)) == (3456, 2345, 0o600)
    assert (new.st_uid, new.st_gid, stat.S_IMODE(new.st_mode)) == (0, 2345, 0o640)


@root_only
def test_a_file_that_cannot_be_given_away_is_not_written(public: Path) -> None:
    os.chown(public, 65534, 65534)
    give = "files.write_atomic(Path(sys.argv[1]), b'x', mode=files.Access(mode=0o600, uid=0))"
    assert "cannot be written: operation not permitted" in as_nobody(give, str(public / "f")).stderr
    assert os.listdir(public) == []


def test_a_link_is_followed_and_stays(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real/svc.crt")
    files.write_atomic(tmp_path / "link", b"x", mode=0o644)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "svc.crt").read_bytes() == b"x"


def test_a_stream_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    before = Path("/dev/null").stat()
    files.write_atomic(Path("/dev/null"), b"x", mode=0o600)
    after = Path("/dev/null").stat()
    assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)


def test_stdout_can_be_named_also_where_it_is_a_pipe(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    name = Path(f"/dev/fd/{writing}")
    files.settle([name], force=False)
    files.write_all([(name, b"new", 0o600)])
    os.close(writing)
    with open(reading, "rb") as pipe:
        assert pipe.read() == b"new"


def test_nothing_is_replaced_when_one_of_several_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("old")
    with pytest.raises(FileProblem, match="no/crt: cannot be written: no such file"):
        files.write_all([(tmp_path / "key", b"new", 0o600), (tmp_path / "no" / "crt", b"new", 0o644)])
    assert (tmp_path / "key").read_text() == "old"
    assert os.listdir(tmp_path) == ["key"]


def test_a_full_disk_leaves_the_old_file_and_no_rubbish(tmp_path: Path) -> None:
    """A limit on the size of files stands for the full disk: the write fails half way."""
    (tmp_path / "f").write_text("old")
    program = (
        "import resource, signal, sys; from pathlib import Path; from mica.cli import files\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "files.write_atomic(Path(sys.argv[1]), bytes(100_000), mode=0o600)"
    )
    result = subprocess.run([sys.executable, "-c", program, str(tmp_path / "f")], capture_output=True, text=True)
    assert "FileProblem" in result.stderr
    assert "cannot be written: file too large" in result.stderr
    assert (tmp_path / "f").read_text() == "old"
    assert os.listdir(tmp_path) == ["f"]
