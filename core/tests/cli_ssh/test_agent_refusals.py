"""No agent, a strange one, one that refuses: a clear word about each, in good time, and nothing taken for an answer."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from core.tests.cli_ca.conftest import Machine

from mica.cli.ssh.agent import Agent, AgentProblem
from mica.keyfiles import load_private_key
from mica.sshwire import Reader, string, uint32
from mica.testing.agents import SOCKET, RunningAgent
from mica.testing.keygen import Keygen, blob_of

SOON = timedelta(seconds=0.3)
FAILURE, SUCCESS, IDENTITIES = b"\x05", b"\x06", b"\x0c"
LIST, ADD, REMOVE_ALL, ADD_CONSTRAINED = 11, 17, 19, 25
START = 'start one with: eval "$(ssh-agent)"'

#: What a peer does with one request: the answer, in full; None is to hang up.
Answering = Callable[[bytes], bytes | None]


@contextmanager
def peer(folder: Path, answering: Answering) -> Iterator[Path]:
    """Something listens at the path, and answers so."""
    path = folder / "peer"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=_serve, args=(listener, answering), daemon=True)
        thread.start()
        yield path
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def _serve(listener: socket.socket, answering: Answering) -> None:
    while True:
        try:
            line, _ = listener.accept()
        except OSError:
            return
        with line, line.makefile("rb") as reading:
            while (head := reading.read(4)) and (answer := answering(reading.read(int.from_bytes(head)))) is not None:
                try:
                    line.sendall(answer)
                except OSError:
                    break


def framed(message: bytes) -> bytes:
    return string(message)


def behind(agent: RunningAgent, refuses: Callable[[bytes], bool]) -> Answering:
    """The real agent, but for what is refused."""

    def answering(request: bytes) -> bytes:
        if refuses(request):
            return framed(FAILURE)
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(str(agent.socket))
            line.sendall(framed(request))
            with line.makefile("rb") as reading:
                return framed(reading.read(int.from_bytes(reading.read(4))))

    return answering


@pytest.fixture
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("s")


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path | str], None]:
    return lambda path: monkeypatch.setenv(SOCKET, str(path))


def problem(patience: timedelta = SOON) -> AgentProblem:
    with pytest.raises(AgentProblem) as caught, Agent.open(patience):
        pass
    return caught.value


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (None, "there is no SSH agent: the variable SSH_AUTH_SOCK is not set"),
        ("", "there is no SSH agent: the variable SSH_AUTH_SOCK is empty"),
        ("gone", "SSH_AUTH_SOCK: {}: there is no such socket"),
        ("gone/in/no/folder", "SSH_AUTH_SOCK: {}: there is no such socket"),
        ("file", "SSH_AUTH_SOCK: {}: is no socket, so no SSH agent listens there"),
        ("file/below", "SSH_AUTH_SOCK: {}: not a directory"),
        ("folder", "SSH_AUTH_SOCK: {}: is no socket, so no SSH agent listens there"),
        ("dead", "{}: connection refused"),
        ("x" * 300, "SSH_AUTH_SOCK: {}: file name too long"),
    ],
)  # fmt: skip
def test_without_an_agent_the_cause_and_the_remedy_are_named(
    monkeypatch: pytest.MonkeyPatch, short: Path, name: str | None, message: str
) -> None:
    (short / "file").touch()
    (short / "folder").mkdir()
    with socket.socket(socket.AF_UNIX) as dying:
        dying.bind(str(short / "dead"))
    path = str(short / name) if name else ""
    monkeypatch.delenv(SOCKET, raising=False)
    if name is not None:
        monkeypatch.setenv(SOCKET, path)
    found = problem()
    assert (found.message, found.hint, found.exit_code) == (message.format(path), START, 1)


def test_a_socket_of_another_kind_is_no_agent(short: Path, use: Callable[[Path], None]) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(str(short / "datagrams"))
        use(short / "datagrams")
        assert problem().message.endswith("datagrams: protocol wrong type for socket")


def test_an_agent_that_does_not_answer_is_not_waited_for_for_ever(short: Path, use: Callable[[Path], None]) -> None:
    release = threading.Event()
    with peer(short, lambda request: release.wait(20) and None) as path:
        use(path)
        found = problem()
        release.set()
    assert (found.message, found.hint) == (f"{path}: the SSH agent has not answered for 0.3 seconds", START)


def test_an_agent_that_does_not_even_let_in_is_not_waited_for_for_ever(
    short: Path, use: Callable[[Path], None]
) -> None:
    with socket.socket(socket.AF_UNIX) as full, socket.socket(socket.AF_UNIX) as first:
        full.bind(str(short / "full"))
        full.listen(0)
        first.connect(str(short / "full"))
        use(short / "full")
        assert str(short / "full") in problem().message


@pytest.mark.parametrize(
    "answer",
    [
        None,
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        framed(b""),
        framed(FAILURE),
        framed(b"\x1c"),
        framed(IDENTITIES),
        framed(IDENTITIES + uint32(1)),
        framed(IDENTITIES + uint32(1) + string(b"") + string(b"")),
        framed(IDENTITIES + uint32(0) + b"more"),
        framed(IDENTITIES + uint32(2**32 - 1) + string(string(b"ssh-rsa")) + string(b"")),
        uint32(256 * 1024 + 1) + IDENTITIES,
        uint32(2**32 - 1) + IDENTITIES,
    ],
)
def test_what_does_not_answer_as_an_agent_does_is_none(
    short: Path, use: Callable[[Path], None], answer: bytes | None
) -> None:
    with peer(short, lambda request: answer) as path:
        use(path)
        found = problem(timedelta(seconds=10))
    assert found.message == f"{path}: what listens there does not answer as an SSH agent does"
    assert found.hint == START


def test_an_answer_that_comes_too_late_is_not_taken_for_that_to_the_next_question(
    agent: RunningAgent, short: Path, use: Callable[[Path], None]
) -> None:
    ask, asked = behind(agent, lambda request: False), []

    def late(request: bytes) -> bytes | None:
        asked.append(request[0])
        if asked == [LIST, LIST]:
            threading.Event().wait(0.6)
        return ask(request)

    with peer(short, late) as path:
        use(path)
        with Agent.open(SOON) as opened:
            with pytest.raises(AgentProblem, match="has not answered"):
                opened.identities()
            with pytest.raises(AgentProblem, match="does not answer as an SSH agent does"):
                opened.remove_all()
    assert REMOVE_ALL not in asked


@pytest.fixture
def certified(keygen: Keygen) -> Path:
    return keygen.certificate("p256", keygen.key("ed25519", file="id"), "-I", "alice", "-n", "alice")


def add(path: Path, *, plain: bool = False) -> None:
    key = load_private_key(path.with_name("id").read_bytes(), None, where="id")
    with Agent.open() as opened:
        opened.add(key, None if plain else blob_of(path), "alice", timedelta(hours=1))


def test_an_agent_that_takes_no_lifetimes_gets_the_key_without_and_a_warning_says_so(
    agent: RunningAgent, short: Path, use: Callable[[Path], None], certified: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with peer(short, behind(agent, lambda request: request[0] == ADD_CONSTRAINED)) as path:
        use(path)
        add(certified)
    assert [line.split()[1] for line in agent.lines()] == [certified.read_text().split()[1]]
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (
        "warning: the SSH agent takes no lifetimes: the key stays in it until it is removed, as by mica ssh logout\n"
    )


def takes_no_certificates(request: bytes) -> bool:
    return request[0] in (ADD, ADD_CONSTRAINED) and b"-cert-" in Reader(request[1:], "request").string("type")


@pytest.mark.parametrize(
    ("others", "plain", "message", "hint"),
    [
        (
            False, False, "the SSH agent refuses the key with its certificate",
            "it may be locked (ssh-add -X unlocks it), or it may take no certificates, as gpg-agent; "
            'eval "$(ssh-agent)" starts one that does',
        ),
        (
            True, False, "the SSH agent refuses the key with its certificate",
            'it may take no certificates, as gpg-agent; eval "$(ssh-agent)" starts one that does',
        ),
        (
            True, True, "the SSH agent refuses the key",
            'it may take no keys of this type; eval "$(ssh-agent)" starts one that does',
        ),
    ],
)  # fmt: skip
def test_an_agent_that_refuses_a_key_may_do_so_for_these_reasons(
    agent: RunningAgent,
    keygen: Keygen,
    short: Path,
    use: Callable[[Path], None],
    certified: Path,
    others: bool,
    plain: bool,
    message: str,
    hint: str,
) -> None:
    if others:
        agent.add("-q", keygen.key("p256").with_suffix(""))
    before = agent.lines()
    refuses = (lambda request: request[0] in (ADD, ADD_CONSTRAINED)) if plain else takes_no_certificates
    with peer(short, behind(agent, refuses)) as path:
        use(path)
        with pytest.raises(AgentProblem) as caught:
            add(certified, plain=plain)
    assert (caught.value.message, caught.value.hint) == (message, hint)
    assert agent.lines() == before


def test_an_agent_that_only_says_that_it_has_removed_everything_is_not_believed(
    agent: RunningAgent, keygen: Keygen, short: Path, use: Callable[[Path], None]
) -> None:
    agent.add("-q", keygen.key("p256").with_suffix(""))
    real = behind(agent, lambda request: False)
    with peer(short, lambda request: framed(SUCCESS) if request[0] == REMOVE_ALL else real(request)) as path:
        use(path)
        with Agent.open() as opened, pytest.raises(AgentProblem, match="the SSH agent has kept 1 of its identities"):
            opened.remove_all()


def test_without_an_agent_commands_say_so_and_end_with_1(machine: Machine) -> None:
    machine.environment[SOCKET] = ""
    for command in (("list",), ("logout", "--all")):
        ran = machine.mica("ssh", *command, code=1)
        assert (ran.out, ran.err) == (
            "",
            f"error: there is no SSH agent: the variable SSH_AUTH_SOCK is empty\nhint: {START}\n",
        )
        assert '"code": "agent"' in machine.mica("ssh", *command, "--json", code=1).err


@pytest.mark.parametrize(
    ("number", "code", "said"), [(signal.SIGINT, 6, "error: cancelled"), (signal.SIGTERM, 128 + signal.SIGTERM, "")]
)
def test_whoever_waits_no_longer_ends_it_without_a_stack_trace(
    short: Path, number: signal.Signals, code: int, said: str
) -> None:
    waiting, over = threading.Event(), threading.Event()

    def silent(request: bytes) -> None:
        waiting.set()
        over.wait(20)

    with peer(short, silent) as path:
        process = subprocess.Popen(
            [sys.executable, "-m", "mica.cli", "ssh", "list"],
            env={**os.environ, SOCKET: str(path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert waiting.wait(20)
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
        over.set()
    assert (process.returncode, out, err.strip()) == (code, "", said)
