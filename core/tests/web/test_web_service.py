"""The service stays up: workers that die, hang or cannot start, reloads that fail, a supervisor that is killed."""

import concurrent.futures
import contextlib
import http.client
import os
import resource
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

QUICK = {"first_delay": 0.1, "stall": 4}


@pytest.fixture(scope="module")
def service(launch: Any, make_folder: Any) -> Iterator[Any]:
    running = launch(make_folder(plugins=("stranger",)), **QUICK).started()
    yield running
    assert running.stop() == 0


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists() and " Z " not in Path(f"/proc/{pid}/stat").read_text()


def replaced(service: Any, before: set[int], gone: int = 1) -> set[int]:
    """The workers, once ``gone`` of those before have new ones in their places that are ready."""
    service.wait(lambda: len(service.workers() - before) == gone and len(service.workers()) == len(before))
    service.wait(lambda: len(service.lines("a worker was replaced")) >= gone)
    workers: set[int] = service.workers()
    return workers


@contextlib.contextmanager
def others_are_served(service: Any, *, lost: int, patience: float = 30) -> Iterator[None]:
    """Meanwhile, requests on new connections are answered, but for those ``lost`` that met the worker as it fell."""
    failures: list[Exception] = []
    answers: list[int] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            try:
                answers.append(service.ask("GET", "/health", timeout=patience).status)
            except (OSError, http.client.HTTPException) as error:
                failures.append(error)
            time.sleep(0.005)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        service.wait(lambda: len(answers) > 20)
        before = len(answers)
        yield
        meanwhile = len(answers) - before
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert meanwhile > 0 and set(answers) == {200}
    assert len(failures) <= lost, failures


def test_there_are_as_many_workers_as_asked_for(service: Any) -> None:
    assert len(service.workers()) == 2


def test_connections_opened_together_are_shared_among_workers(service: Any) -> None:
    def sockets(pid: int) -> int:
        return sum(os.readlink(entry).startswith("socket") for entry in Path(f"/proc/{pid}/fd").iterdir())

    before = {pid: sockets(pid) for pid in service.workers()}
    with contextlib.ExitStack() as stack:
        plain = [stack.enter_context(socket.create_connection(("127.0.0.1", service.port))) for _ in range(32)]
        for connection in plain:
            stack.enter_context(service.context().wrap_socket(connection, server_hostname="localhost"))
        taken = [sockets(pid) - before[pid] for pid in before]
    assert sum(taken) == 32 and min(taken) >= 4


def test_a_killed_worker_is_replaced_while_the_other_serves(service: Any) -> None:
    before = service.workers()
    with others_are_served(service, lost=4):
        os.kill(min(before), signal.SIGKILL)
        replaced(service, before)
    assert any(line["reason"] == "ended by SIGKILL" for line in service.lines("a worker ended"))


def test_a_worker_that_a_plugin_ends_is_replaced(service: Any) -> None:
    before = service.workers()
    with pytest.raises(OSError):
        service.ask("POST", "/sign", service.folder.request("die.example"))
    replaced(service, before)
    assert any(line["reason"] == "exit status 9" for line in service.lines("a worker ended"))


def test_a_worker_that_a_plugin_holds_up_is_ended_and_its_stack_names_the_plugin(service: Any) -> None:
    before = service.workers()
    with others_are_served(service, lost=8, patience=1), pytest.raises(OSError):
        service.ask("POST", "/sign", service.folder.request("hang.example"))
    replaced(service, before)
    assert any("stood still" in line["reason"] for line in service.lines("a worker ended"))
    assert any("stranger_policy.py" in line.get("raw", "") for line in service.lines())


def test_a_worker_does_not_dump_core_and_is_closed_to_others(service: Any) -> None:
    for pid in (*service.workers(), service.process.pid):
        assert resource.prlimit(pid, resource.RLIMIT_CORE) == (0, 0)
    status = subprocess.run(
        ["setpriv", "--reuid=65534", "--clear-groups", "cat", f"/proc/{min(service.workers())}/environ"],
        capture_output=True,
        check=False,
    )
    assert status.returncode != 0 and b"ermission denied" in status.stderr


def test_no_secret_is_in_the_process_list(service: Any) -> None:
    for pid in service.workers():
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        assert words[1:4] == [b"-P", b"-m", b"mica.web.worker"] and all(word.isdigit() for word in words[4:6])


# Reload


def reload(service: Any) -> None:
    service.process.send_signal(signal.SIGHUP)


