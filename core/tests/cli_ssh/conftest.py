"""A machine where somebody types ``mica ssh``, and ssh-keygen in the same folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from core.tests.cli_ca.conftest import Machine
from core.tests.cli_ssh.sshclients import SSHCA, client_of, running_ca

from mica.testing.agents import RunningAgent, ssh_agent
from mica.testing.keygen import Keygen


@pytest.fixture
def keygen(tmp_path: Path) -> Keygen:
    return Keygen(tmp_path)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path, tmp_path / "home")


@pytest.fixture
def agent() -> Iterator[RunningAgent]:
    with ssh_agent() as running:
        yield running


@pytest.fixture(scope="session")
def served_ca(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SSHCA]:
    """A CA with SSH that runs; its provisioner is ``admin``."""
    with running_ca(tmp_path_factory.mktemp("ssh-ca")) as ca:
        yield ca


@pytest.fixture
def client(served_ca: SSHCA, tmp_path: Path) -> Machine:
    """A machine that trusts ``served_ca``."""
    return client_of(served_ca, tmp_path / "client")
