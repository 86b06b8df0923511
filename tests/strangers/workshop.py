"""A stranger's machine: an environment that has what is installed into it, and a CA that is run by the command line."""

import os
import re
import signal
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.strangers import wheels

KINDS = ("provisioner", "store", "keys", "policy", "listener", "routes")
PATIENCE = 60.0
"""Seconds that a CA may take to start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """A virtual environment below ``folder``, and wheels to install; nothing of this repository is on its path."""

    folder: Path

    @classmethod
    def open(cls, folder: Path) -> "Workshop":
        """The environment has mica and all its plugins, installed from wheels without an index."""
        workshop = cls(folder=folder)
        workshop.wheels.mkdir(parents=True)
        built = wheels.build_repository(workshop.wheels)
        wheels.pack_needed(built, workshop.wheels, ["testing"])
        venv.create(folder / "venv", symlinks=True)
        core, *plugins = built
        workshop.install(f"{core}[testing]", *map(str, plugins))
        return workshop

    @property
    def wheels(self) -> Path:
        """All that can be installed."""
        return self.folder / "wheels"

    @property
    def bin(self) -> Path:
        """Where its programs are."""
        return self.folder / "venv/bin"

    def install(self, *requirements: str) -> None:
        """The requirements are installed, from the wheels and from nowhere else."""
        command = (sys.executable, "-m", "uv", "pip", "install", "--quiet", "--no-config", "--no-index")
        places: tuple[str | Path, ...] = (
            "--python",
            self.bin / "python",
            "--find-links",
            self.wheels,
            "--cache-dir",
            self.folder / "cache",
        )
        self.run(*command, *places, *requirements)

    def add(self, kind: str) -> str:
        """A new plugin of that kind has been written, built and installed; its name."""
        name = f"our_{kind}"
        project = self.folder / f"mica-ca-our-{kind}"
        self.mica("plugin", "new", name, "--kind", kind)
        self.install(str(wheels.build(project, self.wheels)))
        return name

    def mica(self, *arguments: str | Path, code: int = 0, path: Path | None = None) -> str:
        """What the command prints, and in its own words on stderr, too, where it fails, as it must with that code."""
        return self.run(self.bin / "mica", *arguments, code=code, path=path)

    def run(self, *command: str | Path, code: int = 0, path: Path | None = None) -> str:
        """What ``command`` prints, in the folder, with ``path`` for MICAPATH."""
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment(path), capture_output=True, text=True, timeout=900
        )
        assert done.returncode == code, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr
        return done.stdout if code == 0 else done.stdout + done.stderr

    def environment(self, path: Path | None = None) -> dict[str, str]:
        """Nothing of the one that the tests run in but where programs are."""
        named = {"PATH": f"{self.bin}:{os.environ['PATH']}", "HOME": str(self.folder), "LANG": "C.UTF-8"}
        return named | {"MICAPATH": str(path or self.folder / "nowhere"), "NO_COLOR": "1"}


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a CA, from its start to its end."""

    log: Path

    def imported(self, package: str) -> bool:
        """Whether any of its processes has imported ``package``, or anything of it, so far."""
        text = self.log.read_text()
        assert re.search(r"\| +mica\.authority$", text, re.MULTILINE), "what is imported is not in the log"
        return re.search(rf"\| +{package}(\.|$)", text, re.MULTILINE) is not None

    def said(self) -> str:
        """What it logged."""
        lines = self.log.read_text().splitlines(keepends=True)
        return "".join(line for line in lines if not line.startswith("import time:"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Harbour:
    """A CA in ``path``, founded by ``mica ca init``; every certificate is ordered by the command line."""

    workshop: Workshop
    path: Path
    port: int
    plain: str = field(repr=False)
    """Its configuration before anything was changed."""

    @classmethod
    def found(cls, workshop: Workshop, path: Path, port: int) -> "Harbour":
        """The CA is there, and not served."""
        path.mkdir()
        for name in ("ca-password", "ops-password"):
            (path / name).write_text(f"the {name} of a test\n")
            (path / name).chmod(0o600)
        workshop.mica(
            *("ca", "init", "--name", "Harbour", "--dns", "localhost", "--address", f"127.0.0.1:{port}"),
            *("--provisioner", "ops", "--ca-password-file", path / "ca-password"),
            *("--provisioner-password-file", path / "ops-password"),
            path=path,
        )
        return cls(workshop=workshop, path=path, port=port, plain=(path / "ca.toml").read_text())

    @property
    def root(self) -> Path:
        """The PEM file of its root."""
        return self.path / "certs/root_ca.crt"

    def mica(self, *arguments: str | Path, code: int = 0) -> str:
        """As ``Workshop.mica``, where this CA is the one that is asked."""
        return self.workshop.mica(*arguments, code=code, path=self.path)

    def enable(self, plugin: str, more: str = "") -> None:
        """``ca.toml`` enables ``plugin``, pinned or not, and ends with ``more``."""
        self.change("plugins = [", f'plugins = ["{plugin}", ')
        with (self.path / "ca.toml").open("a") as file:
            file.write(more)

    def change(self, old: str, new: str) -> None:
        """``ca.toml`` has ``new`` where it had ``old``."""
        text = (self.path / "ca.toml").read_text()
        assert text.count(old) == 1, text
        (self.path / "ca.toml").write_text(text.replace(old, new))

    def order(self, *names: str, code: int = 0) -> str:
        """A certificate was ordered from ``ops``; what was said of a refusal."""
        sans = [word for name in names for word in ("--san", name)]
        password = ("--provisioner", "ops", "--password-file", self.path / "ops-password")
        return self._order(names[0], *sans, *password, code=code)

    def order_by_token(self, token: str, name: str, *, code: int = 0) -> str:
        """A certificate was ordered with that token; what was said of a refusal."""
        return self._order(name, "--token", token, code=code)

    def _order(self, name: str, *arguments: str | Path, code: int) -> str:
        files = (self.certificate(name), self.path / f"{name}.key")
        return self.mica("ca", "certificate", name, *files, "--force", *arguments, code=code)

    def certificate(self, name: str) -> Path:
        """The file of the certificate that was ordered for ``name``."""
        return self.path / f"{name}.crt"

    def serial_number(self, name: str) -> int:
        """OpenSSL finds the certificate for ``name`` good, and names it so; raises AssertionError."""
        file = self.certificate(name)
        run = self.workshop.run
        purpose = ("-purpose", "sslserver", "-verify_hostname", name)
        run("openssl", "verify", "-CAfile", self.root, "-untrusted", file, *purpose, file)
        return int(run("openssl", "x509", "-in", file, "-noout", "-serial").strip().removeprefix("serial="), 16)

    @contextmanager
    def served(self) -> Iterator[Run]:
        """``mica ca serve`` runs, and says on stderr what it and its worker import; it is gone afterwards."""
        run = Run(self.path / "serve.log")
        command = (self.workshop.bin / "mica", "ca", "serve", "--password-file", self.path / "ca-password")
        environment = self.workshop.environment(self.path) | {"PYTHONPROFILEIMPORTTIME": "1"}
        with run.log.open("wb") as output:
            process = subprocess.Popen(
                (*command, "--workers", "1"), cwd=self.path, env=environment, stdout=output, stderr=output
            )
        try:
            _wait_until_ready(run, process)
            yield run
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            process.wait(timeout=70)


def _wait_until_ready(run: Run, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + PATIENCE
    while " serving " not in run.said():
        assert process.poll() is None and time.monotonic() < deadline, f"the CA did not start:\n{run.said()}"
        time.sleep(0.05)
