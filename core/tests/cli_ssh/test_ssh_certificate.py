"""``ssh certificate``: keys and certificates that OpenSSH reads, as they were asked for."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from core.tests.cli_ca.conftest import Machine
from core.tests.cli_ssh.sshclients import SSHCA

from mica import keyfiles
from mica.cli.files import write_all
from mica.cli.ssh.issuing.keypairs import KeyPair, Place
from mica.testing.agents import RunningAgent
from mica.testing.keygen import ALL_KEYS, Keygen, blob_of

PLAIN = ("--no-password", "--insecure")
ALGORITHMS = {
    "ECDSA 256": ("--kty", "EC"),
    "ECDSA 521": ("--kty", "EC", "--curve", "P-521"),
    "ED25519 256": ("--kty", "OKP"),
    "RSA 3072": ("--kty", "RSA", "--size", "3072"),
}


@pytest.fixture
def keygen(client: Machine) -> Keygen:
    return Keygen(client.folder)


@pytest.fixture
def user(client: Machine, agent: RunningAgent) -> Machine:
    """Somebody with an agent, and a file with a password for keys."""
    client.environment |= agent.environment
    client.write("secret", "a password of keys\n")
    return client


def shown(keygen: Keygen, name: str) -> dict[str, Any]:
    """What ``ssh-keygen -L`` says, by its own labels; what is indented is a list."""
    found: dict[str, Any] = {}
    label = ""
    for text in keygen("-L", "-f", f"{name}-cert.pub").splitlines()[1:]:
        if text.startswith(" " * 16):
            found[label] = [*(found[label] or []), text.strip()]
        else:
            label, _, value = text.strip().partition(":")
            found[label] = value.strip()
    return found


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"password", "secret"}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_user_gets_a_key_and_a_certificate_that_openssh_reads(
    served_ca: SSHCA, user: Machine, keygen: Keygen
) -> None:
    ran = user.mica("ssh", "certificate", "Ann.Lee@harbour.example", "id", "--key-password-file", "secret")
    said = shown(keygen, "id")
    assert said["Type"] == "ecdsa-sha2-nistp256-cert-v01@openssh.com user certificate"
    assert said["Key ID"] == '"Ann.Lee@harbour.example"'
    assert said["Principals"] == ["annlee", "Ann.Lee", "Ann.Lee@harbour.example"]
    assert said["Critical Options"] == "(none)"
    assert "permit-pty" in said["Extensions"]
    user.write("ca.pub", served_ca.key("user"))
    assert keygen("-l", "-f", "ca.pub").split()[1] in said["Signing CA"]
    assert ran.out == ""
    lines = ran.err.splitlines()
    assert lines[0].startswith("✔ Provisioner: admin (JWK)")
    assert lines[1:] == [
        f"✔ CA: {served_ca.url}",
        "✔ Private Key: id",
        "✔ Public Key: id.pub",
        "✔ Certificate: id-cert.pub",
        "✔ SSH Agent: yes",
    ]


def test_the_key_is_encrypted_for_openssh_and_nobody_else_reads_it(user: Machine, keygen: Keygen) -> None:
    user.mica("ssh", "certificate", "alice", "id", "--password-file", "secret")
    keygen("-y", "-P", "a wrong password", "-f", "id", code=255)
    public = keygen("-y", "-P", "a password of keys", "-f", "id").split()
    assert public[:2] == user.path("id.pub").read_text().split()[:2]
    assert [mode(user.path(name)) for name in ("id", "id.pub", "id-cert.pub")] == [0o600, 0o644, 0o644]
    assert user.path("id.pub").read_text().split()[2] == user.path("id-cert.pub").read_text().split()[2] == "alice"
    assert user.path("id").read_text().startswith("-----BEGIN OPENSSH PRIVATE KEY-----\n")


@pytest.mark.parametrize("algorithm", keyfiles.ALGORITHMS)
@pytest.mark.parametrize("password", [b"a password of keys", None], ids=["encrypted", "plain"])
def test_openssh_reads_every_kind_of_key_that_is_made(tmp_path: Path, algorithm: str, password: bytes | None) -> None:
    keygen, pair = Keygen(tmp_path), KeyPair.make(algorithm, password)
    write_all(pair.files(Place(tmp_path / "id"), pair.public_key.blob, "somebody"))
    typed = (password or b"").decode()
    assert keygen("-y", "-P", typed, "-f", "id").split()[1] == (tmp_path / "id.pub").read_text().split()[1]
    if password is not None:
        keygen("-y", "-P", "another", "-f", "id", code=255)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_type_of_the_key_is_the_one_asked_for(user: Machine, keygen: Keygen, algorithm: str) -> None:
    user.mica("ssh", "certificate", "alice", "id", *ALGORITHMS[algorithm], *PLAIN, "--no-agent")
    kind, bits = algorithm.split()
    said = keygen("-l", "-f", "id-cert.pub").split()
    assert (said[0], said[-1]) == (bits, f"({kind}-CERT)")


def test_a_hosts_certificate_is_for_the_host_and_for_thirty_days(
    served_ca: SSHCA, user: Machine, keygen: Keygen, agent: RunningAgent
) -> None:
    ran = user.mica("ssh", "certificate", "--host", "SVC.harbour.example", "host", *PLAIN)
    said = shown(keygen, "host")
    assert said["Type"] == "ecdsa-sha2-nistp256-cert-v01@openssh.com host certificate"
    assert said["Principals"] == ["svc.harbour.example"]
    assert said["Extensions"] == "(none)"
    user.write("ca.pub", served_ca.key("host"))
    assert keygen("-l", "-f", "ca.pub").split()[1] in said["Signing CA"]
    assert agent.lines() == []
    assert "SSH Agent" not in ran.err


def test_principals_and_validity_are_those_asked_for(user: Machine, keygen: Keygen) -> None:
    arguments = ["-n", "deploy", "--principal", "root", "--not-before", "2h", "--not-after", "1h"]
    user.mica("ssh", "certificate", "alice", "id", *PLAIN, *arguments, "--no-agent")
    said = json.loads(user.mica("ssh", "inspect", "--format", "json", "id-cert.pub").out)
    assert shown(keygen, "id")["Principals"] == ["deploy", "root"]
    assert said["Status"] == "not yet valid"
    hours = [int(said[bound][11:13]) for bound in ("ValidAfter", "ValidBefore")]
    assert (hours[1] - hours[0]) % 24 == 1


def test_a_certificate_can_be_good_for_less(user: Machine, keygen: Keygen) -> None:
    less = ("--force-command", "tar c /srv", "--source-address", "10.0.0.0/8", "--source-address", "::1")
    user.mica("ssh", "certificate", "backup", "id", *less, *PLAIN)
    assert shown(keygen, "id")["Critical Options"] == ["force-command tar c /srv", "source-address 10.0.0.0/8,::1"]
    token = user.mica("ca", "token", "--ssh", "backup", *less).out.strip()
    user.mica("ssh", "certificate", "--token", token, "backup", "other", *PLAIN)
    assert shown(keygen, "other")["Critical Options"][0] == "force-command tar c /srv"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--source-address", "10.0.0.1/8"), "source-address"),
        (("--source-address", "localhost"), "source-address"),
        (("--force-command", ""), "force-command"),
        (("--force-command", "date", "--host"), "none are defined for hosts"),
    ],
)
def test_restrictions_that_nobody_would_heed_are_told_before_the_ca_is_asked(
    user: Machine, flags: tuple[str, ...], said: str
) -> None:
    assert said in user.mica("ssh", "certificate", "backup", "id", *flags, *PLAIN, code=2).err
    assert not user.path("id").exists()


def test_a_token_without_a_restriction_does_not_give_one(user: Machine) -> None:
    token = user.mica("ca", "token", "--ssh", "backup").out.strip()
    ran = user.mica("ssh", "certificate", "--token", token, "backup", "id", "--force-command", "date", *PLAIN, code=2)
    assert "incompatible with this token" in ran.err


def test_with_json_the_report_says_what_openssh_says(user: Machine, keygen: Keygen) -> None:
    ran = user.mica("ssh", "certificate", "alice", "id", *PLAIN, "--json")
    said, theirs = json.loads(ran.out), shown(keygen, "id")
    assert said["serial"] == theirs["Serial"]
    assert (said["type"], said["key_id"], said["principals"]) == ("user", "alice", ["alice"])
    assert said["valid_after"].removesuffix("Z") in theirs["Valid"]
    assert said["fingerprint"] == keygen("-l", "-f", "id.pub").split()[1]
    assert said["files"] == {"private_key": "id", "public_key": "id.pub", "certificate": "id-cert.pub"}
    assert said["agent"] is True


@pytest.mark.parametrize("kind", ALL_KEYS)
def test_every_type_of_public_key_can_be_signed(user: Machine, keygen: Keygen, kind: str) -> None:
    keygen.key(kind, file="mine")
    before = names(user.folder)
    ran = user.mica("ssh", "certificate", "--sign", "alice", "mine.pub")
    assert names(user.folder) - before == {"mine-cert.pub"}
    assert keygen("-l", "-f", "mine-cert.pub").split()[1] == keygen("-l", "-f", "mine.pub").split()[1]
    assert shown(keygen, "mine")["Principals"] == ["alice"]
    assert "SSH Agent" not in ran.err
    assert ran.err.splitlines()[-1] == "✔ Certificate: mine-cert.pub"


def test_a_security_keys_certificate_keeps_its_application(user: Machine, keygen: Keygen) -> None:
    keygen.key("sk-ed25519", file="mine")
    user.mica("ssh", "certificate", "--sign", "alice", "mine.pub")
    assert blob_of(user.path("mine.pub"))[-4:] == b"ssh:"
    assert b"\0\0\0\x04ssh:" in blob_of(user.path("mine-cert.pub"))


def test_a_signed_key_goes_into_the_agent_when_its_private_half_is_named(
    user: Machine, keygen: Keygen, agent: RunningAgent
) -> None:
    keygen("-q", "-t", "ed25519", "-N", "its password", "-f", "mine")
    user.write("its-password", "its password")
    arguments = ["--private-key", "mine", "--key-password-file", "its-password", "--comment", "at work"]
    ran = user.mica("ssh", "certificate", "--sign", "alice", "mine.pub", *arguments)
    assert ran.err.splitlines()[-1] == "✔ SSH Agent: yes"
    (line,) = agent.lines()
    assert line.split(" ", 2)[1:] == [user.path("mine-cert.pub").read_text().split()[1], "at work"]


def test_the_agent_has_the_certificate_until_it_expires(user: Machine, agent: RunningAgent) -> None:
    user.mica("ssh", "certificate", "alice", "id", *PLAIN)
    (line,) = agent.lines()
    assert line.split(" ", 2)[1:] == [user.path("id-cert.pub").read_text().split()[1], "alice"]
    agent.lock("x")
    ran = user.mica("ssh", "certificate", "bob", "bob", *PLAIN)
    assert "✗ SSH Agent: the SSH agent refuses the key with its certificate" in ran.err


def test_without_an_agent_the_files_are_there_and_it_is_no_failure(user: Machine) -> None:
    user.environment["SSH_AUTH_SOCK"] = ""
    ran = user.mica("ssh", "certificate", "alice", "id", *PLAIN, "--json")
    assert ran.err.splitlines()[-1].startswith("✗ SSH Agent: there is no SSH agent")
    assert json.loads(ran.out)["agent"] is False
    assert user.path("id-cert.pub").exists()


def test_whoever_wants_no_agent_has_none(user: Machine, agent: RunningAgent) -> None:
    ran = user.mica("ssh", "certificate", "alice", "id", *PLAIN, "--no-agent")
    assert agent.lines() == []
    assert "SSH Agent" not in ran.err


def test_the_account_is_made_by_a_certificate_of_its_own(user: Machine, keygen: Keygen, agent: RunningAgent) -> None:
    ran = user.mica(
        "ssh", "certificate", "alice@harbour.example", "id", "--add-user", "--password-file", "secret", "--json"
    )
    said = shown(keygen, "id-provisioner")
    assert said["Principals"] == ["provisioner"]
    assert said["Critical Options"] == ["force-command sudo useradd -m alice; nc -q0 localhost 22"]
    assert said["Extensions"] == "(none)"
    public = keygen("-y", "-P", "a password of keys", "-f", "id-provisioner").split()[1]
    assert public == user.path("id-provisioner.pub").read_text().split()[1]
    assert public != user.path("id.pub").read_text().split()[1]
    assert (
        keygen("-l", "-f", "id-provisioner-cert.pub").split()[1] == keygen("-l", "-f", "id-provisioner.pub").split()[1]
    )
    assert mode(user.path("id-provisioner")) == 0o600
    told = json.loads(ran.out)
    assert told["add_user"]["principals"] == ["provisioner"]
    assert sorted(told["files"].values()) == sorted(path.name for path in user.folder.glob("id*"))
    assert len(agent.lines()) == 1


def test_offline_the_certificate_is_the_same_and_no_server_is_asked(served_ca: SSHCA, user: Machine) -> None:
    user.home = served_ca.home
    passwords = served_ca.home.parent
    ran = user.mica(
        "ssh", "certificate", "alice", "id", "--offline", "--ca-password-file", passwords / "keys",
        "--provisioner-password-file", passwords / "provisioner", *PLAIN, "--json",
    )  # fmt: skip
    assert "✔ CA:" not in ran.err
    said = json.loads(ran.out)
    assert '"alice"' in user.mica("ca", "certs", "show", said["serial"]).out


def test_a_token_made_elsewhere_is_enough_on_a_machine_that_knows_no_ca(
    user: Machine, keygen: Keygen, stranger_with_key: Machine
) -> None:
    token = user.mica("ca", "token", "--ssh", "alice@harbour.example", "-n", "alice", "--cert-not-after", "1h").out
    ran = stranger_with_key.mica("ssh", "certificate", "--token", token.strip(), "alice@harbour.example", "id", *PLAIN)
    assert "✔ Certificate: id-cert.pub" in ran.err
    keygen.folder = stranger_with_key.folder
    said = shown(keygen, "id")
    assert (said["Key ID"], said["Principals"]) == ('"alice@harbour.example"', ["alice"])
    again = stranger_with_key.mica(
        "ssh", "certificate", "--token", token.strip(), "alice@harbour.example", "other", *PLAIN, code=4
    )
    assert "may have been used already" in again.err
    assert "enable_ssh_ca" in again.err
    assert not stranger_with_key.path("other").exists()


@pytest.fixture
def stranger_with_key(tmp_path: Path) -> Machine:
    """A machine that knows no CA."""
    (tmp_path / "elsewhere").mkdir()
    return Machine(tmp_path / "elsewhere", tmp_path / "nothing", {"SSH_AUTH_SOCK": ""})
