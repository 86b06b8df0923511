"""Where passwords come from, and keys that need one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mica.cli import keys, options, passwords
from mica.cli.errors import FileProblem, Usage


def test_a_password_file_loses_white_space_at_its_end_only(tmp_path: Path) -> None:
    (tmp_path / "p").write_bytes(b"  a b\xc3\xa9 \r\n\n")
    assert passwords.from_source(str(tmp_path / "p")) == b"  a b\xc3\xa9"


def test_a_password_file_of_windows_is_read_as_it_looks_or_refused(tmp_path: Path) -> None:
    (tmp_path / "p").write_bytes("sécret\r\n".encode("utf-8-sig"))
    assert passwords.from_source(str(tmp_path / "p")) == "sécret".encode()
    (tmp_path / "p").write_bytes("sécret\r\n".encode("utf-16"))
    with pytest.raises(FileProblem, match="is UTF-16 text"):
        passwords.from_source(str(tmp_path / "p"))


def test_a_password_comes_from_a_descriptor_which_stays_open() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"secret\n")
    os.close(writing)
    try:
        assert passwords.from_source(f"fd:{reading}") == b"secret"
        os.fstat(reading)
    finally:
        os.close(reading)


def test_a_password_comes_from_stdin() -> None:
    program = "from mica.cli import passwords; print(passwords.from_source('-'))"
    result = subprocess.run(
        [sys.executable, "-c", program], input="secret\n", capture_output=True, text=True, check=True
    )
    assert result.stdout == "b'secret'\n"


@pytest.mark.parametrize(
    "source",
    ["fd:", "fd:x", "fd:-1", "fd:987654", "fd:99999999999999999999", "fd:²", "/dev/null", "/nothing", "/dev/zero"],
)
def test_a_source_without_a_password_is_a_file_problem(source: str) -> None:
    with pytest.raises(FileProblem, match=source.replace("²", ".")):
        passwords.from_source(source)


def openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


@pytest.mark.parametrize(
    "form",
    [
        ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-aes256", "-pass"],
        ["genrsa", "-traditional", "-aes256", "-passout"],
    ],
)
def test_a_key_of_openssl_is_read_with_its_password_and_ours_by_openssl(tmp_path: Path, form: list[str]) -> None:
    (tmp_path / "p").write_text("secret\n")
    openssl(*form, "pass:secret", "-out", str(tmp_path / "key"))
    found = keys.read_key(tmp_path / "key", str(tmp_path / "p"))
    (tmp_path / "again").write_bytes(keys.key_pem(found, b"other"))
    openssl("pkey", "-in", str(tmp_path / "again"), "-passin", "pass:other", "-noout", "-check")


def test_a_wrong_password_is_a_file_problem(tmp_path: Path) -> None:
    (tmp_path / "p").write_text("wrong\n")
    openssl("genpkey", "-algorithm", "ED25519", "-aes256", "-pass", "pass:secret", "-out", str(tmp_path / "key"))
    with pytest.raises(FileProblem, match="the password is wrong"):
        keys.read_key(tmp_path / "key", str(tmp_path / "p"))


@pytest.mark.parametrize(
    ("flags", "algorithm"),
    [
        ((None, None, None), "EC-P256"), (("EC", None, None), "EC-P256"), (("EC", "P-521", None), "EC-P521"),
        (("RSA", None, None), "RSA-2048"), (("RSA", None, 4096), "RSA-4096"), (("OKP", None, None), "Ed25519"),
        (("OKP", "Ed25519", None), "Ed25519"),
    ],
)  # fmt: skip
def test_key_flags_name_an_algorithm_that_can_be_made(
    flags: tuple[str | None, str | None, int | None], algorithm: str
) -> None:
    from mica.keyfiles import ALGORITHMS

    assert options.key_algorithm(*flags) == algorithm
    assert algorithm in ALGORITHMS


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ((None, "P-256", None), "flag '--curve' requires the '--kty' flag"),
        ((None, None, 2048), "flag '--size' requires the '--kty' flag"),
        (("RSA", "P-256", None), "'--curve' is incompatible with '--kty RSA'"),
        (("RSA", None, 1024), "invalid value 1024 for flag '--size'"),
        (("EC", None, 256), "'--size' is incompatible with '--kty EC'"),
        (("EC", "Ed25519", None), "invalid value 'Ed25519' for flag '--curve'"),
        (("OKP", "P-256", None), "invalid value 'P-256' for flag '--curve'"),
    ],
)
def test_key_flags_that_do_not_fit_are_usage_errors(
    flags: tuple[str | None, str | None, int | None], message: str
) -> None:
    with pytest.raises(Usage, match=message):
        options.key_algorithm(*flags)


def test_what_weakens_security_needs_the_insecure_flag() -> None:
    options.require_insecure("--no-password", True)
    with pytest.raises(Usage, match="flag '--no-password' requires the '--insecure' flag"):
        options.require_insecure("--no-password", False)
