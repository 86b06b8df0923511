"""Private keys as commands read and write them; imports cryptography, so it is imported where a key is at hand."""

from pathlib import Path

from mica.cli import files, options, passwords
from mica.cli.errors import FileProblem
from mica.errors import ConfigError
from mica.keyfiles import PrivateKey, dump_private_key, generate, load_private_key

__all__ = ["PrivateKey", "key_pem", "new_key", "read_key"]


def read_key(path: str | Path, password_source: str | None, *, flag: str = "--password-file") -> PrivateKey:
    """The private key in ``path``; its password comes from ``password_source``, or is asked for when one is needed.

    Raises FileProblem when the file holds no key that can be read, PromptNeeded naming ``flag``.
    """
    data = files.read_input(path)
    password = passwords.from_source(password_source) if password_source else None
    if password is None and b"ENCRYPTED" in data:  # in the label (RFC 7468 §11) or in Proc-Type (RFC 1421 §4.6.1.1)
        password = passwords.password(None, f"Please enter the password to decrypt {path}", flag=flag)
    try:
        return load_private_key(data, password, where=str(path))
    except ConfigError as error:
        raise FileProblem(str(error)) from error


def new_key(kty: str | None, curve: str | None, size: int | None) -> PrivateKey:
    """A new key as the flags of ``options.key`` ask for it; raises Usage when they do not fit together."""
    return generate(options.key_algorithm(kty, curve, size))


def key_pem(key: PrivateKey, password: bytes | None) -> bytes:
    """``key`` as PKCS #8, encrypted unless ``password`` is None; to be written with mode 0600."""
    return dump_private_key(key, password)
