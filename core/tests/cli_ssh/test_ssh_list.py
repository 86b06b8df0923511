"""``ssh list``: what ``ssh-add -l`` and ``ssh-add -L`` say."""

import base64
import json
from pathlib import Path

import pytest
from core.tests.cli_ca.conftest import Machine

from mica.testing.agents import RunningAgent
from mica.testing.keygen import KEY_OPTIONS, Keygen, blob_of

OPTIONS = (
    "-I", "alice@harbour.example", "-n", "alice,alice@harbour.example", "-z", "18446744073709551615",
    "-V", "20200101000000Z:20990101000000Z",
)  # fmt: skip


@pytest.fixture(autouse=True)
def found(machine: Machine, agent: RunningAgent) -> None:
    machine.environment.update(agent.environment)


@pytest.fixture
def certified(agent: RunningAgent, keygen: Keygen) -> Path:
    """A certificate that is in the agent, after its key."""
    path = keygen.certificate("p256", keygen.key("p256", "alice's laptop", file="id"), *OPTIONS)
    agent.add("-q", path.with_name("id"))
    return path


def test_an_empty_agent_has_no_identities(machine: Machine) -> None:
    for arguments in ((), ("--raw",), ("alice",)):
        ran = machine.mica("ssh", "list", *arguments)
        assert (ran.out, ran.err) == ("", "The agent has no identities.\n")
    assert json.loads(machine.mica("ssh", "list", "--json").out) == {"identities": []}


@pytest.mark.parametrize("name", KEY_OPTIONS)
def test_ssh_add_says_the_same_of_keys_and_certificates(
    machine: Machine, agent: RunningAgent, keygen: Keygen, name: str
) -> None:
    public = keygen.key(name, "alice@harbour.example")
    keygen.certificate("ed25519", public, *OPTIONS)
    agent.add("-q", public.with_suffix(""))
    listed, raw = machine.mica("ssh", "list"), machine.mica("ssh", "list", "--raw")
    assert len(agent.lines()) == 2
    assert (listed.out.splitlines(), listed.err) == (agent.lines("-l"), "")
    assert (raw.out.splitlines(), raw.err) == (agent.lines("-L"), "")


def test_raw_lines_are_read_by_ssh_keygen(machine: Machine, keygen: Keygen, certified: Path) -> None:
    machine.write("listed.pub", machine.mica("ssh", "list", "--raw", "alice@harbour.example").out)
    assert keygen("-L", "-f", "listed.pub").splitlines()[1:] == keygen("-L", "-f", certified).splitlines()[1:]


def test_a_subject_is_a_comment_or_a_key_id(machine: Machine, agent: RunningAgent, certified: Path) -> None:
    key, certificate = agent.lines("-l")
    assert machine.mica("ssh", "list", "alice's laptop").out.splitlines() == [key, certificate]
    assert machine.mica("ssh", "list", "alice@harbour.example").out.splitlines() == [certificate]
    ran = machine.mica("ssh", "list", "alice")
    assert (ran.out, ran.err) == ("", "The agent has no identities of the name alice.\n")
    assert json.loads(machine.mica("ssh", "list", "alice", "--json").out) == {"identities": []}


def test_json_has_what_the_certificate_says(
    machine: Machine, agent: RunningAgent, keygen: Keygen, certified: Path
) -> None:
    key, certificate = json.loads(machine.mica("ssh", "list", "--json").out)["identities"]
    fingerprint = keygen("-l", "-f", "id.pub").split()[1]
    shared = {"bits": 256, "fingerprint": fingerprint, "comment": "alice's laptop"}
    lines = agent.lines()
    assert key == {**shared, "type": "ECDSA", "public_key": lines[0], "certificate": None}
    assert certificate == {
        **shared,
        "type": "ECDSA-CERT",
        "public_key": lines[1],
        "certificate": {
            "type": "user",
            "serial": "18446744073709551615",
            "key_id": "alice@harbour.example",
            "principals": ["alice", "alice@harbour.example"],
            "valid_after": "2020-01-01T00:00:00Z",
            "valid_before": "2099-01-01T00:00:00Z",
            "signing_key_fingerprint": keygen("-l", "-f", "ca-p256.pub").split()[1],
        },
    }
    assert base64.b64decode(lines[1].split()[1]) == blob_of(certified)


def test_raw_and_json_exclude_each_other(machine: Machine) -> None:
    ran = machine.mica("ssh", "list", "--raw", "--json", code=2)
    assert (ran.out, "'--raw' is incompatible with '--json'" in ran.err) == ("", True)


def test_a_key_without_comment_says_so(machine: Machine, agent: RunningAgent, keygen: Keygen) -> None:
    public = keygen.key("ed25519", "")
    agent.add("-q", public.with_suffix(""))
    (line,) = machine.mica("ssh", "list").out.splitlines()
    assert line.endswith((" no comment (ED25519)", f" {public.with_suffix('')} (ED25519)"))


def test_a_comment_does_nothing_to_a_terminal(machine: Machine, agent: RunningAgent, keygen: Keygen) -> None:
    path = keygen.key("ed25519", "al\x1b[31mice\u202e").with_suffix("")
    agent.add("-q", path)
    for arguments in ((), ("--raw",), ("--json",)):
        shown = machine.mica("ssh", "list", *arguments).out
        assert "\x1b" not in shown and "\u202e" not in shown and "[31mice" in shown


def test_a_locked_agent_lists_nothing_as_for_ssh_add(machine: Machine, agent: RunningAgent, certified: Path) -> None:
    agent.lock("a long word")
    assert agent.lines("-l") == []
    assert machine.mica("ssh", "list").err == "The agent has no identities.\n"


def test_there_is_one_subject(machine: Machine) -> None:
    assert "unexpected extra argument" in machine.mica("ssh", "list", "alice", "bob", code=2).err
