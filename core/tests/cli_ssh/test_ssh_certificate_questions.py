"""``ssh certificate`` on a terminal: passwords, overwriting, and a word of warning for hosts."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pexpect
import pytest
from core.tests.cli_ca.conftest import Machine

from mica.testing.keygen import Keygen

ASKED = "Please enter the password to encrypt the private key: "
AGAIN = "The same once more: "
WARNING = "sshd and cron cannot ask for a password"


@pytest.fixture
def keygen(client: Machine) -> Keygen:
    return Keygen(client.folder)


@contextmanager
def typed(machine: Machine, *arguments: str, code: int = 0) -> Iterator[pexpect.spawn]:
    """The command on a terminal; it must end with ``code``."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MICA")}
    environment = {**clean, "TERM": "dumb", "NO_COLOR": "1", "MICAPATH": str(machine.home), **machine.environment}
    child = pexpect.spawn(
        sys.executable, ["-m", "mica.cli", "ssh", "certificate", *arguments], cwd=str(machine.folder),
        env=environment, encoding="utf-8", timeout=30,
    )  # fmt: skip
    try:
        yield child
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == code
    finally:
        child.close(force=True)


def test_nothing_is_asked_when_nobody_says_where_the_ca_is(client: Machine) -> None:
    (client.home / "defaults.json").unlink()
    with typed(client, "alice", "id", "--no-agent", code=2) as child:
        child.expect_exact("error: flag '--ca-url' is required")
    assert ASKED not in str(child.before)


def test_the_password_is_asked_for_twice_and_before_the_ca_is_asked(client: Machine, keygen: Keygen) -> None:
    with typed(client, "alice", "id", "--no-agent") as child:
        child.expect_exact(ASKED)
        child.sendline("one password")
        child.expect_exact(AGAIN)
        child.sendline("another")
        child.expect_exact("the two are not the same")
        for question in (ASKED, AGAIN):
            child.expect_exact(question)
            child.sendline("one password")
        child.expect("CA: https://")
        child.expect_exact("Certificate: id-cert.pub")
    assert keygen("-y", "-P", "one password", "-f", "id")


def test_a_password_that_is_too_short_is_asked_for_again(client: Machine, keygen: Keygen) -> None:
    with typed(client, "alice", "id", "--no-agent", "--min-password-length", "8") as child:
        for password in ("häßlich", "häßlich!"):
            for question in (ASKED, AGAIN):
                child.expect_exact(question)
                child.sendline(password)
            if password == "häßlich":
                child.expect_exact("a password has at least 8 characters here")
    assert keygen("-y", "-P", "häßlich!", "-f", "id")


def test_whoever_encrypts_the_key_of_a_host_is_warned(client: Machine) -> None:
    client.write("secret", "a password of keys")
    with typed(client, "--host", "svc.example", "host", "--key-password-file", "secret") as child:
        child.expect_exact(WARNING)
        child.expect_exact("Certificate: host-cert.pub")
    with typed(client, "--host", "svc.example", "host", "--no-password", "--insecure", "--force") as child:
        said = child.read()
    assert "Certificate: host-cert.pub" in said
    assert WARNING not in said


def test_without_a_terminal_nobody_is_warned(client: Machine) -> None:
    client.write("secret", "a password of keys")
    ran = client.mica("ssh", "certificate", "--host", "svc.example", "host", "--key-password-file", "secret")
    assert WARNING not in ran.err


def test_a_no_leaves_everything_as_it_is(client: Machine) -> None:
    client.write("id", "what was here before")
    clean = {**os.environ, "TERM": "dumb", "MICAPATH": str(client.home), **client.environment}
    arguments = ["-m", "mica.cli", "ssh", "certificate", "alice", "id", "--no-password", "--insecure"]
    child = pexpect.spawn(sys.executable, arguments, cwd=str(client.folder), env=clean, encoding="utf-8", timeout=30)
    child.expect_exact("Would you like to overwrite id [y/n]")
    child.sendline("n")
    child.expect_exact("id: exists, and is left as it is")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 6
    assert client.path("id").read_text() == "what was here before"
    assert not client.path("id-cert.pub").exists()
