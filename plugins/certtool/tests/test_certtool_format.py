"""``certificate format``: what goes from PEM to DER and back is what openssl makes of it."""

import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pexpect
import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]
OpenSSL = Callable[..., str]


@pytest.fixture
def documents(openssl: OpenSSL, pki: Path) -> Path:
    """``int.crt``, ``int.csr`` and ``int.crl`` in PEM; the same with ``.der`` behind, by openssl."""
    openssl("req", "-new", "-key", "root.key", "-subj", "/CN=svc.example", "-out", "int.csr")
    (pki / "ca.cnf").write_text("[ca]\ndefault_ca=c\n[c]\ndatabase=index\ndefault_md=sha256\ndefault_crl_days=2\n")
    (pki / "index").touch()
    openssl("ca", "-config", "ca.cnf", "-gencrl", "-keyfile", "root.key", "-cert", "root.crt", "-out", "int.crl")
    for command, file in (("x509", "int.crt"), ("req", "int.csr"), ("crl", "int.crl")):
        openssl(command, "-in", file, "-outform", "DER", "-out", f"{file}.der")
    return pki


@pytest.mark.parametrize("file", ["int.crt", "int.csr", "int.crl"])
def test_both_ways_are_those_of_openssl(mica: Run, documents: Path, file: str) -> None:
    assert mica("certificate", "format", file, "--out", "out.der").returncode == 0
    assert (documents / "out.der").read_bytes() == (documents / f"{file}.der").read_bytes()
    assert mica("certificate", "format", f"{file}.der").stdout == (documents / file).read_text()


@pytest.mark.parametrize("named", [[], ["-"]])
def test_stdin_is_read_and_der_goes_to_stdout_as_it_is(documents: Path, named: list[str]) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "mica.cli", "certificate", "format", *named],
        input=(documents / "int.crt").read_bytes(),
        capture_output=True,
        timeout=60,
    )
    assert (result.stdout, result.stderr) == ((documents / "int.crt.der").read_bytes(), b"")


def test_windows_line_ends_and_its_mark_do_not_matter(mica: Run, documents: Path) -> None:
    text = b"\xef\xbb\xbf" + (documents / "int.crt").read_bytes().replace(b"\n", b"\r\n")
    assert mica("certificate", "format", "--out", "out.der", input=text).returncode == 0
    assert (documents / "out.der").read_bytes() == (documents / "int.crt.der").read_bytes()


def test_of_several_the_first_is_taken_and_that_is_told(mica: Run, documents: Path) -> None:
    (documents / "two.crt").write_bytes((documents / "int.crt").read_bytes() + (documents / "root.crt").read_bytes())
    result = mica("certificate", "format", "two.crt", "--out", "out.der")
    assert "warning: two.crt holds 2 documents; DER holds one, and this is the first\n" in result.stderr
    assert (documents / "out.der").read_bytes() == (documents / "int.crt.der").read_bytes()


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644])
def test_the_new_file_has_the_mode_of_the_old_one(mica: Run, documents: Path, mode: int) -> None:
    (documents / "int.crt").chmod(mode)
    result = mica("certificate", "format", "int.crt", "--out", "out.der")
    assert (result.stdout, result.stderr) == ("", "Your file has been saved in out.der.\n")
    assert stat.S_IMODE((documents / "out.der").stat().st_mode) == mode


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("int.key", "int.key: holds an encrypted private key, not "),
        ("int.p12", "int.p12: holds a PKCS #12 file, not "),
        ("empty", "empty: is empty"),
        ("none", "none: there is no such file"),
        ("cut.der", "cut.der: is damaged"),
        ("cut.pem", "cut.pem: is cut off"),
        ("noise", "noise: holds neither PEM nor DER"),
        ("large", "large: is larger than 16 MiB"),
        (".", ".: is a directory"),
    ],
)
def test_what_is_no_document_is_told_and_nothing_is_written(
    mica: Run, openssl: OpenSSL, documents: Path, file: str, message: str
) -> None:
    (documents / "empty").touch()
    (documents / "cut.der").write_bytes((documents / "int.crt.der").read_bytes()[:-5])
    (documents / "cut.pem").write_bytes((documents / "int.crt").read_bytes()[:-30])
    (documents / "noise").write_bytes(bytes(range(128, 228)))
    with (documents / "large").open("wb") as stream:
        stream.truncate((16 << 20) + 1)
    openssl("pkcs12", "-export", "-nokeys", "-in", "root.crt", "-passout", "pass:x", "-out", "int.p12")
    result = mica("certificate", "format", file, "--out", "out")
    assert (result.returncode, result.stdout) == (5, "")
    assert message in result.stderr
    assert not (documents / "out").exists()


def test_an_existing_target_is_overwritten_with_force_only(mica: Run, documents: Path) -> None:
    (documents / "out").write_text("old")
    assert mica("certificate", "format", "int.crt", "--out", "out").returncode == 6
    assert (documents / "out").read_text() == "old"
    assert mica("certificate", "format", "int.crt", "--out", "out", "--force").returncode == 0
    assert (documents / "out").read_bytes() == (documents / "int.crt.der").read_bytes()


def test_der_is_not_written_to_a_terminal(documents: Path) -> None:
    text, status = pexpect.run(
        f"{sys.executable} -m mica.cli certificate format int.crt",
        cwd=str(documents),
        encoding="utf-8",
        withexitstatus=True,
    )
    assert "DER is nothing for a terminal" in text
    assert status == 2