def provisioners(service: Any) -> set[str]:
    return {entry["name"] for entry in service.ask("GET", "/provisioners").json["provisioners"]}


def test_a_reload_brings_and_takes_provisioners_without_losing_a_request(service: Any) -> None:
    before = service.workers()
    service.folder.configure("admin", "second")
    try:
        with others_are_served(service, lost=0):
            reload(service)
            service.wait(lambda: [line for line in service.lines("serving") if line["generation"] == 2])
            service.wait(lambda: len(service.workers()) == 2 and not service.workers() & before)
        assert provisioners(service) == {"admin", "second"}
    finally:
        service.folder.configure("admin")
    reload(service)
    service.wait(lambda: [line for line in service.lines("serving") if line["generation"] == 3])
    service.wait(lambda: len(service.workers()) == 2)
    assert provisioners(service) == {"admin"}
    second = service.folder.request("svc.example", ott=service.folder.token("svc.example", provisioner="second"))
    assert service.ask("POST", "/sign", second).status == 401


BROKEN = {
    "not TOML": ("[[[", "is not TOML"),
    "an unknown member": ("klm = 1\n", "klm"),
    "an unknown plugin": ('plugins = ["nonesuch"]\n', "nonesuch"),
    "another address": ('address = "127.0.0.1:1"\n', "address has changed, which needs a restart"),
    "another store": (
        '[store]\ntype = "storage_sqlite"\npath = "db/other.db"\n',
        "store has changed, which needs a restart",
    ),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_reload_that_fails_changes_nothing_and_says_why(service: Any, fault: str) -> None:
    text, reason = BROKEN[fault]
    good = service.folder.config.read_text()
    key = text.partition(" = ")[0]
    lines = [line for line in good.splitlines(keepends=True) if not line.startswith(f"{key} = ")]
    changed = text + "".join(lines)
    if fault == "another store":
        changed = good.replace("db/mica.db", "db/other.db")
    before, refusals = service.workers(), len(service.lines())
    service.folder.config.write_text(changed)
    try:
        reload(service)
        refused = "the configuration was not reloaded; what was served before still is"
        service.wait(lambda: [line for line in service.lines()[refusals:] if line["message"] == refused])
    finally:
        service.folder.config.write_text(good)
    assert any(reason in line["message"] for line in service.lines()[refusals:]), service.lines()[refusals:]
    service.wait(lambda: service.workers() == before)
    assert service.ask("POST", "/sign", service.folder.request("svc.example")).status == 201


def test_a_worker_that_is_replaced_sees_its_generation_not_the_disk(service: Any) -> None:
    good, before = service.folder.config.read_text(), service.workers()
    service.folder.config.write_text("[[[")
    try:
        count = len(service.lines("a worker was replaced"))
        os.kill(max(before), signal.SIGKILL)
        service.wait(lambda: len(service.lines("a worker was replaced")) > count)
        assert service.ask("POST", "/sign", service.folder.request("svc.example")).status == 201
    finally:
        service.folder.config.write_text(good)


# Stop


def test_a_stop_lets_requests_finish(launch: Any, make_folder: Any) -> None:
    service = launch(make_folder(plugins=("stranger",)), workers=1).started()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        slow = pool.submit(service.ask, "POST", "/sign", service.folder.request("slow.example"))
        time.sleep(0.5)
        service.process.send_signal(signal.SIGTERM)
        assert slow.result().status == 201
    assert service.process.wait(10) == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", service.port))


def test_an_idle_connection_does_not_hold_up_a_stop(launch: Any, make_folder: Any) -> None:
    service = launch(make_folder(), workers=1).started()
    plain = socket.create_connection(("127.0.0.1", service.port))
    with service.context().wrap_socket(plain, server_hostname="localhost") as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
        began = time.monotonic()
        service.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(OSError, ssl.SSLError):
            while connection.recv(1000):
                pass
    assert service.process.wait(10) == 0
    assert time.monotonic() - began < 5


def test_a_second_signal_does_not_wait(launch: Any, make_folder: Any) -> None:
    service = launch(make_folder(plugins=("stranger",)), workers=1).started()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        slow = pool.submit(service.ask, "POST", "/sign", service.folder.request("hang.example"))
        time.sleep(0.5)
        service.process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        service.process.send_signal(signal.SIGINT)
        assert service.process.wait(5) == 0
        assert isinstance(slow.exception(), OSError)


def test_workers_end_with_a_supervisor_that_is_killed(launch: Any, make_folder: Any) -> None:
    service = launch(make_folder()).started()
    workers = service.workers()
    service.process.kill()
    service.process.wait()
    service.wait(lambda: not any(map(alive, workers)), 10)


# Start


def refused_start(service: Any) -> list[str]:
    assert service.process.wait(30) == 1
    messages = [line["message"] for line in service.lines()]
    assert "Traceback" not in service.log.read_text()
    return messages


def test_every_fault_of_the_configuration_ends_the_start(launch: Any, make_folder: Any) -> None:
    folder = make_folder(plugins=("nonesuch",))
    folder.config.write_text("klm = 1\n" + folder.config.read_text().replace("https://", "http://"))
    messages = refused_start(launch(folder))
    for word in ("klm", "nonesuch", "url: "):
        assert sum(word in message for message in messages) == 1, messages


def test_a_missing_configuration_ends_the_start(launch: Any, make_folder: Any) -> None:
    folder = make_folder()
    folder.config.unlink()
    (message,) = refused_start(launch(folder))
    assert str(folder.config) in message and "cannot be read" in message


def test_an_address_in_use_ends_the_start(launch: Any, make_folder: Any) -> None:
    folder = make_folder()
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        folder.config.write_text(folder.config.read_text().replace("127.0.0.1:0", address))
        (message,) = refused_start(launch(folder))
    assert message == f"address: {address} is in use by another program; stop it or choose another address"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import os; os._exit(7)", "exit status 7"),
        ("raise RuntimeError('broken')", "broken"),
        ("import sys; sys.exit('no')", ""),
        ("import time; time.sleep(600)", "not ready after 3 s"),
        ("def refuse_x509(request, tbs, grant): pass", "refuse_x509"),
    ],
)
def test_a_plugin_that_cannot_be_loaded_ends_the_start(
    launch: Any, make_folder: Any, stranger: Path, code: str, reason: str
) -> None:
    info = stranger / "broken-1.0.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[mica]\nbroken = broken_plugin\n")
    (stranger / "broken_plugin.py").write_text(code + "\n")
    for compiled in (stranger / "__pycache__").glob("broken_plugin*"):
        compiled.unlink()
    service = launch(make_folder(plugins=("broken",)), start=3)
    assert service.process.wait(30) == 1
    assert reason in service.log.read_text()
    assert len(service.lines()) - len([line for line in service.lines() if "raw" in line]) == 1


