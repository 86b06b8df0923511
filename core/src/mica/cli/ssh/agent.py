"""The user's SSH agent, which holds keys and their certificates, and what is in it.

asyncssh speaks to it (``agentlink``), and is imported when there is somebody to speak to.
"""

import os
import stat
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mica.cli.console import warn
from mica.cli.errors import CLIError
from mica.cli.ssh.layouts import Standing, standing
from mica.errors import MicaError
from mica.sshcert import SSHCertificate
from mica.sshkeys import SSHPublicKey, fingerprint
from mica.sshwire import MalformedSSH, Reader

if TYPE_CHECKING:
    from mica.cli.ssh.agentlink import Link
    from mica.keyfiles import PrivateKey

Answer = TypeVar("Answer")

#: How long an agent may take to answer.
PATIENCE = timedelta(seconds=10)
#: And when it may have to ask its owner first, as gpg-agent does.
OWNERS_PATIENCE = timedelta(minutes=2)
_SOCKET = "SSH_AUTH_SOCK"
_SECOND = timedelta(seconds=1)
_START = 'start one with: eval "$(ssh-agent)"'
_LOCKED = "it may be locked (ssh-add -X unlocks it)"
_OTHERWISE = 'eval "$(ssh-agent)" starts one that does'


class AgentProblem(CLIError):
    """There is no agent, or it does not do what it was asked for."""

    code = "agent"


def no_agent(cause: str) -> AgentProblem:
    """The problem that there is no agent to speak to, because of ``cause``."""
    return AgentProblem(cause, hint=_START)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What an agent holds: a key, or a key under its certificate. Of an unknown type only the blob is known."""

    blob: bytes
    comment: str
    certificate: SSHCertificate | None = None
    key: SSHPublicKey | None = None
    """The public key; of a certificate, the one that it is for."""

    @classmethod
    def decode(cls, blob: bytes, comment: bytes) -> "Identity":
        """What the agent describes so; never fails."""
        shown = comment.decode("utf-8", "replace")
        try:
            certificate = SSHCertificate.decode(blob)
        except MalformedSSH:
            return cls(blob=blob, comment=shown, key=_key(blob))
        return cls(blob=blob, comment=shown, certificate=certificate, key=certificate.tbs.public_key)

    @property
    def key_type(self) -> str:
        """The type that the blob begins with; empty when it has none."""
        try:
            return Reader(self.blob, "key").text("type")
        except MalformedSSH:
            return ""

    @property
    def fingerprint(self) -> str:
        """That of the public key, as ``ssh-add -l`` prints it; of an unknown type, that of the blob."""
        return fingerprint(self.blob) if self.key is None else self.key.fingerprint

    def is_called(self, name: str) -> bool:
        """Whether ``name`` is its comment, or its certificate's key id."""
        return name == self.comment or (self.certificate is not None and name == self.certificate.tbs.key_id)

    def standing(self, now: datetime) -> Standing | None:
        """What the clock says of its certificate; None where there is none."""
        return None if self.certificate is None else standing(self.certificate.tbs, now)


