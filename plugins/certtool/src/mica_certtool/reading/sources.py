"""Where documents come from: a file, stdin, or a TLS server; as flags, and as one value."""

import re
from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple, TypeVar

import click

from mica.cli.kit import options
from mica_certtool.reading import inputs

Command = TypeVar("Command", bound=Callable[..., Any])

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://")


class Source(NamedTuple):  # dataclasses are slow to import, and every command that reads would pay
    """What was named, and how a server is asked and believed."""

    file: str | None
    """None and ``-`` are stdin."""
    bundle: bool = False
    """All that is there, not only the first."""
    roots: str | None = None
    servername: str | None = None
    insecure: bool = False

    @property
    def place(self) -> str:
        """How messages call it."""
        return inputs.place(self.file)

    @property
    def is_url(self) -> bool:
        """Whether it is a server."""
        return self.file is not None and _SCHEME.match(self.file) is not None


def flags(command: Callable[..., Any]) -> Callable[..., Any]:
    """``source: Source``."""

    @wraps(command)
    def gathered(
        *, file: str | None, bundle: bool, roots: str | None, servername: str | None, insecure: bool, **others: Any
    ) -> Any:
        source = Source(file=file, bundle=bundle, roots=roots, servername=servername, insecure=insecure)
        return command(source=source, **others)

    for decorator in (
        server_name("Name to ask a server for (SNI)."),
        click.option("--roots", metavar="FILE|DIR,…", help="Roots that a server is verified against [the system's]."),
        click.option("--bundle", is_flag=True, help="All certificates, not only the first."),
        options.insecure,
        click.argument("file", required=False, metavar="[FILE|URL|-]"),
    ):
        gathered = decorator(gathered)
    return gathered


def server_name(meaning: str) -> Callable[[Command], Command]:
    """``servername: str | None``."""
    return click.option("--servername", metavar="NAME", help=meaning)
