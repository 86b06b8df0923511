"""A host gets a new key, of the old one's kind, with its new certificate: at once, or when interrupted, later."""

import json
from pathlib import Path

import pytest
from core.tests.cli_ca.conftest import Machine
from core.tests.cli_ssh.sshclients import SSHCA
from core.tests.cli_ssh.sshhosts import (
    BESIDE,
    CERTIFICATE,
    KEY,
    NOWHERE,
    PAIR,
    certify,
    comment,
    contents,
    interrupted,
    keygen_of,
    mode,
    read,
)

from mica.testing.keygen import KEY_OPTIONS
from mica.testing.sshd import HOST, HostFiles, Sshd, account, trust_hosts

PUBLIC = f"{KEY}.pub"
#: What ``--kty`` and its like make → how ssh-keygen calls it.
ASKED = {
    ("--kty", "OKP"): "256 (ED25519)",
    ("--kty", "EC", "--curve", "P-384"): "384 (ECDSA)",
    ("--kty", "EC", "--curve", "P-521"): "521 (ECDSA)",
    ("--kty", "RSA", "--size", "3072"): "3072 (RSA)",
}


@pytest.fixture
def host(client: Machine) -> Machine:
    """A machine with a key, and a certificate for an hour."""
    certify(client, HOST, "-n", HOST, "-n", "www.host.example", "--not-after", "1h")
    return client


def rekey(machine: Machine, *arguments: str | Path, code: int = 0) -> str:
    """What the command says on stderr."""
    return machine.mica("ssh", "rekey", *arguments, code=code).err


def fits(machine: Machine, base: str = KEY, password: str = "") -> bool:
    """Whether the three files are of one key, as ssh-keygen reads them."""
    keygen = keygen_of(machine)
    private = keygen("-y", "-P", password, "-f", base).split()[:2]
    fingerprints = {keygen("-l", "-f", name).split()[1] for name in (f"{base}.pub", f"{base}-cert.pub")}
    return private == machine.path(f"{base}.pub").read_text().split()[:2] and len(fingerprints) == 1


@pytest.mark.parametrize("kind", KEY_OPTIONS)
def test_the_new_key_is_of_the_old_ones_kind(client: Machine, kind: str) -> None:
    keygen = keygen_of(client)
    public = keygen.key(kind, "root@host", file=KEY)
    client.mica("ssh", "certificate", "--host", "--sign", HOST, public, "-n", HOST)
    before, size = read(client), keygen("-l", "-f", PUBLIC).split()[0]
    said = rekey(client, *PAIR, "--force")
    assert said.splitlines()[2:] == [
        f"✔ Private Key: {KEY}",
        f"✔ Public Key: {PUBLIC}",
        f"✔ Certificate: {CERTIFICATE}",
    ]
    after = read(client)
    assert after.public_key != before.public_key
    assert after.public_key.key_type == before.public_key.key_type
    assert keygen("-l", "-f", PUBLIC).split()[0] == size
    assert (after.key_id, after.valid_principals) == (before.key_id, before.valid_principals)
    assert fits(client)


@pytest.mark.parametrize("flags", ASKED)
def test_it_is_of_another_kind_where_that_is_asked_for(host: Machine, flags: tuple[str, ...]) -> None:
    rekey(host, *PAIR, "--force", *flags)
    size, kind = ASKED[flags].split()
    shown = keygen_of(host)("-l", "-f", KEY).split()
    assert (shown[0], shown[-1]) == (size, kind)
    assert fits(host)


def test_comment_and_modes_stay_and_nothing_else_is_left(host: Machine) -> None:
    host.path(CERTIFICATE).chmod(0o640)
    names, said = {*contents(host.folder)}, comment(host)
    rekey(host, *PAIR, "--force")
    assert {*contents(host.folder)} == names
    assert [mode(host, name) for name in (KEY, PUBLIC, CERTIFICATE)] == [0o600, 0o644, 0o640]
    assert comment(host) == comment(host, PUBLIC) == said


def test_elsewhere_there_are_three_new_files_and_the_old_ones_stay(host: Machine) -> None:
    before = contents(host.folder)
    told = json.loads(host.mica("ssh", "rekey", *PAIR, "--out", "new", "--json").out)
    files = {"private_key": "new", "public_key": "new.pub", "certificate": "new-cert.pub"}
    assert (told["renewed"], told["serial"], told["files"]) == (True, str(read(host, "new-cert.pub").serial), files)
    assert fits(host, "new")
    assert [mode(host, name) for name in files.values()] == [0o600, 0o644, 0o644]
    assert {name: octets for name, octets in contents(host.folder).items() if name not in files.values()} == before
    text = host.path(KEY).read_text()
    host.mica("ssh", "rekey", CERTIFICATE, "-", "--out", "third", input=text)
    assert fits(host, "third")
    assert "KEY_FILE is stdin" in host.mica("ssh", "rekey", CERTIFICATE, "-", input=text, code=2).err
    assert "KEY_FILE is a URI" in rekey(host, CERTIFICATE, f"file:{KEY}", "--force", code=2)


def test_what_would_be_overwritten_is_asked_for_before_the_ca(host: Machine) -> None:
    before = contents(host.folder)
    assert f"overwrite {KEY}: " in rekey(host, *PAIR, *NOWHERE, code=6)
    host.path("new-cert.pub").mkdir()
    assert "new-cert.pub: is a directory" in rekey(host, *PAIR, *NOWHERE, "--out", "new", code=5)
    assert "would take the place of" in rekey(host, *PAIR, *NOWHERE, "--force", "--out", CERTIFICATE, code=2)
    assert "'--no-password' requires the '--insecure'" in rekey(host, *PAIR, "--no-password", code=2)
    both = ("--no-password", "--insecure", "--key-password-file", "x")
    assert "incompatible with '--key-password-file'" in rekey(host, *PAIR, *both, code=2)
    assert "incompatible with '--daemon'" in rekey(host, *PAIR, "--daemon", "--out", "new", code=2)
    assert contents(host.folder) == before


