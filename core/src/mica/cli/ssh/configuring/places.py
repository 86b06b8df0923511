"""Where what a CA renders may be written: ``~/.ssh/config``, mica's own folders for SSH, and ``/etc/ssh`` for hosts.

A CA is trusted to configure SSH, and nothing else on the machine.
"""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mica.cli import paths
from mica.cli.errors import FileProblem

_BASE = "${STEPPATH}/"
_USER_CONFIG = "~/.ssh/config"
_ETC_SSH = PurePosixPath("/etc/ssh")
_LONGEST = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """The folders of one run, absolute."""

    user_config: Path
    base: Path
    """``$MICAPATH``, of all contexts."""
    mica: Path
    """The folder of the context in use; without contexts, ``base``."""
    etc_ssh: Path | None
    """What takes the place of ``/etc/ssh``; None where no host is configured."""

    @classmethod
    def of(cls, etc_ssh: Path | None) -> "Places":
        """The places of whoever runs this, in the context in use; raises Usage, FileProblem, PromptNeeded."""
        try:
            home = Path.home()
        except RuntimeError as error:  # an account that no list of accounts has, as in containers
            raise FileProblem("nobody says where your home directory is", hint="set HOME") from error
        return cls(
            user_config=home / ".ssh" / "config",
            base=paths.base_path().absolute(),
            mica=paths.mica_path().absolute(),
            etc_ssh=None if etc_ssh is None else etc_ssh.absolute(),
        )

    def of_rendered(self, path: str) -> Path:
        """Where what the CA calls ``path`` is on this machine; raises FileProblem when it may not be written there."""
        found = self._find(path)
        if found is None:
            raise FileProblem(
                f"the CA wants to write {path[:_LONGEST]!r}, which is none of {', '.join(self._allowed())}",
                hint="nothing has been written; tell whoever runs the CA",
            )
        self._refuse_link(found)
        return found

    def covers(self, path: Path) -> bool:
        """Whether ``path`` can have been written for these places."""
        return path == self.user_config or any(path.is_relative_to(folder) for folder in self._folders())

    def _find(self, path: str) -> Path | None:
        if not path.isprintable() or len(path) > _LONGEST or path.endswith("/") or ".." in path.split("/"):
            return None
        if path == _USER_CONFIG:
            return self.user_config
        if path.startswith(_BASE):
            return _below(self.base / path.removeprefix(_BASE).lstrip("/"), self.base / "ssh")
        if path.startswith("/"):
            return self._find_absolute(PurePosixPath(path))
        return _below(self.mica / path, self.mica / "ssh")

    def _find_absolute(self, path: PurePosixPath) -> Path | None:
        if self.etc_ssh is not None and path.is_relative_to(_ETC_SSH):
            return self.etc_ssh / path.relative_to(_ETC_SSH)
        return _below(Path(path), self.mica / "ssh") or _below(Path(path), self.base / "ssh")

    def _refuse_link(self, path: Path) -> None:
        """``~/.ssh/config`` may be a link, as people who keep their dotfiles elsewhere have it; others stay inside."""
        if path == self.user_config:
            return
        folder = next(each for each in self._folders() if path.is_relative_to(each))
        try:
            inside = path.resolve().is_relative_to(folder.resolve())
        except (OSError, RuntimeError):  # a ring of links
            inside = False
        if not inside:
            raise FileProblem(
                f"{path}: is a link that leads out of {folder}", hint="put a file in its place, or take it away"
            )

    def _folders(self) -> list[Path]:
        return [self.mica / "ssh", self.base / "ssh", *filter(None, [self.etc_ssh])]

    def _allowed(self) -> list[str]:
        own = [f"{folder}/…" for folder in dict.fromkeys((self.base / "ssh", self.mica / "ssh"))]
        return [_USER_CONFIG, *own, *(["/etc/ssh/…"] if self.etc_ssh else [])]


def _below(path: Path, folder: Path) -> Path | None:
    return path if path.is_relative_to(folder) else None