def test_a_store_that_cannot_be_opened_ends_the_start(launch: Any, make_folder: Any) -> None:
    folder = make_folder()
    (folder.path / "db").rmdir()
    (folder.path / "db").write_text("a file where a folder should be")
    messages = refused_start(launch(folder))
    assert len(messages) == 1 and "db" in messages[0]


@pytest.mark.parametrize(
    ("address", "hosts"),
    [
        (":0", ("127.0.0.1", "::1")),
        ("[::1]:0", ("::1",)),
        ("localhost:0", sorted({place[4][0] for place in socket.getaddrinfo("localhost", None)})),
    ],
)
def test_ipv4_and_ipv6_are_served(launch: Any, make_folder: Any, address: str, hosts: tuple[str, ...]) -> None:
    folder = make_folder()
    folder.config.write_text(folder.config.read_text().replace("127.0.0.1:0", address))
    service = launch(folder, workers=1).started()
    assert len(service.lines("serving")[0]["addresses"]) == len(hosts)
    for host in hosts:
        command = ["openssl", "s_client", "-connect", f"[{host}]:{service.port}", "-CAfile", str(folder.root)]
        run = subprocess.run(command, input=b"", capture_output=True, check=False)
        assert b"Verify return code: 0 (ok)" in run.stdout
    assert service.stop() == 0


def test_a_module_in_the_current_directory_is_not_imported(launch: Any, make_folder: Any, tmp_path: Path) -> None:
    (tmp_path / "uvloop.py").write_text("raise SystemExit('imported from the current directory')\n")
    here = Path.cwd()
    os.chdir(tmp_path)
    try:
        service = launch(make_folder(), workers=1).started()
    finally:
        os.chdir(here)
    assert service.stop() == 0


def test_systemd_is_told(launch: Any, make_folder: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(20)
        service = launch(make_folder(), workers=1, notify=str(tmp_path / "notify"))
        assert manager.recv(1000).startswith(b"READY=1\nSTATUS=serving https://localhost")
        reload(service)
        assert manager.recv(1000).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
        assert manager.recv(1000).startswith(b"READY=1")
        service.process.send_signal(signal.SIGTERM)
        assert manager.recv(1000) == b"STOPPING=1"
        assert service.process.wait(10) == 0
