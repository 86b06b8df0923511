"""sshd and ssh believe what mica encodes, as far as it goes and no further."""

import os
import pwd
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_private_key

from mica import sshsignatures
from mica.clock import system_clock
from mica.jwk import PrivateKey
from mica.krl import KRL, RevokedCertificates
from mica.sshcert import CertType, Options, SSHCertificate, TBSSSHCertificate
from mica.sshkeys import SK_ECDSA, SK_ED25519, KeyLine, SSHPublicKey
from mica.sshwire import string, text
from mica.testing.agents import ssh_agent
from mica.testing.sshd import HOST, HostFiles, Sshd, account, trust_hosts

#: What ``ssh-keygen`` makes of each type; the names are those of files as well.
TYPES = {
    "ed25519": ("-t", "ed25519"),
    "p256": ("-t", "ecdsa", "-b", "256"),
    "p384": ("-t", "ecdsa", "-b", "384"),
    "p521": ("-t", "ecdsa", "-b", "521"),
    "rsa": ("-t", "rsa", "-b", "2048"),
}
NAMES = tuple(TYPES)
HOST_KEYS = {name: f"ssh_host_{name}_key" for name in NAMES}
#: Which CA vouches for the host's key of a type: another than for the user's, and each one for one.
CA_OF_HOST = dict(zip(NAMES, NAMES[2:] + NAMES[:2], strict=True))
PTY = (("permit-pty", ""),)


@dataclass(frozen=True, slots=True)
class Keygen:
    """ssh-keygen, in a folder and in UTC."""

    program: str
    folder: Path

    def __call__(self, *arguments: str | Path, code: int = 0) -> str:
        """What it says, when it ended with ``code``."""
        done = subprocess.run(
            [self.program, *map(str, arguments)], cwd=self.folder, capture_output=True, text=True,
            stdin=subprocess.DEVNULL, env={"PATH": "/usr/bin:/bin", "TZ": "UTC"},
        )  # fmt: skip
        assert done.returncode == code, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def key(self, path: Path, name: str = "ed25519") -> Path:
        """A new private key of a type in ``path``, its public half beside it."""
        self("-q", *TYPES[name], "-N", "", "-C", "nobody", "-f", path)
        return path


