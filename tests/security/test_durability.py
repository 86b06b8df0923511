"""What a client was told is on record, whatever becomes of the processes: they are killed at any moment."""

import base64
import os
import random
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPSConnection
from pathlib import Path
from threading import Event, Thread
from typing import Any
from uuid import uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from tests.security.bearers import Strangers, strangers

from mica.client import sshpoptoken
from mica.clock import system_clock
from mica.keyfiles import generate
from mica.records import Found
from mica.sshcert import SSHCertificate
from mica.sshkeys import SSHPublicKey
from mica.testing.ca import TestCA
from mica.testing.line_crowd import kill
from mica.testing.service import free_port, served

ROUNDS = 12
#: So many clients order and revoke, and one more renews and revokes with its certificates.
CLIENTS = 4
SSH_KEY = generate("EC-P256")
PUBLIC_KEY = base64.b64encode(SSHPublicKey.of(SSH_KEY.public_key()).blob).decode()


@pytest.fixture
def ca(tmp_path: Path) -> TestCA:
    """A CA with SSH."""
    return TestCA.found(tmp_path / "ca", port=free_port(), ssh=True)


@pytest.fixture
def others(ca: TestCA, tmp_path: Path) -> Iterator[Strangers]:
    """Those who come to ``ca`` with a certificate or with a login."""
    (tmp_path / "provider").mkdir()
    with strangers(ca, tmp_path / "provider") as found:
        yield found


@dataclass
class Load:
    """Clients at work on one service until it falls, and what they know then.

    A list is appended to by one operation at a time, before or after it is asked for, so that at the end it tells
    what had been answered and what had not.
    """

    client: Any
    others: Strangers
    orders: list[tuple[str, str]] = field(default_factory=list)
    """Name and token of every order that was sent."""
    received: dict[str, str] = field(default_factory=dict)
    """By name: the certificates that arrived."""
    revocations: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """Certificate and request of every revocation by token that was sent."""
    revoked: list[str] = field(default_factory=list)
    """The certificates whose revocation was acknowledged."""
    renewed: list[str] = field(default_factory=list)
    """The certificates that arrived in answer to a renewal."""
    accounts: list[tuple[str, str]] = field(default_factory=list)
    """Account and token of every order of a user's SSH certificate, and of the one that makes the account."""
    pairs: dict[str, tuple[bytes, bytes]] = field(default_factory=dict)
    """By account: the SSH certificates that arrived, which belong together."""
    continued: list[SSHCertificate] = field(default_factory=list)
    """The hosts' certificates that arrived in answer to a renewal."""
    ended: list[SSHCertificate] = field(default_factory=list)
    """The hosts' certificates whose revocation was acknowledged."""
    surprises: list[Exception] = field(default_factory=list)
    """What met a client otherwise than that the connection broke."""

    def has_strangers(self) -> bool:
        """Whether a certificate arrived that was ordered with a login, and before it one with a certificate's key."""
        return any("@" in name for name in list(self.received))

    @contextmanager
    def running(self) -> Iterator[None]:
        """The clients work; at the end, when the service has fallen, they have stopped."""
        stop = Event()
        work = [*[self._order_and_revoke] * CLIENTS, self._renew_and_revoke, self._order_ssh, self._renew_ssh]
        work.append(self._order_as_strangers)
        threads = [Thread(target=self._until_it_falls, args=(each, stop)) for each in work]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join()

    def _until_it_falls(self, work: Callable[[Event], None], stop: Event) -> None:
        try:
            work(stop)
        except (OSError, HTTPException):
            pass
        except Exception as error:
            self.surprises.append(error)

    def _order_and_revoke(self, stop: Event) -> None:
        with closing(self.client.connect()) as connection:
            while not stop.is_set():
                certificate = self._order(connection)
                if random.random() < 0.5:
                    body = self.client.revocation(certificate)
                    self.revocations.append((certificate, body))
                    self._acknowledge(self.client.ask(connection, "POST", "/revoke", body), certificate)

    def _order_as_strangers(self, stop: Event) -> None:
        """With a certificate's key, and with a login, whose certificate has the address of whoever logged in."""
        ca = self.client.ca
        with closing(self.client.connect()) as connection:
            while not stop.is_set():
                name, email = f"{uuid4().hex}.example", f"{uuid4().hex}@harbour.example"
                self._order(connection, name, self.others.edge.token(ca, name))
                self._order(connection, email, self.others.login(ca, email=email))

    def _renew_and_revoke(self, stop: Event) -> None:
        with closing(self.client.connect()) as connection:
            certificate = self._order(connection)
        while not stop.is_set():
            with closing(self.client.connect(certificate)) as connection:
                status, answer = self.client.ask(connection, "POST", "/renew")
                assert status == 201, answer
                self.renewed.append(answer["crt"])
                body = self.client.revocation(certificate, by_token=False)
                self._acknowledge(self.client.ask(connection, "POST", "/revoke", body), certificate)
            certificate = answer["crt"]

    def _order_ssh(self, stop: Event) -> None:
        with closing(self.client.connect()) as connection:
            while not stop.is_set():
                account = f"u{uuid4().hex[:20]}"
                token = self.client.ca.ssh_token(account, "user", [account])
                self.accounts.append((account, token))
                answer = self._ask(connection, "/ssh/sign", account_order(token))
                self.pairs[account] = base64.b64decode(answer["crt"]), base64.b64decode(answer["addUserCrt"])

    def _renew_ssh(self, stop: Event) -> None:
        with closing(self.client.connect()) as connection:
            name = f"{uuid4().hex}.example"
            token = self.client.ca.ssh_token(name, "host", [name])
            certificate = decoded(self._ask(connection, "/ssh/sign", {"publicKey": PUBLIC_KEY, "ott": token}))
            while not stop.is_set():
                old, body = certificate, {"ott": held(self.client.ca, certificate, "/ssh/renew")}
                certificate = decoded(self._ask(connection, "/ssh/renew", body))
                self.continued.append(certificate)
                ending = {
                    "serial": str(old.tbs.serial),
                    "passive": True,
                    "ott": held(self.client.ca, old, "/ssh/revoke"),
                }
                assert self._ask(connection, "/ssh/revoke", ending) == {"status": "ok"}
                self.ended.append(old)

    def _ask(self, connection: HTTPSConnection, path: str, body: dict[str, Any]) -> Any:
        status, answer = self.client.ask(connection, "POST", path, body)
        assert status in (200, 201), answer
        return answer

    def _order(self, connection: HTTPSConnection, name: str = "", token: str = "") -> str:
        name = name or f"{uuid4().hex}.example"
        token = token or self.client.ca.token(name)
        self.orders.append((name, token))
        self.received[name] = certificate = str(self.client.sign(connection, name, token))
        return certificate

    def _acknowledge(self, answer: tuple[int, Any], certificate: str) -> None:
        assert answer == (200, {"status": "ok"})
        self.revoked.append(certificate)


