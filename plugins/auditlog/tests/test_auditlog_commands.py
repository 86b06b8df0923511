"""The commands: what they print, what they find, and how they end."""

import json
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from mica.authority import Authority
from mica.issuance import sign_token
from mica.requests import RevokeRequest, SignRequest
from mica.revocation import revoke_by_token
from mica.testing.ca import TestCA, csr
from mica.testing.commands import Commands

Run = Callable[..., "CompletedProcess[bytes]"]


@pytest.fixture
def audit(commands: Commands, ca: TestCA, tmp_path: Path) -> Run:
    """``mica ca audit`` with these arguments, on the CA's own host."""

    def run(*arguments: str | Path) -> "CompletedProcess[bytes]":
        environment = {"MICAPATH": str(ca.directory), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
        return commands.run(["ca", "audit", *map(str, arguments)], folder=tmp_path, environment=environment)

    return run


async def _issue(ca: TestCA, authority: Authority, *names: str) -> int:
    number = 0
    for name in names:
        issued = await sign_token(authority, SignRequest(csr=csr(name)), ca.token(name))
        number = issued.issuance.id.serial_number
    return number


@pytest.fixture
async def log(ca: TestCA) -> Path:
    """The log of an hour ago: three certificates and the end of one."""
    ca.clock.advance(timedelta(hours=-1))
    authority = ca.authority()
    await authority.start()
    number = await _issue(ca, authority, "a.example", "b.example", "c.example")
    await revoke_by_token(authority, RevokeRequest(serial_number=number), ca.token(str(number), "/1.0/revoke"))
    await authority.aclose()
    return ca.directory / "audit/audit.jsonl"


def test_a_sound_log_prints_nothing_and_ends_with_0(log: Path, audit: Run) -> None:
    done = audit("verify")
    assert (done.returncode, done.stdout) == (0, b"")
    assert done.stderr.decode() == "5 lines in 1 file, 0 to 4: whole and unchanged\n"


def test_all_that_the_shell_finds_by_the_name_of_the_log_can_be_given(log: Path, audit: Run) -> None:
    found = sorted(log.parent.glob("audit.jsonl*"))
    assert [path.suffix for path in found] == [".jsonl", ".head", ".lock"]
    done = audit("verify", *found)
    assert (done.returncode, done.stdout) == (0, b"")
    assert len(audit("show", *found).stdout.splitlines()) == 5


def test_a_log_that_was_emptied_has_no_lines_and_ends_with_1(log: Path, audit: Run) -> None:
    log.write_bytes(b"")
    done = audit("verify")
    assert (done.returncode, done.stderr) == (1, b"no lines: not sound: 1 fault\n")
    assert b"names line 4: its end is missing" in done.stdout


def test_a_changed_log_prints_where_and_ends_with_1(log: Path, audit: Run) -> None:
    log.write_text(log.read_text().replace("a.example", "z.example"))
    done = audit("verify")
    assert done.returncode == 1
    assert done.stdout.decode().startswith("audit.jsonl:3: line 2 of the log does not continue line 1: one was changed")
    members = json.loads(audit("verify", "--json").stdout)
    assert (members["sound"], members["faults"], members["findings"][0]["code"]) == (False, 1, "edited")
    assert members["findings"][0]["place"] == "audit.jsonl:3"


def test_a_head_kept_elsewhere_is_printed_and_taken(log: Path, audit: Run, tmp_path: Path) -> None:
    kept = audit("head").stdout.decode().strip()
    assert json.loads(audit("head", "--json").stdout)["seq"] == 4
    copy = tmp_path / "copy.jsonl"
    copy.write_bytes(log.read_bytes())
    assert audit("verify", copy).returncode == 1  # no head beside it
    assert audit("verify", copy, "--head", kept).returncode == 0
    copy.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:-1]))
    done = audit("verify", "--head", kept, copy)
    assert (done.returncode, b"its end is missing" in done.stdout) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["verify", "--head", "4711"], 2, b"must be SEQ:HASH"),
        (["verify", "--head", "1:" + "0" * 64, "--head", "1:" + "1" * 64], 2, b"with two hashes"),
        (["verify"], 5, b"there is no such file"),
        (["head"], 5, b"there is no such file"),
        (["show"], 5, b"there is no such file"),
        (["verify", "missing"], 5, b"missing"),
    ],
    ids=["anchor", "anchors", "verify", "head", "show", "file"],
)
def test_what_cannot_be_read_is_told_with_its_code(audit: Run, arguments: list[str], code: int, message: bytes) -> None:
    done = audit(*arguments)
    assert (done.returncode, message in done.stderr, b"Traceback" in done.stderr) == (code, True, False)