@dataclass(frozen=True, slots=True)
class CA:
    """A key that ssh-keygen made, and what it signs with our encoder."""

    file: Path
    private: PrivateKey = field(repr=False)

    @classmethod
    def of(cls, file: Path) -> "CA":
        private = load_ssh_private_key(file.read_bytes(), None)
        assert isinstance(private, PrivateKey)
        return cls(file, private)

    @property
    def public_file(self) -> Path:
        return self.file.with_name(f"{self.file.name}.pub")

    @property
    def public(self) -> SSHPublicKey:
        return SSHPublicKey.of(self.private.public_key())

    def certify(self, key: Path, cert_type: CertType = CertType.USER, **changes: Any) -> Path:
        """The file of a certificate for the public half of ``key``, beside it as ssh-keygen has it."""
        usual: dict[str, Any] = {
            "key_id": "somebody", "serial": secrets.randbits(63) + 1, "valid_after": now() - timedelta(minutes=1),
            "valid_before": now() + timedelta(hours=1),
            "valid_principals": (account(),) if cert_type == CertType.USER else (HOST,),
        }  # fmt: skip
        public = SSHPublicKey.decode(KeyLine.parse(key.with_name(f"{key.name}.pub").read_text()).blob)
        tbs = TBSSSHCertificate(
            nonce=secrets.token_bytes(32), public_key=public, cert_type=cert_type, signature_key=self.public,
            **(usual | changes),
        )  # fmt: skip
        certificate = key.with_name(f"{key.name}-cert.pub")
        blob = tbs.assemble(sshsignatures.encode(self.public, self._sign(tbs.wire)))
        certificate.write_text(KeyLine(key_type=tbs.type, blob=blob, comment="nobody").format() + "\n")
        return certificate

    def _sign(self, message: bytes) -> bytes:
        """The signature as a key backend gives it."""
        if isinstance(self.private, ed25519.Ed25519PrivateKey):
            return self.private.sign(message)
        algorithm = sshsignatures.hash_of(self.public)
        assert algorithm is not None
        if isinstance(self.private, ec.EllipticCurvePrivateKey):
            return self.private.sign(message, ec.ECDSA(algorithm))
        return self.private.sign(message, padding.PKCS1v15(), algorithm)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Keys of every type for CAs, host and user; nobody is certified yet."""

    keygen: Keygen
    user_cas: dict[str, CA]
    host_cas: dict[str, CA]
    users: dict[str, Path]
    files: HostFiles
    known_hosts: Path


def now() -> datetime:
    return system_clock().replace(microsecond=0)


def krl_of(*certificates: RevokedCertificates, version: int = 1) -> bytes:
    return KRL(version=version, generated_date=now(), certificates=certificates).encode()


def serial_of(key: Path) -> int:
    return read(key.with_name(f"{key.name}-cert.pub")).serial


def read(certificate: Path) -> TBSSSHCertificate:
    return SSHCertificate.decode(KeyLine.parse(certificate.read_text()).blob).tbs


@pytest.fixture(scope="module")
def place(tool: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Place:
    for program in ("sshd", "ssh", "ssh-agent", "ssh-add"):
        tool(program)
    folder = tmp_path_factory.mktemp("ssh")
    keygen = Keygen(tool("ssh-keygen"), folder)
    host_cas = {name: CA.of(keygen.key(folder / f"host-ca-{name}", name)) for name in NAMES}
    user_cas = {name: CA.of(keygen.key(folder / f"user-ca-{name}", name)) for name in NAMES}
    (host := folder / "host").mkdir()
    files = HostFiles(folder=host, keys=tuple(HOST_KEYS.values()))
    for name in NAMES:
        keygen.key(files.key(HOST_KEYS[name]), name)
    files.user_ca.write_text("".join(ca.public_file.read_text() for ca in user_cas.values()))
    return Place(
        keygen=keygen,
        user_cas=user_cas,
        host_cas=host_cas,
        users={name: keygen.key(folder / f"id-{name}", name) for name in NAMES},
        files=files,
        known_hosts=trust_hosts(folder / "known_hosts", *(ca.public_file for ca in host_cas.values())),
    )


@pytest.fixture(scope="module")
def sshd(place: Place) -> Iterator[Sshd]:
    """sshd with a key and a certificate of every type, which believes every user CA; nothing is revoked."""
    for name, key in HOST_KEYS.items():
        place.host_cas[CA_OF_HOST[name]].certify(place.files.key(key), CertType.HOST, key_id=HOST)
    place.files.krl.write_bytes(krl_of())
    with Sshd(place.files) as running:
        yield running


@pytest.fixture
def user(place: Place, tmp_path: Path) -> Path:
    """An Ed25519 key that no other test certifies."""
    return place.keygen.key(tmp_path / "id")


@pytest.mark.parametrize("ca", NAMES)
@pytest.mark.parametrize("name", NAMES)
def test_ssh_and_sshd_believe_certificates_of_every_type_by_cas_of_every_type(
    sshd: Sshd, place: Place, name: str, ca: str
) -> None:
    """The host's key has the type that the user's CA has, and a CA of a third type."""
    certificate = place.user_cas[ca].certify(place.users[name], serial=7, key_id="alice@harbour.example")
    prefer = read(sshd.files.certificate(HOST_KEYS[ca])).type
    algorithm = prefer.replace("ssh-rsa-cert", "rsa-sha2-512-cert")
    login = sshd.login(
        known_hosts=place.known_hosts, identity=place.users[name], options=[f"HostKeyAlgorithms={algorithm}"]
    )
    assert (login.code, login.stdout) == (0, "logged in\n"), login
    listed = place.keygen("-L", "-f", certificate)
    signer = place.user_cas[ca].public
    assert f'ID "alice@harbour.example" (serial 7) signed by {signer.kind} CA {signer.fingerprint}' in login.log
    assert f"Signing CA: {signer.kind} {signer.fingerprint}" in listed


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"valid_principals": ("mallory",)}, "name is not a listed principal"),
        ({"valid_principals": (f"{account()},mallory",)}, "name is not a listed principal"),
        ({"valid_principals": ("*",)}, "name is not a listed principal"),
        ({"valid_principals": ()}, "lacks principal list"),
        ({"valid_after": now() - timedelta(days=2), "valid_before": now() - timedelta(seconds=2)}, "expired"),
        ({"valid_after": now() + timedelta(days=2), "valid_before": now() + timedelta(days=3)}, "not yet valid"),
        ({"critical_options": (("source-address", "192.0.2.0/24"),)}, "not from a permitted source address"),
        ({"critical_options": (("verify-harder@harbour.example", ""),)}, "option .* is not supported"),
    ],
)
def test_a_certificate_is_worth_nothing_beyond_what_it_says(
    sshd: Sshd, place: Place, user: Path, changes: dict[str, Any], reason: str
) -> None:
    place.user_cas["p256"].certify(user, **changes)
    login = sshd.login(known_hosts=place.known_hosts, identity=user)
    assert (login.code, login.stdout) == (255, "")
    assert "Permission denied (publickey)" in login.stderr
    assert re.search(reason, login.log), login.log


def test_one_of_several_principals_is_enough(sshd: Sshd, place: Place, user: Path) -> None:
    principals = ("mallory", *(f"user-{number}" for number in range(253)), "zoë", account())
    place.user_cas["p384"].certify(user, valid_principals=principals, valid_before=None)
    assert sshd.login(known_hosts=place.known_hosts, identity=user).code == 0


def test_a_certificate_by_a_ca_that_is_not_listed_is_refused(
    sshd: Sshd, place: Place, user: Path, tmp_path: Path
) -> None:
    CA.of(place.keygen.key(tmp_path / "other-ca")).certify(user)
    login = sshd.login(known_hosts=place.known_hosts, identity=user)
    assert login.code == 255
    assert "ED25519-CERT" in login.log
    assert "Accepted" not in login.log
    place.host_cas["ed25519"].certify(user)  # it is for hosts alone
    assert sshd.login(known_hosts=place.known_hosts, identity=user).code == 255


def test_a_host_certificate_lets_nobody_in(sshd: Sshd, place: Place, user: Path) -> None:
    place.user_cas["p256"].certify(user, CertType.HOST, valid_principals=(account(),))
    login = sshd.login(known_hosts=place.known_hosts, identity=user)
    assert login.code == 255
    assert "Accepted" not in login.log


def test_only_the_forced_command_is_run(sshd: Sshd, place: Place, user: Path) -> None:
    forced = 'echo "forced; asked for: $SSH_ORIGINAL_COMMAND"'
    place.user_cas["rsa"].certify(user, critical_options=(("force-command", forced),))
    login = sshd.login(known_hosts=place.known_hosts, identity=user, command="touch here")
    assert (login.code, login.stdout) == (0, "forced; asked for: touch here\n")


def test_a_source_address_is_kept_to(sshd: Sshd, place: Place, user: Path) -> None:
    addresses = (("source-address", "192.0.2.7,127.0.0.1/32"),)
    place.user_cas["p521"].certify(user, critical_options=addresses)
    assert sshd.login(known_hosts=place.known_hosts, identity=user).code == 0
    elsewhere = sshd.login(known_hosts=place.known_hosts, identity=user, options=["BindAddress=127.0.0.2"])
    assert elsewhere.code == 255
    assert "not from a permitted source address (127.0.0.2)" in elsewhere.log


@pytest.mark.parametrize("extensions", [PTY, ()])
def test_a_terminal_is_given_to_whom_the_extension_permits_it(
    sshd: Sshd, place: Place, user: Path, extensions: Options
) -> None:
    place.user_cas["ed25519"].certify(user, extensions=extensions)
    login = sshd.login(known_hosts=place.known_hosts, identity=user, command="test -t 0", options=["RequestTTY=force"])
    assert (login.code == 0) == (extensions == PTY), login
    assert ("PTY allocation request failed" in login.stderr) == (extensions == ())


def test_an_agent_that_holds_the_certificate_logs_in(sshd: Sshd, place: Place, user: Path) -> None:
    certificate = place.user_cas["p256"].certify(user)
    with ssh_agent() as agent:
        agent.add("-q", user)
        user.unlink()
        login = sshd.login(known_hosts=place.known_hosts, agent=agent.socket)
        assert (login.code, login.stdout) == (0, "logged in\n")
        assert certificate.read_text().split()[1] in {line.split()[1] for line in agent.lines()}
    assert sshd.login(known_hosts=place.known_hosts, agent=agent.socket).code == 255


@pytest.mark.parametrize("key_type", [SK_ED25519, SK_ECDSA])
def test_ssh_keygen_reads_a_certificate_for_a_security_key(place: Place, tmp_path: Path, key_type: str) -> None:
    if key_type == SK_ED25519:
        numbers = string(ed25519.Ed25519PrivateKey.generate().public_key().public_bytes_raw())
    else:
        point = ec.generate_private_key(ec.SECP256R1()).public_key()
        numbers = text("nistp256") + string(point.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))
    blob = text(key_type) + numbers + text("ssh:harbour.example")
    (tmp_path / "sk.pub").write_text(KeyLine(key_type=key_type, blob=blob).format() + "\n")
    certificate = place.user_cas["p384"].certify(tmp_path / "sk", extensions=PTY)
    listed = place.keygen("-L", "-f", certificate)
    key = SSHPublicKey.decode(blob)
    assert f"Public key: {key.kind}-CERT {key.fingerprint}" in listed
    assert f"Type: {key_type.removesuffix('@openssh.com')}-cert-v01@openssh.com user certificate" in listed


@pytest.fixture
def files(place: Place, tmp_path: Path) -> HostFiles:
    """A host of a test's own, with one key and a certificate for it."""
    (tmp_path / "host").mkdir()
    made = HostFiles(folder=tmp_path / "host")
    place.keygen.key(made.key())
    place.host_cas["p256"].certify(made.key(), CertType.HOST, key_id=HOST)
    made.user_ca.write_text(place.user_cas["p256"].public_file.read_text())
    return made


