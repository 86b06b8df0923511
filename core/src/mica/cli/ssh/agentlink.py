"""The line to an SSH agent (draft-ietf-sshm-ssh-agent), spoken by asyncssh, which takes long to import.

asyncssh frames requests and answers, and encodes private keys. Three things are done here because it does them in
another way: it would wait for an answer for ever, tell a refusal from a broken line by its text alone, and not add a
certificate with options that it does not know.
"""

import asyncio
from contextlib import suppress
from datetime import timedelta

import asyncssh

from mica.cli.ssh.agent import AgentProblem, no_agent
from mica.keyfiles import PrivateKey, dump_private_key
from mica.sshkeys import SSHPublicKey
from mica.sshwire import MalformedSSH, Reader, string, text

#: An answer may be as long as ssh takes it (authfd.c, MAX_AGENT_REPLY_LEN).
_MAX_ANSWER = 256 * 1024
#: For how long a key can be lent at most (a uint32 of seconds).
_MAX_SECONDS = 2**32 - 1


class Link:
    """An open line to the agent at a socket. Every method raises AgentProblem when there is no proper answer."""

    def __init__(self, socket: "_Socket") -> None:
        self._socket, self._client = socket, asyncssh.SSHAgentClient(socket)

    @classmethod
    async def open(cls, path: str, patience: timedelta) -> "Link":
        """A line to the agent at ``path``, which has ``patience`` for each answer."""
        link = cls(_Socket(path, patience))
        await link._client.connect()
        return link

    async def close(self) -> None:
        """The line is closed. What a signal has interrupted is not taken up again."""
        interrupted = asyncio.all_tasks() - {asyncio.current_task()}
        for task in interrupted:
            task.cancel()
        await asyncio.gather(*interrupted, return_exceptions=True)
        with suppress(OSError):  # whoever was there has hung up already
            self._client.close()
            await self._client.wait_closed()

    async def identities(self) -> list[tuple[bytes, bytes]]:
        """The blob and the comment of every key that the agent tells of."""
        try:
            keys = await self._client.get_keys()
        except ValueError as error:
            raise self._socket.strange() from error
        return [(key.public_data, key.get_comment_bytes() or b"") for key in keys]

    async def add(self, entry: "Entry", lifetime: timedelta | None, patience: timedelta) -> bool:
        """Whether the agent took the key; it may ask its owner, so the answer has ``patience`` of its own."""
        seconds = None if lifetime is None else min(int(lifetime.total_seconds()), _MAX_SECONDS)
        self._socket.patience, before = patience, self._socket.patience
        try:
            await self._client.add_keys([entry], lifetime=seconds)
        except ValueError:
            return False
        finally:
            self._socket.patience = before
        return True

    async def remove(self, blob: bytes) -> bool:
        """Whether the agent removed the key."""
        try:
            await self._client.remove_keys([Entry(blob)])
        except ValueError:
            return False
        return True

    async def remove_all(self) -> bool:
        """Whether the agent says that it removed every key."""
        try:
            await self._client.remove_all()
        except ValueError:
            return False
        return True


class Entry(asyncssh.SSHKeyPair):
    """A key as an agent knows it: by its blob, or that of its certificate."""

    def __init__(self, blob: bytes, comment: bytes = b"", private: bytes = b"") -> None:
        algorithm = _algorithm(blob)
        super().__init__(algorithm, algorithm, (algorithm,), (algorithm,), blob, comment)
        self._private = private

    @classmethod
    def of(cls, key: PrivateKey, certificate: bytes | None, comment: str) -> "Entry":
        """``key``, under its ``certificate`` when there is one: type, certificate, and the private numbers alone."""
        made = asyncssh.import_private_key(dump_private_key(key, None))
        public = SSHPublicKey.of(key.public_key())
        if certificate is None:
            private, blob = text(public.key_type) + made.encode_ssh_private(), public.blob
        else:
            head = string(_algorithm(certificate)) + string(certificate)
            private, blob = head + made.encode_agent_cert_private(), certificate
        return cls(blob, comment.encode("utf-8", "surrogateescape"), private)

    def get_agent_private_key(self) -> bytes:
        """What follows the number of the message, without comment and constraints."""
        return self._private


class _Socket:
    """Where the agent listens; hands asyncssh the line to it. Public attribute: ``patience``, for each answer."""

    def __init__(self, path: str, patience: timedelta) -> None:
        self.path, self.patience = path, patience

    async def open_agent_connection(self) -> tuple["_Answers", asyncio.StreamWriter]:
        """A new line; raises AgentProblem."""
        try:
            async with asyncio.timeout(self.patience.total_seconds()):
                reader, writer = await asyncio.open_unix_connection(self.path)
        except TimeoutError as error:
            raise self.silent() from error
        except OSError as error:
            raise no_agent(f"{self.path}: {(error.strerror or str(error)).lower()}") from error
        return _Answers(self, reader, writer), writer

    def silent(self) -> AgentProblem:
        """Nothing came in time."""
        return no_agent(f"{self.path}: the SSH agent has not answered for {self.patience.total_seconds():g} seconds")

    def strange(self) -> AgentProblem:
        """Something came that no agent says."""
        return no_agent(f"{self.path}: what listens there does not answer as an SSH agent does")


class _Answers:
    """What an agent says, as asyncssh reads it. What is raised here passes through asyncssh as it is."""

    def __init__(self, socket: _Socket, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._socket, self._reader, self._writer = socket, reader, writer

    async def readexactly(self, n: int) -> bytes:
        """The next ``n`` octets; raises AgentProblem, and then hangs up: what comes late would answer the next."""
        try:
            return await self._read(n)
        except AgentProblem:
            self._writer.close()
            raise

    async def _read(self, n: int) -> bytes:
        if n > _MAX_ANSWER:
            raise self._socket.strange()
        try:
            async with asyncio.timeout(self._socket.patience.total_seconds()):
                return await self._reader.readexactly(n)
        except TimeoutError as error:
            raise self._socket.silent() from error
        except (OSError, EOFError) as error:
            raise self._socket.strange() from error


def _algorithm(blob: bytes) -> bytes:
    try:
        return Reader(blob, "key").string("type")
    except MalformedSSH:
        return b""
