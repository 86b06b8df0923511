"""An OpenID provider on loopback, and somebody who signs in with curl for a browser."""

import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from mica.client.oauth import Wishes
from mica.testing.signins import SignInProvider, sign_in_provider


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