def account_order(token: str) -> dict[str, Any]:
    """The body of an order of two SSH certificates, a user's and the one that makes the account."""
    return {"publicKey": PUBLIC_KEY, "addUserPublicKey": PUBLIC_KEY, "ott": token}


def decoded(answer: Any) -> SSHCertificate:
    """The SSH certificate in an answer."""
    return SSHCertificate.decode(base64.b64decode(answer["crt"]))


def held(ca: TestCA, certificate: SSHCertificate, path: str) -> str:
    """A token by which the holder of an SSH certificate orders what is done at ``path``."""
    serial = str(certificate.tbs.serial)
    return sshpoptoken.make(f"{ca.url}/1.0{path}", "sshpop", certificate, SSH_KEY, serial, system_clock())


def der(pem: str) -> bytes:
    return x509.load_pem_x509_certificate(pem.encode()).public_bytes(Encoding.DER)


def use_up(client: Any, load: Load) -> None:
    """Every token of ``load`` is shown again: it works where it had not, and never where it had."""
    with closing(client.connect()) as connection:
        for name, token in load.orders:
            status, answer = client.ask(connection, "POST", "/sign", client.order(name, token))
            assert status == 401 if name in load.received else status in (201, 401), answer
        for certificate, body in load.revocations:
            status, answer = client.ask(connection, "POST", "/revoke", body)
            assert status == 401 if certificate in load.revoked else status in (200, 401), answer
        for account, token in load.accounts:
            status, answer = client.ask(connection, "POST", "/ssh/sign", account_order(token))
            assert status == 401 if account in load.pairs else status in (201, 401), answer
        for ended in load.ended[-5:]:
            body = {"ott": held(client.ca, ended, "/ssh/renew")}
            assert client.ask(connection, "POST", "/ssh/renew", body)[0] == 401


def is_true(load: Load, found: dict[str, list[Found]]) -> None:
    """After ``use_up``, the record agrees with all that the clients of ``load`` were told."""
    everything = {row.issuance.certificate: row for rows in found.values() for row in rows}
    for name, _ in load.orders:
        # One whose answer was lost either was on record by then, or was not and its token still worked.
        originals = [row.issuance for row in found.get(name, ()) if row.issuance.replaces is None]
        assert len(originals) == 1, f"{len(originals)} certificates for one token"
        assert name not in load.received or originals[0].certificate == der(load.received[name])
    for pem in load.renewed:
        assert everything[der(pem)].issuance.replaces is not None
    for pem in [*load.revoked, *(certificate for certificate, _ in load.revocations)]:
        assert everything[der(pem)].revocation is not None
    makers = Counter(row.issuance.subject for row in found.get("provisioner", ()))
    for account, _ in load.accounts:
        # Two certificates for one token, or none: never one without the other.
        assert (len(found.get(account, ())), makers[f"{account}-provisioner"]) == (1, 1)
    for blob in [blob for pair in load.pairs.values() for blob in pair]:
        assert blob in everything
    assert all(everything[each.blob].issuance.replaces is not None for each in load.continued)
    assert all(everything[each.blob].revocation is not None for each in load.ended)


