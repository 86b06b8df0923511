"""The terminal that belongs to this process: questions are asked there, whatever stdin and stdout are."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from mica.cli.errors import Cancelled

_UP, _DOWN, _ENTER = (
    frozenset({b"\x1b[A", b"\x1bOA", b"k"}),
    frozenset({b"\x1b[B", b"\x1bOB", b"j"}),
    frozenset(b"\r\n"),
)
_END_OF_INPUT = b"\x04"  # Ctrl-D
_LINE = 4096  # what a terminal's line discipline holds at most (termios(3), canonical mode)


class Terminal:
    """``/dev/tty``, open. ``plain`` forbids colour and cursor movement."""

    def __init__(self, descriptor: int, *, plain: bool) -> None:
        self._fd = descriptor
        self.plain = plain or os.environ.get("TERM", "") in ("", "dumb")

    def write(self, text: str) -> None:
        """``text`` is on the screen."""
        data = text.encode("utf-8", "backslashreplace")
        while data:
            data = data[os.write(self._fd, data) :]

    def styled(self, text: str, *codes: int) -> str:
        """``text`` in the given SGR codes (ECMA-48 §8.3.117), or as it is on a plain terminal."""
        return text if self.plain else f"\x1b[{';'.join(map(str, codes))}m{text}\x1b[0m"

    def line(self, prompt: str) -> bytes:
        """One line as it was typed, without its end; raises Cancelled at the end of input."""
        self.write(prompt)
        typed = os.read(self._fd, _LINE)
        if not typed:
            self.write("\n")
            raise Cancelled("cancelled")
        return typed.rstrip(b"\r\n")

    def secret(self, prompt: str) -> bytes:
        """One line that was typed and not shown; white space at its end is dropped."""
        with self._mode(echo=False):
            try:
                return self.line(prompt).rstrip()
            finally:
                self.write("\n")

    def replace_line(self, text: str, width: int) -> None:
        """The line above, ``width`` characters long, reads ``text``; left alone when it may have wrapped."""
        if not self.plain and width < self._size().columns:
            self.write(f"\x1b[1A\r\x1b[2K{text}\n")

    def pick(self, question: str, rows: Sequence[str]) -> int:
        """The index of the row that was picked with arrow keys; by its number on a plain or a small terminal."""
        size = self._size()
        if self.plain or len(rows) + 2 > size.lines:
            return self._pick_number(question, rows)
        shown = [row[: size.columns - 5] for row in rows]
        self.write(f"{self.styled('?', 34)} {self.styled(question + ':', 1)[: size.columns * 2]}\n\x1b[?25l")
        at = 0
        try:
            with self._mode(echo=False, canonical=False):
                self._draw(shown, at)
                for step in self._steps():
                    at = (at + step) % len(rows)
                    self.write(f"\x1b[{len(rows)}A")
                    self._draw(shown, at)
            self.write(f"\x1b[{len(rows) + 1}A\r\x1b[J")
        finally:
            self.write("\x1b[?25h")
        return at

    def _pick_number(self, question: str, rows: Sequence[str]) -> int:
        self.write(f"{question}:\n" + "".join(f"  {number}. {row}\n" for number, row in enumerate(rows, 1)))
        while True:
            answer = self.line(f"Number (1-{len(rows)}): ").strip()
            if answer.isdigit() and len(answer) < 10 and 1 <= int(answer) <= len(rows):
                return int(answer) - 1
            self.write(f">> a number from 1 to {len(rows)}\n")

    def _draw(self, rows: Sequence[str], at: int) -> None:
        lines = (
            f"  {self.styled('▸', 1)} {self.styled(row, 4)}" if i == at else f"    {row}" for i, row in enumerate(rows)
        )
        self.write("".join(f"\r\x1b[2K{line}\n" for line in lines))

    def _steps(self) -> Iterator[int]:
        """How far each key moves; ends with Enter."""
        while True:
            key = os.read(self._fd, 16)
            if key in (b"", _END_OF_INPUT):
                raise Cancelled("cancelled")
            if key[0] in _ENTER:
                return
            yield (key in _DOWN) - (key in _UP)

    def _size(self) -> os.terminal_size:
        try:
            columns, lines = os.get_terminal_size(self._fd)
        except OSError:
            columns = lines = 0
        # A terminal that does not know its size (a serial line, some ptys) says 0.
        return os.terminal_size((columns or 80, lines or 24))

    @contextmanager
    def _mode(self, *, echo: bool, canonical: bool = True) -> Iterator[None]:
        """The terminal echoes and collects lines as asked; as before afterwards, whatever happens."""
        import termios  # only questions need it

        before = termios.tcgetattr(self._fd)
        during = termios.tcgetattr(self._fd)
        if not echo:
            during[3] &= ~termios.ECHO
        if not canonical:
            during[3] &= ~termios.ICANON
        termios.tcsetattr(self._fd, termios.TCSAFLUSH, during)
        try:
            yield
        finally:
            termios.tcsetattr(self._fd, termios.TCSADRAIN, before)


@contextmanager
def controlling_terminal(*, plain: bool) -> Iterator[Terminal | None]:
    """The terminal of this process, or None when it has none (cron, a container, a service)."""
    try:
        descriptor = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        yield None
        return
    try:
        yield Terminal(descriptor, plain=plain)
    finally:
        os.close(descriptor)
