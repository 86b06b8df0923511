"""The way to a host: the CA is asked for it, and when it does not answer, the way is the straight one."""

import os
import signal
import socket
import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from mica.cli.ca.connection import connect as connect_to_ca
from mica.cli.console import warn
from mica.cli.errors import Cancelled, CLIError, FileProblem, Usage
from mica.cli.passwords import given
from mica.cli.ssh.agent import Agent, AgentProblem, valid
from mica.cli.ssh.asking import in_time, ssh_of
from mica.cli.ssh.issuing.login import log_in
from mica.cli.ssh.reaching import bastions
from mica.cli.ssh.reaching.relay import relay
from mica.client import ClientError
from mica.client.ssh import Bastion, SSHClient
from mica.clock import system_clock

#: How long the CA has for each answer. ssh's own user waits meanwhile.
PATIENCE = timedelta(seconds=3)
_LONGEST = 255
_CARRIERS = ("-", "fd:0", "/dev/stdin", "fd:1", "/dev/stdout")


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where ssh wants to get, as whom."""

    user: str
    host: str
    port: int

    @classmethod
    def checked(cls, user: str, host: str, port: int) -> "Destination":
        """The destination, none of whose parts could be taken for an option or a line; raises Usage."""
        for name, value in (("USER", user), ("HOST", host)):
            bad = not value or value.startswith("-") or len(value) > _LONGEST or not value.isprintable()
            if bad or any(character.isspace() for character in value):
                raise Usage(
                    f"invalid value {value[:_LONGEST]!r} for argument '{name}'",
                    hint="ssh fills it in: ProxyCommand mica ssh proxycommand %r %h %p",
                )
        return cls(user=user, host=host.removeprefix("[").removesuffix("]"), port=port)


def connect(
    destination: Destination,
    ca_url: str | None,
    root: Path | None,
    *,
    provisioner: str | None,
    password_source: str | None,
) -> None:
    """stdin and stdout have been connected with the destination until both ways ended; its user was logged in.

    Behind a bastion this process becomes ssh, and does not return. Raises Usage, FileProblem, CLIError.
    """
    if password_source in _CARRIERS:
        raise Usage(
            f"the password cannot be read from {password_source}: stdin and stdout carry the connection",
            hint="give a file, or a descriptor of its own: fd:3",
        )
    bastion = None
    ca = ssh_of(ca_url, root, patience=PATIENCE)
    try:
        if _needs_login(ca):
            _log_in(destination.user, ca_url, root, provisioner, password_source)
        bastion = in_time(lambda: ca.bastion(destination.user, destination.host), PATIENCE)
    except ClientError as error:
        warn(f"{error}; the connection is made without the CA's help")
    if bastion is not None:
        _become_ssh(bastions.arguments(bastion, destination.user, destination.host, destination.port), bastion)
    _straight(destination)


def _needs_login(ca: SSHClient) -> bool:
    """Whether there is an agent, and no valid certificate of the CA in it."""
    authorities = in_time(ca.roots, PATIENCE).user
    try:
        with Agent.open() as agent:
            return bool(authorities) and not valid(agent.identities(), authorities, system_clock())
    except AgentProblem as error:
        warn(f"{error.message}; the connection is made without logging in")
        return False


def _log_in(user: str, ca_url: str | None, root: Path | None, provisioner: str | None, source: str | None) -> None:
    """The agent has a certificate for ``user``, or a warning says why not: ssh may know other ways in."""
    try:
        log_in(connect_to_ca(ca_url, root), user, provisioner=provisioner, password=given(source))
    except Cancelled:
        raise
    except CLIError as error:
        warn(f"{user} is not logged in: {error.message}" + (f" ({error.hint})" if error.hint else ""))
    except ClientError as error:
        warn(f"{user} is not logged in: {error}")


def _become_ssh(arguments: list[str], bastion: Bastion) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and what is ignored stays so
    try:
        os.execvp(arguments[0], arguments)  # noqa: S606  # no shell, on purpose
    except OSError as error:
        raise CLIError(
            f"the bastion {bastion.hostname} cannot be reached: ssh does not start: {error.strerror}",
            hint="is OpenSSH's client installed, and on the PATH?",
        ) from error


def _straight(destination: Destination) -> None:
    if sys.stdin is None or sys.stdout is None:  # their numbers would be the connection's own
        raise FileProblem("stdin or stdout is closed, and both carry the connection")
    place = f"{destination.host}:{destination.port}"
    try:
        peer = socket.create_connection((destination.host, destination.port))
    except (OSError, UnicodeError) as error:
        cause = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise CLIError(f"{place}: {cause.lower()}", hint="does the host run, and does sshd listen there?") from error
    with peer:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        relay(peer, sys.stdin.fileno(), sys.stdout.fileno())