def verify(client: Any, before: Load, recorded: Any) -> None:
    """What the clients were told before the fall holds after it."""
    use_up(client, before)
    is_true(before, recorded(client.ca))
    assert all(client.renewal_status(certificate) == 401 for certificate in before.revoked[-5:])


def wait_for(load: Load) -> None:
    """Certificates have arrived, renewed ones too, and revocations were acknowledged."""
    deadline = time.monotonic() + 20
    while not (load.received and load.revoked and load.renewed and load.pairs and load.ended and load.has_strangers()):
        assert time.monotonic() < deadline and not load.surprises, load.surprises
        time.sleep(0.001)


def test_whatever_was_answered_before_kill_9_under_load_holds_after_it(
    ca: TestCA, others: Strangers, make_client: Any, recorded: Any
) -> None:
    moments, load = random.Random(20), Load(None, others)
    loads = []
    for _ in range(ROUNDS):
        ca.clock.moment = system_clock()
        with served(ca) as service:
            client = make_client(service)
            verify(client, load, recorded)
            load = Load(client, others)
            with load.running():
                wait_for(load)
                time.sleep(moments.uniform(0, 0.3))
                kill(service)
        assert not load.surprises
        assert "please report" not in service.log.read_text()
        loads.append(load)
    with served(ca) as service:
        client = make_client(service)
        verify(client, load, recorded)
        found = recorded(ca)
        with closing(client.connect()) as connection:
            for load in loads:
                is_true(load, found)
                assert client.ask(connection, "POST", "/sign", client.order(*load.orders[0]))[0] == 401
    assert sum(len(load.received) + len(load.revoked) for load in loads) > 20 * ROUNDS, "there was hardly any load"


# On disk before it is said


CALLS = "fdatasync,fsync,pwrite64,write,writev,sendto,sendmsg"


def events(trace: str) -> str:
    """What strace saw, in order: w, the database is written to; b and e, a wait for the disk begins and ends;
    a, octets of an answer are handed to the kernel."""
    seen = ""
    for line in trace.splitlines():
        call = re.match(r"\d+ +(?:<\.\.\. )?(\w+)(?:\(\d+<(TCP:)?([^>]*)| resumed)", line)
        if call is None:  # a signal, or the end of a thread
            continue
        if call[1] in ("fdatasync", "fsync"):
            seen += "b" * ("resumed>" not in line) + "e" * line.endswith("= 0")
        elif call[2]:
            seen += "a"
        elif "mica.db" in (call[3] or ""):
            seen += "w"
    return seen


@contextmanager
def traced(strace: str, pid: int, output: Path) -> Iterator[None]:
    """The calls of all threads of ``pid`` that write or wait for the disk are listed in ``output``."""
    command = [strace, "--follow-forks", "-yy", "-e", f"trace={CALLS}", "-o", str(output), "-p", str(pid)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    assert process.stderr is not None
    with process.stderr:
        attached = process.stderr.readline()
        try:
            if b"attached" not in attached:
                unable = pytest.fail if os.environ.get("MICA_REQUIRE_ALL") else pytest.skip
                unable(f"strace may not attach: {attached.decode().strip()}")
            yield
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(20)


def test_the_disk_has_it_before_the_client_is_told(
    ca: TestCA, make_client: Any, tool: Callable[[str], str], tmp_path: Path
) -> None:
    strace, output = tool("strace"), tmp_path / "trace"
    with served(ca, workers=1) as service, closing(make_client(service).connect()) as plain:
        client = make_client(service)
        certificate = client.sign(plain, "svc.example")
        order = {"publicKey": PUBLIC_KEY, "ott": ca.ssh_token("web.example", "host", ["web.example"])}
        host = decoded(client.ask(plain, "POST", "/ssh/sign", order)[1])
        ending = {"serial": str(host.tbs.serial), "passive": True}
        with closing(client.connect(certificate)) as identified:
            client.ask(identified, "GET", "/health")
            asked = [
                (plain, "POST", "/sign", client.order("other.example")),
                (identified, "POST", "/renew", None),
                (plain, "POST", "/revoke", client.revocation(certificate)),
                (plain, "POST", "/ssh/sign", account_order(ca.ssh_token("alice", "user", ["alice"]))),
                (plain, "POST", "/ssh/renew", {"ott": held(ca, host, "/ssh/renew")}),
                (plain, "POST", "/ssh/revoke", ending | {"ott": held(ca, host, "/ssh/revoke")}),
            ]
            with traced(strace, service.workers()[0], output):
                for request in asked:
                    assert client.ask(*request)[0] in (200, 201)
    assert re.fullmatch("(w+bea+){6}", events(output.read_text())), output.read_text()
