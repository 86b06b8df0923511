"""Whether the CA would accept what is about to be written: judged before anything is."""

from collections.abc import Mapping
from pathlib import Path

from mica.authority import Authority
from mica.cli.ca.migration.plan import Signer
from mica.config import Settings, parse, structure_core
from mica.errors import ConfigError
from mica.files import Files
from mica.keyfiles import load_private_key


class PlannedFiles(Files):
    """The files as they will be: what is not written yet is read from the plan, with the mode that it will have."""

    def __init__(self, planned: Mapping[Path, bytes]) -> None:
        super().__init__()
        self._planned = planned

    def read(self, path: Path) -> bytes:
        """The octets that will be at ``path``; raises ConfigError."""
        return self._planned[path] if path in self._planned else super().read(path)

    def read_secret(self, path: Path) -> bytes:
        """The same; what is planned will have the mode 0600."""
        return self._planned[path] if path in self._planned else super().read_secret(path)


def key_faults(signer: Signer, password: bytes | None) -> tuple[str, ...]:
    """Why the key cannot be used, with its present place; none when it is the issuing certificate's."""
    where = str(signer.key_file)
    try:
        key = load_private_key(signer.key_contents, password, where=where)
    except ConfigError as error:
        return error.faults
    if key.public_key() != signer.issuer.public_key():
        return (f"{where}: is not the key of {signer.issuer.subject.rfc4514_string()}, the first certificate of crt",)
    return ()


def judged(path: Path, text: str, files: Files, password: bytes | None) -> Settings:
    """The settings that ``text`` at ``path`` will be, all of whose parts fit together; raises ConfigError."""
    core, faults = structure_core(parse(text.encode(), path))
    settings = Settings(path=path, core=core, files=files, password=password, faults=tuple(faults))
    Authority.assemble(settings)
    return settings
