"""The private key in a file: PEM, DER, a private JWK in JSON, or such a JWK encrypted."""

import json
from pathlib import Path
from typing import Any

from mica import jwk, keyfiles
from mica.client import KeyProblem, OpenedKey, ReadingDesk, open_key


def read(path: Path, desk: ReadingDesk) -> OpenedKey:
    """The key in ``path``: PEM, DER, a private JWK in JSON, or such a JWK encrypted, as a compact JWE or in JSON.

    Raises KeyProblem, and whatever the desk raises.
    """
    data = desk.read(path)
    try:
        if b"-----BEGIN" in data or keyfiles.holds_private_key(data):
            return open_key(data, path, desk)
        text = data.decode().strip()
        sealed = '"ciphertext"' in text if text.startswith("{") else text.count(".") == 4  # RFC 7516 §7.2, §7.1
        if not sealed:
            return OpenedKey(key=jwk.load(json.loads(text)))
        private, password = unseal(text, str(path), desk)
        return OpenedKey(key=jwk.load(private), password=password)
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
