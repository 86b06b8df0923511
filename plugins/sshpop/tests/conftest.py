"""ssh-keygen, which makes certificates and judges what we make of them."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Keygen = Callable[..., str]


@pytest.fixture
def keygen(tmp_path: Path) -> Keygen:
    """Runs ssh-keygen in ``tmp_path``. Without it tests are skipped, or fail where MICA_REQUIRE_ALL is set."""
    program = shutil.which("ssh-keygen")
    if program is None:
        if os.environ.get("MICA_REQUIRE_ALL"):
            pytest.fail("ssh-keygen is not installed")
        pytest.skip("ssh-keygen is not installed")

    def run(*arguments: str | Path) -> str:
        done = subprocess.run(
            [program, *arguments], cwd=tmp_path, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL
        )
        return done.stdout

    return run
