"""One renewal, when it is due, and what is done afterwards; a replacement that was interrupted is completed."""

import json
import re
import signal
import subprocess
from typing import Any

import pytest
from cryptography import x509

NOWHERE = ["--ca-url", "https://127.0.0.1:1"]


@pytest.fixture
def holder(machine: Any) -> Any:
    """A machine with a certificate for an hour in ``svc.crt``, its key in ``svc.key``."""
    machine.mica("ca", "certificate", "svc.example", "svc.crt", "svc.key", "--not-after", "1h")
    return machine


def serial(machine: Any, name: str = "svc.crt") -> int:
    return x509.load_pem_x509_certificate(machine.path(name).read_bytes()).serial_number


@pytest.mark.parametrize("threshold", ["10m", "75%"])
@pytest.mark.parametrize(("command", "word"), [("renew", "renewed"), ("rekey", "rekeyed")])
def test_what_is_not_due_is_left_alone_without_asking_the_ca(
    holder: Any, command: str, word: str, threshold: str
) -> None:
    before = holder.path("svc.crt").read_bytes()
    arguments = ["ca", command, "svc.crt", "svc.key", "--expires-in", threshold, "--exec", "touch ran", *NOWHERE]
    ran = holder.mica(*arguments)
    assert re.fullmatch(rf"certificate not {word}: expires in (59m\d+s|1h0m0s)\n", ran.err)
    assert holder.mica(*arguments, "--exit-code", code=7).err.startswith(f"certificate not {word}")
    assert json.loads(holder.mica(*arguments, "--json").out)["renewed"] is False
    assert holder.path("svc.crt").read_bytes() == before
    assert not holder.path("ran").exists()


@pytest.mark.parametrize("threshold", ["1h", "0.5%"])
def test_what_is_due_is_renewed_and_ends_with_0(holder: Any, threshold: str) -> None:
    before = serial(holder)
    arguments = ["ca", "renew", "svc.crt", "svc.key", "--force", "--expires-in", threshold, "--exit-code"]
    assert json.loads(holder.mica(*arguments, "--json").out)["renewed"] is True
    assert serial(holder) != before


def test_a_shell_line_is_run_after_the_renewal_and_its_output_is_not_the_product(holder: Any) -> None:
    line = "echo \"told 'a  b'\" | tr a-z A-Z; openssl x509 -in svc.crt -noout -serial >seen"
    ran = holder.mica("ca", "renew", "svc.crt", "svc.key", "--force", "--json", "--exec", line)
    assert int(json.loads(ran.out)["serial_number"]) == serial(holder)
    assert "TOLD 'A  B'\n" in ran.err
    assert int(holder.path("seen").read_text().strip().removeprefix("serial="), 16) == serial(holder)


def test_the_words_behind_the_dashes_are_run_as_they_are(holder: Any) -> None:
    holder.mica("ca", "rekey", "svc.crt", "svc.key", "--force", "--", "touch", "--", "two words", "--force", "$HOME")
    assert {"two words", "--force", "$HOME"} <= {path.name for path in holder.folder.iterdir()}


def test_a_command_without_dashes_is_a_typing_error(holder: Any) -> None:
    assert "stands after --" in holder.mica("ca", "renew", "svc.crt", "svc.key", "reboot", code=2).err
    holder.mica("ca", "renew", "--force", "--", "svc.crt", "svc.key")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--exec", "exit 9"], "exit 9: failed with exit code 9"),
        (["--exec", "kill -9 $$"], "was ended by SIGKILL"),
        (["--", "no-such-program", "a b"], "no-such-program 'a b': cannot be run: no such file"),
        (["--pid", "999999999"], "the process 999999999 cannot be sent SIGHUP"),
        (["--pid-file", "svc.crt"], "svc.crt: does not begin with a process id"),
    ],
)
def test_what_fails_afterwards_ends_with_1_and_the_certificate_is_saved(
    holder: Any, arguments: list[str], said: str
) -> None:
    before = serial(holder)
    ran = holder.mica("ca", "renew", "svc.crt", "svc.key", "--force", *arguments, code=1)
    assert said in ran.err
    assert "the certificate has been saved" in ran.err
    assert serial(holder) != before


@pytest.mark.parametrize(("name", "number"), [("USR1", 10), ("sigusr2", 12), ("15", 15), (None, 1)])
def test_a_process_is_sent_a_signal(holder: Any, name: str | None, number: int) -> None:
    sleeper = subprocess.Popen(["sleep", "60"])
    holder.write("pid", f" {sleeper.pid}\n")
    flags = ["--signal", name] if name else []
    holder.mica("ca", "renew", "svc.crt", "svc.key", "--force", "--pid-file", "pid", *flags)
    assert sleeper.wait(10) == -signal.Signals(number)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--exit-code"], "flag '--exit-code' requires the '--expires-in' flag"),
        (["--renew-period", "1h"], "flag '--renew-period' requires the '--daemon' flag"),
        (["--max-backoff", "1h"], "flag '--max-backoff' requires the '--daemon' flag"),
        (["--signal", "HUP"], "flag '--signal' requires the '--pid' or '--pid-file' flag"),
        (["--pid", "1", "--pid-file", "x"], "flag '--pid' is incompatible with '--pid-file'"),
        (["--exec", "a", "--", "b"], "flag '--exec' is incompatible"),
        (["--expires-in", "2h"], "the certificate lasts only 1h1m0s altogether"),
        (["--expires-in", "100%"], "'100%' is not a share such as 75%"),
        (["--expires-in", "-1h"], "'-1h' is no time at all"),
        (["--expires-in", "soon"], "'soon' is not a duration"),
        (["--signal", "KIL", "--pid", "1"], "'KIL' is neither the name of a signal"),
        (["--pid", "0"], "0 is not in the range"),
    ],
)
def test_flags_that_do_not_fit_are_told(holder: Any, arguments: list[str], said: str) -> None:
    assert said in holder.mica("ca", "renew", "svc.crt", "svc.key", *arguments, code=2).err


