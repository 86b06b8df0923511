"""SSH certificates are revoked: by serial number, by key id, by their own key; once, and again without harm."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from core.tests.cli_ca.conftest import Machine
from core.tests.cli_ssh.sshclients import SSHCA, client_of
from core.tests.cli_ssh.sshhosts import CERTIFICATE, KEY, NOWHERE, PAIR, certify, contents, interrupted, keygen_of, read

OWN = ("--sshpop-cert", CERTIFICATE, "--sshpop-key", KEY)


@pytest.fixture
def host(client: Machine) -> Machine:
    """A machine with a host's key and certificate."""
    certify(client)
    return client


def revoke(machine: Machine, *arguments: str | Path, code: int = 0) -> str:
    """What the command says on stderr."""
    return machine.mica("ssh", "revoke", *arguments, code=code).err


def user(machine: Machine, key_id: str, file: str) -> int:
    """The serial number of a new certificate for a user."""
    plain = ("--no-password", "--insecure", "--no-agent")
    machine.mica("ssh", "certificate", key_id, file, "-n", "alice", *plain)
    return read(machine, f"{file}-cert.pub").serial


def is_revoked(machine: Machine, certificate: str) -> bool:
    """By the word of ssh-keygen, which reads the CA's list."""
    machine.mica("ssh", "krl", "--out", "krl")
    keygen = keygen_of(machine)
    listed = "REVOKED" in keygen("-Q", "-f", "krl", certificate, code=1 if _named(machine, certificate) else 0)
    assert listed == _named(machine, certificate)
    return listed


def _named(machine: Machine, certificate: str) -> bool:
    return f"serial: {read(machine, certificate).serial}\n" in keygen_of(machine)("-Q", "-l", "-f", "krl")


@pytest.mark.parametrize("notation", [str, hex, lambda number: f"0X{number:X}"], ids=["decimal", "hex", "upper"])
def test_by_its_serial_number_it_is_revoked_and_ssh_keygen_agrees(
    served_ca: SSHCA, host: Machine, notation: Callable[[int], str]
) -> None:
    serial = read(host).serial
    assert not is_revoked(host, CERTIFICATE)
    said = revoke(host, notation(serial), "--reason-code", "key-compromise", "--reason", "lost")
    assert said.splitlines()[1:] == [
        f"✔ CA: {served_ca.url}",
        f"SSH Certificate with Serial Number {serial} has been revoked.",
    ]
    assert is_revoked(host, CERTIFICATE)


def test_by_its_own_key_it_is_revoked_though_it_is_a_users(served_ca: SSHCA, host: Machine) -> None:
    serial = read(host).serial
    assert revoke(host, *OWN).splitlines() == [
        "✔ Provisioner: sshpop (SSHPOP)",
        f"✔ CA: {served_ca.url}",
        f"SSH Certificate with Serial Number {serial} has been revoked.",
    ]
    assert is_revoked(host, CERTIFICATE)
    user(host, "alice@harbour.example", "id")
    keygen_of(host)("-q", "-p", "-P", "", "-N", "correct horse", "-f", "id")
    host.write("secret", "correct horse\n")
    own = ("--sshpop-cert", "id-cert.pub", "--sshpop-key", "id")
    assert "--key-password-file" in revoke(host, *own, *NOWHERE, code=6)
    for flag in ("--key-password-file", "--password-file"):
        revoke(host, *own, flag, "secret")
    assert is_revoked(host, "id-cert.pub")


def test_revoking_again_is_no_failure_whatever_the_way(host: Machine) -> None:
    serial = str(read(host).serial)
    for index, way in enumerate(((serial,), (hex(int(serial)),), OWN)):
        ran = host.mica("ssh", "revoke", *way, "--json")
        told = json.loads(ran.out)
        assert (told["serial"], told["status"], told["already"]) == (serial, "revoked", index > 0)
        last = ran.err.splitlines()[-1]
        done = "was revoked already." if index else "has been revoked."
        assert last == f"SSH Certificate with Serial Number {serial} {done}"


def test_by_a_key_id_every_live_certificate_of_it_is_revoked_and_no_other(host: Machine) -> None:
    for file, key_id in (("a", "mallory"), ("b", "mallory"), ("c", "mallory@harbour.example")):
        user(host, key_id, file)
    ran = host.mica("ssh", "revoke", "--key-id", "mallory", "--json")
    assert ran.err.splitlines()[-1] == "Every SSH certificate with the key id mallory has been revoked."
    told = json.loads(ran.out)
    assert (told["key_id"], told["status"], told["already"], "serial" in told) == ("mallory", "revoked", False, False)
    assert [is_revoked(host, f"{file}-cert.pub") for file in "abc"] == [True, True, False]


@pytest.mark.parametrize("key_id", ["nobody", "nobody' OR ''='", "ニャー", "*"])
def test_a_key_id_that_no_live_certificate_has_is_told_of(host: Machine, key_id: str) -> None:
    said = revoke(host, "--key-id", key_id, code=4)
    assert f"error: the CA refused: no certificate with the key id {key_id!r} is on record" in said
    assert "not configured for SSH" not in said


def test_a_serial_number_that_is_not_on_record_is_revoked_beforehand(host: Machine) -> None:
    assert "Number 100001 has been revoked." in revoke(host, "100001")
    assert "serial: 100001\n" in keygen_list(host)


def keygen_list(machine: Machine) -> str:
    """The CA's list as ssh-keygen shows it."""
    machine.mica("ssh", "krl", "--out", "krl")
    return keygen_of(machine)("-Q", "-l", "-f", "krl")


