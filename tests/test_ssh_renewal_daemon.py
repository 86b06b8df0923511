"""An SSH host that keeps itself certified: a real daemon, a real sshd, a CA that goes away, certificates of seconds."""

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.daemons import LINE, CAHost, Daemon, started

from mica.clock import system_clock
from mica.sshcert import CertType, SSHCertificate, TBSSSHCertificate
from mica.sshkeys import KeyLine
from mica.testing.ca import TestCA
from mica.testing.service import free_port
from mica.testing.sshd import HOST, HostFiles, Sshd, account, find, trust_hosts

KEY, CERTIFICATE = "ssh_host_key", "ssh_host_key-cert.pub"
#: A second provisioner that renews: a daemon asks nobody which.
MORE = """
[[provisioners]]
type = "sshpop"
name = "another"
claims = {enable_ssh_ca = true}

[claims]
min_host_ssh_cert_duration = "1s"
"""
_RELOADING = re.compile(r"Connection (refused|reset|closed)")


@dataclass
class Outfit:
    """A CA, and the folder of an SSH host that is its client."""

    host: CAHost
    folder: Path

    @property
    def ca(self) -> TestCA:
        return self.host.ca

    def command(self, *arguments: str) -> list[str]:
        root = str(self.ca.directory / "certs/root_ca.crt")
        first, *others = arguments
        return [sys.executable, "-m", "mica.cli", "ssh", first, "--ca-url", self.ca.url, "--root", root, *others]

    def mica(self, *arguments: str) -> None:
        done = subprocess.run(
            self.command(*arguments), cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    def certify(self, lasts: str = "60s", *arguments: str) -> None:
        """The host has a new key, and a certificate for so long."""
        self.ca.clock.moment = system_clock()
        token = self.ca.ssh_token(HOST, "host", [HOST])
        protection = arguments or ("--no-password", "--insecure")
        self.mica(
            "certificate", "--host", HOST, KEY, "--token", token, "--not-after", lasts, "--force", "--kty", "OKP",
            *protection,
        )  # fmt: skip

    def certify_user(self) -> Path:
        """The key of somebody who may log in, and its certificate beside it."""
        self.ca.clock.moment = system_clock()
        token = self.ca.ssh_token("alice", "user", [account()])
        self.mica("certificate", "alice", "id", "--token", token, "--no-agent", "--no-password", "--insecure")
        return self.folder / "id"

    def read(self) -> TBSSSHCertificate:
        return SSHCertificate.decode(KeyLine.parse((self.folder / CERTIFICATE).read_text()).blob).tbs

    @contextmanager
    def daemon(self, *arguments: str, verb: str = "renew") -> Iterator[Daemon]:
        """``mica ssh renew --daemon``; it has planned its first renewal, or ended."""
        command = self.command(verb, "--daemon", "--max-backoff", "1s", CERTIFICATE, KEY, *arguments)
        with started(command, self.folder) as daemon:
            yield daemon


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CAHost]:
    """A CA without backdate, which signs host certificates of seconds."""
    ca = TestCA.found(tmp_path_factory.mktemp("ca"), port=free_port(), more=MORE, ssh=True)
    settings = ca.directory / "ca.toml"
    settings.write_text(settings.read_text().replace('type = "sshsigner"', 'type = "sshsigner"\nbackdate = "0s"'))
    made = CAHost(ca)
    with made.running:
        made.come()
        yield made


@pytest.fixture
def outfit(host: CAHost, tmp_path: Path) -> Outfit:
    """The CA is there, and the host has a certificate that lasts a minute."""
    made = Outfit(host, tmp_path)
    made.certify()
    return made


def fits(folder: Path, password: str = "") -> bool:
    """Whether ssh-keygen finds one key in the three files."""

    def shown(*arguments: str) -> list[str]:
        done = subprocess.run([find("ssh-keygen"), *arguments], cwd=folder, capture_output=True, text=True, check=True)
        return done.stdout.split()

    public = (folder / f"{KEY}.pub").read_text().split()
    fingerprints = {shown("-l", "-f", name)[1] for name in (f"{KEY}.pub", CERTIFICATE)}
    return shown("-y", "-P", password, "-f", KEY)[:2] == public[:2] and len(fingerprints) == 1


def test_it_renews_by_itself_and_says_nothing_but_what_the_log_is_for(outfit: Outfit) -> None:
    outfit.certify("6s")
    before = outfit.read()
    with outfit.daemon("--", "sh", "-c", "echo told >>told") as daemon:
        daemon.wait_for(f"{HOST} certificate renewed, next in", 2)
        daemon.wait_until(lambda: (outfit.folder / "told").read_text().count("told") == 2)
        daemon.end()
    after = outfit.read()
    assert after.serial != before.serial
    assert (after.public_key, after.valid_principals) == (before.public_key, before.valid_principals)
    assert [line for line in daemon.text.splitlines() if not LINE.match(line)] == []


def test_its_log_can_be_json_and_a_provisioner_be_named(outfit: Outfit) -> None:
    with outfit.daemon("--json", "--provisioner", "another") as daemon:
        daemon.renew_now()
        daemon.wait_for("certificate renewed")
        daemon.end()
    first, second, last = (json.loads(line) for line in daemon.text.splitlines())
    assert first["message"].startswith("first renewal in ")
    assert second["message"].startswith(f"{HOST} certificate renewed")
    assert last["message"] == "stopped"