@pytest.fixture
def certified(place: Place, user: Path) -> Path:
    """A key with a certificate that logs in."""
    place.user_cas["p256"].certify(user, serial=2**63 + 11, key_id="alice@harbour.example")
    return user


@pytest.mark.parametrize(
    ("cert_type", "changes", "reason"),
    [
        (CertType.HOST, {"valid_principals": ("other.example",)}, "name is not a listed principal"),
        (CertType.HOST, {"valid_after": now() + timedelta(days=2), "valid_before": None}, "not yet valid"),
        (CertType.HOST, {"valid_after": now() - timedelta(days=2), "valid_before": now()}, "expired"),
        (CertType.HOST, {"critical_options": (("force-command", "/bin/true"),)}, "critical options"),
        (CertType.USER, {"valid_principals": (HOST,)}, ""),
    ],
)
def test_ssh_does_not_believe_a_host_beyond_what_its_certificate_says(
    place: Place, files: HostFiles, certified: Path, cert_type: CertType, changes: dict[str, Any], reason: str
) -> None:
    place.host_cas["p256"].certify(files.key(), cert_type, **changes)
    with Sshd(files) as sshd:
        login = sshd.login(known_hosts=place.known_hosts, identity=certified)
    assert (login.code, login.stdout) == (255, "")
    assert reason in login.stderr
    assert "Host key verification failed" in login.stderr


