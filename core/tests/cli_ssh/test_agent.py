"""The SSH agent: what mica puts there, ``ssh-add`` finds, and the reverse; and it goes when its time is over."""

import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from mica.cli.ssh.agent import Agent, AgentProblem, Identity
from mica.keyfiles import PrivateKey, load_private_key
from mica.sshwire import string, text
from mica.testing.agents import SOCKET, RunningAgent
from mica.testing.keygen import ALL_KEYS, KEY_OPTIONS, Keygen, blob_of, security_key

HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def used(agent: RunningAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SOCKET, str(agent.socket))


def private(path: Path) -> PrivateKey:
    """The key whose public half is in ``path``."""
    return load_private_key(path.with_suffix("").read_bytes(), None, where=path.name)


def held() -> list[Identity]:
    """What mica finds in the agent."""
    with Agent.open() as opened:
        return opened.identities()


def add(key: PrivateKey, certificate: bytes | None, comment: str = "alice", lifetime: timedelta | None = None) -> None:
    with Agent.open() as opened:
        opened.add(key, certificate, comment, lifetime)


@pytest.fixture
def certified(keygen: Keygen) -> Callable[..., tuple[PrivateKey, Path]]:
    """Makes a key and the file of a certificate for it."""

    def make(name: str = "ed25519", *options: str, file: str = "id") -> tuple[PrivateKey, Path]:
        public = keygen.key(name, file=file)
        options = options or ("-I", "alice@harbour.example", "-n", "alice", "-V", "-1m:+16h")
        return private(public), keygen.certificate("p256", public, *options)

    return make


@pytest.mark.parametrize("name", KEY_OPTIONS)
def test_a_key_with_its_certificate_is_one_identity_that_ssh_add_lists_and_signs_with(
    agent: RunningAgent, certified: Callable[..., tuple[PrivateKey, Path]], name: str
) -> None:
    key, path = certified(name)
    add(key, blob_of(path), "alice@harbour.example", HOUR)
    key_type, encoded, _ = path.read_text().split(" ", 2)
    assert agent.lines() == [f"{key_type} {encoded} alice@harbour.example"]
    assert agent.add("-T", path) == ""  # it tries to sign


@pytest.mark.parametrize("name", KEY_OPTIONS)
def test_a_key_without_certificate_is_what_ssh_add_would_have_added(
    agent: RunningAgent, keygen: Keygen, name: str
) -> None:
    public = keygen.key(name, "alice")
    add(private(public), None, "alice", HOUR)
    ours = agent.lines()
    agent.add("-D")
    agent.add("-q", public.with_suffix(""))
    assert ours == agent.lines() == [public.read_text().strip()]
    assert agent.add("-T", public) == ""


def test_a_certificate_whose_options_are_unknown_is_added_as_well(
    agent: RunningAgent, certified: Callable[..., tuple[PrivateKey, Path]]
) -> None:
    key, path = certified(
        "p256",
        "-I",
        "x",
        "-n",
        "alice",
        "-O",
        "critical:seal@harbour.example=red",
        "-O",
        "extension:new@harbour.example",
    )
    add(key, blob_of(path), "x", HOUR)
    assert [line.split()[1] for line in agent.lines()] == [path.read_text().split()[1]]


def test_what_was_added_for_a_time_vanishes_by_itself(
    agent: RunningAgent, certified: Callable[..., tuple[PrivateKey, Path]]
) -> None:
    key, path = certified()
    add(key, blob_of(path), "short", timedelta(seconds=1.9))  # an agent counts whole seconds; never more than asked
    add(key, None, "long", HOUR)
    add(*certified(file="other")[:1], None, "for ever")
    deadline = time.monotonic() + 10
    while len(agent.lines()) == 3 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert [line.split(" ", 2)[2] for line in agent.lines()] == ["long", "for ever"]


@pytest.mark.parametrize("lifetime", [timedelta(), timedelta(seconds=-1), timedelta(milliseconds=999)])
def test_what_has_no_time_left_is_not_added_for_ever(
    agent: RunningAgent, certified: Callable[..., tuple[PrivateKey, Path]], lifetime: timedelta
) -> None:
    key, path = certified()
    with pytest.raises(AgentProblem, match="its time is over"):
        add(key, blob_of(path), "x", lifetime)
    assert agent.lines() == []


def test_a_time_beyond_all_counting_is_as_long_as_can_be(
    agent: RunningAgent, certified: Callable[..., tuple[PrivateKey, Path]]
) -> None:
    key, path = certified()
    add(key, blob_of(path), "x", timedelta.max)
    assert len(agent.lines()) == 1


def test_a_certificate_for_another_key_is_refused_before_the_agent_is_asked(
    agent: RunningAgent, certified: Callable[..., tuple[PrivateKey, Path]]
) -> None:
    (key, _), (_, path) = certified(), certified(file="other")
    with pytest.raises(AgentProblem, match="the private key is not the one that the certificate is for"):
        add(key, blob_of(path))
    assert agent.lines() == []


