"""``ssh check-host``: the exit code is the answer, it comes quickly, and a CA that is away is in nobody's way."""

import json
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from core.tests.cli_ca.conftest import Machine
from core.tests.cli_ssh.sshclients import SSHCA
from core.tests.client.conftest import Asked, Server, Told, serve

from mica.cli.ssh.reaching import hostchecks
from mica.cli.ssh.reaching.hostmemory import Memory, Verdict

__all__ = ["serve"]  # a fixture


def memory(machine: Machine) -> Path:
    return machine.home / "ssh" / "checked_hosts.json"


@pytest.fixture
def counted(client: Machine, serve: Callable[..., Server]) -> Server:
    """A server that knows ``known.example``; the machine takes it for its CA, and it counts what it is asked."""

    def script(asked: Asked) -> Told:
        return Told(body={"exists": asked.json["principal"] == "known.example"})

    server = serve(script=script)
    client.write("root.pem", server.authority.pem.decode())
    client.environment |= {"MICA_CA_URL": server.url, "MICA_ROOT": str(client.path("root.pem"))}
    return server


def age(machine: Machine, by: timedelta) -> None:
    """Everything that is remembered is older."""
    found = json.loads(memory(machine).read_text())
    found["hosts"] = {host: [known, at - by.total_seconds()] for host, (known, at) in found["hosts"].items()}
    found["away"] = found["away"] and found["away"] - by.total_seconds()
    memory(machine).write_text(json.dumps(found))


def test_a_certified_host_is_known_and_no_other(client: Machine, served_ca: SSHCA) -> None:
    client.mica("ssh", "check-host", "unknown.example", code=1)
    client.mica(
        "ssh", "certificate", "--host", "Build7.harbour.example", "key", "--no-password", "--insecure", "--no-agent",
        "--principal", "build7.harbour.example", "--principal", "10.1.2.3",
    )  # fmt: skip
    for name in ("build7.harbour.example", "BUILD7.Harbour.Example", "build7.harbour.example.", "10.1.2.3"):
        ran = client.mica("ssh", "check-host", name)
        assert (ran.out, ran.err) == ("", "")
    assert stat.S_IMODE(memory(client).stat().st_mode) == 0o600


def test_verbose_and_json_say_it(client: Machine, counted: Server) -> None:
    assert client.mica("ssh", "check-host", "-v", "known.example").out == "true\n"
    assert client.mica("ssh", "check-host", "-v", "other.example", code=1).out == "false\n"
    found = json.loads(client.mica("ssh", "check-host", "known.example", "--json").out)
    assert found == {"host": "known.example", "known": True, "source": "cache", "problem": None}


def test_an_answer_is_asked_for_once_while_it_is_fresh(client: Machine, counted: Server) -> None:
    for _ in range(3):
        client.mica("ssh", "check-host", "known.example")
        client.mica("ssh", "check-host", "KNOWN.example.")
        client.mica("ssh", "check-host", "other.example", code=1)
    assert [asked.json["principal"] for asked in counted.asked] == ["known.example", "other.example"]
    age(client, timedelta(seconds=61))
    client.mica("ssh", "check-host", "known.example")
    client.mica("ssh", "check-host", "other.example", code=1)
    assert len(counted.asked) == 3
    age(client, timedelta(seconds=240))
    client.mica("ssh", "check-host", "known.example")
    assert len(counted.asked) == 4


def test_an_answer_of_another_ca_does_not_count(client: Machine, counted: Server, served_ca: SSHCA) -> None:
    client.mica("ssh", "check-host", "known.example")
    client.mica("ssh", "check-host", "known.example", "--ca-url", served_ca.url, "--root", served_ca.root, code=1)


@pytest.mark.parametrize(
    ("host", "asked"),
    [("2001:DB8:0::1", "2001:db8::1"), ("[2001:db8::1]", "2001:db8::1"), ("fe80::1%eth0", "fe80::1%eth0")],
)
def test_addresses_are_asked_for_in_one_spelling(client: Machine, counted: Server, host: str, asked: str) -> None:
    client.mica("ssh", "check-host", host, code=1)
    assert [each.json["principal"] for each in counted.asked] == [asked]


@pytest.mark.parametrize("host", ["", ".", "a b", "a\nb", "\x1b[2J", "a,b", "*", "x" * 300, "caf\udce9"])
def test_what_is_no_name_is_not_known_and_nobody_is_asked(client: Machine, counted: Server, host: str) -> None:
    ran = client.mica("ssh", "check-host", "--", host, code=1)
    assert (ran.out, ran.err) == ("", "") and counted.asked == []
    assert "is not the name of a host" in client.mica("ssh", "check-host", "-v", "--", host, code=1).err


