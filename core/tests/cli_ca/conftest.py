"""A real CA, made by ``mica ca init`` and run by ``mica ca serve``, and machines that are its clients."""

import atexit
import hashlib
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest

from mica.jwe import encrypt_jwk
from mica.testing.commands import Commands
from mica_jwk.client import new_key, public_key

CA_PASSWORD, PROVISIONER_PASSWORD = "the password of the keys", "the password of the provisioner"


@cache
def commands() -> Commands:
    """Where ``mica`` is run, until pytest ends."""
    running = Commands()
    atexit.register(running.close)
    return running


@dataclass
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str


@dataclass
class Machine:
    """A machine where somebody types commands: a folder to work in, and a ``MICAPATH`` of its own."""

    folder: Path
    home: Path
    environment: dict[str, str] = field(default_factory=dict)

    def mica(self, *arguments: str | Path, code: int = 0, input: str | None = None) -> Ran:
        """One command without a terminal, which must end with ``code``."""
        done = commands().run(
            [*map(str, arguments)],
            folder=self.folder,
            environment={**_plain_environment(), "MICAPATH": str(self.home), **self.environment},
            input=(input or "").encode(),
        )
        out, err = done.stdout.decode(), done.stderr.decode()
        assert done.returncode == code, f"{arguments} ended with {done.returncode}: {out}{err}"
        assert "Traceback" not in err
        return Ran(done.returncode, out, err)

    def path(self, name: str) -> Path:
        return self.folder / name

    def write(self, name: str, text: str) -> Path:
        self.path(name).write_text(text)
        return self.path(name)

    def openssl(self, *arguments: str) -> str:
        done = subprocess.run(["openssl", *arguments], cwd=self.folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout


@dataclass
class CA:
    """The CA that runs, and what people who use it know."""

    home: Path
    url: str
    fingerprint: str
    log: Path

    @property
    def root(self) -> Path:
        return self.home / "certs" / "root_ca.crt"


def _plain_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("MICA")}


@pytest.fixture(scope="session")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CA]:
    """The CA. Its provisioners are ``admin``, and ``late``, whose expired certificates can be renewed."""
    folder = tmp_path_factory.mktemp("ca")
    home = folder / "home"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    owner = Machine(folder, home)
    keys, provisioner = owner.write("keys", CA_PASSWORD), owner.write("provisioner", PROVISIONER_PASSWORD)
    owner.mica(
        "ca", "init", "--name", "Harbour Works", "--dns", "localhost", "--dns", "127.0.0.1",
        "--address", f"127.0.0.1:{port}", "--provisioner", "admin", "--deployment-type", "standalone",
        "--password-file", keys, "--provisioner-password-file", provisioner,
    )  # fmt: skip
    configuration = home / "ca.toml"
    configuration.write_text(configuration.read_text() + 'claims = { min_tls_cert_duration = "1s" }\n' + _late())
    log = folder / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "mica.cli", "ca", "serve", "--workers", "1", "--password-file", str(keys)],
            env={**_plain_environment(), "MICAPATH": str(home)},
            stdout=file,
            stderr=file,
        )
    try:
        _wait(port, process, log)
        root = ssl.PEM_cert_to_DER_cert((home / "certs" / "root_ca.crt").read_text())
        yield CA(home, f"https://localhost:{port}", hashlib.sha256(root).hexdigest(), log)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def _late() -> str:
    jwk = new_key()
    key = ", ".join(f'{name} = "{value}"' for name, value in public_key(jwk).items())
    encrypted = encrypt_jwk(jwk, PROVISIONER_PASSWORD.encode())
    claims = 'min_tls_cert_duration = "1s", allow_renewal_after_expiry = true'
    return (
        '[[provisioners]]\ntype = "jwk"\nname = "late"\n'
        f'key = {{ {key} }}\nencrypted_key = "{encrypted}"\nclaims = {{ {claims} }}\n'
    )


def _wait(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    pytest.fail(f"the CA did not start: {log.read_text()}")


@pytest.fixture
def stranger(tmp_path: Path) -> Machine:
    """A machine that knows no CA."""
    (tmp_path / "work").mkdir()
    return Machine(tmp_path / "work", tmp_path / "nothing")


@pytest.fixture
def machine(ca: CA, tmp_path: Path) -> Machine:
    """A machine that trusts the CA, with the provisioner's password in the file ``password``."""
    (tmp_path / "machine").mkdir()
    made = Machine(tmp_path / "machine", tmp_path / "home")
    # What ca bootstrap leaves; that it does is tested where it belongs.
    root = made.home / "certs" / "root_ca.crt"
    root.parent.mkdir(mode=0o700, parents=True)
    root.write_bytes(ca.root.read_bytes())
    settings = {"ca-url": ca.url, "fingerprint": ca.fingerprint, "root": str(root)}
    (made.home / "defaults.json").write_text(json.dumps(settings))
    made.write("password", PROVISIONER_PASSWORD + "\n")
    made.environment["MICA_PROVISIONER"] = "admin"
    made.environment["MICA_PROVISIONER_PASSWORD_FILE"] = str(made.path("password"))
    return made
