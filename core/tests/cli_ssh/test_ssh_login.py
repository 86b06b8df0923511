"""``ssh login``: a certificate in the agent, and nowhere else."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from core.tests.cli_ca.conftest import Machine
from core.tests.cli_ssh.sshclients import SSHCA
from core.tests.client import conftest as scripted

from mica.testing.agents import RunningAgent
from mica.testing.keygen import Keygen

serve = scripted.serve
NOBODY = ("--ca-url", "https://127.0.0.1:1")


@pytest.fixture
def user(client: Machine, agent: RunningAgent) -> Machine:
    client.environment |= agent.environment
    return client


@pytest.fixture
def keygen(tmp_path: Path) -> Keygen:
    (tmp_path / "keygen").mkdir()
    return Keygen(tmp_path / "keygen")


def comments(agent: RunningAgent) -> list[str]:
    return [line.split(" ", 2)[2] for line in agent.lines()]


def held(agent: RunningAgent, keygen: Keygen, number: int = 0) -> str:
    """What ``ssh-keygen -L`` says of the certificate that the agent holds."""
    (keygen.folder / "held.pub").write_text(agent.lines()[number] + "\n")
    return keygen("-L", "-f", "held.pub")


def by_the_ca(ca: SSHCA, keygen: Keygen, agent: RunningAgent, comment: str, *options: str, key: str = "user") -> None:
    """The agent holds a certificate that the CA's key has signed, or another; the bare key it does not hold."""
    file = f"id{len(list(keygen.folder.glob('id*.pub')))}"
    public = keygen.key("ed25519", comment, file=file)
    # ssh-keygen reads no key of the CA's before OpenSSH 9.6 unless it is EC, which it is.
    signer = keygen.folder / f"ca-{key}"
    signer.write_bytes((ca.home / f"secrets/ssh_{key}_ca_key").read_bytes())
    signer.chmod(0o600)
    keygen("-q", "-p", "-P", (ca.home.parent / "keys").read_text(), "-N", "", "-f", signer)
    keygen("-q", "-s", signer, "-I", comment, "-n", "alice", *options, public)
    agent.add("-q", public.with_name(file))
    agent.add("-q", "-k", "-d", public)


def test_the_agent_has_the_certificate_and_no_file_is_written(
    served_ca: SSHCA, user: Machine, agent: RunningAgent, keygen: Keygen
) -> None:
    before = sorted(path.name for path in user.folder.iterdir())
    ran = user.mica("ssh", "login", "alice@harbour.example")
    assert sorted(path.name for path in user.folder.iterdir()) == before
    assert comments(agent) == ["alice@harbour.example"]
    said = held(agent, keygen)
    assert 'Key ID: "alice@harbour.example"' in said
    assert "Principals: \n                alice@harbour.example\n        Critical" in said
    assert "user certificate" in said
    assert ran.out == ""
    assert ran.err.splitlines()[1:] == [f"✔ CA: {served_ca.url}", "✔ SSH Agent: yes"]


def test_principals_comment_validity_and_type_of_key_are_those_asked_for(
    user: Machine, agent: RunningAgent, keygen: Keygen
) -> None:
    arguments = ["-n", "deploy", "-n", "root", "--comment", "at work", "--kty", "OKP", "--not-after", "1h"]
    ran = user.mica("ssh", "login", "--identity", "alice", *arguments, "--json")
    assert comments(agent) == ["at work"]
    said = json.loads(ran.out)
    assert (said["key_id"], said["principals"], said["agent"], said["already"]) == (
        "alice", ["deploy", "root"], True, False,
    )  # fmt: skip
    described = held(agent, keygen)
    assert said["serial"] in described
    assert "ssh-ed25519-cert-v01" in described


def test_whoever_is_logged_in_stays_so_and_the_provisioner_is_not_asked(user: Machine, agent: RunningAgent) -> None:
    user.mica("ssh", "login", "alice")
    first = agent.lines()
    del user.environment["MICA_PROVISIONER_PASSWORD_FILE"]
    ran = user.mica("ssh", "login", "alice", "--json")
    assert "The key alice is already present in the SSH agent." in ran.err
    assert json.loads(ran.out)["already"] is True
    assert agent.lines() == first
    said = user.mica("ssh", "login", "alice", "--force", code=6).err
    assert "--provisioner-password-file" in said


def test_with_force_a_new_one_takes_the_place_of_the_old_one(user: Machine, agent: RunningAgent) -> None:
    for identity in ("alice", "bob"):
        user.mica("ssh", "login", identity, "--add-user")
    first = agent.lines()
    user.mica("ssh", "login", "alice", "--add-user", "--force")
    assert comments(agent) == ["bob", "bob-provisioner", "alice", "alice-provisioner"]
    assert agent.lines()[:2] == first[2:] and not set(agent.lines()[2:]) & set(first)


def test_a_login_that_is_refused_leaves_the_old_one_in_place(user: Machine, agent: RunningAgent) -> None:
    user.mica("ssh", "login", "alice")
    first = agent.lines()
    user.mica("ssh", "login", "alice", "--force", "--not-after", "1000h", code=4)
    assert agent.lines() == first