def test_a_refusal_and_a_ca_that_is_away_leave_every_file(host: Machine) -> None:
    host.mica("ssh", "revoke", str(read(host).serial))
    before = contents(host.folder)
    assert "may be revoked" in rekey(host, *PAIR, "--force", code=4)
    assert "connection refused" in rekey(host, *PAIR, "--force", *NOWHERE, code=3)
    assert contents(host.folder) == before


def test_an_encrypted_key_is_followed_by_one_with_its_password_another_or_none(host: Machine) -> None:
    first, second = host.write("first", "correct horse\n"), host.write("second", "battery staple\n")
    keygen_of(host)("-q", "-p", "-P", "", "-N", "correct horse", "-f", KEY)
    before = read(host).serial
    assert "--password-file" in rekey(host, *PAIR, "--force", *NOWHERE, code=6)
    assert "the password is wrong" in rekey(host, *PAIR, "--force", "--password-file", second, *NOWHERE, code=5)
    rekey(host, *PAIR, "--force", "--password-file", first)
    assert read(host).serial != before
    assert fits(host, password="correct horse")
    keygen_of(host)("-y", "-P", "", "-f", KEY, code=255)
    rekey(host, *PAIR, "--force", "--password-file", first, "--key-password-file", second)
    assert fits(host, password="battery staple")
    rekey(host, *PAIR, "--force", "--password-file", second, "--no-password", "--insecure")
    assert fits(host)
    rekey(host, *PAIR, "--force", "--key-password-file", first)
    assert fits(host, password="correct horse")
    two = ("--password-file", "-", "--key-password-file", "-")
    assert "both read stdin" in rekey(host, *PAIR, "--force", *two, code=2)


@pytest.mark.parametrize(
    ("place", "has_new_key"), [(1, False), (2, False), (3, True), (4, True), (5, True)], ids=lambda value: str(value)
)
def test_an_interrupted_replacement_is_completed_by_the_next_command(
    host: Machine, place: int, has_new_key: bool
) -> None:
    """The kernel ends it before the waiting certificate, the key, its public half, the certificate, the cleaning."""
    old = contents(host.folder)
    interrupted(host, place, "ssh", "rekey", *PAIR, "--force")
    assert (host.path(KEY).read_bytes() != old[KEY]) == has_new_key
    assert (host.path(CERTIFICATE).read_bytes() != old[CERTIFICATE]) == (place == 5)
    said = host.mica("ssh", "renew", *PAIR, "--expires-in", "10m", "--exec", "touch told").err
    completed = place in (3, 4)
    assert ("a replacement that was interrupted has been completed" in said) == completed
    assert host.path("told").exists() == completed
    assert fits(host)
    assert (host.path(KEY).read_bytes() != old[KEY]) == has_new_key
    if completed:
        assert comment(host, PUBLIC) == comment(host)
        assert not host.path(BESIDE).exists()
    rekey(host, *PAIR, "--force")
    assert fits(host)
    assert not host.path(BESIDE).exists()


def test_what_waits_for_another_key_is_not_put_in_place(host: Machine) -> None:
    interrupted(host, 3, "ssh", "rekey", *PAIR, "--force")
    for name in (KEY, PUBLIC):
        host.path(name).unlink()
    keygen_of(host).key("p256", file=KEY)
    before = contents(host.folder)
    said = host.mica("ssh", "renew", *PAIR, "--force", code=5).err
    assert said.startswith(f"error: {KEY}: is not the key of {CERTIFICATE}\n")
    assert contents(host.folder) == before


def test_where_nothing_can_be_written_is_said_before_the_ca_is_asked(host: Machine) -> None:
    before = contents(host.folder)
    assert "there is no directory" in rekey(host, *PAIR, *NOWHERE, "--out", "nowhere/new", code=5)
    assert contents(host.folder) == before


def test_sshd_has_the_new_key_after_a_reload_and_is_believed(served_ca: SSHCA, host: Machine) -> None:
    keygen = keygen_of(host)
    host.mica("ssh", "certificate", "alice", "id", "-n", account(), "--no-agent", "--no-password", "--insecure")
    files = HostFiles(folder=host.folder, keys=(KEY,))
    files.user_ca.write_text(served_ca.key("user") + "\n")
    known_hosts = trust_hosts(host.path("known_hosts"), served_ca.home / "certs/ssh_host_ca_key.pub")
    with Sshd(files) as sshd:
        assert sshd.login(known_hosts=known_hosts, identity=host.path("id")).code == 0
        old = keygen("-l", "-f", KEY)
        with sshd.reloading():
            rekey(host, *PAIR, "--force", "--kty", "OKP", "--pid-file", str(host.path("sshd.pid")))
        login = sshd.login(known_hosts=known_hosts, identity=host.path("id"), options=["LogLevel=DEBUG1"])
        assert login.code == 0
        assert keygen("-l", "-f", KEY).split()[1] in login.stderr
        assert old.split()[1] not in login.stderr


def test_offline_the_key_changes_as_well(served_ca: SSHCA, host: Machine) -> None:
    before = read(host)
    host.environment["MICAPATH"] = str(served_ca.home)
    rekey(host, *PAIR, "--force", "--offline", "--ca-password-file", served_ca.home.parent / "keys")
    assert read(host).public_key != before.public_key
    assert fits(host)
