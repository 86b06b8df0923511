"""Private keys in files: ``key = "file:secrets/intermediate_ca_key"``."""

from collections.abc import Iterable

from mica import KeyBackend, Kind, hookimpl, kind
from mica_filekeys.backend import FileKeys, FileKeysConfig


@hookimpl
def register_key_backends() -> Iterable[Kind[KeyBackend]]:
    """The kind ``filekeys``, which serves the scheme ``file``."""
    return [kind("filekeys", FileKeysConfig, FileKeys)]
