"""A served CA for the tests of the whole system, and what to do about tools that are missing."""

import os
import shutil
from collections.abc import Callable

import pytest

from mica.testing.service import Service


@pytest.fixture
def service(served_ca: Service) -> Service:
    """The CA ``ca``, served by two workers."""
    return served_ca


@pytest.fixture(scope="session")
def tool() -> Callable[[str], str]:
    """The path of a program. Without it a test is skipped by name, or fails where MICA_REQUIRE_ALL is set."""

    def find(name: str) -> str:
        found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
        if found is None:
            if os.environ.get("MICA_REQUIRE_ALL"):
                pytest.fail(f"{name} is not installed")
            pytest.skip(f"{name} is not installed")
        return found

    return find
