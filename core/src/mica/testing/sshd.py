"""A real sshd, and a real ssh that logs in to it, for tests: on a loopback port, with files of the test's own.

Works for root and for anybody else; the account to log in to is that of who runs the tests. The machine's sshd, its
host keys, and the ``~/.ssh`` of whoever runs the tests are neither read nor written, and nobody is trusted on first
use. Where accounts are locked (``!`` in /etc/shadow), root's has to be opened for tests that root runs.
"""

import os
import pwd
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from mica.testing.service import free_port

#: How long sshd may take to start, and ssh to log in, in seconds.
PATIENCE = 30.0
#: What the host is called by whoever logs in, unless something else is said.
HOST = "host.example"
_SETTLING = 2.0
_PRIVILEGE_SEPARATION = Path("/run/sshd")  # Debian's; elsewhere the package brings the folder along
_CONFIGURATION = (
    "UsePAM no",
    "PermitRootLogin prohibit-password",
    "AuthenticationMethods publickey",
    "AuthorizedKeysFile none",
    "PermitUserRC no",
    "PrintMotd no",
    "LogLevel VERBOSE",
)
# With one of these each connection ends.
_ENDED = re.compile(r"Connection (?:closed|reset) by|Disconnected from|Unable to negotiate with")


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFiles:
    """The folder of an SSH host: its keys and their certificates, whose users it believes, and what is revoked.

    Who makes the files is open: ssh-keygen, or mica. sshd is told of those that are there when it starts or reloads.
    """

    folder: Path
    keys: tuple[str, ...] = ("ssh_host_ed25519_key",)
    """The names of the private keys."""

    def key(self, name: str | None = None) -> Path:
        """A private key (HostKey); the first unless it is named."""
        return self.folder / (name or self.keys[0])

    def certificate(self, name: str | None = None) -> Path:
        """The certificate of a key (HostCertificate), beside it as ssh-keygen would put it."""
        return self.folder / f"{name or self.keys[0]}-cert.pub"

    @property
    def user_ca(self) -> Path:
        """Public keys, one a line, of the CAs whose user certificates are believed (TrustedUserCAKeys)."""
        return self.folder / "ca.pub"

    @property
    def krl(self) -> Path:
        """The key revocation list (RevokedKeys)."""
        return self.folder / "revoked.krl"

    @property
    def principals(self) -> Path:
        """The principals that may log in, one a line (AuthorizedPrincipalsFile); without it the user's name is one."""
        return self.folder / "principals"

    def configuration(self) -> list[str]:
        """The lines of sshd_config for the files that are there; a host key has to be."""
        lines = [f"HostKey {_quoted(self.key(name))}" for name in self.keys]
        named = [("HostCertificate", self.certificate(name)) for name in self.keys]
        named += [("TrustedUserCAKeys", self.user_ca), ("RevokedKeys", self.krl)]
        lines += [f"{keyword} {_quoted(path)}" for keyword, path in named if path.exists()]
        if self.principals.exists():
            # Below /tmp, which all can write to, sshd would not believe the file.
            lines += [f"AuthorizedPrincipalsFile {_quoted(self.principals)}", "StrictModes no"]
        return lines


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """How a login ended: ssh's exit code (255 when it did not come about) and output, and what sshd wrote meanwhile."""

    code: int
    stdout: str
    stderr: str
    log: str


