"""The key backend for URIs of the scheme ``file``."""

from dataclasses import dataclass
from pathlib import Path

from mica import ConfigError, KeyContext, keyfiles
from mica_filekeys.writing import write_new


@dataclass(frozen=True, slots=True, kw_only=True)
class FileKeysConfig:
    """``[keys.filekeys]`` has no settings; the password is the one that ``mica ca serve`` was given."""


class FileKeys:
    """Keys in PEM files, in every form that openssl, ssh-keygen and step write."""

    scheme = "file"
    blocking = False

    def __init__(self, config: FileKeysConfig, context: KeyContext) -> None:
        self._context = context

    def load(self, uri: str) -> keyfiles.PrivateKey:
        """The key in the file at ``uri``, decrypted with the context's password if it is encrypted."""
        path = self._path(uri)
        try:
            data = self._context.read_secret(path)
        except ConfigError as error:
            raise ConfigError(f"{uri}: {fault}" for fault in error.faults) from error
        return keyfiles.load_private_key(data, self._context.password, where=uri)

    def create(self, uri: str, algorithm: str) -> keyfiles.PrivateKey:
        """A new key is in a new file at ``uri``, mode 0600, encrypted under the context's password."""
        path = self._path(uri)
        if not self._context.password:
            raise ConfigError(
                [f"{uri}: a new key is written encrypted only, and there is no password; give one with --password-file"]
            )
        try:
            key = keyfiles.generate(algorithm)
            write_new(path, keyfiles.dump_private_key(key, self._context.password))
        except ConfigError as error:
            raise ConfigError(f"{uri}: {fault}" for fault in error.faults) from error
        except FileExistsError as error:
            raise ConfigError(
                [f"{uri}: {path} exists already and is never overwritten; choose another name"]
            ) from error
        except OSError as error:
            raise ConfigError([f"{uri}: {path} cannot be written: {error.strerror}"]) from error
        return key

    def _path(self, uri: str) -> Path:
        """The file that ``uri`` names, taken literally; relative to the folder of ``ca.toml``."""
        scheme, colon, rest = uri.partition(":")
        if scheme.lower() != self.scheme or not colon:
            raise ConfigError(
                [f"{uri!r}: a key in a file is named file:PATH, such as file:secrets/intermediate_ca_key"]
            )
        # RFC 8089 §2: file:///path is file:/path; a host could only be another machine.
        if rest.startswith("//"):
            if not rest.startswith("///"):
                raise ConfigError([f"{uri!r}: files of other hosts are not read; write file:PATH or file:///PATH"])
            rest = rest[2:]
        if not rest or not rest.isprintable():
            raise ConfigError([f"{uri!r}: after file: there must be a path, in printable characters"])
        return self._context.directory / rest