class Agent:
    """The agent at ``SSH_AUTH_SOCK``. Every method raises AgentProblem."""

    def __init__(self, link: "Link", run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        self._link, self._run_coroutine = link, run

    @classmethod
    @contextmanager
    def open(cls, patience: timedelta = PATIENCE) -> "Iterator[Agent]":
        """An agent that has answered once; the line to it is closed afterwards. Raises AgentProblem.

        ``patience`` is how long each of its answers may take.
        """
        path = _socket_path()
        import asyncio  # it and asyncssh are slow to import, and without an agent nobody needs them

        from mica.cli.ssh.agentlink import Link

        with asyncio.Runner() as runner:
            link = runner.run(Link.open(path, patience))
            try:
                agent = cls(link, runner.run)
                agent.identities()
                yield agent
            finally:
                runner.run(link.close())

    def identities(self) -> list[Identity]:
        """Everything that the agent tells of, in its order. One that is locked tells of nothing, as for ssh-add."""
        found = self._run(self._link.identities())
        return [Identity.decode(blob, comment) for blob, comment in found]

    def add(self, key: "PrivateKey", certificate: bytes | None, comment: str, lifetime: timedelta | None) -> None:
        """The agent holds ``key``, under its ``certificate`` if there is one, and forgets it after ``lifetime``.

        That is one identity. ssh-add would add the bare key beside it, which ssh would then offer to hosts that cannot
        know it. An agent that takes no lifetimes gets the key without one, and a warning says so.
        """
        from mica.cli.ssh.agentlink import Entry

        if certificate is not None:
            _require_match(key, certificate)
        if lifetime is not None and lifetime < _SECOND:  # zero would be without end
            raise AgentProblem("the key is not added to the SSH agent: its time is over", hint="get a new certificate")
        entry = Entry.of(key, certificate, comment)
        if self._run(self._link.add(entry, lifetime, OWNERS_PATIENCE)):
            return
        if lifetime is None or not self._run(self._link.add(entry, None, OWNERS_PATIENCE)):
            raise self._refusal(certified=certificate is not None)
        warn("the SSH agent takes no lifetimes: the key stays in it until it is removed, as by mica ssh logout")

    def remove(self, identity: Identity) -> None:
        """The agent does not hold ``identity`` any more."""
        if not self._run(self._link.remove(identity.blob)):
            name = identity.comment or identity.fingerprint
            raise AgentProblem(f"the SSH agent does not remove the identity {name}", hint=_LOCKED)

    def remove_all(self) -> None:
        """The agent holds nothing."""
        if not self._run(self._link.remove_all()):
            raise AgentProblem("the SSH agent does not remove its identities", hint=_LOCKED)
        if kept := len(self.identities()):  # gpg-agent, for one, says that it has, and keeps them
            raise AgentProblem(
                f"the SSH agent has kept {kept} of its identities", hint="remove them by the agent's own means"
            )

    def _run(self, asking: Coroutine[Any, Any, Answer]) -> Answer:
        answer: Answer = self._run_coroutine(asking)
        return answer

    def _refusal(self, *, certified: bool) -> AgentProblem:
        """That the agent refuses a key; why, it never says, and only one that tells of nothing can be locked."""
        guesses = [] if self.identities() else [_LOCKED]
        guesses.append(f"it may take no {'certificates, as gpg-agent' if certified else 'keys of this type'}")
        what = "the key with its certificate" if certified else "the key"
        return AgentProblem(f"the SSH agent refuses {what}", hint=f"{', or '.join(guesses)}; {_OTHERWISE}")


def signed_by(identities: Iterable[Identity], ca_keys: Iterable[bytes]) -> list[Identity]:
    """Those with a certificate that one of ``ca_keys``, blobs of public keys, has really signed."""
    trusted = frozenset(ca_keys)
    return [
        identity
        for identity in identities
        if identity.certificate is not None
        and identity.certificate.tbs.signature_key.blob in trusted
        and _is_signed(identity.certificate)
    ]


def valid(identities: Iterable[Identity], ca_keys: Iterable[bytes], now: datetime) -> list[Identity]:
    """Those of ``signed_by`` whose certificate is valid at ``now``, in sshd's sense."""
    return [identity for identity in signed_by(identities, ca_keys) if identity.standing(now) == "valid"]


def _socket_path() -> str:
    """Where the agent listens; raises AgentProblem when nobody can."""
    path = os.environ.get(_SOCKET)
    if not path:
        raise no_agent(f"there is no SSH agent: the variable {_SOCKET} is {'not set' if path is None else 'empty'}")
    try:
        mode = Path(path).stat().st_mode
    except OSError as error:
        cause = "there is no such socket" if isinstance(error, FileNotFoundError) else str(error.strerror).lower()
        raise no_agent(f"{_SOCKET}: {path}: {cause}") from error
    if not stat.S_ISSOCK(mode):
        raise no_agent(f"{_SOCKET}: {path}: is no socket, so no SSH agent listens there")
    return path


def _key(blob: bytes) -> SSHPublicKey | None:
    try:
        return SSHPublicKey.decode(blob)
    except MalformedSSH:
        return None


def _require_match(key: "PrivateKey", certificate: bytes) -> None:
    """An agent would refuse, and not say why."""
    if SSHCertificate.decode(certificate).tbs.public_key != SSHPublicKey.of(key.public_key()):
        raise AgentProblem(
            "the private key is not the one that the certificate is for", hint="name the key that belongs to it"
        )


def _is_signed(certificate: SSHCertificate) -> bool:
    try:
        certificate.check_signature()
    except MicaError:
        return False
    return True
