"""Whether a private key that is written is encrypted, and under which password: flags and the question."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from mica.cli import kit
from mica.cli.kit import Usage, options

Command = TypeVar("Command", bound=Callable[..., Any])


def flags(meaning: str) -> Callable[[Command], Command]:
    """``password_file``, ``no_password`` and ``insecure``; ``meaning`` tells which password it is."""

    def decorate(command: Command) -> Command:
        command = options.insecure(command)
        text = "Do not encrypt what is written; needs --insecure."
        no_password = click.option("--no-password", is_flag=True, help=text)
        return options.password_file(meaning)(no_password(command))

    return decorate


def password_flag(name: str, meaning: str) -> Callable[[Command], Command]:
    """A further password beside ``--password-file``; ``meaning`` tells which it is."""
    return click.option(name, metavar="FILE", help=f"{meaning}: a file, - for stdin, fd:N.")


def check(*, no_password: bool, insecure: bool, source: str | None, flag: str = "--password-file") -> None:
    """``--no-password`` fits the other flags; raises Usage."""
    if not no_password:
        return
    options.require_insecure("--no-password", insecure)
    if source is not None:
        raise Usage(f"flag '--no-password' is incompatible with '{flag}'")


def new_password(source: str | None, what: str, *, no_password: bool, flag: str = "--password-file") -> bytes | None:
    """The password for a new file, asked for twice when there is no source; None when it is not to be encrypted."""
    if no_password:
        return None
    return kit.password(
        source, f"Please enter the password to encrypt {what}", flag=f"{flag}, or --no-password --insecure", new=True
    )
