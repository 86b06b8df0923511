"""One workshop for all strangers of a session, and a plugin of each kind in it."""

import pytest
from tests.strangers.workshop import KINDS, Workshop


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """A clean environment with wheels of this repository."""
    return Workshop.open(tmp_path_factory.mktemp("workshop"))


@pytest.fixture(scope="session")
def plugins(workshop: Workshop) -> dict[str, str]:
    """The names of one plugin of each kind, as ``mica plugin new`` writes it, installed as a wheel."""
    return {kind: workshop.add(kind) for kind in KINDS}
