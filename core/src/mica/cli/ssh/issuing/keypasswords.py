"""The password that protects a new SSH key."""

import sys

from mica.cli import options, passwords
from mica.cli.ca.passwordflags import was_typed
from mica.cli.console import ask_password, say, warn
from mica.cli.errors import FileProblem, Usage

FLAG = "--key-password-file"
_LONGEST = 1024


def check_flags(*, no_password: bool, insecure: bool, min_length: int) -> None:
    """``--no-password`` and ``--min-password-length`` fit the other flags; raises Usage."""
    if not 0 <= min_length <= _LONGEST:
        raise Usage(
            f"invalid value {min_length} for flag '--min-password-length'", hint=f"from 0 to {_LONGEST} characters"
        )
    if not no_password:
        return
    options.require_insecure("--no-password", insecure)
    for flag in (FLAG, "--password-file"):
        if was_typed(flag):
            raise Usage(f"flag '--no-password' is incompatible with '{flag}'")


def new(source: str | None, *, no_password: bool, min_length: int, host: bool) -> bytes | None:
    """The password that protects a new key, None where none does; raises FileProblem, PromptNeeded.

    It has at least ``min_length`` characters: one that was typed is asked for again, one in a file is refused.
    """
    if no_password:
        return None
    password = _typed(min_length) if source is None else _read(source, min_length)
    if host and sys.stderr is not None and sys.stderr.isatty():
        warn("sshd and cron cannot ask for a password: a host's key is usually made with --no-password --insecure")
    return password


def _read(source: str, min_length: int) -> bytes:
    password = passwords.from_source(source)
    if _length(password) < min_length:
        raise FileProblem(f"{source}: {_short(min_length)}", hint="choose a longer one")
    return password


def _typed(min_length: int) -> bytes:
    while True:
        password = ask_password(
            "Please enter the password to encrypt the private key",
            flag=f"{FLAG}, or --no-password --insecure",
            new=True,
        )
        if _length(password) >= min_length:
            return password
        say(f">> {_short(min_length)}")


def _short(min_length: int) -> str:
    return f"a password has at least {min_length} characters here (--min-password-length)"


def _length(password: bytes) -> int:
    return len(password.decode("utf-8", "surrogateescape"))