def test_ssh_does_not_believe_a_host_of_another_ca_or_without_certificate(
    place: Place, files: HostFiles, certified: Path, tmp_path: Path
) -> None:
    other = trust_hosts(tmp_path / "known_hosts", place.host_cas["rsa"].public_file)
    narrow = trust_hosts(tmp_path / "narrow", place.host_cas["p256"].public_file, pattern="*.harbour.example")
    empty = trust_hosts(tmp_path / "empty")
    with Sshd(files) as sshd:
        for known_hosts in (other, narrow, empty):
            before = known_hosts.read_bytes()
            login = sshd.login(known_hosts=known_hosts, identity=certified)
            assert login.code == 255
            assert "you have requested strict checking" in login.stderr
            assert known_hosts.read_bytes() == before
        assert sshd.login(known_hosts=place.known_hosts, identity=certified).code == 0
        files.certificate().unlink()
        sshd.reload()
        assert sshd.login(known_hosts=place.known_hosts, identity=certified).code == 255


def test_after_a_reload_the_host_has_its_new_key_and_certificate(
    place: Place, files: HostFiles, certified: Path
) -> None:
    place.host_cas["p256"].certify(files.key(), CertType.HOST, valid_principals=("old.example",))
    with Sshd(files) as sshd:
        pid = sshd.pid
        assert sshd.login(known_hosts=place.known_hosts, identity=certified, host="old.example").code == 0
        files.key().unlink()
        place.keygen.key(files.key())
        place.host_cas["p384"].certify(files.key(), CertType.HOST, valid_principals=("new.example",))
        sshd.reload()
        assert sshd.login(known_hosts=place.known_hosts, identity=certified, host="new.example").code == 0
        assert sshd.login(known_hosts=place.known_hosts, identity=certified, host="old.example").code == 255
        assert sshd.pid == pid


