"""The files that the table names: a private key, a password, roots."""

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from mica import ConfigError, Context, keyfiles
from mica_ldap.sealing import CURVE


def key(context: Context, path: Path) -> ec.EllipticCurvePrivateKey:
    """The private key, EC P-256, not encrypted; raises ConfigError."""
    found = keyfiles.load_private_key(_secret(context, "key", path), None, where=f"key: {path}")
    if not isinstance(found, ec.EllipticCurvePrivateKey) or not isinstance(found.curve, CURVE):
        raise ConfigError([f"key: {path} must hold an EC P-256 key, to which passwords are sealed"])
    return found


def password(context: Context, path: Path) -> bytes:
    """The first line; raises ConfigError when it is empty: such a bind is an anonymous one (RFC 4513 §5.1.2)."""
    found = _secret(context, "bind_password_file", path).partition(b"\n")[0].rstrip(b"\r")
    if not found:
        raise ConfigError([f"bind_password_file: {path} holds no password"])
    return found


def verifier(context: Context, path: Path | None) -> str | None:
    """The roots in PEM, None for those of the system; raises ConfigError."""
    if path is None:
        return None
    octets = context.read(context.directory / path)
    try:
        x509.load_pem_x509_certificates(octets)
        return octets.decode()
    except ValueError as error:
        raise ConfigError([f"roots: {path} must hold certificates in PEM: {error}"]) from error


def _secret(context: Context, member: str, path: Path) -> bytes:
    """The file, which is for its owner and group alone; raises ConfigError."""
    try:
        return context.read_secret(context.directory / path)
    except ConfigError as error:
        raise ConfigError(f"{member}: {fault}" for fault in error.faults) from error
