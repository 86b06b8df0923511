"""A CA with SSH that is served, and machines whose users and hosts are configured for it."""

import hashlib
import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

from core.tests.cli_ca.conftest import CA_PASSWORD, PROVISIONER_PASSWORD, Machine

from mica.testing.service import free_port, served


@dataclass(frozen=True, slots=True, kw_only=True)
class SSHCA:
    """The CA that runs."""

    home: Path
    url: str

    @property
    def root(self) -> Path:
        return self.home / "certs" / "root_ca.crt"

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(self.root.read_text())).hexdigest()

    def key(self, cert_type: str) -> str:
        """The public key that signs certificates of this type: type and base64."""
        return " ".join((self.home / f"certs/ssh_{cert_type}_ca_key.pub").read_text().split()[:2])


@contextmanager
def running_ca(folder: Path, *, ssh: bool = True, more: str = "") -> Iterator[SSHCA]:
    """What ``mica ca init --ssh`` makes, served; ``more`` is added to its configuration."""
    url, home = f"https://localhost:{free_port()}", folder / "home"
    owner = Machine(folder, home)
    keys, provisioner = owner.write("keys", CA_PASSWORD), owner.write("provisioner", PROVISIONER_PASSWORD)
    owner.mica(
        "ca", "init", "--name", "Harbour Works", "--dns", "localhost", "--address", url.removeprefix("https://"),
        "--provisioner", "admin", "--password-file", keys, "--provisioner-password-file", provisioner,
        *(["--ssh"] if ssh else []),
    )  # fmt: skip
    configuration = home / "ca.toml"
    configuration.write_text(configuration.read_text() + more)
    with served(
        SimpleNamespace(directory=home, url=url),  # type: ignore[arg-type]  # all that it asks for
        workers=1,
        arguments=["--password-file", str(keys)],
    ):
        yield SSHCA(home=home, url=url)


def client_of(ca: SSHCA, folder: Path) -> Machine:
    """A machine that trusts the CA, as ``ca bootstrap`` leaves it, with a ``HOME`` of its own, and no agent."""
    (work := folder / "machine").mkdir(parents=True)
    made = Machine(work, folder / "user" / ".mica")
    made.environment |= {"HOME": str(folder / "user"), "SSH_AUTH_SOCK": ""}
    bootstrap(made, ca)
    made.write("password", PROVISIONER_PASSWORD + "\n")
    made.environment["MICA_PROVISIONER_PASSWORD_FILE"] = str(made.path("password"))
    return made


def bootstrap(machine: Machine, ca: SSHCA, home: Path | None = None) -> None:
    """What ``ca bootstrap`` leaves in ``home``; that it does is tested where it belongs."""
    home = home or machine.home
    root = home / "certs" / "root_ca.crt"
    root.parent.mkdir(mode=0o700, parents=True)
    root.write_bytes(ca.root.read_bytes())
    settings = {"ca-url": ca.url, "fingerprint": ca.fingerprint, "root": str(root)}
    (home / "defaults.json").write_text(json.dumps(settings))
