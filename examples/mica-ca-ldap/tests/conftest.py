"""A directory that runs, and ``mica`` as a command."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mica.testing.commands import Commands
from mica_ldap import slapd

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[slapd.Slapd]:
    """slapd, with Alice and Ann in a group, and Bob in none."""
    with slapd.running(tmp_path_factory.mktemp("slapd")) as running:
        yield running


@pytest.fixture(scope="module")
def commands() -> Iterator[Commands]:
    running = Commands()
    yield running
    running.close()


@pytest.fixture
def mica(tmp_path: Path, commands: Commands) -> Run:
    """Runs ``mica`` in a folder of its own, without a terminal; further variables are keywords."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MICA")}

    def run(*arguments: str | Path, **variables: str) -> "subprocess.CompletedProcess[bytes]":
        environment = {**clean, "MICAPATH": str(tmp_path / "none"), **variables}
        return commands.run([*map(str, arguments)], folder=tmp_path, environment=environment)

    return run
