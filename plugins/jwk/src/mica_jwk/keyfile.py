"""The private key in a file: PEM, a private JWK in JSON, or such a JWK encrypted."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mica import ConfigError, keyfiles
from mica.client import KeyProblem, ReadingDesk
from mica_jwk import private
from mica_jwk.private import PrivateKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A key, and the password that opened it, if it needed one."""

    key: PrivateKey = field(repr=False)
    password: bytes | None = field(default=None, repr=False)


def read(path: Path, desk: ReadingDesk) -> Opened:
    """The key in ``path``: PEM, a private JWK in JSON, or such a JWK encrypted, as a compact JWE or in JSON.

    Raises KeyProblem, and whatever the desk raises.
    """
    data = desk.read(path)
    try:
        if b"-----BEGIN" in data:
            return _pem(data, path, desk)
        text = _compact(data.decode().strip())
        if text.startswith("{") or text.count(".") != 4:  # no compact JWE (RFC 7516 §7.1)
            return Opened(key=private.load(json.loads(text)))
        jwk, password = unseal(text, str(path), desk)
        return Opened(key=private.load(jwk), password=password)
    except ConfigError as error:  # what keyfiles raises names the file
        raise KeyProblem(str(error)) from error
    except ValueError as error:
        raise KeyProblem(
            f"{path}: is not a private key: {error}", hint="it must be PEM, a JWK, or a JWK encrypted by password"
        ) from error


def unseal(jwe: str, what: str, desk: ReadingDesk) -> tuple[dict[str, Any], bytes]:
    """The private JWK in ``jwe``, and the first password that opens it; raises KeyProblem when none does."""
    from mica_jwk.encryption import WrongPassword, decrypt_jwk  # slow to import

    for password in desk.passwords(f"Please enter the password to decrypt {what}"):
        try:
            return decrypt_jwk(jwe, password), password
        except WrongPassword:
            continue
    raise KeyProblem(f"the password does not decrypt {what}", hint="is it the password of this provisioner?")


def _pem(data: bytes, path: Path, desk: ReadingDesk) -> Opened:
    if b"ENCRYPTED" not in data:  # in the label (RFC 7468 §11) or in Proc-Type (RFC 1421 §4.6.1.1)
        return Opened(key=keyfiles.load_private_key(data, None, where=str(path)))
    failure: ConfigError | None = None
    for password in desk.passwords(f"Please enter the password to decrypt {path}"):
        try:
            return Opened(key=keyfiles.load_private_key(data, password, where=str(path)), password=password)
        except ConfigError as error:
            failure = error
    raise KeyProblem(str(failure) if failure else f"{path}: there is no password")


def _compact(text: str) -> str:
    """``text``, or the compact form of the JWE that it is in JSON (RFC 7516 §7.2.2), as step writes it to files."""
    if not text.startswith("{") or "ciphertext" not in text:
        return text
    jwe = json.loads(text)
    names = ("protected", "encrypted_key", "iv", "ciphertext", "tag")
    if not isinstance(jwe, dict) or not all(isinstance(jwe.get(name), str) for name in names):
        return text
    return ".".join(jwe[name] for name in names)