def test_principals_in_a_file_may_log_in_and_the_name_alone_may_not(place: Place, files: HostFiles, user: Path) -> None:
    files.principals.write_text("deploy\n")
    with Sshd(files) as sshd:
        for principal, code in (("deploy", 0), (account(), 255), ("deploy,root", 255)):
            place.user_cas["p256"].certify(user, valid_principals=(principal,))
            assert sshd.login(known_hosts=place.known_hosts, identity=user).code == code, principal


def refused(sshd: Sshd, place: Place, user: Path) -> bool:
    """Whether the certificate is revoked: by sshd's word and by ssh-keygen's, which are one."""
    login = sshd.login(known_hosts=place.known_hosts, identity=user)
    revoked = login.code == 255 and "revoked by file" in login.log
    assert revoked or login.code == 0, login
    said = place.keygen("-Q", "-f", sshd.files.krl, user.with_name("id-cert.pub"), code=1 if revoked else 0)
    assert ("REVOKED" in said) == revoked
    return revoked


def test_sshd_refuses_what_our_list_names_after_a_reload_and_nothing_else(
    place: Place, files: HostFiles, certified: Path
) -> None:
    ca, serial = place.user_cas["p256"].public, serial_of(certified)
    near = RevokedCertificates.of(ca, serials=[serial - 1, serial + 1, range(1, 1000)], key_ids=["alice"])
    foreign = RevokedCertificates.of(place.user_cas["rsa"].public, serials=[serial], key_ids=["alice@harbour.example"])
    by_serial, by_range, by_id, of_every_ca = (
        RevokedCertificates.of(ca, serials=[5, serial, serial + 2]),
        RevokedCertificates.of(ca, serials=[range(1, 2**64)]),
        RevokedCertificates.of(ca, key_ids=["alice@harbour.example"]),
        RevokedCertificates.of(None, serials=[serial]),
    )
    files.krl.write_bytes(krl_of())
    with Sshd(files) as sshd:
        assert not refused(sshd, place, certified)
        for lists, revoked in (
            ([foreign, near], False), ([near, by_serial], True), ([by_range], True), ([by_id], True),
            ([of_every_ca], True), ([], False),
        ):  # fmt: skip
            files.krl.write_bytes(krl_of(*lists))
            sshd.reload()
            assert refused(sshd, place, certified) == revoked, lists


def test_a_new_list_counts_for_the_next_login_without_a_reload(place: Place, files: HostFiles, certified: Path) -> None:
    """What the script for hosts relies on: a list has to be fetched, and sshd need not be told."""
    files.krl.write_bytes(krl_of())
    with Sshd(files) as sshd:
        assert not refused(sshd, place, certified)
        revoked = RevokedCertificates.of(place.user_cas["p256"].public, serials=[serial_of(certified)])
        files.krl.write_bytes(krl_of(revoked))
        assert refused(sshd, place, certified)


@pytest.mark.parametrize("contents", [b"", b"SSHKRL\n\0\0\0\0\1", b"<html>nothing here</html>\n"])
def test_sshd_lets_in_nobody_by_a_list_that_is_broken_and_everybody_by_an_empty_file(
    place: Place, files: HostFiles, certified: Path, contents: bytes
) -> None:
    """Why a list is fetched to another file first, and looked at."""
    files.krl.write_bytes(contents)
    with Sshd(files) as sshd:
        login = sshd.login(known_hosts=place.known_hosts, identity=certified)
    assert login.code == (255 if contents else 0), login


