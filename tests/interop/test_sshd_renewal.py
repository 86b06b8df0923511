"""The script that keeps SSH hosts certified, run as cron does; sshd is told when it has to be, and ssh believes it."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.daemons import CAHost

from mica.clock import system_clock
from mica.sshcert import CertType, SSHCertificate, TBSSSHCertificate
from mica.sshkeys import KeyLine
from mica.testing.ca import TestCA
from mica.testing.service import free_port
from mica.testing.sshd import HOST, HostFiles, Login, Sshd, account, find, trust_hosts

SCRIPT = Path(__file__).parents[2] / "examples/cron/mica-ssh-host"
PLAIN = ("--no-password", "--insecure")
KEYS = ("ssh_host_ecdsa_key", "ssh_host_ed25519_key")
KINDS = {"ssh_host_ecdsa_key": ("--kty", "EC"), "ssh_host_ed25519_key": ("--kty", "OKP")}
#: A lifetime of an hour, of which ten minutes are left.
DUE = ("--not-before", "-50m", "--not-after", "1h")


@dataclass
class Place:
    """A CA, an SSH host that it has certified, and somebody who may log in there."""

    host: CAHost
    files: HostFiles
    mica_path: Path
    command: Path
    user: Path
    known_hosts: Path

    def mica(self, *arguments: str | Path) -> None:
        environment = {"PATH": "/usr/bin:/bin", "MICAPATH": str(self.mica_path), "MICA_FORCE": "1"}
        done = subprocess.run(
            [self.command, *arguments], cwd=self.files.folder, env=environment, capture_output=True, text=True,
            stdin=subprocess.DEVNULL, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    def certify(self, key: str, *validity: str) -> None:
        """The host has a new key, and a certificate for it."""
        token = self._token(HOST, "host", HOST)
        self.mica("ssh", "certificate", "--host", HOST, key, "--token", token, *KINDS[key], *validity, *PLAIN)

    def certify_user(self, key_id: str = "alice") -> None:
        """Somebody has a new key, and a certificate for the account that runs the tests."""
        token = self._token(key_id, "user", account())
        self.mica("ssh", "certificate", key_id, self.user, "--token", token, "--no-agent", *PLAIN)

    def revoke(self, certificate: Path) -> None:
        """The certificate is revoked."""
        self.host.ca.clock.moment = system_clock()
        serial = str(read(certificate).serial)
        self.mica("ssh", "revoke", serial, "--token", self.host.ca.token(serial, "/1.0/ssh/revoke"))

    def _token(self, key_id: str, cert_type: str, principal: str) -> str:
        self.host.ca.clock.moment = system_clock()
        return self.host.ca.ssh_token(key_id, cert_type, [principal])

    def run(self, *certificates: Path) -> tuple[int, str]:
        """The script's exit code and what it said: ``env -i``, no terminal, and a folder of nobody's."""
        settings = {
            "MICA": str(self.command), "MICAPATH": str(self.mica_path), "SSH_FOLDER": str(self.files.folder),
            "PID_FILE": str(self.files.folder / "sshd.pid"),
        }  # fmt: skip
        given = [f"{name}={value}" for name, value in settings.items()]
        done = subprocess.run(
            ["env", "-i", *given, str(SCRIPT), *map(str, certificates)], cwd="/", capture_output=True, text=True,
            stdin=subprocess.DEVNULL, start_new_session=True, timeout=60,
        )  # fmt: skip
        assert done.stdout == ""
        return done.returncode, done.stderr

    def certified(self) -> dict[str, bytes]:
        """Keys and certificates, as they are on disk."""
        return {path.name: path.read_bytes() for path in self.files.folder.glob("ssh_host_*")}

    def login(self, sshd: Sshd, key: str) -> Login:
        """Somebody logs in who wants to see this key's certificate."""
        algorithm = read(self.files.certificate(key)).type
        options = [f"HostKeyAlgorithms={algorithm}", "LogLevel=DEBUG1"]
        return sshd.login(known_hosts=self.known_hosts, identity=self.user, options=options)

    def shows(self, sshd: Sshd, key: str) -> int:
        """The serial number of the certificate that sshd shows, by which somebody has logged in."""
        login = self.login(sshd, key)
        assert (login.code, login.stdout) == (0, "logged in\n"), login
        (serial,) = re.findall(r"Server host certificate: .* serial (\d+) ", login.stderr)
        return int(serial)


def read(certificate: Path) -> TBSSSHCertificate:
    return SSHCertificate.decode(KeyLine.parse(certificate.read_text()).blob).tbs


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CAHost]:
    for program in ("sshd", "ssh", "ssh-keygen"):
        find(program)
    made = CAHost(TestCA.found(tmp_path_factory.mktemp("ca"), port=free_port(), ssh=True))
    with made.running:
        made.come()
        yield made


