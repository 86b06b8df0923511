"""What the table of a JWK provisioner holds: a new key pair, or the keys in files, the private one under a password."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from mica import jwk, keyfiles
from mica.client import KeyProblem, OpenedKey, TableDesk, TableOption
from mica.jwk import PUBLIC, public, thumbprint
from mica_jwk import keyfile

OPTIONS = (
    TableOption(flag="--create", help="Make a key pair; the private key is kept under a password.", is_flag=True),
    TableOption(flag="--public-key", help="The public key, a JWK or PEM."),
    TableOption(flag="--private-key", help="The private key, a JWK or PEM; it is kept under a password."),
)


def new_table(name: str, options: Mapping[str, Any], desk: TableDesk) -> dict[str, Any]:
    """``key``, the public JWK, and ``encrypted_key``, the private one as a compact JWE, None when there is none.

    A private key from an encrypted file is kept under that file's password. Raises ValueError when the options do not
    fit together, KeyProblem when a file holds no key that can be used.
    """
    public_file, private_file = options.get("public_key"), options.get("private_key")
    if options.get("create") and (public_file or private_file):
        raise ValueError("--create makes both keys: it goes with neither --public-key nor --private-key")
    if not (options.get("create") or public_file or private_file):
        raise ValueError(f"{name} needs a key: --create makes one, --public-key and --private-key name files")
    listed = _read_public(public_file, desk) if public_file else None
    if listed and not private_file:
        return {"key": listed, "encrypted_key": None}
    opened = keyfile.read(private_file, desk) if private_file else OpenedKey(key=keyfiles.generate("EC-P256"))
    private = jwk.dump(opened.key)
    if listed and thumbprint(listed) != private["kid"]:
        raise KeyProblem(f"{private_file}: is not the private key of {public_file}")
    # Whoever made the public key may have named it, and chosen an RSA algorithm.
    private |= {member: listed[member] for member in ("kid", "alg")} if listed else {}
    from mica.jwe import encrypt_jwk  # slow to import

    password = opened.password or desk.new_password(
        f"Please enter a password to encrypt the private key of the provisioner {name}", "--password-file"
    )
    return {"key": public(private), "encrypted_key": encrypt_jwk(private, password)}


def _read_public(path: Path, desk: TableDesk) -> dict[str, str]:
    """The public JWK in ``path``, complete; raises KeyProblem."""
    data = desk.read(path)
    try:
        found = _from_pem(data) if b"-----BEGIN" in data else json.loads(data)
        if not isinstance(found, dict):
            raise ValueError("it is JSON, but no object")
        if found.get("kty") not in tuple(PUBLIC):
            raise ValueError(f"kty must be one of {', '.join(PUBLIC)}")
        given = {member: value for member, value in found.items() if isinstance(value, str)}
        return public({"use": "sig", "kid": thumbprint(given), "alg": jwk.algorithm(given), **given})
    except KeyError as error:
        raise _unusable(path, f"the member {error} is missing") from error
    except (ValueError, UnsupportedAlgorithm, RecursionError) as error:
        raise _unusable(path, str(error)) from error


def _from_pem(data: bytes) -> dict[str, str]:
    if b"PRIVATE KEY-----" in data:
        raise ValueError("it is a private key; name it with --private-key")
    return jwk.public_members(serialization.load_pem_public_key(data))


def _unusable(path: Path, reason: str) -> KeyProblem:
    return KeyProblem(f"{path}: is not a public key: {reason}", hint="it must be PEM (BEGIN PUBLIC KEY) or a JWK")
