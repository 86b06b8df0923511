"""What is no certificate: one clear line, exit code 5, nothing on stdout."""

import contextlib
import itertools
import subprocess
import sys
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pexpect
import pytest

from mica.cli.kit import FileProblem
from mica_certtool import documents, layouts, members

Run = Callable[..., subprocess.CompletedProcess[str]]

KEY = b"-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAAA\n-----END PRIVATE KEY-----\n"


@pytest.mark.parametrize("command", ["inspect", "fingerprint"])
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "stdin: is empty"),
        (b" \r\n", "stdin: is empty"),
        (b"\xef\xbb\xbf", "stdin: is empty"),
        (b"\xff\xfe-\x00-\x00", "stdin: is UTF-16 text"),
        (KEY, "stdin: holds a PRIVATE KEY, not a certificate"),
        (b"-----BEGIN CERTIFICATE-----\nMIIB", "stdin: is cut off: its PEM block has no end"),
        (b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", "stdin: is damaged: "),
        (b"-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n", "stdin: is damaged: "),
        (b"-----BEGIN CERTIFICATE-----\n0\x82\x01\x01\n-----END CERTIFICATE-----\n", "stdin: is damaged: "),
        (b"-----BEGIN CERTIFICATE REQUEST-----\nMAA=\n-----END CERTIFICATE REQUEST-----\n", "stdin: is damaged: "),
        (b"hello\n", "stdin: holds neither PEM nor DER"),
        (bytes(range(256)), "stdin: holds neither PEM nor DER"),
        (b"0\x82\x01\x01", "stdin: is neither a certificate nor a request in DER: "),
        (b"0\x84\xff\xff\xff\xff", "stdin: is neither a certificate nor a request in DER: "),
    ],
)
def test_what_is_no_certificate_is_told_in_one_line(mica: Run, command: str, data: bytes, message: str) -> None:
    result = mica("certificate", command, input=data)
    assert (result.returncode, result.stdout) == (5, "")
    assert result.stderr.startswith(f"error: {message}")
    assert result.stderr.count("\n") <= 2


def test_the_damaged_block_of_several_is_named(mica: Run, sample: Path) -> None:
    damaged = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
    result = mica("certificate", "inspect", "--bundle", input=sample.read_bytes() + damaged)
    assert result.returncode == 5
    assert "error: stdin: block 2: is damaged" in result.stderr


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("missing.crt", "missing.crt: there is no such file"),
        (".", ".: is a directory"),
        ("/dev/zero", "/dev/zero: is larger than 16 MiB"),
        ("x" * 300, "cannot be read: file name too long"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(mica: Run, file: str, message: str) -> None:
    result = mica("certificate", "inspect", file)
    assert (result.returncode, result.stdout) == (5, "")
    assert message in result.stderr


def test_der_with_something_after_it_is_refused(mica: Run, openssl: Callable[..., str], tmp_path: Path) -> None:
    openssl(
        "req", "-x509", "-newkey", "ed25519", "-nodes", "-keyout", "k", "-out", "c", "-outform", "DER", "-subj", "/CN=a"
    )
    assert mica("certificate", "inspect", "c").returncode == 0
    (tmp_path / "c").write_bytes((tmp_path / "c").read_bytes() + b"x")
    assert mica("certificate", "inspect", "c").returncode == 5


@pytest.mark.parametrize("kind", ["certificate", "request"])
def test_a_damaged_document_is_shown_or_refused(openssl: Callable[..., str], tmp_path: Path, kind: str) -> None:
    """Each octet is changed in turn: there is text, or FileProblem, or ValueError; nothing else is raised."""
    openssl(
        "req", "-new", *(["-x509"] if kind == "certificate" else []), "-newkey", "ed25519", "-nodes", "-keyout", "k",
        "-out", "c", "-outform", "DER", "-subj", "/CN=a", "-addext", "subjectAltName=DNS:a.example,IP:10.0.0.1",
        "-addext", "keyUsage=digitalSignature", "-addext", "1.3.6.1.4.1.37476.9000.64.1=DER:300802010104016104006161",
    )  # fmt: skip
    data = (tmp_path / "c").read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for place, flip in itertools.product(range(len(data)), (0x01, 0x80, 0xFF)):
            damaged = data[:place] + bytes([data[place] ^ flip]) + data[place + 1 :]
            with contextlib.suppress(FileProblem):
                (found,) = documents.parse(damaged, "c")
                for show in (lambda document: layouts.long(document, datetime.now(UTC)), layouts.short, members.of):
                    with contextlib.suppress(ValueError, IndexError):
                        show(found)


def test_a_terminal_on_stdin_is_not_waited_for(tmp_path: Path) -> None:
    child = pexpect.spawn(sys.executable, ["-m", "mica.cli", "certificate", "inspect"], encoding="utf-8", timeout=20)
    child.expect("error: there is no file to read")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 2


def test_a_closed_pipe_is_quiet(sample: Path) -> None:
    command = f"{sys.executable} -m mica.cli certificate inspect {sample} | true"
    assert subprocess.run(["sh", "-c", command], capture_output=True, text=True).stderr == ""
