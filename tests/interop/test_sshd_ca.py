"""sshd and ssh believe each other by certificates of a mica CA; whatever they read, a command of mica has made."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mica.testing.agents import SOCKET, RunningAgent, ssh_agent
from mica.testing.commands import Commands
from mica.testing.service import Service, free_port, served
from mica.testing.sshd import HOST, HostFiles, Login, Sshd, account, find

CA_PASSWORD = "the password of the CA keys"
ALICE = "alice@harbour.example"
UNENCRYPTED = ("--no-password", "--insecure")
#: What ``--kty`` and its companions make of a key, and how ssh calls the algorithm of its certificate.
TYPES = {
    "p256": (("--kty", "EC"), "ecdsa-sha2-nistp256-cert-v01@openssh.com"),
    "p384": (("--kty", "EC", "--curve", "P-384"), "ecdsa-sha2-nistp384-cert-v01@openssh.com"),
    "p521": (("--kty", "EC", "--curve", "P-521"), "ecdsa-sha2-nistp521-cert-v01@openssh.com"),
    "ed25519": (("--kty", "OKP"), "ssh-ed25519-cert-v01@openssh.com"),
    "rsa": (("--kty", "RSA", "--size", "2048"), "rsa-sha2-512-cert-v01@openssh.com"),
}
HOST_KEYS = {name: f"ssh_host_{name}_key" for name in TYPES}
_SERIAL = re.compile(r"^ *Serial: ([0-9]+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A machine where somebody types commands: a folder to work in, and a HOME with a ``.mica``."""

    commands: Commands = field(repr=False)
    folder: Path
    home: Path
    environment: dict[str, str] = field(default_factory=dict)

    def whole_environment(self) -> dict[str, str]:
        """What a shell there would have; no agent unless it is named."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MICA") and name != SOCKET}
        path = f"{Path(sys.executable).parent}:{kept['PATH']}:/usr/sbin"
        return {**kept, "PATH": path, "HOME": str(self.home), "TZ": "UTC", **self.environment}

    def mica(self, *arguments: str | Path, code: int = 0) -> str:
        """What one command prints, that must end with ``code``."""
        done = self.commands.run(
            [*map(str, arguments)], folder=self.folder, environment=self.whole_environment(), input=b""
        )
        assert done.returncode == code, f"{arguments} ended with {done.returncode}: {done.stdout!r} {done.stderr!r}"
        return done.stdout.decode()

    def run(self, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
        """Another program has ended."""
        return subprocess.run(
            [*map(str, arguments)], cwd=self.folder, env=self.whole_environment(), stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip

    def keygen(self, *arguments: str | Path, code: int = 0) -> str:
        """What ssh-keygen prints, that must end with ``code``."""
        done = self.run(find("ssh-keygen"), *arguments)
        assert done.returncode == code, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def serial(self, certificate: Path) -> str:
        """The serial number, as ssh-keygen reads it."""
        found = _SERIAL.search(self.keygen("-L", "-f", certificate))
        assert found
        return found[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A CA that runs, a host, and the machine of somebody who logs in there."""

    service: Service
    operator: Machine
    host: Machine
    user: Machine
    files: HostFiles
    """The host's, in its folder."""

    @property
    def known_hosts(self) -> Path:
        return self.user.folder / "known_hosts"

    def certify_host(self, name: str = "p256", *principals: str) -> None:
        """The host has a key of this type, and a certificate for it."""
        flags, _ = TYPES[name]
        named = [flag for principal in principals for flag in ("--principal", principal)]
        self.host.mica("ssh", "certificate", "--host", HOST, HOST_KEYS[name], *flags, *named, *UNENCRYPTED)

    def trust(self) -> None:
        """Host and user trust what the CA says by now, and the host knows what is revoked."""
        self.files.user_ca.write_text(self.host.mica("ssh", "config", "--roots"))
        self.known_hosts.write_text(self.user.mica("ssh", "config", "--host", "--roots", "--cert-authority", "*"))
        self.fetch_revocations()

    def fetch_revocations(self) -> None:
        """The host knows what is revoked by now."""
        self.host.mica("ssh", "krl", "--out", self.files.krl)

    def certify_user(self, file: str, *flags: str, key_id: str = ALICE, principal: str | None = None) -> Path:
        """The file of a user's key, which has a certificate beside it."""
        more = ("--principal", principal or account(), "--no-agent", *UNENCRYPTED)
        self.user.mica("ssh", "certificate", key_id, file, *flags, *more)
        return self.user.folder / file

    def login(self, sshd: Sshd, identity: Path | None = None, agent: RunningAgent | None = None, **more: Any) -> Login:
        """How a login has ended; nobody was trusted on first use."""
        before = self.known_hosts.read_bytes()
        socket = agent.socket if agent else None
        done = sshd.login(known_hosts=self.known_hosts, identity=identity, agent=socket, **more)
        assert self.known_hosts.read_bytes() == before
        return done


