"""Private keys as commands read and write them; imports cryptography, so it is imported where a key is at hand."""

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from mica.cli import files, options, passwords
from mica.cli.console import progress
from mica.cli.errors import FileProblem
from mica.errors import ConfigError
from mica.keyfiles import PasswordNeeded, PrivateKey, dump_private_key, generate, load_private_key

__all__ = ["PrivateKey", "create_key", "is_key_uri", "key_pem", "new_key", "read_key", "same_kind"]

_CURVES = {"secp256r1": "EC-P256", "secp384r1": "EC-P384", "secp521r1": "EC-P521"}


def read_key(path: str | Path, password_source: str | None, *, flag: str = "--password-file") -> PrivateKey:
    """The private key in ``path``, a file or the URI of a key; ``-`` is stdin.

    Its password comes from ``password_source``, or is asked for when the key needs one. Raises FileProblem when there
    is no key that can be read, PromptNeeded naming ``flag``.
    """
    if is_key_uri(path):
        from mica.cli import keyuris  # it imports what serves the CA

        return keyuris.load(str(path), password_source, flag=flag)
    data = files.read_input(path)
    password = passwords.from_source(password_source) if password_source else None
    try:
        return _load(data, password, path)
    except PasswordNeeded as needed:
        if password is not None:
            raise FileProblem(str(needed)) from needed
    except ConfigError as error:
        raise FileProblem(str(error)) from error
    password = passwords.password(None, f"Please enter the password to decrypt {path}", flag=flag)
    try:
        return _load(data, password, path)
    except ConfigError as error:
        raise FileProblem(str(error)) from error


def is_key_uri(name: str | Path) -> bool:
    """Whether ``name`` is the URI of a key, such as ``file:secrets/key``, and no file has it for its literal name."""
    if ":" not in str(name):
        return False
    from mica.cli import keyuris

    return keyuris.scheme(name) is not None


def create_key(uri: str, algorithm: str, password: bytes | None) -> PrivateKey:
    """A new key of a kind named in ``mica.keyfiles.ALGORITHMS`` is kept at ``uri``; raises FileProblem."""
    from mica.cli import keyuris

    return keyuris.create(uri, algorithm, password)


def new_key(kty: str | None, curve: str | None, size: int | None) -> PrivateKey:
    """A new key as the flags of ``options.key`` ask for it; raises Usage when they do not fit together."""
    algorithm = options.key_algorithm(kty, curve, size)
    with progress("making the key"):
        return generate(algorithm)


def key_pem(key: PrivateKey, password: bytes | None) -> bytes:
    """``key`` as PKCS #8, encrypted unless ``password`` is None; to be written with mode 0600."""
    with progress("encrypting the key"):
        return dump_private_key(key, password)


def _load(data: bytes, password: bytes | None, path: str | Path) -> PrivateKey:
    with progress(f"opening {path}"):
        return load_private_key(data, password, where=str(path))


def same_kind(key: PrivateKey) -> str:
    """What ``mica.keyfiles.generate`` calls a key like this one."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return _CURVES[key.curve.name]
    if isinstance(key, rsa.RSAPrivateKey):
        return f"RSA-{next((bits for bits in options.RSA_SIZES if bits >= key.key_size), options.RSA_SIZES[-1])}"
    return "Ed25519"
