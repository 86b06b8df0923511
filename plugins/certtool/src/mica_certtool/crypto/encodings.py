"""Keys as octets for a file: PEM, DER, OpenSSH's forms, JWK; private ones encrypted unless there is no password."""

from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives import serialization

from mica import ConfigError, jwk, keyfiles
from mica.cli import kit
from mica.cli.kit import FileProblem
from mica_certtool.crypto.material import Material, PublicKey


def private(key: keyfiles.PrivateKey, form: str, password: bytes | None) -> bytes:
    """The private key: PKCS #8 (RFC 5958) in PEM or DER, OpenSSH's PROTOCOL.key, or a JWK in JSON; encrypted."""
    with kit.progress("encrypting the key"):
        match form:
            case "pem":
                return keyfiles.dump_private_key(key, password)
            case "der":
                return keyfiles.dump_private_key_der(key, password)
            case "ssh":
                return _openssh(key, password)
        return private_jwk(jwk.dump(key), password)


def public(key: PublicKey, form: str) -> bytes:
    """The public key: SubjectPublicKeyInfo in PEM or DER, OpenSSH's line, or a JWK in JSON."""
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    match form:
        case "pem":
            return key.public_bytes(serialization.Encoding.PEM, spki)
        case "der":
            return key.public_bytes(serialization.Encoding.DER, spki)
        case "ssh":
            return ssh_line(key) + b"\n"
    return json_file(public_jwk(key))


def private_jwk(members: Mapping[str, Any], password: bytes | None, *, compact: bool = False) -> bytes:
    """A private or symmetric JWK in JSON; under a password, as JWE in JSON or in compact form."""
    if password is None:
        return json_file(members)
    from mica import jwe  # slow to import

    sealed = jwe.encrypt_jwk(members, password)
    return sealed.encode() + b"\n" if compact else json_file(jwe.expand(sealed))


def public_jwk(key: PublicKey) -> dict[str, str]:
    """The key for signatures as a JWK, in the order in which step writes it; raises FileProblem for other curves."""
    try:
        members = jwk.public_members(key)
    except ValueError as error:
        raise FileProblem(f"the key cannot be a JWK: {error}") from error
    description = {"use": "sig", "kid": jwk.thumbprint(members), "alg": jwk.algorithm(members)}
    return jwk.public({**description, **members})


def ssh_line(key: PublicKey) -> bytes:
    """``ssh-ed25519 AAAA…`` without a comment; raises FileProblem when OpenSSH has no such key."""
    try:
        return key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    except ValueError as error:
        raise FileProblem(f"OpenSSH has no such key: {error}") from error


def json_file(members: Mapping[str, Any]) -> bytes:
    """``members`` as a JSON file, indented by two."""
    return kit.json_text(members).encode() + b"\n"


def again(material: Material, password: bytes | None) -> bytes:
    """The private key of ``material`` in the form that it came in, under another password or none."""
    if material.form == "jwk":
        return private_jwk(material.members, password, compact=material.compact)
    return private(material.require_private(), material.form, password)


def _openssh(key: keyfiles.PrivateKey, password: bytes | None) -> bytes:
    if password == b"":
        raise ConfigError(["the password of a key must not be empty"])
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password is not None:
        # As ssh-keygen writes it: bcrypt with 16 rounds, AES-256 in CTR mode.
        builder = serialization.PrivateFormat.OpenSSH.encryption_builder().kdf_rounds(16)
        encryption = builder.build(password)
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, encryption)