def test_a_token_from_elsewhere_is_enough_and_for_one_thing_alone(
    served_ca: SSHCA, host: Machine, tmp_path: Path
) -> None:
    serial = str(read(host).serial)
    stranger = client_of(served_ca, tmp_path / "stranger")
    (stranger.home / "defaults.json").unlink()
    for arguments, message in (
        (("4713",), f'request serial number "4713" and token subject "{serial}" do not match'),
        (("--key-id", "host.example"), "do not match"),
    ):
        token = host.mica("ca", "token", "--ssh", "--revoke", serial).out.strip()
        assert message in revoke(stranger, *arguments, "--token", token, code=4)
    token = host.mica("ca", "token", "--ssh", "--revoke", serial).out.strip()
    assert "has been revoked" in revoke(stranger, serial, "--token", token)
    assert "may have been used already" in revoke(stranger, serial, "--token", token, code=4)
    token = host.mica("ca", "token", "--revoke", serial).out.strip()
    assert "the token is for /1.0/revoke, and was used for /ssh/revoke" in revoke(
        stranger, serial, "--token", token, code=4
    )
    user(host, "trent", "trent")
    token = host.mica("ca", "token", "--ssh", "--revoke", "--key-id", "trent").out.strip()
    revoke(stranger, "--key-id", "trent", "--token", token)
    assert is_revoked(host, "trent-cert.pub")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "exactly one of SERIAL, '--key-id' and '--sshpop-cert'"),
        (["1", "--key-id", "x"], "exactly one of"),
        (["1", *OWN], "exactly one of"),
        (["--key-id", "x", *OWN], "exactly one of"),
        (["--sshpop-cert", "a"], "'--sshpop-cert' and '--sshpop-key' require each other"),
        (["1", "--sshpop-key", "a"], "require each other"),
        ([*OWN, "--token", "x"], "incompatible with '--token'"),
        (["xyz"], "'xyz' is not a serial number"),
        (["0"], "is no SSH certificate's serial number"),
        ([str(2**64)], "is no SSH certificate's serial number"),
        (["0x1" + "0" * 5000], "0x1"),
        (["--key-id", ""], "invalid value '' for flag '--key-id'"),
        (["--key-id", "a\x1b[31mb"], "invalid value 'a\\x1b[31mb' for flag '--key-id'"),
        (["1", "--reason-code", "11"], "invalid value '11'"),
        (["1", "--reasonCode", "because"], "keycompromise"),
        (["1", "--token", "nonsense"], "invalid value for flag '--token'"),
        ([*OWN, "--key-password-file", "a", "--password-file", "b"], "are one here"),
        (["1", "--provisioner", "nobody"], "'nobody'"),
    ],
)
def test_a_wrong_command_line_is_told(client: Machine, arguments: list[str], said: str) -> None:
    assert said in revoke(client, *arguments, code=2)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((CERTIFICATE, "other"), f"other: is not the key of {CERTIFICATE}"),
        ((KEY, CERTIFICATE), f"{KEY}: holds a private key"),
        ((f"{KEY}.pub", KEY), f"{KEY}.pub: holds an SSH public key"),
        (("empty", KEY), "empty: is empty"),
        ((CERTIFICATE, "empty"), "empty: the file is empty"),
        (("nowhere", KEY), "nowhere: there is no such file"),
    ],
)
def test_files_that_prove_nothing_are_told_before_the_ca_is_asked(
    host: Machine, arguments: tuple[str, str], said: str
) -> None:
    keygen_of(host).key("p256", file="other")
    host.write("empty", "")
    certificate, key = arguments
    err = revoke(host, "--sshpop-cert", certificate, "--sshpop-key", key, *NOWHERE, code=5)
    assert err.startswith(f"error: {said}")


def test_a_certificate_of_another_ca_is_not_revoked_by_its_key(client: Machine) -> None:
    keygen = keygen_of(client)
    keygen.certificate("p256", keygen.key("ed25519", file=KEY), "-h", "-I", "own.example", "-V", "-1m:+1h")
    assert "the CA refused" in revoke(client, *OWN, code=4)


def test_nothing_is_put_in_place_by_a_revocation(host: Machine) -> None:
    """Which of the two was meant, nobody can know."""
    interrupted(host, 3, "ssh", "rekey", *PAIR, "--force")
    before = contents(host.folder)
    assert f"{KEY}: is not the key of {CERTIFICATE}" in revoke(host, *OWN, *NOWHERE, code=5)
    assert contents(host.folder) == before


def test_a_ca_that_is_away_is_another_exit_code(host: Machine) -> None:
    token = host.mica("ca", "token", "--ssh", "--revoke", "300001").out.strip()
    for arguments in (("300001",), ("300001", "--token", token), ("--key-id", "x"), OWN):
        assert "connection refused" in revoke(host, *arguments, *NOWHERE, code=3)


@pytest.mark.parametrize("way", ["serial", "key id", "own key"])
def test_offline_it_is_revoked_and_no_server_is_asked(served_ca: SSHCA, host: Machine, way: str) -> None:
    passwords = served_ca.home.parent
    arguments: dict[str, Any] = {
        "serial": (str(read(host).serial),),
        "key id": ("--key-id", read(host).key_id),
        "own key": OWN,
    }
    offline = ("--offline", "--ca-password-file", str(passwords / "keys"))
    home, host.environment["MICAPATH"] = host.home, str(served_ca.home)
    assert "✔ CA" not in revoke(host, *arguments[way], *offline)
    if way == "key id":
        assert "no certificate with the key id" in revoke(host, *arguments[way], *offline, code=4)
    else:
        assert "was revoked already" in revoke(host, *arguments[way], *offline)
    host.environment["MICAPATH"] = str(home)
    assert is_revoked(host, CERTIFICATE)
