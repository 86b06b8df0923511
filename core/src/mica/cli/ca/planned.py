"""Whether the CA would accept what is about to be written: judged before anything is."""

from collections.abc import Mapping
from pathlib import Path

from mica.authority import Authority
from mica.config import Settings, parse, structure_core
from mica.files import Files


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


def judged(path: Path, text: str, files: Files, password: bytes | None) -> Authority:
    """The authority that ``text`` at ``path`` will describe, not started; raises ConfigError with every fault."""
    core, faults = structure_core(parse(text.encode(), path))
    settings = Settings(path=path, core=core, files=files, password=password, faults=tuple(faults))
    return Authority.assemble(settings)
