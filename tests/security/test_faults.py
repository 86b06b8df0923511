"""What breaks breaks alone: the others go on serving, nothing is half done, and what was lost comes back."""

import os
import resource
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from http.client import HTTPException, HTTPSConnection
from pathlib import Path
from threading import Event, Thread
from typing import Any
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from mica.testing.ca import TestCA, public_jwk
from mica.testing.plugins import enable, install
from mica.testing.service import Service, served

#: A policy that stands still, dies or dawdles, as the name in the certificate asks. A plugin like a stranger's.
POLICY = """
import asyncio, os, time
from mica import hookimpl

@hookimpl
async def refuse_x509(grant):
    if grant.subject == "hang.example":
        time.sleep(600)
    if grant.subject == "die.example":
        os._exit(9)
    if grant.subject == "slow.example":
        await asyncio.sleep(1.5)
"""


@pytest.fixture
def stranger(ca: TestCA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The policy is installed, as pip would install it, and ``ca`` enables it."""
    module = tmp_path / "stranger_policy.py"
    module.write_text(POLICY)
    install(tmp_path / "site", module)
    enable(ca, module.stem)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))


def edit(ca: TestCA, old: str, new: str) -> None:
    """``ca.toml`` says ``new`` where it said ``old``."""
    path = ca.directory / "ca.toml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def wait(service: Service, what: Callable[[], object], seconds: float = 40) -> None:
    """``what`` holds; a failure with the log if it does not in time."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, service.log.read_text()
        time.sleep(0.01)


def logged(service: Service, *words: str) -> bool:
    """Whether a line of the log has all of these."""
    return any(all(word in line for word in words) for line in service.log.read_text().splitlines())


# Witnesses


@dataclass
class Witness:
    """A client that orders certificates without pause, on one connection or on new ones, and notes what it meets."""

    client: Any
    connection: HTTPSConnection | None = None
    """The one connection."""
    answers: int = 0
    failure: BaseException | None = None
    """What ended the one connection, or the last new one that failed."""
    failures: int = 0
    stop: Event = field(default_factory=Event)

    def run(self) -> None:
        """Until it is stopped, or its one connection fails."""
        while not self.stop.is_set():
            try:
                self._order()
            except (AssertionError, OSError, HTTPException) as error:
                self.failure, self.failures = error, self.failures + 1
                if self.connection is not None:
                    return
            time.sleep(0.01)

    def _order(self) -> None:
        name = f"{uuid4().hex}.example"
        if self.connection is not None:
            self.client.sign(self.connection, name)
        else:
            with closing(self.client.connect()) as connection:
                self.client.sign(connection, name)
        self.answers += 1


@contextmanager
def witnessed(client: Any) -> Iterator[tuple[list[Witness], Witness]]:
    """Meanwhile a witness is connected to each of the two workers, and another connects again and again.

    Each has been served when this begins, and is served again, or has failed, before it ends.
    """
    with ExitStack() as stack:
        opened = [stack.enter_context(closing(connection)) for connection in client.connect_to_both(10)]
        pinned = [Witness(client, each) for each in {client.worker_of(each): each for each in opened}.values()]
        fresh = Witness(client)
        threads = [Thread(target=witness.run) for witness in (*pinned, fresh)]
        for thread in threads:
            thread.start()
        try:
            _all_are_served((*pinned, fresh))
            yield pinned, fresh
            _all_are_served((*pinned, fresh))
        finally:
            for witness in (*pinned, fresh):
                witness.stop.set()
            for thread in threads:
                thread.join()


def _all_are_served(witnesses: tuple[Witness, ...]) -> None:
    alive = [witness for witness in witnesses if witness.connection is None or not witness.failures]
    before = [(witness, witness.answers, witness.failures) for witness in alive]
    deadline = time.monotonic() + 30
    while any(witness.answers < answers + 3 and witness.failures == failures for witness, answers, failures in before):
        assert time.monotonic() < deadline, "a witness waits for an answer"
        time.sleep(0.01)


def most_memory(pid: int) -> int:
    """The most octets that the process has had in memory at one time."""
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


# A worker falls


def hang(service: Service, client: Any) -> None:
    with pytest.raises((OSError, HTTPException)), closing(client.connect()) as connection:
        client.sign(connection, "hang.example")


def die(service: Service, client: Any) -> None:
    with pytest.raises((OSError, HTTPException)), closing(client.connect()) as connection:
        client.sign(connection, "die.example")


def be_killed(service: Service, client: Any) -> None:
    os.kill(service.workers()[0], signal.SIGKILL)


@pytest.mark.parametrize("fall", [hang, die, be_killed])
@pytest.mark.usefixtures("stranger")
def test_a_worker_that_falls_takes_nobody_with_it(
    ca: TestCA, make_client: Any, recorded: Any, fall: Callable[[Service, Any], None]
) -> None:
    with served(ca) as service:
        client, before = make_client(service), set(service.workers())
        with witnessed(client) as (pinned, fresh):
            answers = [witness.answers for witness in pinned]
            fall(service, client)
            wait(service, lambda: logged(service, "a worker was replaced"))
        # One connection was that worker's; one more may have been on its way to it.
        assert sorted(witness.failures for witness in pinned) == [0, 1]
        assert fresh.failures <= 1
        for witness, count in zip(pinned, answers, strict=True):
            assert witness.failures or witness.answers > count + 10
        for witness in (*pinned, fresh):
            assert not isinstance(witness.failure, AssertionError | TimeoutError | ssl.SSLCertVerificationError)
        assert len(before & set(service.workers())) == 1
        found = recorded(ca)
        assert not {"hang.example", "die.example"} & set(found)
        assert logged(service, "stranger_policy.py") is (fall is hang)


# A siege


@pytest.fixture
def many_files() -> Iterator[None]:
    """This process may open as many files as it ever may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def idle_connections(service: Service, client: Any, number: int) -> Iterator[None]:
    """So many connections that say nothing, one in five after its handshake."""
    with ExitStack() as stack:
        for each in range(number):
            if each % 5:
                stack.enter_context(socket.create_connection(("127.0.0.1", service.port)))
            else:
                stack.enter_context(closing(client.connect()))
        yield


def send_300_mb_of_headers(client: Any) -> None:
    """They are sent, on as many connections as that takes."""
    block, sent = b"x: " + b"y" * 65_533 + b"\r\n", 0
    while sent < 300_000_000:
        with closing(client.connect()) as connection, suppress(OSError):
            connection.sock.sendall(b"POST /sign HTTP/1.1\r\n")
            while sent < 300_000_000:
                connection.sock.sendall(block)
                sent += len(block)


def reload_what_is_broken(service: Service) -> None:
    path = service.ca.directory / "ca.toml"
    good = path.read_text()
    for text in (good + "[[[", good.replace("jwk", "nonesuch"), ""):
        path.write_text(text)
        refused = service.log.read_text().count("was not reloaded") + 1
        service.process.send_signal(signal.SIGHUP)
        wait(service, lambda wanted=refused: service.log.read_text().count("was not reloaded") == wanted)  # type: ignore[misc]
    path.write_text(good)


@pytest.mark.usefixtures("many_files")
def test_nobody_is_refused_during_a_siege(service: Service, make_client: Any) -> None:
    client, workers = make_client(service), service.workers()
    with witnessed(client) as (pinned, fresh):
        before = [most_memory(pid) for pid in workers]
        with idle_connections(service, client, 1000):
            send_300_mb_of_headers(client)
            reload_what_is_broken(service)
        grown = [most_memory(pid) - size for pid, size in zip(workers, before, strict=True)]
    assert [witness.failure for witness in (*pinned, fresh)] == [None] * 3
    assert service.workers() == workers
    # A thousand connections cost a worker some 25 MB; 300 MB of headers cost it nothing.
    assert max(grown) < 100_000_000, grown


# Reload and stop


@pytest.fixture
def second(ca: TestCA) -> TestCA:
    """``ca``, as its second provisioner sees it, whose table ``ca.toml`` has at its end."""
    key = ec.generate_private_key(ec.SECP256R1())
    members = ", ".join(f'{name} = "{value}"' for name, value in public_jwk(key.public_key()).items())
    table = f'\n[[provisioners]]\ntype = "jwk"\nname = "second"\nkey = {{ {members} }}\n'
    path = ca.directory / "ca.toml"
    path.write_text(path.read_text() + table)
    return replace(ca, provisioner_key=key)


def test_a_removed_provisioner_grants_nothing_after_a_reload_has_finished(
    ca: TestCA, second: TestCA, make_client: Any
) -> None:
    def order() -> Any:
        return client.order("svc.example", second.token("svc.example", iss="second"))

    with served(ca) as service, ExitStack() as stack:
        client, workers = make_client(service), set(service.workers())
        opened = [stack.enter_context(closing(connection)) for connection in client.connect_to_both(30)]
        status, answer = client.ask(opened[0], "POST", "/sign", order())
        assert status == 201, answer
        begun = [client.hold_back(connection, "/sign", order()) for connection in opened[:20]]
        text = (ca.directory / "ca.toml").read_text()
        (ca.directory / "ca.toml").write_text(text[: text.rindex("[[provisioners]]")])
        with witnessed(client) as (_, fresh):
            service.process.send_signal(signal.SIGHUP)
            wait(service, lambda: logged(service, "serving", "generation=2"))
            for request in begun:
                request.let_go()
            assert {request.status() for request in begun} <= {201, 401}
            wait(service, lambda: logged(service, "reloaded", "generation=2"))
            assert not workers & set(service.workers())
            for connection in opened[20:]:
                with pytest.raises((OSError, HTTPException)):
                    client.ask(connection, "POST", "/sign", order())
            for _ in range(10):
                with closing(client.connect()) as connection:
                    assert client.ask(connection, "POST", "/sign", order())[0] == 401
            assert client.renewal_status(answer["crt"]) == 401
        assert fresh.failures == 0


@pytest.mark.usefixtures("stranger")
def test_whoever_was_being_served_when_the_service_stops_is_served(ca: TestCA, make_client: Any, recorded: Any) -> None:
    with served(ca) as service, ExitStack() as stack:
        client = make_client(service)
        opened = [stack.enter_context(closing(connection)) for connection in client.connect_to_both(20)]
        names = ["slow.example" if number % 2 else f"half-{number}.example" for number in range(20)]
        requests = [
            client.hold_back(connection, "/sign", client.order(name))
            for connection, name in zip(opened, names, strict=True)
        ]
        for request in requests[1::2]:
            request.let_go()
        time.sleep(0.3)  # they are in the policy now
        service.process.send_signal(signal.SIGTERM)
        wait(service, lambda: logged(service, "stopping"))
        time.sleep(0.3)
        for request in requests[::2]:
            request.let_go()
        assert [request.status() for request in requests] == [201] * 20
        assert service.process.wait(20) == 0
        with pytest.raises(ConnectionRefusedError):
            client.connect()
        assert {name: len(rows) for name, rows in recorded(ca).items() if name in names} == Counter(names)


def test_a_port_in_use_ends_the_start_with_one_line_and_harms_nobody(
    service: Service, make_client: Any, tmp_path: Path
) -> None:
    other = TestCA.found(tmp_path / "other", port=service.port)
    command = [sys.executable, "-m", "mica.cli", "ca", "serve", str(other.directory / "ca.toml")]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (run.returncode, run.stdout) == (1, "")
    (line,) = [line for line in run.stderr.splitlines() if not line.startswith(("error: ", "hint: "))]
    assert f"127.0.0.1:{service.port} is in use by another program; stop it or choose another address" in line
    with closing(make_client(service).connect()) as connection:
        assert make_client(service).sign(connection, "svc.example")


# The disk and the database


@pytest.fixture
def small_disk(ca: TestCA) -> Iterator[Path]:
    """The folder of the database is a file system of 24 MiB."""
    folder = ca.directory / "db"
    command = ["mount", "-t", "tmpfs", "-o", "size=24m,mode=700", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("only root can mount a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@dataclass
class Trial:
    """Orders that are sent while something is broken, and sent again once it is mended."""

    client: Any
    orders: list[dict[str, Any]] = field(init=False)
    answers: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.orders = [self.client.order(f"trial-{number}.example") for number in range(20)]

    def send(self) -> None:
        """At two workers; what is refused is refused with a sentence that tells nothing of the inside."""
        with ExitStack() as stack:
            opened = [stack.enter_context(closing(connection)) for connection in self.client.connect_to_both(20)]
            for connection, order in zip(opened, self.orders, strict=True):
                status, answer = self.client.ask(connection, "POST", "/sign", order)
                assert status in (201, 503), answer
                assert "mica.db" not in str(answer)
                self.answers.append(status)

    def verify(self, recorded: Any) -> None:
        """What was refused is not on record, its token works now; what was not, is, and its token does not."""
        ca: TestCA = self.client.ca
        found = recorded(ca)
        on_record = [len(found.get(f"trial-{number}.example", ())) for number in range(20)]
        assert on_record == [int(status == 201) for status in self.answers]
        with closing(self.client.connect()) as connection:
            again = [self.client.ask(connection, "POST", "/sign", order)[0] for order in self.orders]
        assert again == [401 if status == 201 else 201 for status in self.answers]
        found = recorded(ca)
        assert all(len(found[f"trial-{number}.example"]) == 1 for number in range(20))


def health(client: Any) -> int:
    with closing(client.connect()) as connection:
        return int(client.ask(connection, "GET", "/health")[0])


def test_a_full_disk_refuses_and_burns_nothing(ca: TestCA, small_disk: Path, make_client: Any, recorded: Any) -> None:
    with served(ca) as service:
        client, ballast = make_client(service), small_disk / "ballast"
        assert health(client) == 200
        trial = Trial(client)
        ballast.write_bytes(bytes(shutil.disk_usage(small_disk).free))
        trial.send()
        assert trial.answers[-1] == 503
        wait(service, lambda: health(client) == 503)  # it is asked once a second
        with closing(client.connect()) as connection:
            assert client.ask(connection, "GET", "/provisioners")[0] == 200
        ballast.unlink()
        trial.verify(recorded)
        wait(service, lambda: health(client) == 200)
        assert logged(service, "does not fit on its disk", "free some space")
        assert "Traceback" not in service.log.read_text()


def test_a_file_that_may_not_grow_refuses_and_burns_nothing(service: Service, make_client: Any, recorded: Any) -> None:
    client, log = make_client(service), service.ca.directory / "db/mica.db-wal"
    trial, limits = Trial(client), {pid: resource.prlimit(pid, resource.RLIMIT_FSIZE) for pid in service.workers()}
    for pid, (_, hard) in limits.items():
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (log.stat().st_size + 5000, hard))
    trial.send()
    assert trial.answers[-1] == 503
    for pid, limit in limits.items():
        resource.prlimit(pid, resource.RLIMIT_FSIZE, limit)
    trial.verify(recorded)
    assert set(service.workers()) == set(limits)


@contextmanager
def locked(ca: TestCA) -> Iterator[None]:
    """Another process has the database for itself, meanwhile."""
    program = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=20)
database.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
database.execute("COMMIT")
"""
    command = [sys.executable, "-c", program, str(ca.directory / "db/mica.db")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        assert process.stdout.readline() == b"locked\n"
        yield
        process.stdin.close()
        assert process.wait(20) == 0


def test_requests_wait_for_a_database_that_is_locked_for_two_seconds(
    service: Service, make_client: Any, recorded: Any
) -> None:
    client = make_client(service)
    with ExitStack() as stack:
        opened = [stack.enter_context(closing(connection)) for connection in client.connect_to_both(20)]
        names = [f"waits-{number}.example" for number in range(10)]
        orders = [
            client.hold_back(each, "/sign", client.order(name)) for each, name in zip(opened, names, strict=False)
        ]
        with locked(service.ca):
            for order in orders:
                order.let_go()
            end = time.monotonic() + 2
            while time.monotonic() < end:  # no worker stands still meanwhile
                assert {client.ask(each, "GET", "/provisioners")[0] for each in opened[10:]} == {200}
        assert [order.status() for order in orders] == [201] * 10
    found = recorded(service.ca)
    assert [len(found[name]) for name in names] == [1] * 10


def test_requests_are_refused_by_a_database_that_stays_locked(ca: TestCA, make_client: Any, recorded: Any) -> None:
    edit(ca, 'path = "db/mica.db"', 'path = "db/mica.db"\nbusy_timeout = "100ms"')
    with served(ca) as service:
        client = make_client(service)
        trial = Trial(client)
        with locked(ca):
            trial.send()
            wait(service, lambda: health(client) == 503)
        assert trial.answers == [503] * 20
        trial.verify(recorded)
        wait(service, lambda: health(client) == 200)
        assert logged(service, "is locked by another process", "end the program that holds it")
