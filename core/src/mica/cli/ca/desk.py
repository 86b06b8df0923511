"""What the command line lends to a token source: files, passwords, and the key that the CA keeps."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mica.cli import console, files
from mica.cli.errors import RefusedByCA
from mica.cli.oauth.desk import BrowserDesk

if TYPE_CHECKING:
    from pathlib import Path

    from mica.client import Vouching

_TRIES = 3
_NOT_FOUND = 404


class CommandLineDesk(BrowserDesk):
    """Asks whoever sits at the terminal, unless the password has been given; and to sign in, where that is needed."""

    def __init__(
        self,
        ca: "Vouching | None",
        *,
        key_file: "Path | None",
        password: bytes | None,
        flag: str,
        certificate_file: "Path | None" = None,
        chain_files: "tuple[Path, ...]" = (),
    ) -> None:
        self._ca = ca
        self._password = password
        self._flag = flag
        self.key_file = key_file
        self.certificate_file = certificate_file
        self.chain_files = chain_files

    def read(self, path: "Path") -> bytes:
        """A file that the user named; raises FileProblem."""
        return files.read_input(path)

    def encrypted_key(self, kid: str) -> str:
        """The provisioner's private key as the CA keeps it, encrypted."""
        from mica.client import Refused  # the client is slow to import

        assert self._ca is not None, "without a CA, the key is always a file"
        try:
            return self._ca.encrypted_key(kid)
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