def test_a_revoked_certificate_ends_it(outfit: Outfit) -> None:
    with outfit.daemon() as daemon:
        outfit.mica("revoke", "--provisioner", "sshpop", "--sshpop-cert", CERTIFICATE, "--sshpop-key", KEY)
        daemon.renew_now()
        assert daemon.process.wait(20) == 4
    assert "error: the CA refused" in daemon.text
    assert "may be revoked" in daemon.text


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("-n", "alice", "-V", "-1m:+1h"), "is a user's certificate"),
        (("-h", "-n", HOST, "-V", "always:forever"), "has no end, and needs no renewal"),
    ],
)
def test_what_is_never_renewed_is_said_at_the_start(outfit: Outfit, options: tuple[str, ...], said: str) -> None:
    keygen = [find("ssh-keygen"), "-q"]
    subprocess.run([*keygen, "-t", "ed25519", "-N", "", "-f", outfit.folder / "ca"], check=True)
    subprocess.run([*keygen, "-s", "ca", "-I", "x", *options, f"{KEY}.pub"], cwd=outfit.folder, check=True)
    with outfit.daemon() as daemon:
        assert daemon.process.wait(10) == 5
    assert f"error: {CERTIFICATE}: {said}" in daemon.text


def test_an_encrypted_key_stays_encrypted_and_its_password_is_read_once(outfit: Outfit) -> None:
    secret = outfit.folder / "secret"
    secret.write_text("correct horse\n")
    outfit.certify("60s", "--key-password-file", str(secret))
    keys = {outfit.read().public_key}
    with outfit.daemon("--password-file", str(secret), verb="rekey") as daemon:
        secret.unlink()
        for number in (1, 2):
            daemon.renew_now()
            daemon.wait_for("certificate rekeyed", number)
            keys.add(outfit.read().public_key)
        daemon.end()
    assert len(keys) == 3
    assert fits(outfit.folder, "correct horse")


def test_an_interrupted_replacement_is_completed_and_the_command_run(outfit: Outfit) -> None:
    old = {name: (outfit.folder / name).read_bytes() for name in (CERTIFICATE, f"{KEY}.pub")}
    outfit.mica("rekey", CERTIFICATE, KEY, "--force", "--provisioner", "sshpop")
    new = (outfit.folder / CERTIFICATE).read_bytes()
    (outfit.folder / f".{CERTIFICATE}.mica-rekey").write_bytes(new)
    for name, octets in old.items():
        (outfit.folder / name).write_bytes(octets)
    with outfit.daemon("--exec", "touch told", verb="rekey") as daemon:
        daemon.wait_until((outfit.folder / "told").exists)
        daemon.end()
    assert (outfit.folder / CERTIFICATE).read_bytes() == new
    assert fits(outfit.folder)


@dataclass
class Visitor:
    """Somebody who logs in again and again, and notes by which certificate the host was believed."""

    sshd: Sshd
    known_hosts: Path
    identity: Path
    serials: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    visits: int = 0
    over: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self.over.wait(0.1):
            login = self.sshd.login(known_hosts=self.known_hosts, identity=self.identity, options=["LogLevel=DEBUG1"])
            if login.code == 255 and _RELOADING.search(login.stderr) and "verification failed" not in login.stderr:
                continue  # sshd closes its port for a moment when it reloads
            self.visits += 1
            if login.code != 0:
                self.failures.append(login.stderr)
            seen = re.findall(r"Server host certificate: .* serial (\d+) ", login.stderr)
            self.serials += [serial for serial in seen if serial not in self.serials]

    @contextmanager
    def visiting(self) -> Iterator[None]:
        thread = threading.Thread(target=self.run, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self.over.set()
            thread.join(30)


@contextmanager
def visited(outfit: Outfit) -> Iterator[Visitor]:
    """The host's sshd runs, and somebody logs in all the time who trusts no key of a host's, only the CA's."""
    user_ca, host_ca = (outfit.ca.directory / outfit.ca.ssh_keys[each].public_path for each in CertType)
    files = HostFiles(folder=outfit.folder, keys=(KEY,))
    files.user_ca.write_bytes(user_ca.read_bytes())
    identity = outfit.certify_user()
    known_hosts = trust_hosts(outfit.folder / "known_hosts", host_ca)
    with Sshd(files) as sshd:
        visitor = Visitor(sshd, known_hosts, identity)
        with visitor.visiting():
            yield visitor


def test_whoever_logs_in_always_finds_a_valid_certificate_though_the_ca_was_away(host: CAHost, outfit: Outfit) -> None:
    """Half a minute, certificates of 18 seconds: each would have expired before the end."""
    outfit.certify("18s")
    with visited(outfit) as visitor, outfit.daemon("--exec", "kill -HUP $(cat sshd.pid)") as daemon:
        host.leave()
        daemon.renew_now()
        daemon.wait_for("connection refused; next try in", 2)
        host.come()
        for number in (1, 2, 3):
            daemon.wait_for("certificate renewed", number)
            serial = str(outfit.read().serial)
            daemon.wait_until(lambda serial=serial: serial in visitor.serials)  # type: ignore[misc]
        daemon.end()
    assert visitor.failures == []
    assert len(visitor.serials) >= 4
    assert visitor.visits > 20


def test_the_hosts_key_changes_and_whoever_logs_in_does_not_notice(outfit: Outfit) -> None:
    keys = {outfit.read().public_key}
    with visited(outfit) as visitor, outfit.daemon("--pid-file", "sshd.pid", verb="rekey") as daemon:
        for number in (1, 2):
            daemon.renew_now()
            daemon.wait_for("certificate rekeyed", number)
            serial = str(outfit.read().serial)
            daemon.wait_until(lambda serial=serial: serial in visitor.serials)  # type: ignore[misc]
            keys.add(outfit.read().public_key)
        daemon.end()
    assert visitor.failures == []
    assert len(keys) == 3
    assert fits(outfit.folder)
