"""The outside of an authority, as plugins see it: a clock that is set by hand, and a context that shows it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from secrets import token_bytes

from mica.audiences import Audiences
from mica.egress import Egress
from mica.errors import ConfigError
from mica.files import Files
from mica.roles import Context

URL = "https://ca.example:8443"


class Clock:
    """A clock that is set by hand."""

    def __init__(self, now: datetime = datetime(2031, 3, 14, 9, 26, 53, tzinfo=UTC)) -> None:
        self.moment = now

    def __call__(self) -> datetime:
        return self.moment

    def advance(self, duration: timedelta) -> None:
        """It is later by ``duration``."""
        self.moment += duration


def make_context(clock: Clock, directory: Path = Path("/nonexistent"), http: Egress | None = None) -> Context:
    """The outside of an authority at ``URL``, whose files are those in ``directory``; ``http`` is its way out."""

    audiences = Audiences.of(URL, "127.0.0.1:8443", ["ca.example"])
    return Context(
        url=URL,
        audiences=audiences,
        directory=directory,
        now=clock,
        random=token_bytes,
        read=lambda path: Files().read(_absolute(path)),
        read_secret=lambda path: Files().read_secret(_absolute(path)),
        http=http or Egress(),
    )


def _absolute(path: Path) -> Path:
    """``path``; raises ConfigError: the folder in which the server happens to run is not the configuration's."""
    if not path.is_absolute():
        raise ConfigError([f"{path}: must be absolute; read context.directory / path"])
    return path
