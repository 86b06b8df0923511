"""Somebody at a terminal with a display, whose browser is the test's: it gets a URL, and the test opens it."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pexpect
from tests.interop.openid.identityprovider import CLIENT_ID, OpenIDProvider

from mica.testing.ca import TestCA

PATIENCE = 30
SIZE = (50, 4000)  # no line is wrapped
_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True, slots=True)
class Run:
    """A command that runs in a terminal."""

    terminal: "pexpect.spawn[str]"
    opened: Path

    def url(self) -> str:
        """What the browser was told to open, which the terminal says, too."""
        deadline = time.monotonic() + PATIENCE
        while not self.opened.exists():
            assert time.monotonic() < deadline and self.terminal.isalive(), self.terminal.read()
            time.sleep(0.05)
        url = self.opened.read_text()
        self.terminal.expect_exact(url)
        return url

    def invitation(self) -> tuple[str, str]:
        """The page to open elsewhere, and the code to enter there."""
        self.terminal.expect(r"Open (https://\S+) in any browser, and enter this code:\s+(\S+)\s")
        assert self.terminal.match is not None
        url, code = self.terminal.match.groups()
        return url, code

    def end(self, code: int = 0) -> str:
        """It has ended so; what it said since the last look."""
        self.terminal.expect(pexpect.EOF)
        said = _ESCAPE.sub("", self.terminal.before or "")
        self.terminal.close()
        assert self.terminal.exitstatus == code, said
        assert "Traceback" not in said
        return said


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """A folder to work in, and the environment of whoever sits there."""

    folder: Path
    environment: dict[str, str]
    provider: OpenIDProvider

    @classmethod
    def furnish(cls, folder: Path, ca: TestCA, provider: OpenIDProvider) -> "Desk":
        """A desk in ``folder`` where ``ca`` is trusted, and where the browser writes down what it is told to open."""
        browser = folder / "browser"
        browser.write_text(f"#!/bin/sh\nprintf %s \"$1\" >'{folder}/url' && mv '{folder}/url' '{folder}/opened'\n")
        browser.chmod(0o755)
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("MICA", "SSH_", "WAYLAND"))}
        home = {"MICAPATH": str(folder / "home"), "TERM": "xterm", "TZ": "UTC"}
        desk = cls(
            folder=folder, environment=clean | home | {"DISPLAY": ":99", "BROWSER": str(browser)}, provider=provider
        )
        subprocess.run(
            [*MICA, "ca", "bootstrap", "--ca-url", ca.url, "--fingerprint", ca.root_fingerprint],
            env=desk.environment, cwd=folder, check=True, capture_output=True, timeout=PATIENCE,
        )  # fmt: skip
        return desk

    @contextmanager
    def order(self, *arguments: str, **environment: str) -> "Iterator[Run]":
        """``mica`` orders something of the provisioner ``corp``."""
        with self.type(*arguments, "--provisioner", "corp", **environment) as run:
            yield run

    @contextmanager
    def oauth(self, *arguments: str) -> "Iterator[Run]":
        """``mica oauth`` asks the provider for an identity token."""
        flags = ("--provider", self.provider.issuer, "--client-id", CLIENT_ID, "--oidc", "--bare")
        with self.type("oauth", *flags, *arguments) as run:
            yield run

    @contextmanager
    def type(self, *arguments: str, **environment: str) -> "Iterator[Run]":
        """``mica`` runs in a terminal, and is gone afterwards."""
        opened = self.folder / "opened"
        opened.unlink(missing_ok=True)
        terminal = pexpect.spawn(
            MICA[0], [*MICA[1:], *arguments, "--oidc-root", str(self.provider.root)], cwd=str(self.folder),
            env=self.environment | environment, encoding="utf-8", timeout=PATIENCE, dimensions=SIZE,
        )  # fmt: skip
        try:
            yield Run(terminal, opened)
        finally:
            terminal.close(force=True)

    def ask(self, program: str, *arguments: str | Path, input: str = "") -> str:
        """What another program says in this folder, which must be content."""
        done = subprocess.run(
            [program, *map(str, arguments)], cwd=self.folder, env=self.environment, input=input, capture_output=True,
            text=True, timeout=PATIENCE,
        )  # fmt: skip
        assert done.returncode == 0, f"{program} {arguments}: {done.stdout}{done.stderr}"
        return done.stdout


MICA = (sys.executable, "-m", "mica.cli")
