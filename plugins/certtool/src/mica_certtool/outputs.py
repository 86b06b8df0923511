"""What a command makes: the flag that names a file, who may read it, and that it is not what the command reads."""

import stat
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mica.cli.kit import Usage, keep_apart, options, product, say, settle, write_all

if TYPE_CHECKING:
    from pathlib import Path

Command = TypeVar("Command", bound=Callable[..., Any])

PUBLIC = 0o644
"""Certificates, requests, public keys: who serves them is often not who made them. Old files keep their mode."""
SECRET = 0o600
"""Private and symmetric keys, and archives: their owner alone."""

_SEQUENCE = b"\x30"


def out(meaning: str = "Write to this file, not to stdout.") -> Callable[[Command], Command]:
    """``out: Path | None``."""
    return click.option("--out", "--output-file", "out", type=options.FILE, metavar="FILE", help=meaning)


def settle_apart(outputs: "Iterable[Path | None]", inputs: "Iterable[str | Path | None]", *, force: bool) -> None:
    """As ``kit.settle``; and no output takes the place of an input, which ``--force`` would allow. Raises Usage."""
    written = [output for output in outputs if output is not None]
    keep_apart(written, inputs)
    settle(written, force=force)


def mode_like(file: str | None) -> int:
    """The mode of the file that was read: what is converted stays as open as it was. Of stdin, ``PUBLIC``."""
    from pathlib import Path  # slow to import, and help needs none of it

    try:
        return PUBLIC if file in (None, "-") else stat.S_IMODE(Path(str(file)).stat().st_mode) & 0o666
    except OSError:
        return PUBLIC


def deliver(data: bytes, target: "Path | None", *, mode: int, what: str) -> None:
    """``data`` is in the file ``target``, or on stdout; raises Usage for DER on a terminal."""
    if target is not None:
        write_all([(target, data, mode)])
        say(f"Your {what} has been saved in {target}.")
        return
    if data.startswith(_SEQUENCE) and sys.stdout is not None and sys.stdout.isatty():
        raise Usage("DER is nothing for a terminal", hint="give --out FILE, or redirect")
    product(data, nl=False)
