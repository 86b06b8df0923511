"""``ssh logout``: what this CA has certified leaves the agent, and nothing else does."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from core.tests.cli_ca.conftest import CA_PASSWORD, Machine
from core.tests.cli_ssh.sshclients import SSHCA
from core.tests.client import conftest as scripted
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from mica.keyfiles import load_private_key
from mica.testing.agents import RunningAgent
from mica.testing.keygen import Keygen, blob_of

serve = scripted.serve
Told = scripted.Told
#: Where nobody is.
NOBODY = "https://127.0.0.1:1"


@pytest.fixture
def ca(serve: Callable[..., Any], machine: Machine, agent: RunningAgent, keygen: Keygen) -> Any:
    """A server that answers as a CA does whose user keys are ca-p256 and ca-p384; the machine knows it."""
    keys = [base64.b64encode(blob_of(keygen.key(name, file=f"ca-{name}"))).decode() for name in ("p256", "p384")]
    host = base64.b64encode(blob_of(keygen.key("ed25519", file="ca-ed25519"))).decode()
    server = serve(script=lambda asked: Told(body={"userKey": keys, "hostKey": [host]}))
    machine.write("root.pem", server.authority.pem.decode())
    machine.environment |= {**agent.environment, "MICA_CA_URL": server.url, "MICA_ROOT": "root.pem"}
    return server


@pytest.fixture
def put(agent: RunningAgent, keygen: Keygen) -> Callable[..., Path]:
    """A key whose certificate was signed by ``ca`` is in the agent; the bare key is not."""

    def make(ca: str, comment: str, key_id: str = "x", *options: str) -> Path:
        file = f"id{len(list(keygen.folder.glob('id*.pub')))}"
        path = keygen.certificate(ca, keygen.key("ed25519", comment, file=file), "-I", key_id, "-n", "alice", *options)
        agent.add("-q", path.with_name(file))
        agent.add("-q", "-k", "-d", path.with_name(f"{file}.pub"))
        return path

    return make


def comments(agent: RunningAgent) -> list[str]:
    return [line.split(" ", 2)[2] for line in agent.lines()]


def test_what_the_ca_has_certified_goes_and_everything_else_stays(
    ca: Any, machine: Machine, agent: RunningAgent, keygen: Keygen, put: Callable[..., Path]
) -> None:
    put("p256", "current")
    put("p384", "before the rotation")
    put("p256", "expired", "x", "-V", "20200101000000Z:20200102000000Z")
    put("p521", "another CA")
    put("ed25519", "by the key for hosts")
    agent.add("-q", keygen.key("p256", "plain").with_suffix(""))
    ran = machine.mica("ssh", "logout")
    assert comments(agent) == ["another CA", "by the key for hosts", "plain"]
    assert ran.out == ""
    assert ran.err.splitlines() == [
        f"✔ CA: {ca.url}",
        "Identity removed: current",
        "Identity removed: before the rotation",
        "Identity removed: expired",
    ]
    assert [(asked.method, asked.path) for asked in ca.asked] == [("GET", "/ssh/roots")]


@pytest.mark.parametrize(
    "arguments",
    [
        ("alice@harbour.example",),
        ("--identity", "alice@harbour.example"),
        ("laptop",),
        ("laptop", "--identity", "laptop"),
    ],
)
def test_one_identity_is_called_by_its_comment_or_key_id(
    ca: Any, machine: Machine, agent: RunningAgent, put: Callable[..., Path], arguments: tuple[str, ...]
) -> None:
    put("p256", "laptop", "alice@harbour.example")
    put("p256", "bob", "bob@harbour.example")
    ran = machine.mica("ssh", "logout", *arguments)
    assert ran.err.splitlines()[1:] == ["Identity removed: laptop"]
    assert comments(agent) == ["bob"]


def test_the_same_name_at_another_ca_stays(
    ca: Any, machine: Machine, agent: RunningAgent, put: Callable[..., Path]
) -> None:
    put("p521", "alice")
    ran = machine.mica("ssh", "logout", "alice")
    assert ran.err.splitlines()[1:] == ["Identity not found. What the agent holds is shown by: mica ssh list"]
    assert comments(agent) == ["alice"]


def test_defaults_may_name_the_identity_and_what_is_typed_counts_more(
    ca: Any, machine: Machine, agent: RunningAgent, put: Callable[..., Path]
) -> None:
    machine.home.mkdir()
    (machine.home / "defaults.json").write_text(json.dumps({"identity": "alice"}))
    for name in ("alice", "bob", "carol"):
        put("p256", name)
    machine.mica("ssh", "logout", "bob")
    assert comments(agent) == ["alice", "carol"]
    machine.mica("ssh", "logout")
    assert comments(agent) == ["carol"]
    machine.mica("ssh", "logout", "--all")
    assert comments(agent) == []


def test_when_nothing_can_be_meant_the_ca_is_not_asked(
    ca: Any, machine: Machine, agent: RunningAgent, keygen: Keygen, put: Callable[..., Path]
) -> None:
    agent.add("-q", keygen.key("p256", "plain").with_suffix(""))
    put("p256", "bob")
    for arguments in (("plain",), ("nobody",)):
        ran = machine.mica("ssh", "logout", *arguments)
        assert ran.err == "Identity not found. What the agent holds is shown by: mica ssh list\n"
    assert (ca.asked, comments(agent)) == ([], ["plain", "bob"])


def test_all_empties_the_agent_and_needs_no_ca(
    machine: Machine, agent: RunningAgent, keygen: Keygen, put: Callable[..., Path]
) -> None:
    machine.environment |= agent.environment
    put("p521", "another CA")
    agent.add("-q", keygen.key("p256", "plain").with_suffix(""))
    ran = machine.mica("ssh", "logout", "--all")
    assert (ran.out, ran.err) == ("", "All identities removed.\n")
    assert agent.lines() == []


def test_json_says_what_was_removed(
    ca: Any, machine: Machine, agent: RunningAgent, keygen: Keygen, put: Callable[..., Path]
) -> None:
    fingerprint = keygen("-l", "-f", put("p256", "alice")).split()[1]
    removed = {"removed": [{"fingerprint": fingerprint, "comment": "alice"}]}
    assert json.loads(machine.mica("ssh", "logout", "--json").out) == removed
    assert json.loads(machine.mica("ssh", "logout", "--json").out) == {"removed": []}
    put("p521", "bob")
    assert len(json.loads(machine.mica("ssh", "logout", "--all", "--json").out)["removed"]) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--all", "alice"), "flag '--all' is incompatible with an identity"),
        (("--all", "--identity", "alice"), "flag '--all' is incompatible with an identity"),
        (("alice", "--identity", "bob"), "flag '--identity' is incompatible with IDENTITY"),
        (("alice", "bob"), "unexpected extra argument"),
    ],
)
def test_flags_that_contradict_each_other_remove_nothing(
    ca: Any, machine: Machine, agent: RunningAgent, put: Callable[..., Path], arguments: tuple[str, ...], message: str
) -> None:
    put("p256", "alice")
    assert message in machine.mica("ssh", "logout", *arguments, code=2).err
    assert comments(agent) == ["alice"]


def test_a_ca_that_is_away_refuses_or_is_unknown_leaves_everything_where_it_is(
    ca: Any, machine: Machine, agent: RunningAgent, put: Callable[..., Path]
) -> None:
    put("p256", "alice")
    assert "127.0.0.1:1" in machine.mica("ssh", "logout", "--ca-url", NOBODY, code=3).err
    ca.script = lambda asked: Told(status=404, body={"status": 404, "message": "not found"})
    ran = machine.mica("ssh", "logout", code=4)
    assert "is not configured for SSH" in ran.err
    ca.script = lambda asked: Told(body={"userKey": ["no base64"]})
    assert "'userKey' in the answer is not base64" in machine.mica("ssh", "logout", code=3).err
    del machine.environment["MICA_CA_URL"]
    assert "flag '--ca-url' is required" in machine.mica("ssh", "logout", code=2).err
    assert comments(agent) == ["alice"]


def test_a_locked_agent_holds_nothing_that_could_be_found(
    ca: Any, machine: Machine, agent: RunningAgent, put: Callable[..., Path]
) -> None:
    put("p256", "alice")
    agent.lock("a long word")
    assert "Identity not found." in machine.mica("ssh", "logout").err
    ran = machine.mica("ssh", "logout", "--all", code=1)
    assert ran.err.splitlines() == [
        "error: the SSH agent does not remove its identities",
        "hint: it may be locked (ssh-add -X unlocks it)",
    ]


def test_a_running_ca_is_asked_for_its_keys(
    served_ca: SSHCA, client: Machine, agent: RunningAgent, keygen: Keygen, put: Callable[..., Path]
) -> None:
    client.environment |= agent.environment
    put("p521", "another CA")
    public = keygen.key("ed25519", "alice", file="id-real")
    key = load_private_key((served_ca.home / "secrets/ssh_user_ca_key").read_bytes(), CA_PASSWORD.encode(), where="CA")
    openssh = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    keygen.folder.joinpath("ca-real").write_bytes(openssh)
    keygen.folder.joinpath("ca-real").chmod(0o600)
    keygen("-q", "-s", "ca-real", "-I", "alice@harbour.example", "-n", "alice", public)
    agent.add("-q", public.with_suffix(""))
    ran = client.mica("ssh", "logout", "alice@harbour.example")
    assert ran.err.splitlines() == [f"✔ CA: {served_ca.url}", "Identity removed: alice"]
    assert comments(agent) == ["another CA", "alice"]
    assert agent.lines()[1].startswith("ssh-ed25519 ")