@pytest.fixture
def place(host: CAHost, tmp_path: Path) -> Place:
    """The host has two keys with certificates for a month, and knows what is revoked; the CA is there."""
    ca, mica_path, command = host.ca, tmp_path / "mica", tmp_path / "bin-mica"
    (mica_path / "certs").mkdir(parents=True)
    shutil.copy(ca.directory / "certs/root_ca.crt", mica_path / "certs")
    (mica_path / "defaults.json").write_text(json.dumps({"ca-url": ca.url, "fingerprint": ca.root_fingerprint}))
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m mica.cli "$@"\n')
    command.chmod(0o755)
    (folder := tmp_path / "ssh").mkdir()
    user_ca, host_ca = (ca.directory / ca.ssh_keys[cert_type].public_path for cert_type in CertType)
    known_hosts = trust_hosts(tmp_path / "known_hosts", host_ca)
    place = Place(host, HostFiles(folder=folder, keys=KEYS), mica_path, command, tmp_path / "id", known_hosts)
    shutil.copy(user_ca, place.files.user_ca)
    place.certify_user()
    for key in KEYS:
        place.certify(key)
    place.mica("ssh", "krl", "--out", place.files.krl)
    return place


def test_while_nothing_is_due_it_changes_nothing_and_is_silent(place: Place) -> None:
    with Sshd(place.files) as sshd:
        before = place.certified()
        assert [place.run() for _ in range(2)] == [(0, "")] * 2
        assert place.certified() == before
        assert "SIGHUP" not in sshd.log
        assert place.shows(sshd, KEYS[0]) == read(place.files.certificate(KEYS[0])).serial


def test_what_is_due_is_renewed_and_sshd_shows_it_after_one_reload(place: Place) -> None:
    due, fresh = KEYS
    place.certify(due, *DUE)
    with Sshd(place.files) as sshd:
        before, serial = place.certified(), place.shows(sshd, due)
        with sshd.reloading():
            assert place.run() == (0, "")
        changed = {name for name, octets in place.certified().items() if before[name] != octets}
        assert changed == {f"{due}-cert.pub"}
        assert read(place.files.certificate(due)).serial != serial
        assert place.shows(sshd, due) == read(place.files.certificate(due)).serial
        assert place.shows(sshd, fresh) == read(place.files.certificate(fresh)).serial
        assert place.run() == (0, "")
        assert sshd.log.count("Received SIGHUP; restarting.") == 1


def test_while_the_ca_is_away_the_old_files_serve_and_it_complains_each_time(place: Place) -> None:
    due = KEYS[0]
    place.certify(due, *DUE)
    with Sshd(place.files) as sshd:
        before, krl, serial = place.certified(), place.files.krl.read_bytes(), place.shows(sshd, due)
        place.host.leave()
        try:
            for _ in range(2):
                code, said = place.run()
                assert code == 1
                assert said.count("mica-ssh-host: ") == 2  # the certificate, and the list
                assert said.count("connection refused") == 2
        finally:
            place.host.come()
        assert (place.certified(), place.files.krl.read_bytes()) == (before, krl)
        assert place.shows(sshd, due) == serial
        with sshd.reloading():
            assert place.run() == (0, "")
        assert place.shows(sshd, due) == read(place.files.certificate(due)).serial != serial


def test_whoever_is_revoked_is_refused_after_the_next_run_without_a_reload(place: Place) -> None:
    with Sshd(place.files) as sshd:
        certificate = place.user.with_name("id-cert.pub")
        place.revoke(certificate)
        assert place.login(sshd, KEYS[0]).code == 0
        assert place.run() == (0, "")
        login = place.login(sshd, KEYS[0])
        assert login.code == 255
        assert "revoked by file" in login.log
        assert "SIGHUP" not in sshd.log
        place.certify_user("bob")
        assert place.login(sshd, KEYS[0]).code == 0


def test_a_refusal_is_told_and_the_other_certificate_renewed_all_the_same(place: Place) -> None:
    revoked, due = KEYS
    for key in KEYS:
        place.certify(key, *DUE)
    place.revoke(place.files.certificate(revoked))
    with Sshd(place.files) as sshd:
        serial = place.shows(sshd, due)
        with sshd.reloading():
            code, said = place.run()
        assert code == 1
        assert said.count("mica-ssh-host: ") == 1
        assert "error: the CA refused" in said
        assert "mica ssh certificate --host gets a new one" in said
        assert place.shows(sshd, due) != serial


def test_a_rekeying_that_was_interrupted_is_completed_and_sshd_told(place: Place) -> None:
    key = KEYS[1]
    certificate, public = place.files.certificate(key), place.files.folder / f"{key}.pub"
    with Sshd(place.files) as sshd:
        old = {path: path.read_bytes() for path in (certificate, public)}
        place.mica("ssh", "rekey", certificate, place.files.key(key))
        new, fresh = certificate.read_bytes(), public.read_text().split()[:2]
        certificate.with_name(f".{certificate.name}.mica-rekey").write_bytes(new)
        for path, octets in old.items():
            path.write_bytes(octets)
        with sshd.reloading():
            assert place.run(certificate) == (0, "")
        assert certificate.read_bytes() == new
        assert public.read_text().split()[:2] == fresh
        assert place.shows(sshd, key) == read(certificate).serial
