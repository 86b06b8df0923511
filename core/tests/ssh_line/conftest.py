"""A CA with SSH, which is the one of the ``authority`` here."""

import pytest

from mica.testing.ca import TestCA


@pytest.fixture
def ca(ssh_ca: TestCA) -> TestCA:
    return ssh_ca
