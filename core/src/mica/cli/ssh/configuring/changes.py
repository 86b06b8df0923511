"""Changes to several files: shown as a difference, or made, all of them or none."""

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from difflib import diff_bytes, unified_diff
from itertools import chain
from pathlib import Path

from mica.cli.console import ask_yes_no
from mica.cli.errors import Cancelled, FileProblem
from mica.cli.files import Access, read_input, reason, settle, write_all
from mica.cli.paths import made_private

_PRIVATE = 0o600
_KEPT = Access(mode=0o666, exact=False)  # asks for nothing to be taken away: the file's mode stays


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a file holds before and afterwards; None is no file."""

    path: Path
    before: bytes | None
    after: bytes | None
    asked: bool = False
    """Whether something is lost that is not mica's, so that somebody must agree."""

    @property
    def status(self) -> str:
        """``written``, ``removed`` or ``unchanged``."""
        if self.before == self.after:
            return "unchanged"
        return "removed" if self.after is None else "written"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be done. The record of it is written with the rest."""

    changes: Sequence[Change]
    record: Change
    folders: Sequence[Path] = ()
    """They are to exist."""
    gone: Sequence[Path] = ()
    """Folders that are to be taken away, where they are empty."""


def held(path: Path) -> bytes | None:
    """What is in ``path``, None when it is not there; raises FileProblem."""
    try:
        return read_input(path) if path.exists() else None
    except OSError as error:  # a folder above that may not be searched
        raise FileProblem(f"{path}: cannot be read: {reason(error)}") from error


def difference(plan: Plan) -> bytes:
    """The changes as a unified diff, which patch(1) would make; nothing when there are none."""
    return b"".join(_difference(change) for change in plan.changes)


def make(plan: Plan, *, force: bool) -> None:
    """Everything is as planned, or as it was; raises FileProblem, Usage, Cancelled, PromptNeeded."""
    due = [change for change in (*plan.changes, plan.record) if change.status != "unchanged"]
    written = [change for change in due if change.after is not None]
    removed = [change for change in due if change.after is None]
    parents = [change.path.parent for change in written]
    with made_private(dict.fromkeys(chain(parents, plan.folders))):
        settle([change.path for change in due], force=True)
        settle([change.path for change in written if change.asked], force=force)
        for change in removed:
            _settle_removal(change, force=force)
        write_all(
            (change.path, change.after or b"", _PRIVATE if change.before is None else _KEPT) for change in written
        )
    for change in removed:
        _remove(change.path)
    for folder in plan.gone:
        with suppress(OSError):  # somebody else has put something there
            folder.rmdir()


def _settle_removal(change: Change, *, force: bool) -> None:
    question = f"{change.path} has been changed since mica wrote it. Would you like to remove it"
    if change.asked and not force and not ask_yes_no(question, flag="--force"):
        raise Cancelled(f"{change.path}: is left as it is, and so is everything else")


def _remove(path: Path) -> None:
    try:
        path.resolve().unlink(missing_ok=True)  # a link was there before, and stays
    except OSError as error:
        raise FileProblem(f"{path}: cannot be removed: {reason(error)}") from error


def _difference(change: Change) -> bytes:
    if change.status == "unchanged":
        return b""
    old, new = (b"/dev/null" if data is None else os.fsencode(change.path) for data in (change.before, change.after))
    before, after = ((data or b"").splitlines(keepends=True) for data in (change.before, change.after))
    lines = diff_bytes(unified_diff, before, after, old, new)
    return b"".join(line if line.endswith(b"\n") else line + b"\n\\ No newline at end of file\n" for line in lines)