def test_a_log_that_the_record_agrees_with_is_sound(log: Path, audit: Run) -> None:
    done = audit("verify", "--against-store")
    assert (done.returncode, done.stdout) == (0, b"")


async def test_what_was_issued_without_the_log_is_named(log: Path, audit: Run, ca: TestCA) -> None:
    before = {path: path.read_bytes() for path in log.parent.iterdir()}
    authority = ca.authority()
    await authority.start()
    number = await _issue(ca, authority, "unseen.example")
    await revoke_by_token(authority, RevokeRequest(serial_number=number), ca.token(str(number), "/1.0/revoke"))
    await authority.aclose()
    for path, data in before.items():
        path.write_bytes(data)
    done = audit("verify", "--against-store")
    assert done.returncode == 1
    lines = done.stdout.decode().splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(f"the certificate {number} (x509, issuer ")
    assert lines[1].startswith(f"the revocation of the certificate {number} (x509")


async def test_what_the_record_has_lost_is_named(log: Path, audit: Run, ca: TestCA) -> None:
    kept = {path: path.read_bytes() for path in (ca.directory / "db").iterdir()}
    authority = ca.authority()
    await authority.start()
    number = await _issue(ca, authority, "restored.example")
    await authority.aclose()
    for path in (ca.directory / "db").iterdir():
        path.unlink()
    for path, data in kept.items():
        path.write_bytes(data)
        path.chmod(0o600)
    done = audit("verify", "--against-store")
    assert done.returncode == 1
    assert f"the certificate {number} (x509" in done.stdout.decode()
    assert "is in the log, and not on record" in done.stdout.decode()


def test_lines_are_shown_by_event_and_time(log: Path, audit: Run) -> None:
    rows = audit("show").stdout.decode().splitlines()
    assert len(rows) == 5 and "issued    x509" in rows[1] and "a.example by admin" in rows[1]
    assert len(audit("show", "--event", "revoked").stdout.splitlines()) == 1
    assert audit("show", "--since", "30m").stdout == b""
    raw = audit("show", "--since", "2h", "--json", "--event", "issued").stdout
    assert raw == b"".join(log.read_bytes().splitlines(keepends=True)[1:4])


def test_what_a_terminal_would_act_upon_is_shown_as_an_escape(log: Path, audit: Run, tmp_path: Path) -> None:
    from mica_auditlog.lines import encode

    file = tmp_path / "hostile.jsonl"
    file.write_bytes(encode(0, "0" * 64, "2031-03-14T09:26:53.000Z", "denied", {"reasons": ["\x1b[2J\u202e"]}))
    assert b"\\x1b[2J\\u202e" in audit("show", file).stdout


_START = b'{"seq":0,"prev":"%s","time":"%s","event":"denied"' % (b"0" * 64, b"2031-03-14T09:26:53.000Z")
_FORGED = [
    b'"certificate":"x"', b'"certificate":{"names":5}', b'"provisioner":[1]', b'"reasons":5', b'"seq":[1]',
    b'"event":{}', b'"subject":{"a":1}', b'"reasons":["\x1b[2J"]', b'"a":"\xff\x1b[2J"', b'"a":' + b"[" * 100_000,
]  # fmt: skip


def test_lines_that_somebody_forged_are_shown_as_well_as_they_can_be(audit: Run, tmp_path: Path) -> None:
    file = tmp_path / "forged.jsonl"
    file.write_bytes(b"".join(_START + b"," + members + b"}\n" for members in _FORGED))
    for flags in ([], ["--json"]):
        done = audit("show", *flags, file)
        assert (done.returncode, done.stderr, len(done.stdout.splitlines())) == (0, b"", len(_FORGED))
        assert b"\x1b" not in done.stdout


@pytest.mark.parametrize(
    "time", [b"--------------------", b"2031-03-14T09:26:53.000-00:00", b"9999-99-99T09:26:53.000Z"]
)
def test_a_time_that_is_none_hides_nothing_that_is_on_record(log: Path, audit: Run, time: bytes) -> None:
    first, *lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(re.sub(rb'(?<="time":")[^"]*', time, first) + b"".join(lines[:1] + lines[2:]))
    done = audit("verify", "--against-store")
    assert (done.returncode, b"Traceback" in done.stderr) == (1, False)
    assert b"is on record, and not in the log" in done.stdout
