"""``--offline``: the command acts as the CA of this host, with its configuration, its keys and its store.

No server is asked, and none is in the way: a store that several processes can use at once, as SQLite's, serves both.
"""

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click
from click.core import ParameterSource

from mica.cli.ca.configuration import ca_config, locate
from mica.cli.errors import Usage

if TYPE_CHECKING:
    from pathlib import Path

    from mica.cli.ca.local_ca import Configured, LocalCA

Command = TypeVar("Command", bound=Callable[..., Any])


class Offline(NamedTuple):  # dataclasses are slow to import
    """The CA on this host, as the flags say where it is. Nothing is read before it is asked for."""

    config: "Path | None" = None
    """Its configuration; else ``$MICAPATH/ca.toml``."""
    password_source: str | None = None
    """Where the password of its keys is; whoever is asked has it otherwise."""

    def open(self) -> "LocalCA":
        """The CA, its keys open; raises FileProblem, PromptNeeded."""
        import resource

        from mica.cli.ca.credentials import ca_password
        from mica.cli.ca.local_ca import LocalCA  # imports much

        place, _ = locate(self.config)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # what is in memory from here on belongs in no core dump
        return LocalCA(place, password=ca_password(place, self.password_source, flag="--ca-password-file"))

    def read(self) -> "Configured":
        """What tokens can be made with; its keys stay closed. Raises FileProblem."""
        from mica.cli.ca.local_ca import Configured  # imports much

        return Configured.read(locate(self.config)[0])


def flags(command: Command) -> Command:
    """``offline: Offline | None``, from ``--offline``, ``--ca-config`` and ``--ca-password-file``."""

    @wraps(command)
    def gathering(
        *arguments: Any, offline: bool, ca_config: "Path | None", ca_password_file: str | None, **rest: Any
    ) -> Any:
        if not offline:
            _refuse_typed("ca_config", "ca_password_file")
            return command(*arguments, offline=None, **rest)
        chosen = Offline(config=ca_config, password_source=ca_password_file)
        return command(*arguments, offline=chosen, **rest)

    secret = click.option(
        "--ca-password-file", metavar="FILE", help="Offline: password of the CA's keys: a file, - for stdin, fd:N."
    )
    switch = click.option("--offline", is_flag=True, help="Act as the CA of this host, without its server.")
    return switch(ca_config(secret(gathering)))  # type: ignore[return-value]


def _refuse_typed(*parameters: str) -> None:
    """None of these flags stands on the command line; in the environment they may wait for another command."""
    context = click.get_current_context()
    for name in parameters:
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise Usage(f"flag '--{name.replace('_', '-')}' requires the '--offline' flag")