def let_in(login: Login) -> bool:
    """Whether it came about; if not, because sshd, which was believed, did not let the user in."""
    assert login.code == 0 or "Permission denied (publickey)" in login.stderr, login
    assert (login.stdout == "logged in\n") == (login.code == 0), login
    return login.code == 0


def certificate_of(key: Path) -> Path:
    return key.with_name(f"{key.name}-cert.pub")


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@contextmanager
def established(commands: Commands, folder: Path, keys: Sequence[str] = ("p256",)) -> Iterator[Site]:
    """A CA as ``mica ca init --ssh`` makes it is served; a host and a user trust it; the host is certified."""
    for program in ("sshd", "ssh", "ssh-keygen", "ssh-agent", "ssh-add"):
        find(program)
    url, home = f"https://localhost:{free_port()}", folder / "ca"
    password = write(folder / "provisioner-password", "the password of the provisioner\n")
    ca_password = write(folder / "ca-password", f"{CA_PASSWORD}\n")
    settings = {"MICA_PROVISIONER_PASSWORD_FILE": str(password)}
    machines = {}
    for name in ("operator", "host", "user"):
        (folder / name / "work").mkdir(parents=True)
        machines[name] = Machine(
            commands=commands, folder=folder / name / "work", home=folder / name, environment=dict(settings)
        )
    machines["operator"].environment["MICAPATH"] = str(home)
    machines["operator"].mica(
        "ca", "init", "--ssh", "--name", "Harbour Works", "--dns", "localhost", "--provisioner", "ops",
        "--address", url.removeprefix("https://"), "--password-file", ca_password,
    )  # fmt: skip
    fingerprint = machines["operator"].mica("certificate", "fingerprint", home / "certs/root_ca.crt").strip()
    directory: Any = SimpleNamespace(directory=home, url=url)
    with served(directory, workers=1, arguments=["--password-file", str(ca_password)]) as service:
        for name in ("host", "user"):
            machines[name].mica("ca", "bootstrap", "--ca-url", url, "--fingerprint", fingerprint)
        files = HostFiles(folder=machines["host"].folder, keys=tuple(HOST_KEYS[name] for name in keys))
        site = Site(service=service, **machines, files=files)
        for name in keys:
            site.certify_host(name, HOST, "localhost")
        site.trust()
        yield site


