"""``certificate needs-renewal``: the exit code is the answer, and what is no answer has other codes."""

import json
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

Run = Callable[..., subprocess.CompletedProcess[str]]

HOUR = timedelta(hours=1)


def certificate(start: timedelta, end: timedelta) -> bytes:
    """A certificate whose validity is so far from now."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "svc.example")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 12345678901, now + start, now + end)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@pytest.fixture
def half(tmp_path: Path) -> Path:
    """A certificate of 24 hours, 12 of which have gone."""
    (tmp_path / "half.crt").write_bytes(certificate(-12 * HOUR, 12 * HOUR))
    return tmp_path / "half.crt"


def test_at_66_percent_it_is_time(mica: Run, half: Path, tmp_path: Path) -> None:
    assert mica("certificate", "needs-renewal", half).returncode == 1
    (tmp_path / "late.crt").write_bytes(certificate(-16 * HOUR, 8 * HOUR))
    assert mica("certificate", "needs-renewal", "late.crt").returncode == 0


@pytest.mark.parametrize(
    ("expires_in", "code"),
    [
        ("49%", 0), ("50%", 0), ("51%", 1), ("100%", 1), ("0%", 0), ("33.3%", 0),
        ("13h", 0), ("11h", 1), ("12h30m", 0), ("1d", 0), ("0", 1), ("0s", 1),
    ],
)  # fmt: skip
def test_a_percentage_is_elapsed_and_a_duration_remains(mica: Run, half: Path, expires_in: str, code: int) -> None:
    result = mica("certificate", "needs-renewal", half, "--expires-in", expires_in)
    assert (result.returncode, result.stdout, result.stderr) == (code, "", "")


@pytest.mark.parametrize("start", [-24, -1])
def test_an_expired_certificate_needs_renewal_whatever_is_asked(mica: Run, tmp_path: Path, start: int) -> None:
    (tmp_path / "old").write_bytes(certificate(start * HOUR, -HOUR))  # the second one lasts no time at all
    for expires_in in ("100%", "0s"):
        assert mica("certificate", "needs-renewal", "old", "--expires-in", expires_in).returncode == 0


def test_a_certificate_that_is_not_yet_valid_does_not_need_renewal(mica: Run, tmp_path: Path) -> None:
    (tmp_path / "new").write_bytes(certificate(HOUR, 24 * HOUR))
    assert mica("certificate", "needs-renewal", "new").returncode == 1


def test_openssl_agrees_about_what_remains(mica: Run, half: Path) -> None:
    for seconds in (3600, 11 * 3600, 13 * 3600):
        command = ["openssl", "x509", "-in", half, "-noout", "-checkend", str(seconds)]
        judge = subprocess.run(command, capture_output=True)  # 1 when it will expire
        ours = mica("certificate", "needs-renewal", half, "--expires-in", f"{seconds}s")
        assert (ours.returncode == 0) == (judge.returncode == 1)


def test_one_of_a_bundle_is_enough(mica: Run, half: Path, tmp_path: Path) -> None:
    (tmp_path / "chain").write_bytes(half.read_bytes() + certificate(-24 * HOUR, HOUR))
    assert mica("certificate", "needs-renewal", "chain").returncode == 1
    assert mica("certificate", "needs-renewal", "chain", "--bundle").returncode == 0


def test_verbose_says_yes_on_stdout_and_no_on_stderr(mica: Run, half: Path) -> None:
    yes = mica("certificate", "needs-renewal", half, "-v", "--expires-in", "13h")
    assert (yes.returncode, yes.stdout, yes.stderr) == (0, "certificate needs renewal\n", "")
    no = mica("certificate", "needs-renewal", half, "--verbose")
    assert (no.returncode, no.stdout) == (1, "")
    assert no.stderr == "certificate does not need renewal: 11h 59m remaining\n"


def test_json_has_the_numbers(mica: Run, half: Path) -> None:
    result = mica("certificate", "needs-renewal", half, "--json")
    assert result.returncode == 1
    found = json.loads(result.stdout)
    assert (found["needs_renewal"], found["serial_number"], found["elapsed_percent"]) == (False, "12345678901", 50.0)
    assert 12 * 3600 - 60 < found["remaining"] <= 12 * 3600


def test_a_missing_file_is_2(mica: Run) -> None:
    result = mica("certificate", "needs-renewal", "none.crt")
    assert (result.returncode, result.stdout) == (2, "")
    assert "error: none.crt: there is no such file\n" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--expires-at", "66%", "half.crt"], "no such option"),
        (["--bundle=perhaps", "half.crt"], "true or false"),
        (["half.crt", "more.crt"], "unexpected extra argument"),
        (["--expires-in", "101%", "half.crt"], "'101%' is not a percentage from 0% to 100%"),
        (["--expires-in", "soon", "half.crt"], "'soon' is not a duration"),
        (["--expires-in=-1h", "half.crt"], "'-1h' is negative"),
        (["."], ".: is a directory"),
        (["half.crt/x"], "half.crt/x: "),
        (["empty"], "empty: is empty"),
        (["key"], "key: holds a private key, not a certificate"),
        (["https://127.0.0.1:1"], "https://127.0.0.1:1: cannot be reached"),
        (["gopher://127.0.0.1"], "gopher:// is not known"),
    ],
)
def test_every_other_error_is_255_usage_errors_among_them(
    mica: Run, half: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    """systemd's ExecCondition= reads 1 to 254 as: not now. A unit with a misspelt flag must fail instead."""
    (tmp_path / "empty").touch()
    (tmp_path / "key").write_text("-----BEGIN PRIVATE KEY-----\nMC4C\n-----END PRIVATE KEY-----\n")
    result = mica("certificate", "needs-renewal", *arguments)
    expected = 2 if arguments == ["half.crt/x"] else 255  # a path through a file leads nowhere
    assert (result.returncode, result.stdout) == (expected, "")
    assert result.stderr.startswith("error: ")
    assert message in result.stderr


def test_broken_defaults_are_255(mica: Run, half: Path, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "defaults.json").write_text("{")
    assert mica("certificate", "needs-renewal", half).returncode == 255
    assert mica("certificate", "inspect", half).returncode != 255


def test_stdin_is_read(mica: Run, half: Path) -> None:
    for arguments in ((), ("-",)):
        assert mica("certificate", "needs-renewal", *arguments, input=half.read_bytes()).returncode == 1
    assert mica("certificate", "needs-renewal", "-", input=b"").returncode == 255