class Sshd:
    """sshd with ``files``, answering on ``port`` of 127.0.0.1 as long as the ``with`` block lasts.

    ``more`` are lines of sshd_config that stand before the others; of two lines for one option the first counts.
    Raises RuntimeError with the log when sshd does not start, or does not survive a reload.
    """

    def __init__(self, files: HostFiles, *, more: Sequence[str] = ()) -> None:
        self.files, self.port = files, free_port()
        folder = files.folder.absolute()  # sshd leaves the folder that it was started in
        self.config, self._log = folder / "sshd_config", folder / "sshd.log"
        self._pid_file, self._more = folder / "sshd.pid", tuple(more)

    def __enter__(self) -> "Sshd":
        program = find("sshd")
        if os.getuid() == 0:
            _PRIVILEGE_SEPARATION.mkdir(mode=0o755, exist_ok=True)
        # Since OpenSSH 9.8 an address from which logins fail, as tests make them, is kept out for a while.
        self._fixed = ("PerSourcePenalties no",) if _knows(program, "PerSourcePenalties=no") else ()
        self._configure()
        self._pid_file.unlink(missing_ok=True)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [program, "-D", "-e", "-f", self.config], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=_environment(),
            )  # fmt: skip
        try:
            self._wait_until_it_listens(since=None)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    @property
    def pid(self) -> int:
        """The process id of the server, which a reload does not change."""
        return self._process.pid

    @property
    def log(self) -> str:
        """What it has written so far."""
        return self._log.read_text(errors="replace")

    def reload(self) -> None:
        """It has read its configuration, its keys and its certificates anew (SIGHUP), and answers again."""
        with self.reloading():
            self._configure()
            self._process.send_signal(signal.SIGHUP)

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """Whoever tells it so in the block, it has reloaded afterwards, and answers again.

        Raises RuntimeError when it does not survive that, or was not told.
        """
        before = self._listening_since()
        yield
        self._wait_until_it_listens(since=before)

    def login(
        self,
        *,
        known_hosts: Path,
        identity: Path | None = None,
        certificate: Path | None = None,
        agent: Path | None = None,
        user: str | None = None,
        host: str = HOST,
        command: str = "echo logged in",
        options: Sequence[str] = (),
    ) -> Login:
        """ssh has tried to run ``command`` here as ``user``, with ``identity`` or with what the ``agent`` holds.

        ``known_hosts`` says which CA vouches for hosts (see ``trust_hosts``), and the host has to be ``host``. Beside
        ``identity`` ssh finds a certificate by its name; another is ``certificate``. ``agent`` is an agent's socket.
        ``options`` are ssh's, as ``-o`` takes them, and count before others. Raises TimeoutExpired.
        """
        settings = {
            "BatchMode": "yes",
            "StrictHostKeyChecking": "yes",
            "UserKnownHostsFile": _quoted(known_hosts),
            "GlobalKnownHostsFile": "/dev/null",
            "UpdateHostKeys": "no",
            "HostKeyAlias": host,
            "Port": str(self.port),
            "User": user or account(),
            "PreferredAuthentications": "publickey",
            "RequestTTY": "no",
            **_identity(identity, certificate, agent),
        }
        arguments = [*options, *(f"{name}={value}" for name, value in settings.items())]
        flags = [flag for argument in arguments for flag in ("-o", argument)]
        start = len(self.log)
        done = subprocess.run(
            [find("ssh"), "-F", "none", "-n", *flags, "--", "127.0.0.1", command],
            env=_environment(), capture_output=True, text=True, errors="replace", timeout=PATIENCE, check=False,
        )  # fmt: skip
        return Login(code=done.returncode, stdout=done.stdout, stderr=done.stderr, log=self._log_since(start))

    def _configure(self) -> None:
        lines = [*self._more, f"ListenAddress 127.0.0.1:{self.port}", f"PidFile {_quoted(self._pid_file)}"]
        lines += [*_CONFIGURATION, *self._fixed, *self.files.configuration()]
        self.config.write_text("".join(f"{line}\n" for line in lines))

    def _listening_since(self) -> int | None:
        """When it wrote its process id: as soon as it listens and heeds signals, at the start and after a reload."""
        try:
            written = self._pid_file.stat()
        except FileNotFoundError:
            return None
        return written.st_mtime_ns if written.st_size else None

    def _wait_until_it_listens(self, *, since: int | None) -> None:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self._process.poll() is None:
            if self._listening_since() not in (None, since):
                return
            time.sleep(0.02)
        raise RuntimeError(f"sshd does not listen:\n{self.log}")

    def _log_since(self, start: int) -> str:
        """What was written since, with the end of the connection: sshd may write it after ssh has gone."""
        deadline = time.monotonic() + _SETTLING
        while _ENDED.search(written := self.log[start:]) is None and time.monotonic() < deadline:
            time.sleep(0.02)
        return written

    def _end(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
        self._process.wait(timeout=PATIENCE)


def find(name: str) -> str:
    """The path of ``name``, a program of OpenSSH: sshd must be started by its whole path.

    Without the program the test is skipped, or fails where MICA_REQUIRE_ALL is set.
    """
    found = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if found is None:
        if os.environ.get("MICA_REQUIRE_ALL"):
            pytest.fail(f"{name} is not installed")
        pytest.skip(f"{name} is not installed")
    return str(Path(found).absolute())


def account() -> str:
    """The name of the account that runs the tests: the one to log in to, and so a principal that it takes."""
    return pwd.getpwuid(os.getuid()).pw_name


def trust_hosts(known_hosts: Path, *public_keys: Path, pattern: str = "*") -> Path:
    """``known_hosts`` believes hosts that match ``pattern`` by certificates of these CAs alone (sshd(8), known_hosts).

    A file of ``public_keys`` may have several lines. The answer is ``known_hosts``.
    """
    keys = (line for path in public_keys for line in path.read_text().splitlines() if line.strip())
    known_hosts.write_text("".join(f"@cert-authority {pattern} {key}\n" for key in keys))
    return known_hosts


def _identity(identity: Path | None, certificate: Path | None, agent: Path | None) -> Mapping[str, str]:
    settings = {
        "IdentityAgent": "none" if agent is None else _quoted(agent),
        "IdentityFile": "none" if identity is None else _quoted(identity),
        # By itself an agent offers what it has; beside an identity, that one.
        "IdentitiesOnly": "no" if identity is None else "yes",
    }
    return settings | ({"CertificateFile": _quoted(certificate)} if certificate else {})


def _knows(program: str, option: str) -> bool:
    done = subprocess.run([program, "-t", "-f", "/dev/null", "-o", option], capture_output=True, text=True, check=False)
    return "Bad configuration option" not in done.stderr


def _environment() -> dict[str, str]:
    """What a program needs; no agent, no askpass, no display of whoever runs the tests."""
    return {"PATH": os.environ.get("PATH", os.defpath), "TZ": "UTC", "LC_ALL": "C.UTF-8"}


def _quoted(path: Path) -> str:
    return f'"{path.absolute()}"'
