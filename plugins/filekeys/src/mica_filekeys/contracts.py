"""The file key backend keeps the contract of those that find keys and make them."""

from pathlib import Path

from cryptography.hazmat.primitives import serialization

from mica import KeyContext
from mica.testing.keys import KeyCreatorContract, SomePrivateKey
from mica_filekeys.backend import FileKeys, FileKeysConfig


class TestFileKeys(KeyCreatorContract):
    """Its keys are PEM files; here pyca writes them, another hand than the plugin's."""

    def build(self, context: KeyContext) -> FileKeys:
        return FileKeys(FileKeysConfig(), context)

    def install(self, directory: Path, key: SomePrivateKey, password: bytes) -> str:
        encryption = serialization.BestAvailableEncryption(password)
        pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
        (directory / "key").write_bytes(pem)
        (directory / "key").chmod(0o600)
        return "file:key"

    def vacancy(self) -> str:
        return "file:none"
