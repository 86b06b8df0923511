"""``ssh proxycommand``: octets get through both ways, whatever the CA does, and nothing of it is ever an option."""

import os
import shlex
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from core.tests.cli_ca.conftest import Machine
from core.tests.cli_ssh.sshclients import SSHCA
from core.tests.client.conftest import Asked, Server, Told, serve

from mica.cli.errors import CLIError, Usage
from mica.cli.ssh.reaching import bastions
from mica.cli.ssh.reaching.proxying import Destination
from mica.client.ssh import Bastion
from mica.testing.agents import RunningAgent
from mica.testing.sshd import HostFiles, Sshd, account, find

__all__ = ["serve"]  # a fixture

BIG = os.urandom(3_000_000)


@pytest.fixture
def listen() -> Iterator[Callable[[Callable[[socket.socket], None]], int]]:
    """Starts TCP servers that treat each connection as they are told; their port."""
    listeners: list[tuple[socket.socket, threading.Thread]] = []

    def start(treat: Callable[[socket.socket], None]) -> int:
        listener = socket.create_server(("127.0.0.1", 0))

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    treat(connection)

        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        listeners.append((listener, accepting))
        return int(listener.getsockname()[1])

    yield start
    for listener, accepting in listeners:
        listener.shutdown(socket.SHUT_RDWR)
        accepting.join(10)
        listener.close()


def echo(connection: socket.socket) -> None:
    while octets := connection.recv(1 << 16):
        connection.sendall(octets)


def count_all(connection: socket.socket) -> None:
    """It speaks only when it has heard everything."""
    total = 0
    while octets := connection.recv(1 << 16):
        total += len(octets)
    connection.sendall(b"%d octets" % total)


def speak_first(connection: socket.socket) -> None:
    """It ends its own way, and goes on listening."""
    connection.sendall(b"hello")
    connection.shutdown(socket.SHUT_WR)
    while connection.recv(1 << 16):
        pass


def proxied(machine: Machine, *arguments: str | int, input: bytes = b"", code: int = 0) -> tuple[bytes, str]:
    """What ``mica ssh proxycommand`` gave on stdout and stderr, in a process of its own with pipes, as ssh has it."""
    done = subprocess.run(
        [sys.executable, "-m", "mica.cli", "ssh", "proxycommand", *map(str, arguments)], input=input,
        capture_output=True, cwd=machine.folder, timeout=60, check=False, env=environment(machine),
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return done.stdout, done.stderr.decode()


def environment(machine: Machine) -> dict[str, str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MICA")}
    return {**plain, "MICAPATH": str(machine.home), **machine.environment}


def test_octets_come_back_as_they_were_sent(client: Machine, listen: Callable[..., int]) -> None:
    assert proxied(client, "alice", "127.0.0.1", listen(echo), input=BIG)[0] == BIG


def test_a_port_that_is_none_is_called_a_port(client: Machine) -> None:
    assert "'ssh' is not a valid port" in client.mica("ssh", "proxycommand", "alice", "host", "ssh", code=2).err


def test_the_end_of_one_way_leaves_the_other_open(client: Machine, listen: Callable[..., int]) -> None:
    assert proxied(client, "alice", "127.0.0.1", listen(count_all), input=BIG)[0] == b"3000000 octets"
    assert proxied(client, "alice", "127.0.0.1", listen(speak_first), input=BIG)[0] == b"hello"


def test_without_the_ca_the_connection_is_direct(client: Machine, listen: Callable[..., int]) -> None:
    flags = ("--ca-url", "https://127.0.0.1:1")
    out, err = proxied(client, *flags, "alice", "127.0.0.1", listen(echo), input=b"still")
    assert out == b"still"
    (line,) = err.splitlines()
    assert "connection refused" in line and "without the CA's help" in line


def test_a_host_that_does_not_answer_is_one_line(client: Machine) -> None:
    out, err = proxied(client, "alice", "127.0.0.1", 1, code=1)
    assert (out, err.splitlines()[-2]) == (b"", "error: 127.0.0.1:1: connection refused")
    proxied(client, "alice", "no-such-host.invalid", 22, code=1)
    proxied(client, "alice", "a..b", 22, code=1)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--", "-oProxyCommand=x", "host", "22"),
        ("--", "alice", "-oProxyCommand=x", "22"),
        ("alice", "a b", "22"),
        ("alice", "a\nb", "22"),
        ("", "host", "22"),
        ("alice", "", "22"),
        ("alice", "x" * 256, "22"),
        ("alice", "host", "0"),
        ("alice", "host", "65536"),
        ("alice", "host", "ssh"),
        ("alice", "host"),
    ],
)
def test_what_is_no_destination_is_a_usage_error(client: Machine, arguments: tuple[str, ...]) -> None:
    client.mica("ssh", "proxycommand", *arguments, code=2)


