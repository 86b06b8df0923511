"""What a plugin raises ends the plugin's answer, never the process or the task that asked.

``except Exception`` lets four exceptions pass. asyncio ends the whole loop for SystemExit and KeyboardInterrupt, and a
CancelledError that nobody has asked for looks like the end of the server.
"""

import asyncio
from types import TracebackType


class Overstepped(Exception):
    """A plugin raised what would have ended more than its own answer; it stands behind this as the cause."""


class _Contained:
    """A context around a call of a plugin. It keeps no state, so that one serves all."""

    __slots__ = ()

    def __enter__(self) -> None:
        """Nothing is to be done: entering must cost nothing."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # GeneratorExit is Python's own way to close what awaits; whoever raises it ends nothing but the request.
        if error is None or isinstance(error, Exception | GeneratorExit) or _is_ours(error):
            return
        raise Overstepped(f"it raised {type(error).__name__}, which must end nothing but its answer") from error


#: ``with contained:`` around a call of a plugin leaves only what ``except Exception`` catches, and a cancellation of
#: the task itself, which must go on.
contained = _Contained()


def _is_ours(error: BaseException) -> bool:
    """Whether it comes from outside of the plugin: somebody has cancelled this task, or interrupts the program."""
    try:
        task = asyncio.current_task()
    except RuntimeError:  # no event loop: at start-up, somebody may press Ctrl-C
        return isinstance(error, KeyboardInterrupt)
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0
