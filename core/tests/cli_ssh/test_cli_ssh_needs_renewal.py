"""``ssh needs-renewal``: the exit code is the answer, and what is no answer has other codes."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from core.tests.cli_ca.conftest import Machine

from mica.testing.keygen import Keygen

HOUR = timedelta(hours=1)


def issue(keygen: Keygen, start: timedelta, end: timedelta | None, name: str = "host") -> Path:
    """A certificate whose validity is so far from now."""
    now = datetime.now(UTC)
    moments = [f"{now + start:%Y%m%d%H%M%SZ}", "forever" if end is None else f"{now + end:%Y%m%d%H%M%SZ}"]
    public = keygen.key("ed25519", file=name)
    return keygen.certificate("p256", public, "-h", "-I", "build1", "-n", "build1", "-z", "7", "-V", ":".join(moments))


@pytest.fixture
def half(keygen: Keygen) -> str:
    """A certificate of 24 hours, 12 of which have gone."""
    return issue(keygen, -12 * HOUR, 12 * HOUR).name


def test_at_66_percent_it_is_time(machine: Machine, keygen: Keygen, half: str) -> None:
    machine.mica("ssh", "needs-renewal", half, code=1)
    machine.mica("ssh", "needs-renewal", issue(keygen, -16 * HOUR, 8 * HOUR, "late"), code=0)


@pytest.mark.parametrize(
    ("expires_in", "code"),
    [
        ("49%", 0), ("50%", 0), ("51%", 1), ("100%", 1), ("0%", 0), ("33.3%", 0),
        ("13h", 0), ("11h", 1), ("12h30m", 0), ("1d", 0), ("0", 1), ("0s", 1),
    ],
)  # fmt: skip
def test_a_percentage_is_elapsed_and_a_duration_remains(
    machine: Machine, half: str, expires_in: str, code: int
) -> None:
    ran = machine.mica("ssh", "needs-renewal", half, "--expires-in", expires_in, code=code)
    assert (ran.out, ran.err) == ("", "")


def test_an_expired_certificate_needs_renewal_whatever_is_asked(machine: Machine, keygen: Keygen) -> None:
    old = issue(keygen, -24 * HOUR, -HOUR)
    for expires_in in ("100%", "0s"):
        machine.mica("ssh", "needs-renewal", old, "--expires-in", expires_in, code=0)


def test_what_has_not_begun_or_does_not_end_does_not_need_renewal(machine: Machine, keygen: Keygen) -> None:
    machine.mica("ssh", "needs-renewal", issue(keygen, HOUR, 24 * HOUR, "new"), code=1)
    endless = issue(keygen, -HOUR, None, "endless")
    said = machine.mica("ssh", "needs-renewal", endless, "-v", "--expires-in", "0%", code=1).err
    assert said == "certificate does not need renewal: it has no end\n"
    found = json.loads(machine.mica("ssh", "needs-renewal", endless, "--json", code=1).out)
    assert (found["valid_before"], found["remaining"], found["elapsed_percent"]) == (None, None, None)


def test_one_of_several_is_enough(machine: Machine, keygen: Keygen, half: str) -> None:
    late = issue(keygen, -24 * HOUR, HOUR, "late")
    machine.write("both", machine.path(half).read_text() + late.read_text())
    machine.mica("ssh", "needs-renewal", "both", code=0)
    machine.mica("ssh", "needs-renewal", "both", "--expires-in", "30m", code=1)


def test_verbose_says_yes_on_stdout_and_no_on_stderr(machine: Machine, half: str) -> None:
    yes = machine.mica("ssh", "needs-renewal", half, "-v", "--expires-in", "13h")
    assert (yes.out, yes.err) == ("certificate needs renewal\n", "")
    no = machine.mica("ssh", "needs-renewal", half, "--verbose", code=1)
    assert (no.out, no.err) == ("", "certificate does not need renewal: 11h 59m remaining\n")


def test_json_has_the_numbers(machine: Machine, half: str) -> None:
    found = json.loads(machine.mica("ssh", "needs-renewal", half, "--json", code=1).out)
    assert 12 * 3600 - 60 < found.pop("remaining") <= 12 * 3600
    assert found.pop("fingerprint").startswith("SHA256:")
    assert (
        datetime.fromisoformat(found.pop("valid_before")) - datetime.fromisoformat(found.pop("valid_after"))
        == 24 * HOUR
    )
    assert found == {
        "needs_renewal": False, "type": "host", "serial": "7", "key_id": "build1", "principals": ["build1"],
        "elapsed_percent": 50.0,
    }  # fmt: skip


def test_stdin_is_read(machine: Machine, half: str) -> None:
    for arguments in ((), ("-",)):
        machine.mica("ssh", "needs-renewal", *arguments, input=machine.path(half).read_text(), code=1)
    machine.mica("ssh", "needs-renewal", "-", input="", code=255)


def test_a_missing_file_is_2(machine: Machine) -> None:
    ran = machine.mica("ssh", "needs-renewal", "none-cert.pub", code=2)
    assert (ran.out, ran.err) == ("", "error: none-cert.pub: there is no such file\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--expires-at", "66%", "host-cert.pub"], "no such option"),
        (["host-cert.pub", "more"], "unexpected extra argument"),
        (["--expires-in", "101%", "host-cert.pub"], "'101%' is not a percentage from 0% to 100%"),
        (["--expires-in", "soon", "host-cert.pub"], "'soon' is not a duration"),
        (["--expires-in=-1h", "host-cert.pub"], "'-1h' is negative"),
        (["."], ".: is a directory"),
        (["empty"], "empty: is empty"),
        (["host"], "host: holds a private key"),
        (["host.pub"], "host.pub: holds an SSH public key"),
    ],
)
def test_every_other_error_is_255_usage_errors_among_them(
    machine: Machine, half: str, arguments: list[str], message: str
) -> None:
    """systemd's ExecCondition= reads 1 to 254 as: not now. A unit with a misspelt flag must fail instead."""
    machine.write("empty", "")
    ran = machine.mica("ssh", "needs-renewal", *arguments, code=255)
    assert ran.out == ""
    assert message in ran.err
