"""SSH for a CA that is there: keys and configuration are made as ``mica ca init --ssh`` makes them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mica import sshfoundation
from mica.cli.ca import documents
from mica.cli.ca.configuration import read_text
from mica.cli.ca.planned import PlannedFiles, judged
from mica.cli.kit import FileProblem, chosen, password, report, say, settle, wants_json, write_all
from mica.cli.paths import made_private
from mica.config import CoreConfig, structure_core
from mica.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """The CA: its configuration, as a file and as what it says."""

    path: Path
    text: str
    core: CoreConfig

    @property
    def home(self) -> Path:
        """Where its keys and certificates are."""
        return self.path.parent

    @property
    def provisioners(self) -> list[str]:
        """Their names."""
        return [str(table.get("name")) for table in self.core.provisioners]

    @property
    def targets(self) -> list[Path]:
        """What is new."""
        return [self.home / path for path in sshfoundation.FILES]


def add(flags: Mapping[str, Any]) -> None:
    """The CA that ``flags`` name signs SSH certificates once it is started again; with ``dry_run`` it is only told.

    Raises FileProblem, CLIError, PromptNeeded. What was there is as it was then.
    """
    place = _place(flags["ca_config"])
    if "ssh" in place.core.signers:
        _tell_unchanged(place, dry=flags["dry_run"])
        return
    text = _text(place)
    if there := [str(target) for target in place.targets if target.exists()]:
        raise FileProblem(
            f"there are SSH keys already: {', '.join(there)}",
            hint=f"name them in [signers.ssh] of {place.path}, or move them away",
        )
    if flags["dry_run"]:
        _tell(place, written=False)
        return
    with made_private(sorted({target.parent for target in place.targets})):
        settle([place.path, *place.targets], force=True)
        label = "Please enter the password of the CA keys"
        secret = password(flags["password_file"], label, flag="--password-file", new=True)
        files = _files(place, secret)
        planned = {path.absolute(): contents for path, contents, _ in files}
        try:
            judged(place.path.absolute(), text, PlannedFiles(planned), secret)
        except ConfigError as error:
            raise FileProblem("\n".join(error.faults), hint=f"{place.path} is as it was") from error
        write_all([*files, (place.path, text.encode(), 0o644)])
    _tell(place, written=True)


def _place(ca_config: Path | None) -> _Place:
    path, text, document = read_text(ca_config)
    core, faults = structure_core(document)
    if faults:
        raise FileProblem("\n".join(faults), hint=f"mend {path} first: mica ca check tells every mistake")
    return _Place(path=path, text=text, core=core)


def _text(place: _Place) -> str:
    """``ca.toml`` as it will be; raises CLIError when it cannot be edited."""
    text = documents.enabled(place.text, sshfoundation.PLUGINS)
    text = documents.with_signer(text, "ssh", sshfoundation.signer())
    types = [str(table.get("type")).lower() for table in place.core.provisioners]
    return text if "sshpop" in types else documents.added(text, sshfoundation.possession(place.provisioners))


def _files(place: _Place, secret: bytes) -> list[tuple[Path, bytes, int]]:
    keys = sshfoundation.new_keys(place.core.dns_names[0])
    secrets = [(place.home / key.path, key.key_pem(secret), 0o600) for key in keys]
    return [*secrets, *((place.home / key.public_path, key.line, 0o644) for key in keys)]


def _tell_unchanged(place: _Place, *, dry: bool) -> None:
    say(f"{place.path} has [signers.ssh] already: nothing has been changed.")
    if wants_json():
        report({"config": str(place.path), "changed": False, "dry_run": dry})


def _tell(place: _Place, *, written: bool) -> None:
    """What was made, or would be."""
    if not written:
        say("Nothing has been written. This is what would be made:")
    made = {label: place.home / path for path, label in sshfoundation.LABELS.items()}
    for label, path in made.items():
        chosen(label, path)
    chosen("Certificate Authority configuration", place.path)
    if written:
        say("")
        say("The CA does not know yet: send it SIGHUP (systemctl reload), or start it again.")
        for name in place.provisioners:
            say(f"Let the provisioner {name} order SSH certificates: mica ca provisioner update {name} --ssh")
    if wants_json():
        members = {label.lower().replace(" ", "_"): str(path) for label, path in made.items()}
        report({"config": str(place.path), "changed": written, "dry_run": not written, **members})