def test_an_identity_from_elsewhere_gives_way_to_one_on_the_command_line(user: Machine, agent: RunningAgent) -> None:
    user.environment["MICA_IDENTITY"] = "alice"
    user.mica("ssh", "login")
    user.mica("ssh", "login", "bob")
    user.mica("ssh", "login", "--identity", "carol")
    assert comments(agent) == ["alice", "bob", "carol"]


def test_another_identity_is_another_login(user: Machine, agent: RunningAgent) -> None:
    user.mica("ssh", "login", "alice")
    user.mica("ssh", "login", "bob")
    assert comments(agent) == ["alice", "bob"]


def test_expired_certificates_of_this_ca_go_and_everything_else_stays(
    served_ca: SSHCA, user: Machine, agent: RunningAgent, keygen: Keygen
) -> None:
    over = ("-V", "20200101000000Z:20200102000000Z")
    by_the_ca(served_ca, keygen, agent, "alice", *over)
    by_the_ca(served_ca, keygen, agent, "by the key for hosts", *over, key="host")
    by_the_ca(served_ca, keygen, agent, "somebody", "-V", "-1m:+1h")
    agent.add("-q", keygen.key("p256", "alice").with_suffix(""))
    user.mica("ssh", "login", "alice")
    assert comments(agent) == ["by the key for hosts", "somebody", "alice", "alice"]
    assert "cert-v01" in agent.lines()[3]


def test_a_certificate_of_another_ca_is_no_login(user: Machine, agent: RunningAgent, keygen: Keygen) -> None:
    public = keygen.key("ed25519", "alice", file="id")
    keygen.certificate("p256", public, "-I", "alice", "-n", "alice")
    agent.add("-q", public.with_suffix(""))
    user.mica("ssh", "login", "alice")
    assert len(agent.lines()) == 3  # ssh-add had added the bare key, too


def test_the_account_is_made_by_a_second_certificate(user: Machine, agent: RunningAgent, keygen: Keygen) -> None:
    user.mica("ssh", "login", "alice", "--add-user")
    assert comments(agent) == ["alice", "alice-provisioner"]
    assert "force-command sudo useradd -m alice; nc -q0 localhost 22" in held(agent, keygen, 1)


def test_a_token_says_for_whom(user: Machine, agent: RunningAgent, keygen: Keygen) -> None:
    token = user.mica("ca", "token", "--ssh", "alice@harbour.example", "-n", "alice").out.strip()
    user.mica("ssh", "login", "--token", token)
    assert comments(agent) == ["alice@harbour.example"]
    assert "Principals: \n                alice\n        Critical" in held(agent, keygen)
    again = user.mica("ca", "token", "--ssh", "bob").out.strip()
    assert "the key id 'bob', not for 'alice'" in user.mica("ssh", "login", "alice", "--token", again, code=2).err


def test_offline_no_server_is_asked(served_ca: SSHCA, user: Machine, agent: RunningAgent) -> None:
    user.home, passwords = served_ca.home, served_ca.home.parent
    secrets = ["--ca-password-file", passwords / "keys", "--password-file", passwords / "provisioner"]
    user.mica("ssh", "login", "alice", "--offline", *secrets)
    user.mica("ssh", "login", "alice", "--offline", *secrets)
    assert comments(agent) == ["alice"]


def test_the_agent_is_missed_before_the_ca_is_asked(client: Machine) -> None:
    said = client.mica("ssh", "login", "alice", *NOBODY, code=1).err
    assert said.startswith("error: there is no SSH agent")
    assert "ssh-agent" in said


def test_a_ca_that_does_not_answer_leaves_the_agent_as_it_is(user: Machine, agent: RunningAgent) -> None:
    user.mica("ssh", "login", "alice", *NOBODY, code=3)
    user.mica("ssh", "login", "alice", "--not-after", "8760h", code=4)
    assert agent.lines() == []


def test_a_ca_without_ssh_is_told_of_as_such(serve: Callable[..., Any], user: Machine) -> None:
    server = serve(script=lambda asked: scripted.Told(status=404, body={"status": 404, "message": "Not Found"}))
    user.home.joinpath("scripted.pem").write_bytes(server.authority.pem)
    arguments = ["--ca-url", server.url, "--root", user.home / "scripted.pem"]
    assert "is not configured for SSH" in user.mica("ssh", "login", "alice", *arguments, code=4).err


def test_an_agent_that_refuses_fails_the_login(user: Machine, agent: RunningAgent) -> None:
    agent.lock("x")
    assert "the SSH agent refuses the key with its certificate" in user.mica("ssh", "login", "alice", code=1).err
    agent.unlock("x")
    assert agent.lines() == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "missing argument 'IDENTITY'"),
        (("alice", "--identity", "bob"), "flag '--identity' is incompatible with IDENTITY"),
        (("alice", "-n", "a,b"), "must be one plain name"),
        (("two words",), "ssh certificate principal 'two words' must be one plain name"),
        (("a\nb",), "must be one line of text"),
        (("alice@x", "--add-user"), "cannot be the name of an account"),
        (("alice", "--comment", "a\x1bb"), "invalid value"),
        (("alice", "--token", "x"), "invalid value for flag '--token'"),
        (("alice", "--provisioner-password-file", "-", "--password-file", "-"), "are one here"),
    ],
)
def test_a_command_line_that_makes_no_sense_asks_nobody(user: Machine, arguments: Any, message: str) -> None:
    assert message in user.mica("ssh", "login", *arguments, *NOBODY, code=2).err
