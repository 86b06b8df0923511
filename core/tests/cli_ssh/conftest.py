"""A machine where somebody types ``mica ssh``, and ssh-keygen in the same folder."""

from pathlib import Path

import pytest
from core.tests.cli_ca.conftest import Machine
from core.tests.keygen import Keygen


@pytest.fixture
def keygen(tmp_path: Path) -> Keygen:
    return Keygen(tmp_path)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path, tmp_path / "home")