def test_ssh_refuses_a_host_that_our_list_names(
    place: Place, files: HostFiles, certified: Path, tmp_path: Path
) -> None:
    tbs = read(files.certificate())
    krl = tmp_path / "hosts.krl"
    with Sshd(files) as sshd:
        for serials, code in (([], 0), ([tbs.serial], 255)):
            krl.write_bytes(krl_of(RevokedCertificates.of(tbs.signature_key, serials=serials)))
            login = sshd.login(known_hosts=place.known_hosts, identity=certified, options=[f'RevokedHostKeys="{krl}"'])
            assert login.code == code
            assert ("revoked" in login.stderr) == bool(code)


def test_sshd_that_does_not_start_says_why(files: HostFiles) -> None:
    with (
        pytest.raises(RuntimeError, match="Bad configuration option: NoSuchOption"),
        Sshd(files, more=["NoSuchOption 1"]),
    ):
        pytest.fail("it runs")


def test_sshd_that_does_not_survive_a_reload_says_why(files: HostFiles) -> None:
    with Sshd(files) as sshd:
        files.key().write_text("no key\n")
        with pytest.raises(RuntimeError, match="no hostkeys available"):
            sshd.reload()


def test_nothing_of_the_users_own_is_looked_at(
    place: Place, files: HostFiles, certified: Path, tool: Callable[[str], str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    strace, ssh, trace = tool("strace"), tool("ssh"), tmp_path / "trace"
    (tmp_path / "bin").mkdir()
    wrapper = tmp_path / "bin/ssh"
    wrapper.write_text(f'#!/bin/sh\nexec {strace} -f -e trace=%file -o {trace} {ssh} "$@"\n')
    wrapper.chmod(0o755)
    with Sshd(files) as sshd:
        monkeypatch.setenv("PATH", f"{wrapper.parent}:/usr/bin:/bin")
        monkeypatch.setenv("SSH_AUTH_SOCK", "/nonexistent/agent")
        login = sshd.login(known_hosts=place.known_hosts, identity=certified)
    if login.code != 0 and "ptrace" in login.stderr:
        (pytest.fail if os.environ.get("MICA_REQUIRE_ALL") else pytest.skip)(f"strace may not trace: {login.stderr}")
    assert login.code == 0, login
    opened = [path for line in trace.read_text().splitlines() for path in re.findall(r'^[^(]+\([^"]*"([^"]+)"', line)]
    assert str(place.known_hosts) in opened
    assert [path for path in opened if "/.ssh" in path or path == "/nonexistent/agent"] == []


AS_ANOTHER = """
import os, sys
from pathlib import Path
from mica.testing.sshd import HostFiles, Sshd
folder, uid, gid = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
os.setgroups([]), os.setgid(gid), os.setuid(uid)
with Sshd(HostFiles(folder=folder)) as sshd:
    sshd.reload()
    login = sshd.login(known_hosts=folder / "known_hosts", identity=folder / "id")
print(os.getuid(), login.log)
"""


@pytest.mark.skipif(os.getuid() != 0, reason="whoever is not root shows it by every other test")
def test_sshd_runs_for_somebody_who_is_not_root(place: Place, files: HostFiles, user: Path) -> None:
    other = pwd.getpwnam("daemon")  # there is one on every machine
    place.user_cas["p256"].certify(user, valid_principals=("daemon",))
    with tempfile.TemporaryDirectory(prefix="mica-sshd-") as folder:  # pytest's own is for its user alone
        for source in (*files.folder.iterdir(), user, user.with_name("id-cert.pub"), place.known_hosts):
            shutil.copy(source, folder)
        for path in (Path(folder), *Path(folder).iterdir()):
            os.chown(path, other.pw_uid, other.pw_gid)
        command = [sys.executable, "-c", AS_ANOTHER, folder, str(other.pw_uid), str(other.pw_gid)]
        done = subprocess.run(command, cwd="/", capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{other.pw_uid} ")
    # What follows is up to the account's shell, which may be none.
    assert "Accepted publickey for daemon" in done.stdout, done.stdout
