"""The parts of an authority are started and closed here: one that fails is named, and harms no other's end."""

import logging

from mica.containment import contained
from mica.deadlines import within
from mica.errors import MicaError, Unavailable, told
from mica.roles import Closeable, Startable

#: How long a part may take to give back what it holds, in seconds.
CLOSING_DEADLINE = 10.0

_log = logging.getLogger("mica.lifecycle")


async def start(part: object) -> None:
    """The part can serve, where it needs to be started; raises MicaError, whatever it raises itself."""
    try:
        with contained:
            if isinstance(part, Startable):
                await part.start()
    except MicaError:
        raise
    except Exception as error:
        raise Unavailable(f"{_name(part)} could not be started: {told(error, repr)}") from error


async def close(part: object) -> None:
    """The part has given back what it held, or had its time to do so; nothing is raised."""
    try:
        with contained:
            if isinstance(part, Closeable):
                await within(CLOSING_DEADLINE, part.aclose())
    except Exception:
        _log.exception("%s failed to close", _name(part))


def _name(part: object) -> str:
    return f"{type(part).__module__}.{type(part).__qualname__}"