def test_closed_streams_carry_nothing(client: Machine, listen: Callable[..., int]) -> None:
    command = shlex.join([sys.executable, "-m", "mica.cli", "ssh", "proxycommand", "alice", "127.0.0.1"])
    for closed in ("<&-", ">&-"):
        script = f"{command} {listen(echo)} {closed}"
        done = subprocess.run(["sh", "-c", script], env=environment(client), capture_output=True, text=True, timeout=60)
        assert done.returncode == 5 and "stdin or stdout is closed" in done.stderr


@pytest.mark.parametrize("source", ["-", "fd:0", "/dev/stdin"])
def test_the_connection_is_not_read_as_a_password(client: Machine, source: str) -> None:
    for flag in ("--password-file", "--provisioner-password-file"):
        said = client.mica("ssh", "proxycommand", flag, source, "alice", "127.0.0.1", "22", code=2).err
        assert "stdin and stdout carry the connection" in said


def test_who_has_no_certificate_is_logged_in_once(
    client: Machine, listen: Callable[..., int], agent: RunningAgent
) -> None:
    client.environment |= agent.environment
    port = listen(echo)
    assert proxied(client, "alice", "127.0.0.1", port, input=b"one")[0] == b"one"
    (line,) = agent.lines()
    assert "-cert-v01@openssh.com" in line and line.endswith(" alice")
    out, err = proxied(client, "alice", "127.0.0.1", port, input=b"two")
    assert (out, err) == (b"two", "") and agent.lines() == [line]


