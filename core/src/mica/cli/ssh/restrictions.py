"""``--force-command`` and ``--source-address``: a certificate that is good for less (OpenSSH PROTOCOL.certkeys)."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


def flags(about: str = "") -> Callable[[Command], Command]:
    """``critical_options: tuple[tuple[str, str], ...]``, sorted by name. ``about`` begins the help of each flag."""

    def decorate(command: Command) -> Command:
        @wraps(command)
        def gathering(
            *arguments: Any, force_command: str | None, source_addresses: tuple[str, ...], **rest: Any
        ) -> Any:
            given = {"force-command": force_command, "source-address": ",".join(source_addresses) or None}
            options = tuple((name, value) for name, value in given.items() if value is not None)
            return command(*arguments, critical_options=options, **rest)

        forced = click.option(
            "--force-command", metavar="LINE", help=f"{about}Whoever logs in gets this command and nothing else."
        )
        sources = click.option(
            "--source-address",
            "source_addresses",
            multiple=True,
            metavar="CIDR",
            help=f"{about}Good from this address or network alone; may be repeated.",
        )
        return forced(sources(gathering))  # type: ignore[return-value]

    return decorate
