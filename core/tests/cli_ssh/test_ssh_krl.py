"""The list of what is revoked comes into its file whole, or the file stays; ssh-keygen reads it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from core.tests.cli_ca.conftest import Machine
from core.tests.cli_ssh.sshclients import SSHCA
from core.tests.cli_ssh.sshhosts import CERTIFICATE, NOWHERE, certify, contents, keygen_of, mode, read

from mica.clock import system_clock
from mica.krl import KRL

KRL_FILE = "revoked.krl"


def fetch(machine: Machine, *arguments: str | Path, code: int = 0) -> str:
    """What the command says on stderr."""
    return machine.mica("ssh", "krl", *arguments, code=code).err


def listed(machine: Machine, name: str = KRL_FILE) -> str:
    """The list as ssh-keygen shows it."""
    return keygen_of(machine)("-Q", "-l", "-f", name)


def piped(machine: Machine, line: str) -> "subprocess.CompletedProcess[bytes]":
    """A line of the shell, in which ``mica`` is the command, has run."""
    environment = os.environ | {"MICAPATH": str(machine.home)} | machine.environment
    script = f'mica() {{ {sys.executable} -m mica.cli "$@"; }}; {line}'
    return subprocess.run(
        ["bash", "-c", script], cwd=machine.folder, env=environment, capture_output=True, timeout=60, check=False
    )


def test_ssh_keygen_finds_in_it_what_is_revoked_and_nothing_else(client: Machine) -> None:
    certify(client, "gone.example", file="gone")
    certify(client, "good.example")
    client.mica("ssh", "revoke", str(read(client, "gone-cert.pub").serial))
    assert fetch(client, "--out", KRL_FILE) == f"✔ Key Revocation List: {KRL_FILE}\n"
    keygen = keygen_of(client)
    assert "REVOKED" in keygen("-Q", "-f", KRL_FILE, "gone-cert.pub", code=1)
    assert "ok" in keygen("-Q", "-f", KRL_FILE, CERTIFICATE)
    assert f"serial: {read(client, 'gone-cert.pub').serial}\n" in listed(client)
    assert mode(client, KRL_FILE) == 0o644


def test_on_stdout_is_the_list_alone(client: Machine) -> None:
    done = piped(client, "mica ssh krl")
    assert (done.returncode, done.stderr) == (0, b"")
    assert KRL.decode(done.stdout).encode() == done.stdout
    client.path(KRL_FILE).write_bytes(done.stdout)
    assert "# KRL version" in listed(client)
    assert piped(client, "mica ssh krl | head -c 1; exit ${PIPESTATUS[0]}").stderr == b""


def test_the_report_says_which_list_it_is_and_how_much_is_revoked(client: Machine) -> None:
    client.mica("ssh", "revoke", "500001")
    told = json.loads(client.mica("ssh", "krl", "--out", KRL_FILE, "--json").out)
    text = listed(client)
    assert f"# KRL version {told['version']}\n" in text
    parts = re.findall(r"^serial: (\d+)(?:-(\d+))?$", text, re.MULTILINE)
    assert told["revoked"] == sum(int(last or first) - int(first) + 1 for first, last in parts) > 0
    assert told["file"] == KRL_FILE
    assert "'--json' requires the '--out'" in fetch(client, "--json", code=2)


def test_a_newer_list_takes_the_place_of_an_older_one_without_asking(client: Machine) -> None:
    fetch(client, "--out", KRL_FILE)
    client.path(KRL_FILE).chmod(0o640)
    before = KRL.decode(client.path(KRL_FILE).read_bytes()).version
    client.mica("ssh", "revoke", "600001")
    fetch(client, "--out", KRL_FILE)
    assert KRL.decode(client.path(KRL_FILE).read_bytes()).version > before
    assert "serial: 600001\n" in listed(client)
    assert mode(client, KRL_FILE) == 0o640
    assert [name for name in contents(client.folder) if name.startswith(".")] == []


def test_an_older_list_than_the_one_that_is_there_is_refused(client: Machine) -> None:
    client.path(KRL_FILE).write_bytes(KRL(version=2**63, generated_date=system_clock().replace(microsecond=0)).encode())
    before = contents(client.folder)
    for force in ((), ("--force",)):
        said = fetch(client, "--out", KRL_FILE, *force, code=5)
        assert f"error: {KRL_FILE}: is a newer list (9223372036854775808) than the CA's" in said
        assert "hint: was the CA restored from a backup?" in said
    assert contents(client.folder) == before


def test_a_list_that_ssh_keygen_made_is_replaced_too(client: Machine) -> None:
    keygen = keygen_of(client)
    keygen("-q", "-k", "-f", KRL_FILE, "-z", "7", keygen.key("ed25519"))
    fetch(client, "--out", KRL_FILE)
    assert "# Comment: https://localhost:" in listed(client)


@pytest.mark.parametrize("content", [b"ssh-ed25519 AAAA of a friend\n", b"SSHKRL\n\0\0\0\0\1", b"\0" * 100])
def test_a_file_that_is_no_list_is_not_lost(client: Machine, content: bytes) -> None:
    """sshd takes plain keys too, one a line: somebody's work."""
    client.path(KRL_FILE).write_bytes(content)
    assert "answer it with --force" in fetch(client, "--out", KRL_FILE, *NOWHERE, code=6)
    assert client.path(KRL_FILE).read_bytes() == content
    fetch(client, "--out", KRL_FILE, "--force")
    assert "# KRL version" in listed(client)


def test_an_empty_file_is_no_loss(client: Machine) -> None:
    """Made so that sshd, which needs the file, starts before the first list has come."""
    client.write(KRL_FILE, "")
    fetch(client, "--out", KRL_FILE)
    assert "# KRL version" in listed(client)


@pytest.mark.parametrize(
    ("target", "code", "said"),
    [
        (".", 5, ".: is a directory"),
        ("nowhere/krl", 5, "nowhere/krl: there is no directory"),
        ("-", 2, "- is stdin"),
    ],
)
def test_where_it_cannot_be_is_said_before_the_ca_is_asked(client: Machine, target: str, code: int, said: str) -> None:
    assert said in fetch(client, "--out", target, *NOWHERE, code=code)


def test_while_the_ca_is_away_the_file_stays(served_ca: SSHCA, client: Machine) -> None:
    fetch(client, "--out", KRL_FILE)
    before = contents(client.folder)
    assert "connection refused" in fetch(client, "--out", KRL_FILE, *NOWHERE, code=3)
    client.openssl(
        "req", "-x509", "-newkey", "ed25519", "-nodes", "-keyout", "o.key", "-out", "o.crt", "-subj", "/CN=o"
    )
    said = fetch(client, "--out", KRL_FILE, "--root", "o.crt", code=3)
    assert "is not trusted" in said
    assert {name: octets for name, octets in contents(client.folder).items() if name in before} == before
