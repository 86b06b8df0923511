"""Log lines: one event, one line, for people (``key=value``) or for programs (JSON).

Whatever comes from outside is escaped: a line never holds a control character, a line end or a character beyond
ASCII. Bodies, headers, tokens and keys are not hidden here; they are never handed in.
"""

import json
import logging
import re
import sys
import time
import traceback
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from contextvars import ContextVar
from functools import lru_cache
from typing import Literal, TextIO

from mica.errors import told

LogFormat = Literal["text", "json"]

#: The id of the request that is being served, empty outside of one.
request_id: ContextVar[str] = ContextVar("mica.request_id", default="")

_BARE = re.compile(r"[A-Za-z0-9_.:/@+*\[\],-]+")
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")
_FRAMES = 12


def configure(form: LogFormat = "text", *, stream: TextIO | None = None, level: int = logging.INFO) -> None:
    """Every logger of this process, uvicorn's included, writes lines of this form to ``stream`` (standard error)."""
    handler = TurnHandler(stream or sys.stderr)
    handler.setFormatter(JSONFormatter() if form == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.raiseExceptions = False  # a closed standard error must not break a request
    # What no line shows is not looked up for every request.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None  # as logging's own guide to optimisation has it
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi", "asyncio"):
        logger = logging.getLogger(name)
        logger.handlers[:] = []
        logger.propagate = True
        logger.setLevel(max(level, logging.WARNING))


def fields(**values: object) -> dict[str, Mapping[str, object]]:
    """What to give as ``extra=`` so that the line carries these fields; None and empty ones are left out."""
    return {"fields": {name: value for name, value in values.items() if value is not None and value != ""}}


class TurnHandler(logging.Handler):
    """Writes lines to ``stream``: at once, or, in an event loop, what one turn of it has logged, together.

    A line above INFO is written at once, with those before it: the process may be about to end.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """The line will be written."""
        try:
            self._lines.append(self.format(record))
            if record.levelno > logging.INFO:
                self.flush()
            elif len(self._lines) == 1:
                from asyncio import get_running_loop  # slow to import, and most commands log nothing

                get_running_loop().call_soon(self.flush)
        except RuntimeError:  # no event loop in this thread
            self.flush()
        except Exception:
            self.handleError(record)

    def flush(self) -> None:
        """Every line is in the stream."""
        with self.lock or nullcontext():
            lines, self._lines = self._lines, []
            if lines:
                with suppress(OSError, ValueError):  # a closed standard error must not break a request
                    self._stream.write("\n".join([*lines, ""]))
                    self._stream.flush()


class TextFormatter(logging.Formatter):
    """``2026-01-31T12:00:00.000Z info  message request-id=… key=value``."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        words = [_time(record.created), f"{record.levelname.lower():7}", _escaped(record.getMessage())]
        words += [f"{name}={_word(value)}" for name, value in _members(record).items()]
        return " ".join(words)


class JSONFormatter(logging.Formatter):
    """One JSON object with ``time``, ``level``, ``message`` and the fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line = {"time": _time(record.created), "level": record.levelname.lower(), "message": record.getMessage()}
        return json.dumps(line | _members(record), default=str, separators=(",", ":")).replace("\x7f", "\\u007f")


def _members(record: logging.LogRecord) -> dict[str, object]:
    members: dict[str, object] = {}
    if identifier := request_id.get():
        members["request-id"] = identifier
    members |= getattr(record, "fields", {})
    if record.exc_info and record.exc_info[1] is not None:
        members |= _failure(record.exc_info[1])
    return members


def _failure(error: BaseException) -> dict[str, object]:
    """The exception, its cause, and where it was raised, innermost call first."""
    frames = reversed(traceback.extract_tb(error.__traceback__)[-_FRAMES:])
    members: dict[str, object] = {
        "error": f"{type(error).__name__}: {told(error)}",
        "at": " < ".join(f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames),
    }
    if error.__cause__ is not None:
        members["cause"] = f"{type(error.__cause__).__name__}: {told(error.__cause__)}"
    return members


def _time(seconds: float) -> str:
    return f"{_whole(int(seconds))}.{int(seconds % 1 * 1000):03d}Z"


@lru_cache(maxsize=4)
def _whole(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def _word(value: object) -> str:
    text = ",".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
    return text if _BARE.fullmatch(text) else json.dumps(text).replace("\x7f", "\\u007f")


def _escaped(text: str) -> str:
    """``text`` with everything but printable ASCII escaped: it may have come from a plugin or a client."""
    return _UNPRINTABLE.sub(lambda match: ascii(match.group())[1:-1], text)
