"""Every fault of a table is told, not the first."""

from collections.abc import Iterator
from contextlib import contextmanager

from mica import ConfigError


@contextmanager
def noting(faults: list[str]) -> Iterator[None]:
    """The faults of a ConfigError that is raised inside are among ``faults``, and what follows is done."""
    try:
        yield
    except ConfigError as error:
        faults += error.faults