def test_adding_it_again_replaces_it(agent: RunningAgent, certified: Callable[..., tuple[PrivateKey, Path]]) -> None:
    key, path = certified()
    for comment in ("old", "new"):
        add(key, blob_of(path), comment)
    assert [line.split(" ", 2)[2] for line in agent.lines()] == ["new"]


def test_what_ssh_add_put_there_is_read(agent: RunningAgent, certified: Callable[..., tuple[PrivateKey, Path]]) -> None:
    _, path = certified()
    agent.add("-q", path.with_name("id"))  # the key, and the certificate that lies beside it
    plain, certificate = held()
    assert (plain.key_type, plain.certificate, plain.comment) == ("ssh-ed25519", None, "nobody")
    assert plain.key is not None and certificate.key == plain.key
    assert certificate.blob == blob_of(path)
    assert certificate.certificate is not None
    assert certificate.certificate.tbs.key_id == "alice@harbour.example"
    assert [plain.fingerprint, certificate.fingerprint] == [line.split()[1] for line in agent.lines("-l")]
    assert certificate.is_called("alice@harbour.example") and certificate.is_called("nobody")
    assert not plain.is_called("alice@harbour.example")


def test_a_comment_is_text_in_any_script(agent: RunningAgent, keygen: Keygen) -> None:
    add(private(keygen.key("ed25519")), None, "Zoë 東 's key")
    assert agent.lines()[0].endswith(" Zoë 東 's key")
    assert held()[0].comment == "Zoë 東 's key"


@pytest.mark.parametrize("name", ALL_KEYS)
def test_every_type_of_key_is_known_with_its_certificate(keygen: Keygen, name: str) -> None:
    public = keygen.key(name)
    plain = Identity.decode(blob_of(public), b"x")
    certificate = Identity.decode(blob_of(keygen.certificate("p256", public, "-I", "x", "-n", "alice")), b"x")
    assert plain.key is not None and plain.certificate is None
    assert certificate.certificate is not None and certificate.key == plain.key


@pytest.mark.parametrize(
    ("blob", "key_type"),
    [
        (text("ssh-dss") + string(b"numbers"), "ssh-dss"),
        (text("ssh-ed25519"), "ssh-ed25519"),
        (text("ssh-ed25519-cert-v01@openssh.com") + string(b""), "ssh-ed25519-cert-v01@openssh.com"),
        (security_key("sk-ed25519") + b"more", "sk-ssh-ed25519@openssh.com"),
        (b"", ""),
        (b"\xff\xff\xff\xff", ""),
        (string(b"\xfe"), ""),
    ],
    ids=["DSA", "cut", "certificate", "long", "empty", "too short", "no text"],  # the key is another in each process
)
def test_what_is_not_known_stays_a_blob(blob: bytes, key_type: str) -> None:
    identity = Identity.decode(blob, b"al\xffice")
    assert (identity.blob, identity.key, identity.certificate) == (blob, None, None)
    assert (identity.key_type, identity.comment) == (key_type, "al\ufffdice")
    assert identity.fingerprint.startswith("SHA256:")


def test_one_identity_is_removed_and_the_others_stay(
    agent: RunningAgent, certified: Callable[..., tuple[PrivateKey, Path]]
) -> None:
    _, path = certified()
    agent.add("-q", path.with_name("id"))
    with Agent.open() as opened:
        plain, certificate = opened.identities()
        opened.remove(certificate)
        assert opened.identities() == [plain]
        assert [line.split()[0] for line in agent.lines()] == ["ssh-ed25519"]
        with pytest.raises(AgentProblem, match="does not remove the identity nobody"):
            opened.remove(certificate)
        assert opened.identities() == [plain]


def test_everything_is_removed(agent: RunningAgent, keygen: Keygen) -> None:
    for name in ("p256", "ed25519"):
        agent.add("-q", keygen.key(name).with_suffix(""))
    with Agent.open() as opened:
        opened.remove_all()
        opened.remove_all()
    assert agent.lines() == []


def test_a_locked_agent_tells_of_nothing_and_every_refusal_says_that_it_may_be_locked(
    agent: RunningAgent, certified: Callable[..., tuple[PrivateKey, Path]]
) -> None:
    key, path = certified()
    add(key, blob_of(path))
    before = held()
    agent.lock("a long word")
    with Agent.open() as opened:
        assert opened.identities() == []
        for refused in (
            lambda: opened.add(key, blob_of(path), "x", HOUR),
            lambda: opened.remove(before[0]),
            opened.remove_all,
        ):
            with pytest.raises(AgentProblem) as caught:
                refused()
            assert "it may be locked (ssh-add -X unlocks it)" in (caught.value.hint or "")
    agent.unlock("a long word")
    assert held() == before