@pytest.fixture(scope="module")
def site(commands: Commands, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site whose host has a key of every type."""
    with established(commands, tmp_path_factory.mktemp("site"), tuple(TYPES)) as made:
        yield made


@pytest.fixture(scope="module")
def sshd(site: Site) -> Iterator[Sshd]:
    with Sshd(site.files) as running:
        yield running


@pytest.fixture
def agent() -> Iterator[RunningAgent]:
    with ssh_agent() as running:
        yield running


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A name for a file or a key id that no other test has."""
    return re.sub(r"\W+", "-", str(request.node.name)).strip("-")


@pytest.mark.parametrize("kind", TYPES)
def test_host_and_user_believe_each_other_by_keys_of_every_type(site: Site, sshd: Sshd, kind: str, name: str) -> None:
    flags, algorithm = TYPES[kind]
    identity = site.certify_user(name, *flags)
    login = site.login(sshd, identity, options=[f"HostKeyAlgorithms={algorithm}", "LogLevel=DEBUG1"])
    assert (login.code, login.stdout) == (0, "logged in\n"), login
    serial = site.user.serial(certificate_of(identity))
    assert f'ID "{ALICE}" (serial {serial})' in login.log
    host_serial = site.host.serial(site.files.certificate(HOST_KEYS[kind]))
    assert f'serial {host_serial} ID "{HOST}"' in login.stderr


def test_a_user_logs_in_as_a_listed_principal_and_as_nobody_else(site: Site, sshd: Sshd, name: str) -> None:
    assert let_in(site.login(sshd, site.certify_user(f"{name}-1", "--principal", "deploy")))
    login = site.login(sshd, site.certify_user(f"{name}-2", principal="deploy"))
    assert not let_in(login)
    assert "name is not a listed principal" in login.log


def test_a_certificate_that_is_good_for_less_gives_less(site: Site, sshd: Sshd, name: str) -> None:
    login = site.login(sshd, site.certify_user(f"{name}-1", "--force-command", "echo nothing else"))
    assert (login.code, login.stdout) == (0, "nothing else\n")
    assert let_in(site.login(sshd, site.certify_user(f"{name}-2", "--source-address", "127.0.0.1")))
    assert not let_in(site.login(sshd, site.certify_user(f"{name}-3", "--source-address", "10.0.0.0/8")))


def test_a_certificate_of_another_ca_is_worth_nothing_here(site: Site, sshd: Sshd, name: str) -> None:
    site.user.keygen("-q", "-t", "ecdsa", "-N", "", "-f", f"{name}-ca")
    identity = site.certify_user(name)
    certificate_of(identity).unlink()
    site.user.keygen("-q", "-s", f"{name}-ca", "-I", ALICE, "-n", account(), f"{name}.pub")
    assert not let_in(site.login(sshd, identity))


def test_the_agent_alone_logs_in_and_no_file_is_written(site: Site, sshd: Sshd, agent: RunningAgent) -> None:
    before = sorted(site.user.home.rglob("*"))
    site.user.environment[SOCKET] = str(agent.socket)
    try:
        site.user.mica("ssh", "login", ALICE, "--principal", account())
    finally:
        del site.user.environment[SOCKET]
    assert sorted(site.user.home.rglob("*")) == before
    assert any(line.startswith("ecdsa-sha2-nistp256-cert-v01@openssh.com ") for line in agent.lines("-L"))
    assert let_in(site.login(sshd, agent=agent))
    agent.add("-q", "-D")
    assert not let_in(site.login(sshd, agent=agent))


def test_ssh_keygen_prints_what_was_asked_for(site: Site, name: str) -> None:
    user = site.certify_user(name, "--principal", "deploy", "--not-after", "1h", "--kty", "OKP")
    listed = site.user.keygen("-L", "-f", certificate_of(user))
    for line in (
        "Type: ssh-ed25519-cert-v01@openssh.com user certificate", f'Key ID: "{ALICE}"', "Critical Options: (none)",
        "permit-X11-forwarding", "permit-agent-forwarding", "permit-port-forwarding", "permit-pty", "permit-user-rc",
    ):  # fmt: skip
        assert line in listed
    principals = listed.partition("Principals:")[2].partition("Critical")[0].split()
    assert principals == ["deploy", account()]
    after, before = re.search(r"Valid: from (\S+) to (\S+)", listed).groups()  # type: ignore[union-attr]
    moments = [time.mktime(time.strptime(moment, "%Y-%m-%dT%H:%M:%S")) for moment in (after, before)]
    assert moments[1] - moments[0] == 3660  # an hour, and a minute of backdate
    host = site.host.keygen("-L", "-f", site.files.certificate())
    assert "user certificate" not in host and "host certificate" in host
    assert "Extensions: (none)" in host


def test_after_renewal_and_a_reload_the_host_shows_its_new_certificate(site: Site, sshd: Sshd, name: str) -> None:
    identity, certificate = site.certify_user(name), site.files.certificate()
    old = site.host.serial(certificate)
    site.host.mica("ssh", "renew", "--force", certificate, site.files.key())
    new = site.host.serial(certificate)
    shown = [f"HostKeyAlgorithms={TYPES['p256'][1]}", "LogLevel=DEBUG1"]
    sshd.reload()  # some versions of sshd read the certificate anew for each login, others only now
    login = site.login(sshd, identity, options=shown)
    assert let_in(login)
    assert old != new and f"serial {new} " in login.stderr


def test_after_rekey_and_a_reload_the_host_has_another_key(site: Site, sshd: Sshd, name: str) -> None:
    identity, key = site.certify_user(name), HOST_KEYS["ed25519"]
    old = site.files.key(key).with_name(f"{key}.pub").read_text().split()[1]
    arguments = (site.files.certificate(key), site.files.key(key), *UNENCRYPTED)
    site.host.mica("ssh", "rekey", "--force", *arguments)
    assert old not in site.files.key(key).with_name(f"{key}.pub").read_text()
    sshd.reload()
    assert let_in(site.login(sshd, identity, options=[f"HostKeyAlgorithms={TYPES['ed25519'][1]}"]))


def test_who_is_revoked_is_refused_as_soon_as_the_host_has_the_new_list(site: Site, sshd: Sshd, name: str) -> None:
    keys = [site.certify_user(f"{name}-{number}", key_id=name) for number in range(3)]
    other = site.certify_user(f"{name}-other")

    def logging_in() -> list[bool]:
        return [let_in(site.login(sshd, key)) for key in (*keys, other)]

    site.user.mica("ssh", "revoke", site.user.serial(certificate_of(keys[0])))
    site.fetch_revocations()
    assert logging_in() == [False, True, True, True]
    assert "revoked by file" in site.login(sshd, keys[0]).log
    site.user.mica("ssh", "revoke", "--sshpop-cert", certificate_of(keys[1]), "--sshpop-key", keys[1])
    site.user.mica("ssh", "revoke", "--key-id", name)
    assert logging_in() == [False, True, True, True]
    site.fetch_revocations()
    assert logging_in() == [False, False, False, True]


def test_ssh_keygen_and_the_store_agree_on_what_is_revoked(site: Site, name: str) -> None:
    keys = [site.certify_user(f"{name}-{number}") for number in range(4)]
    for key in keys[::2]:
        site.user.mica("ssh", "revoke", site.user.serial(certificate_of(key)))
    site.fetch_revocations()
    listed = json.loads(site.operator.mica("ca", "certs", "list", "--kind", "ssh", "--all", "--json"))
    states = {row["serial_number"]: row["status"].lower() for row in listed}
    for number, key in enumerate(keys):
        revoked = number % 2 == 0
        said = site.user.keygen("-Q", "-f", site.files.krl, certificate_of(key), code=1 if revoked else 0)
        assert ("REVOKED" in said) == revoked
        assert states[site.user.serial(certificate_of(key))] == ("revoked" if revoked else "valid")


def test_a_host_that_is_revoked_is_refused_by_its_users(commands: Commands, tmp_path: Path) -> None:
    with established(commands, tmp_path) as site, Sshd(site.files) as sshd:
        identity, revoked = site.certify_user("id"), site.user.folder / "revoked_hosts"
        options = [f"RevokedHostKeys={revoked}"]
        site.user.mica("ssh", "krl", "--out", revoked)
        assert let_in(site.login(sshd, identity, options=options))
        site.host.mica("ssh", "revoke", "--sshpop-cert", site.files.certificate(), "--sshpop-key", site.files.key())
        site.host.mica("ssh", "renew", "--force", site.files.certificate(), site.files.key(), code=4)
        site.user.mica("ssh", "krl", "--out", revoked)
        login = site.login(sshd, identity, options=options)
        assert login.code == 255
        assert "revoked" in login.stderr and "Host key verification failed" in login.stderr


def change(site: Site, edit: Callable[[str], str]) -> None:
    """The CA's configuration is edited, and the CA has read it anew."""
    configuration = site.service.ca.directory / "ca.toml"
    configuration.write_text(edit(configuration.read_text()))
    before = site.service.log.read_text().count("reloaded")
    site.service.process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + 30
    while site.service.log.read_text().count("reloaded") == before:
        assert time.monotonic() < deadline, site.service.log.read_text()
        time.sleep(0.05)


def turned_over(configuration: str) -> str:
    """The next keys sign, and the first ones are believed in besides."""
    for kind in ("user", "host"):
        configuration = configuration.replace(
            f'{kind}_key = "file:secrets/ssh_{kind}_ca_key"\n', f'{kind}_key = "file:secrets/next_{kind}"\n'
        ).replace(f"certs/next_{kind}.pub", f"certs/ssh_{kind}_ca_key.pub")
    return configuration


def test_the_keys_of_the_ca_change_and_nobody_is_locked_out(commands: Commands, tmp_path: Path) -> None:
    """As docs/ssh.md has it: the next keys are announced; they sign; the first ones are believed in no more."""
    with established(commands, tmp_path) as site, Sshd(site.files) as sshd:
        home, first, lost = site.service.ca.directory, site.certify_user("first"), site.certify_user("lost")
        for kind in ("user", "host"):
            site.operator.keygen("-q", "-t", "ed25519", "-N", CA_PASSWORD, "-f", home / f"secrets/next_{kind}")
            (home / f"secrets/next_{kind}.pub").rename(home / f"certs/next_{kind}.pub")
        further = "".join(f'further_{kind}_keys = ["certs/next_{kind}.pub"]\n' for kind in ("user", "host"))
        change(site, lambda text: text.replace("[signers.ssh]\n", f"[signers.ssh]\n{further}"))
        assert len(site.host.mica("ssh", "config", "--roots").splitlines()) == 2
        site.trust()
        assert let_in(site.login(sshd, first))

        change(site, turned_over)
        second = site.certify_user("second")
        assert "Signing CA: ED25519" in site.user.keygen("-L", "-f", certificate_of(second))
        assert let_in(site.login(sshd, first)) and let_in(site.login(sshd, second))
        site.user.mica("ssh", "revoke", site.user.serial(certificate_of(lost)))
        site.fetch_revocations()
        assert not let_in(site.login(sshd, lost)) and let_in(site.login(sshd, first))
        site.host.mica("ssh", "renew", "--force", site.files.certificate(), site.files.key())
        assert "Signing CA: ED25519" in site.host.keygen("-L", "-f", site.files.certificate())
        sshd.reload()
        assert let_in(site.login(sshd, first)) and let_in(site.login(sshd, second))

        change(site, lambda text: re.sub(r"further_\w+ = .*\n", "", text))
        site.trust()
        assert not let_in(site.login(sshd, first))
        assert let_in(site.login(sshd, second))


def ssh(site: Site, port: int, host: str) -> "subprocess.CompletedProcess[str]":
    """The real ssh, with the user's own configuration and nothing else, has tried to log in."""
    configuration = site.user.home / ".ssh/config"
    options = ("-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", "GlobalKnownHostsFile=/dev/null")
    return site.user.run(find("ssh"), "-v", "-F", configuration, *options, "-p", str(port), host, "echo logged in")


def test_ssh_and_sshd_as_mica_configures_them_need_no_flags(
    commands: Commands, agent: RunningAgent, tmp_path: Path
) -> None:
    """``ssh HOST`` alone: the CA is asked whether it knows the host, the user is logged in, and ssh connects."""
    with established(commands, tmp_path) as site:
        site.files.user_ca.unlink()
        site.host.mica(
            "ssh", "config", "--host", "--etc-ssh", site.files.folder,
            "--set", f"Certificate={site.files.certificate().name}", "--set", f"Key={site.files.key().name}",
        )  # fmt: skip
        assert site.host.mica("ssh", "config", "--roots") in site.files.user_ca.read_text()
        site.user.environment[SOCKET] = str(agent.socket)
        with Sshd(site.files) as sshd:
            site.user.mica("ssh", "config", "--set", f"User={account()}")
            done = ssh(site, sshd.port, "localhost")
            assert (done.returncode, done.stdout) == (0, "logged in\n"), done.stderr
            assert f"host certificate: {TYPES['p256'][1]}" in done.stderr
            (held,) = agent.lines("-L")
            assert held.split()[0] == TYPES["p256"][1]
            unknown = ssh(site, sshd.port, "127.0.0.1")  # the CA has certified nobody of this name
            assert unknown.returncode == 255 and "Host key verification failed" in unknown.stderr
        site.user.mica("ssh", "config", "--undo")
        assert not (site.user.home / ".ssh/config").exists()
