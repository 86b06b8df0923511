"""The password of the CA's keys: from a file, from systemd, or from whoever is asked."""

import os
from pathlib import Path

from mica.cli.kit import password, password_from_source

#: The credential that ``mica ca serve`` looks for when systemd lends it some (systemd.exec(5), LoadCredential=).
CREDENTIAL = "mica-ca-password"


def ca_password(path: Path, source: str | None, *, flag: str = "--password-file") -> bytes | None:
    """The password of the CA keys: from ``source``, systemd, or whoever is asked; None when no key has one.

    ``flag`` is what would have named the source.
    """
    if source is not None:
        return password_from_source(source)
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    if credentials and (Path(credentials) / CREDENTIAL).exists():
        return password_from_source(str(Path(credentials) / CREDENTIAL))
    if _any_encrypted(path):
        return password(None, "Please enter the password of the CA keys", flag=flag)
    return None


def _any_encrypted(path: Path) -> bool:
    """Whether a key file that the configuration names is encrypted. What is wrong with it is for others to say."""
    from mica.config import load
    from mica.errors import ConfigError

    try:
        settings = load(path)
    except ConfigError:
        return False
    members = ("key", "user_key", "host_key")
    uris = [str(table.get(name, "")) for table in settings.core.signers.values() for name in members]
    return any(_encrypted(settings.directory / uri.partition(":")[2]) for uri in uris if uri.startswith("file:"))


def _encrypted(key: Path) -> bool:
    try:
        return b"ENCRYPTED" in key.read_bytes()[:200]
    except OSError:
        return False
