"""Private keys in files that the user named, opened with passwords that a desk has."""

from dataclasses import dataclass, field
from pathlib import Path

from mica import keyfiles
from mica.client.errors import KeyProblem
from mica.client.sources import ReadingDesk
from mica.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedKey:
    """A key, and the password that opened it, if it needed one."""

    key: keyfiles.PrivateKey = field(repr=False)
    password: bytes | None = field(default=None, repr=False)


def open_key(data: bytes, path: Path, desk: ReadingDesk) -> OpenedKey:
    """The key in ``data``, the contents of ``path``: PEM, DER or OpenSSH's format, encrypted or not.

    Raises KeyProblem that names the file, and whatever the desk raises.
    """
    try:
        if not keyfiles.is_encrypted(data, where=str(path)):
            return OpenedKey(key=keyfiles.load_private_key(data, None, where=str(path)))
    except ConfigError as error:
        raise KeyProblem(str(error)) from error
    failure: ConfigError | None = None
    for password in desk.passwords(f"Please enter the password to decrypt {path}"):
        try:
            return OpenedKey(key=keyfiles.load_private_key(data, password, where=str(path)), password=password)
        except ConfigError as error:
            failure = error
    raise KeyProblem(str(failure) if failure else f"{path}: there is no password")
