"""The log of an authority that runs inside a command: off the terminal, unless somebody has to know."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from mica import logs
from mica.cli.console import say, warn

_ACCESS = "mica.access"


@contextmanager
def quiet() -> Iterator[None]:
    """Log lines wait. At the end each warning among them is one on stderr; ``MICADEBUG=1`` shows every line there.

    What became of the request is not one of them: the command says that itself.
    """
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    kept = _Kept()
    root.handlers[:] = [kept]
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        if sys.stderr is not None:
            kept.tell(everything=os.environ.get("MICADEBUG") == "1")


class _Kept(logging.Handler):
    """Keeps records, each with the line that it makes; the line is made at once, while the request's id is known."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logs.TextFormatter())
        self._records: list[tuple[logging.LogRecord, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """The record is kept."""
        self._records.append((record, self.format(record)))

    def tell(self, *, everything: bool) -> None:
        """What has to be known is on stderr."""
        for record, line in self._records:
            if everything:
                say(line)
            elif record.levelno >= logging.WARNING and record.name != _ACCESS:
                error = record.exc_info[1] if record.exc_info else None
                warn(record.getMessage() + (f": {error}" if error else ""))
