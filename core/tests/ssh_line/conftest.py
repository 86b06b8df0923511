"""A CA with SSH in a folder, and an authority that serves it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mica.authority import Authority
from mica.testing.ca import TestCA


@pytest.fixture
def ca(tmp_path: Path) -> TestCA:
    return TestCA.found(tmp_path, ssh=True)


@pytest.fixture
async def authority(ca: TestCA) -> AsyncIterator[Authority]:
    authority = ca.authority()
    await authority.start()
    yield authority
    await authority.aclose()
