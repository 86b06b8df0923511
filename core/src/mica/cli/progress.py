"""What is shown while something takes long: after a second, on the terminal that stderr is.

rich draws it, and is imported when the second has passed, by the thread that draws; most runs never need it.
"""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_PATIENCE, _BEAT = 1.0, 0.1

_drawing: ContextVar[bool] = ContextVar("_drawing", default=False)


@contextmanager
def shown(label: str) -> Iterator[None]:
    """While this lasts, ``label`` and the seconds since its beginning stand on stderr; afterwards nothing of it does.

    Within another one it shows nothing: a line has room for one.
    """
    if _drawing.get():
        yield
        return
    done = threading.Event()
    artist = threading.Thread(target=_draw, args=(label, done), name="progress", daemon=True)
    before = _drawing.set(True)
    artist.start()
    try:
        yield
    finally:
        done.set()
        artist.join()
        _drawing.reset(before)


def _draw(label: str, done: threading.Event) -> None:
    began = time.monotonic()
    if done.wait(_PATIENCE):
        return
    try:
        _animate(label, began, done)
    except OSError:  # the terminal has gone; that ends no work
        return


def _animate(label: str, began: float, done: threading.Event) -> None:
    """One line is drawn over and over, and erased. The cursor is never hidden, so that nothing can leave it so."""
    from rich.console import Console
    from rich.control import Control
    from rich.segment import ControlType
    from rich.spinner import Spinner
    from rich.text import Text

    screen = Console(file=sys.stderr, highlight=False, no_color=True, force_terminal=True)
    spinner = Spinner("dots" if screen.encoding.startswith("utf") else "line")
    erase = Control(ControlType.CARRIAGE_RETURN, (ControlType.ERASE_IN_LINE, 2))
    try:
        while not done.wait(_BEAT):
            now = time.monotonic()
            spinner.text = Text(f"{label} ({now - began:.0f} s)")
            frame = spinner.render(now)
            assert isinstance(frame, Text)
            frame.truncate(screen.width - 1, overflow="ellipsis")
            screen.control(erase)
            screen.print(frame, end="")
    finally:
        screen.control(erase)
