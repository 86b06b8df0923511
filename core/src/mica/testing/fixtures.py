"""Fixtures for plugin authors, by ``pytest_plugins = ["mica.testing"]``: CAs, authorities, clocks, hostile input."""

import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import pytest_asyncio

from mica.authority import Authority
from mica.clock import system_clock
from mica.testing import csrs, tokens
from mica.testing.ca import TestCA
from mica.testing.commands import Commands
from mica.testing.contexts import Clock
from mica.testing.service import Service, free_port, served


@pytest.fixture
def clock() -> Clock:
    """A clock that is right, until the test sets it; the one of ``ca``."""
    return Clock(system_clock())


@pytest.fixture
def ca(tmp_path: Path, clock: Clock) -> TestCA:
    """A CA in ``tmp_path``, with one JWK provisioner and without SSH, at a loopback port that is free; not served."""
    return replace(TestCA.found(tmp_path, port=free_port()), clock=clock)


@pytest.fixture
def ssh_ca(tmp_path: Path, clock: Clock) -> TestCA:
    """As ``ca``, with keys for SSH. A test module that makes this its ``ca`` has its ``authority`` with SSH too."""
    return replace(TestCA.found(tmp_path, port=free_port(), ssh=True), clock=clock)


@pytest_asyncio.fixture
async def authority(ca: TestCA) -> AsyncIterator[Authority]:
    """The authority of ``ca`` in this process, started; closed afterwards."""
    authority = ca.authority()
    await authority.start()
    yield authority
    await authority.aclose()


@pytest.fixture
def served_ca(ca: TestCA) -> Iterator[Service]:
    """``ca`` as ``mica ca serve`` serves it, by two workers, until the test ends."""
    with served(ca) as running:
        yield running


@pytest.fixture(scope="session")
def commands() -> Iterator[Commands]:
    """Where ``mica`` is run as a process, until pytest ends; see ``mica``."""
    running = Commands()
    yield running
    running.close()


@pytest.fixture
def mica(tmp_path: Path, commands: Commands) -> Callable[..., CompletedProcess[bytes]]:
    """Runs ``mica`` with these arguments in ``tmp_path``, without a terminal; keywords are environment variables."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MICA")}

    def run(*arguments: str | Path, **variables: str) -> CompletedProcess[bytes]:
        environment = {**clean, "MICAPATH": str(tmp_path / "none"), **variables}
        return commands.run([*map(str, arguments)], folder=tmp_path, environment=environment)

    return run


@pytest.fixture(scope="session")
def csr_zoo() -> Mapping[str, csrs.HostileCSR]:
    """CSRs that no token for ``mica.testing.csrs.NAME`` alone covers, by what is wrong with them."""
    return csrs.csr_zoo()


@pytest.fixture(scope="session")
def hostile_tokens() -> Callable[[tokens.Maker], dict[str, str]]:
    """Makes, for a maker of good tokens, the tokens that nobody may accept, by what is wrong with them."""
    return tokens.hostile_tokens
