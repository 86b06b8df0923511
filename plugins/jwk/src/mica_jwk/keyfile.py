"""The private key in a file: PEM, DER, a private JWK in JSON, or such a JWK encrypted."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mica import ConfigError, jwk, keyfiles
from mica.client import KeyProblem, ReadingDesk
from mica.jwk import PrivateKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A key, and the password that opened it, if it needed one."""

    key: PrivateKey = field(repr=False)
    password: bytes | None = field(default=None, repr=False)


def read(path: Path, desk: ReadingDesk) -> Opened:
    """The key in ``path``: PEM, DER, a private JWK in JSON, or such a JWK encrypted, as a compact JWE or in JSON.

    Raises KeyProblem, and whatever the desk raises.
    """
    data = desk.read(path)
    try:
        if b"-----BEGIN" in data or keyfiles.holds_private_key(data):
            return _encoded(data, path, desk)
        text = data.decode().strip()
        sealed = '"ciphertext"' in text if text.startswith("{") else text.count(".") == 4  # RFC 7516 §7.2, §7.1
        if not sealed:
            return Opened(key=jwk.load(json.loads(text)))
        private, password = unseal(text, str(path), desk)
        return Opened(key=jwk.load(private), password=password)
    except ConfigError as error:  # what keyfiles raises names the file
        raise KeyProblem(str(error)) from error
    except ValueError as error:
        raise KeyProblem(
            f"{path}: is not a private key: {error}", hint="it must be PEM, DER, a JWK, or a JWK encrypted by password"
        ) from error


def unseal(jwe: str, what: str, desk: ReadingDesk) -> tuple[dict[str, Any], bytes]:
    """The private JWK in ``jwe``, and the first password that opens it; raises KeyProblem when none does."""
    from mica.jwe import WrongPassword, decrypt_jwk  # slow to import

    for password in desk.passwords(f"Please enter the password to decrypt {what}"):
        try:
            return decrypt_jwk(jwe, password), password
        except WrongPassword:
            continue
    raise KeyProblem(f"the password does not decrypt {what}", hint="is it the password of this provisioner?")


def _encoded(data: bytes, path: Path, desk: ReadingDesk) -> Opened:
    if not keyfiles.is_encrypted(data, where=str(path)):
        return Opened(key=keyfiles.load_private_key(data, None, where=str(path)))
    failure: ConfigError | None = None
    for password in desk.passwords(f"Please enter the password to decrypt {path}"):
        try:
            return Opened(key=keyfiles.load_private_key(data, password, where=str(path)), password=password)
        except ConfigError as error:
            failure = error
    raise KeyProblem(str(failure) if failure else f"{path}: there is no password")
