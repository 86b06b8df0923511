"""Where the old CA's files are found from now on: as copies in their new place, or where they are."""

import re
from pathlib import Path

from mica.cli.ca.migration.findings import Findings
from mica.cli.ca.migration.folder import StepFolder
from mica.cli.ca.migration.plan import Copy, KeyFile
from mica.cli.kit import CLIError, read_input

_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]+):")


class Places:
    """One import's files. What cannot be read is among the faults."""

    def __init__(self, folder: StepFolder, findings: Findings, *, copying: bool) -> None:
        self.folder = folder
        self.copying = copying
        self.copies: list[Copy] = []
        self._findings = findings

    def key(self, item: str, uri: str, target: Path) -> KeyFile | None:
        """The private key that ``item`` of ca.json names; None when it names none, or one that cannot be used."""
        scheme = _SCHEME.match(uri)
        if scheme and scheme[1].lower() not in ("file", "softkms"):
            self._findings.faults.append(f"{item}: keys of the scheme {scheme[1]}: cannot be used yet, only files")
            return None
        if not uri:
            return None
        source = self.folder.resolve(uri)
        try:
            contents = read_input(source)
        except CLIError as error:
            self._findings.faults.append(f"{item}: {error.message}")
            return None
        shown = self.place(item, source, Copy(path=target, contents=contents, mode=0o600))
        return KeyFile(item=item, shown=shown, path=source, contents=contents)

    def place(self, item: str, source: Path, copy: Copy) -> str:
        """The path for ca.toml of what is at ``source`` now."""
        if not self.copying:
            self._findings.taken(item, f"{source}, where it is")
            return str(source)
        self.copies.append(copy)
        self._findings.taken(item, f"{copy.path}, an unchanged copy of {source}")
        return str(copy.path)