def test_when_the_ca_is_away_the_last_answer_counts_quietly(client: Machine, counted: Server) -> None:
    client.mica("ssh", "check-host", "known.example")
    age(client, timedelta(days=3))
    counted.script = lambda asked: Told(status=502, body=b"<html>", headers={"Content-Type": "text/html"})
    ran = client.mica("ssh", "check-host", "known.example")
    assert (ran.out, ran.err) == ("", "")
    ran = client.mica("ssh", "check-host", "other.example", code=1)
    assert (ran.out, ran.err) == ("", "")
    assert len(counted.asked) == 2  # of three: it is not asked again at once
    said = client.mica("ssh", "check-host", "-v", "known.example")
    assert said.out == "true\n" and said.err.startswith("warning: known.example: the CA did not answer a moment ago")
    age(client, timedelta(seconds=31))
    counted.script = lambda asked: Told(body={"exists": False})
    client.mica("ssh", "check-host", "known.example", code=1)
    assert json.loads(memory(client).read_text())["away"] is None


@pytest.fixture
def silent() -> Iterator[int]:
    """A port where connections are accepted and nothing is ever said."""
    held: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    held.append(listener.accept()[0])
                except OSError:
                    return

        accepting = threading.Thread(target=accept)
        accepting.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        accepting.join()
    for connection in held:
        connection.close()


def test_a_ca_that_says_nothing_costs_two_seconds_once(client: Machine, silent: int) -> None:
    arguments = ("ssh", "check-host", "known.example", "--ca-url", f"https://127.0.0.1:{silent}")
    start = time.monotonic()
    client.mica(*arguments, code=1)
    assert time.monotonic() - start < 3
    start = time.monotonic()
    client.mica(*arguments, code=1)
    assert time.monotonic() - start < 1


@pytest.mark.parametrize(
    "damage",
    ["", "{", "[]", "{}", '{"ca_url": 1}', "\0" * 99, '{"hosts": [1]}', '{"hosts": {"known.example": true}, "away": 0}',
     '{"hosts": {"known.example": [true, 1e99]}, "away": "x"}', '{"hosts": {"known.example": [1, 1]}, "away": []}'],
)  # fmt: skip
def test_a_damaged_memory_costs_a_question_and_no_more(client: Machine, counted: Server, damage: str) -> None:
    memory(client).parent.mkdir()
    memory(client).write_text(damage.replace("{", f'{{"ca_url": "{counted.url}", ', 1) if ":" in damage else damage)
    assert client.mica("ssh", "check-host", "known.example").err == ""
    assert len(counted.asked) == 1
    client.mica("ssh", "check-host", "known.example")
    assert len(counted.asked) == 1


def test_an_answer_from_the_future_is_not_believed(client: Machine, counted: Server) -> None:
    client.mica("ssh", "check-host", "known.example")
    age(client, timedelta(days=-1))
    client.mica("ssh", "check-host", "known.example")
    assert len(counted.asked) == 2


def test_where_nothing_can_be_kept_the_answer_is_the_same(client: Machine, counted: Server) -> None:
    (client.home / "ssh").write_text("a file where the folder is to be")
    for _ in range(2):
        assert client.mica("ssh", "check-host", "known.example").err == ""


def test_a_machine_that_knows_no_ca_says_so(machine: Machine) -> None:
    assert "'--ca-url' is required" in machine.mica("ssh", "check-host", "a", code=2).err


def test_of_a_thousand_hosts_the_oldest_is_forgotten(tmp_path: Path) -> None:
    now = datetime(2031, 3, 14, tzinfo=UTC)
    many = {f"host{n}": Verdict(known=True, at=now + timedelta(seconds=n)) for n in range(1000)}
    place = tmp_path / "ssh" / "memory.json"
    Memory(place=place, ca_url="https://ca", verdicts=many).keep(
        "new", Verdict(known=False, at=now + timedelta(hours=1))
    )
    found = Memory.read(place, "https://ca")
    assert len(found.verdicts) == 1000
    assert found.verdict("host0") is None and found.verdict("host1") is not None
    assert found.verdict("new") == Verdict(known=False, at=now + timedelta(hours=1))
    assert Memory.read(place, "https://other").verdicts == {}


def test_names_are_compared_as_certificates_have_them() -> None:
    assert hostchecks.canonical("Web.Example.") == "web.example"
    assert hostchecks.canonical("[::FFFF:1]") == "::ffff:1"