def test_stdin_cannot_be_replaced_but_read(holder: Any) -> None:
    pem = holder.path("svc.crt").read_text()
    assert "CRT_FILE is stdin" in holder.mica("ca", "renew", "-", "svc.key", input=pem, code=2).err
    holder.mica("ca", "renew", "-", "svc.key", "--out", "new.crt", input=pem)
    assert serial(holder, "new.crt") != serial(holder)
    assert "KEY_FILE is a URI" in holder.mica("ca", "rekey", "svc.crt", "file:svc.key", "--force", code=2).err
    assert "incompatible with '--daemon'" in holder.mica("ca", "renew", "svc.crt", "-", "--daemon", code=2).err
    holder.mica("ca", "renew", "svc.crt", "file:svc.key", "--force")
    assert "both read stdin" in holder.mica("ca", "renew", "-", "-", "--out", "x", input=pem, code=2).err


def test_who_may_read_the_files_stays_as_it_was(holder: Any) -> None:
    holder.path("svc.crt").chmod(0o644)
    holder.path("svc.key").chmod(0o644)
    holder.mica("ca", "renew", "svc.crt", "svc.key", "--force")
    assert holder.path("svc.crt").stat().st_mode & 0o777 == 0o644
    holder.mica("ca", "rekey", "svc.crt", "svc.key", "--force")
    assert holder.path("svc.crt").stat().st_mode & 0o777 == 0o644
    assert holder.path("svc.key").stat().st_mode & 0o777 == 0o640  # a group may have it, the world may not
    holder.mica("ca", "rekey", "svc.crt", "svc.key", "--out-cert", "new.crt", "--out-key", "new.key")
    assert {holder.path(name).stat().st_mode & 0o777 for name in ("new.crt", "new.key")} == {0o600}


def interrupted(machine: Any) -> bytes:
    """A rekeying that ended after the key was in place, and before the certificate was; what that was."""
    old = machine.path("svc.crt").read_bytes()
    machine.mica("ca", "rekey", "svc.crt", "svc.key", "--force")
    new: bytes = machine.path("svc.crt").read_bytes()
    machine.path(".svc.crt.mica-rekey").write_bytes(new)
    machine.path("svc.crt").write_bytes(old)
    return new


def test_an_interrupted_rekeying_is_completed_by_the_next_command(holder: Any) -> None:
    new = interrupted(holder)
    ran = holder.mica("ca", "renew", "svc.crt", "svc.key", "--expires-in", "10m", "--exec", "touch told")
    assert "has been completed" in ran.err
    assert holder.path("svc.crt").read_bytes() == new
    assert holder.path("told").exists()
    assert not holder.path(".svc.crt.mica-rekey").exists()


def test_what_waits_for_another_key_is_not_put_in_place(holder: Any) -> None:
    interrupted(holder)
    holder.openssl("genpkey", "-algorithm", "ED25519", "-out", "svc.key")
    before = holder.path("svc.crt").read_bytes()
    assert "is not the key of svc.crt" in holder.mica("ca", "renew", "svc.crt", "svc.key", "--force", code=5).err
    assert holder.path("svc.crt").read_bytes() == before


def test_an_encrypted_key_is_followed_by_one_with_the_same_password_unless_there_is_another(holder: Any) -> None:
    holder.write("first", "correct horse\n")
    holder.write("second", "battery staple\n")
    holder.openssl("pkey", "-in", "svc.key", "-aes256", "-passout", "file:first", "-out", "locked.key")
    holder.path("locked.key").rename(holder.path("svc.key"))
    holder.mica("ca", "rekey", "svc.crt", "svc.key", "--force", "--password-file", "first")
    key = holder.openssl("pkey", "-in", "svc.key", "-passin", "file:first", "-pubout")
    assert key == holder.openssl("x509", "-in", "svc.crt", "-noout", "-pubkey")
    passwords = ["--password-file", "first", "--key-password-file", "second"]
    holder.mica("ca", "rekey", "svc.crt", "svc.key", "--force", *passwords)
    again = holder.openssl("pkey", "-in", "svc.key", "-passin", "file:second", "-pubout")
    assert again == holder.openssl("x509", "-in", "svc.crt", "-noout", "-pubkey") != key


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "is damaged"),
        (b"\x00" * 100, "holds neither PEM nor DER"),
    ],
)
def test_a_file_that_is_no_certificate_is_told(holder: Any, content: bytes, said: str) -> None:
    holder.path("bad.crt").write_bytes(content)
    err = holder.mica("ca", "renew", "bad.crt", "svc.key", *NOWHERE, code=5).err
    assert err.startswith(f"error: bad.crt: {said}")
