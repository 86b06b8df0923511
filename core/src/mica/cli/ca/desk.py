"""What the command line lends to a token source: files, passwords, and the key that the CA keeps."""

from collections.abc import Iterator
from pathlib import Path

from mica.cli import console, files
from mica.cli.errors import RefusedByCA
from mica.cli.passwords import from_source
from mica.client import Client, Refused

_TRIES = 3
_NOT_FOUND = 404


class CommandLineDesk:
    """Asks whoever sits at the terminal, unless the password has been given."""

    def __init__(self, client: Client | None, *, key_file: Path | None, password: bytes | None, flag: str) -> None:
        self._client = client
        self._password = password
        self._flag = flag
        self.key_file = key_file

    def read(self, path: Path) -> bytes:
        """A file that the user named; raises FileProblem."""
        return files.read_input(path)

    def encrypted_key(self, kid: str) -> str:
        """The provisioner's private key as the CA keeps it, encrypted."""
        assert self._client is not None, "offline, the key is always a file"
        try:
            return self._client.encrypted_key(kid)
        except Refused as error:
            if error.status != _NOT_FOUND:
                raise
            raise RefusedByCA(
                f"the CA keeps no private key for the provisioner with the key id {kid}",
                hint="make a token where the key is (mica ca token --key FILE), and use it here with --token",
                request_id=error.request_id,
            ) from error

    def passwords(self, label: str) -> Iterator[bytes]:
        """The password that was given, or up to three from whoever is asked."""
        if self._password is not None:
            yield self._password
            return
        for attempt in range(_TRIES):
            if attempt:
                console.say("That is not the password.")
            yield console.ask_password(label, flag=self._flag)


def given(source: str | None) -> bytes | None:
    """The password that a flag names the source of, read now, before anybody is asked for anything."""
    return from_source(source) if source is not None else None
