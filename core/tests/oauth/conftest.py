"""An OpenID provider on loopback, and somebody who signs in with curl for a browser."""

import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from mica.client.oauth import Wishes
from mica.testing.commands import Commands
from mica.testing.signins import CLIENT_ID, SignInProvider, sign_in_provider

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]
ACCOUNT_KEY = rsa.generate_private_key(65537, 2048)
ACCOUNT = "deploy@works.iam.example"


@dataclass
class Somebody:
    """Sits at a desk, and does as ``browse`` does with each URL."""

    wishes: Wishes
    browse: Callable[[str], object]
    has_display: bool = True
    read: list[str] = field(default_factory=list)
    """What they were told."""

    def invite(self, sentences: str, url: str = "") -> None:
        self.read.append(sentences)
        if url:
            threading.Thread(target=self.browse, args=(url,), daemon=True).start()

    def wish(self, **wishes: object) -> None:
        self.wishes = replace(self.wishes, **wishes)  # type: ignore[arg-type]


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[SignInProvider]:
    with sign_in_provider(tmp_path) as running:
        yield running


@pytest.fixture
def curl() -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """curl, quiet, with the status on the last line of its output."""

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = ["curl", "-s", "--max-time", "20", "-w", "\n%{http_code}", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    return run


@pytest.fixture
def somebody(provider: SignInProvider, tmp_path: Path, curl: Callable[..., object]) -> Somebody:
    def browse(url: str) -> object:
        return curl("-L", "--cacert", str(provider.root), url)

    return Somebody(wishes=Wishes(roots=provider.root.read_bytes(), cache=tmp_path / "oidc"), browse=browse)


@pytest.fixture
def environment(provider: SignInProvider, tmp_path: Path) -> dict[str, str]:
    """A display, and a browser that is a script; it tells what it was called with."""
    browser = tmp_path / "browser"
    browser.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/opened\necho noise\necho noise >&2\n'
        f'exec curl -sL --cacert {provider.root} "$1"\n'
    )
    browser.chmod(0o755)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MICA", "SSH_", "WAYLAND"))}
    return clean | {"DISPLAY": ":99", "BROWSER": str(browser), "MICAPATH": str(tmp_path / "home")}


@pytest.fixture
def mica(commands: Commands, environment: dict[str, str], tmp_path: Path) -> Run:
    def run(*arguments: str, **more: str) -> "subprocess.CompletedProcess[bytes]":
        return commands.run(arguments, folder=tmp_path, environment=environment | more)

    return run


def flags(provider: SignInProvider) -> tuple[str, ...]:
    return ("--provider", provider.url, "--client-id", CLIENT_ID, "--oidc-root", str(provider.root))


def write_account(file: Path, provider: SignInProvider, **members: Any) -> None:
    """The key file of a service account of ``provider``; ``members`` are otherwise than they should be."""
    pkcs8, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    good = {
        "type": "service_account",
        "client_email": ACCOUNT,
        "private_key_id": "key-7",
        "private_key": ACCOUNT_KEY.private_bytes(serialization.Encoding.PEM, pkcs8, plain).decode(),
        "token_uri": f"{provider.url}/token",
    }
    file.write_text(json.dumps({name: value for name, value in (good | members).items() if value is not None}))