def test_a_login_that_fails_is_warned_of_and_does_not_stop_ssh(
    client: Machine, listen: Callable[..., int], agent: RunningAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.environment |= {**agent.environment, "MICA_PROVISIONER_PASSWORD_FILE": str(client.write("wrong", "wrong"))}
    out, err = proxied(client, "alice", "127.0.0.1", listen(echo), input=b"on")
    assert out == b"on" and "warning: alice is not logged in: " in err and agent.lines() == []
    del client.environment["SSH_AUTH_SOCK"]
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    out, err = proxied(client, "alice", "127.0.0.1", listen(echo), input=b"on")
    assert out == b"on" and "there is no SSH agent" in err


@pytest.fixture
def bastioned(client: Machine, serve: Callable[..., Server], tmp_path: Path) -> Callable[..., Machine]:
    """A machine whose CA names the bastion that it is told, and whose ``ssh`` prints its arguments, then stdin."""
    (programs := tmp_path / "programs").mkdir()
    (programs / "ssh").write_text("#!/bin/sh\nprintf '<%s>' \"$@\"\ncat\n")
    (programs / "ssh").chmod(0o755)

    def make(**bastion: str) -> Machine:
        def script(asked: Asked) -> Told:
            if asked.path == "/ssh/roots":
                return Told(body={})
            return Told(body={"hostname": asked.json["hostname"], "bastion": bastion})

        server = serve(script=script)
        client.write("root.pem", server.authority.pem.decode())
        client.environment |= {
            "MICA_CA_URL": server.url, "MICA_ROOT": str(client.path("root.pem")),
            "PATH": f"{programs}:{os.environ['PATH']}",
        }  # fmt: skip
        return client

    return make


def test_ssh_is_called_for_the_bastion_and_gets_the_streams(bastioned: Callable[..., Machine]) -> None:
    machine = bastioned(hostname="bastion.example", user="jump", port="2222", flags="-4 -o ConnectTimeout=5")
    out, _ = proxied(machine, "alice", "db.example", 22, input=b"octets")
    assert out == b"<-l><jump><-p><2222><-4><-o><ConnectTimeout=5><-W><db.example:22><--><bastion.example>octets"


def test_a_relay_command_has_the_destination_in_single_words(bastioned: Callable[..., Machine]) -> None:
    machine = bastioned(hostname="bastion.example", cmd="nc -q0 %h %p # %r %% %x")
    out, _ = proxied(machine, "a;b", "db.example$(x)", 22)
    assert out == b"<--><bastion.example><nc -q0 'db.example$(x)' 22 # 'a;b' % %x>"


@pytest.mark.parametrize(
    "bastion",
    [
        {"hostname": "-oProxyCommand=x"},
        {"hostname": "a b"},
        {"hostname": "b", "user": "-x"},
        {"hostname": "b", "port": "-1"},
        {"hostname": "b", "flags": "-o ProxyCommand=x"},
        {"hostname": "b", "flags": "-oProxyCommand=x"},
        {"hostname": "b", "flags": "-o ConnectTimeout=5 -A"},
        {"hostname": "b", "flags": "-F /tmp/x"},
        {"hostname": "b", "flags": "-4A"},
        {"hostname": "b", "flags": "other.example"},
        {"hostname": "b", "flags": "-o"},
        {"hostname": "b", "flags": "'"},
        {"hostname": "b", "flags": "-o 'ConnectTimeout=5\nProxyCommand=x'"},
    ],
)
def test_a_bastion_chooses_nothing_that_runs_here(bastioned: Callable[..., Machine], bastion: dict[str, str]) -> None:
    out, err = proxied(bastioned(**bastion), "alice", "db.example", 22, input=b"octets", code=1)
    assert out == b"" and "error: the CA names a bastion whose" in err


def test_an_address_of_ipv6_has_its_brackets_where_ssh_wants_them() -> None:
    to = Destination.checked("alice", "[2001:db8::1]", 22)
    assert to.host == "2001:db8::1"
    called = bastions.arguments(Bastion(hostname="b"), to.user, to.host, to.port)
    assert called == ["ssh", "-W", "[2001:db8::1]:22", "--", "b"]
    with pytest.raises(Usage):
        Destination.checked("alice", "\u202eb", 22)
    with pytest.raises(CLIError):
        bastions.arguments(Bastion(hostname="b", flags="-J a"), "alice", "h", 22)


def test_ssh_logs_in_through_it_with_what_mica_configured(
    client: Machine, served_ca: SSHCA, agent: RunningAgent, tmp_path: Path
) -> None:
    """Nobody has made a key, answered a question, or trusted anything on first use."""
    client.environment |= agent.environment
    (folder := tmp_path / "host").mkdir()
    host = HostFiles(folder=folder, keys=("ssh_host_ecdsa_key",))
    client.mica(
        "ssh", "certificate", "--host", "localhost", host.key(), "--no-password", "--insecure", "--no-agent"
    )  # fmt: skip
    host.user_ca.write_text(client.mica("ssh", "config", "--roots").out)
    client.mica("ssh", "config", "--set", f"User={account()}")
    programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    config = Path(client.environment["HOME"]) / ".ssh" / "config"
    with Sshd(host) as sshd:
        done = subprocess.run(
            [find("ssh"), "-F", config, "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o",
             "GlobalKnownHostsFile=/dev/null", "-p", str(sshd.port), "localhost", "echo", shlex.quote("in: $USER")],
            env={**environment(client), "PATH": programs}, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (0, "in: $USER\n"), done.stderr + sshd.log
    assert len(agent.lines()) == 1
