"""Files that a command reads and writes. Everything about outputs is settled before the CA is asked."""

import os
import stat
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple, TextIO

import click

from mica.cli import console
from mica.cli.errors import Cancelled, FileProblem, Usage

if TYPE_CHECKING:
    from pathlib import Path

_MAX_INPUT = 16 << 20
_STDIN = "mica.cli.files.stdin"  # in click's meta, once stdin has been read


class Access(NamedTuple):  # dataclasses are slow to import
    """Who may do what with a file, said on purpose: it counts for an existing file as well, and whatever the umask."""

    mode: int
    exact: bool = True
    """Otherwise ``mode`` is what ``write_all`` makes of a bare one."""
    uid: int = -1
    """Whose file it is; -1 leaves it with whom it belongs to, as os.chown has it."""
    gid: int = -1


def read_input(path: "str | Path") -> bytes:
    """What ``path`` holds, stdin for ``-``; raises FileProblem when it cannot be read or exceeds 16 MiB."""
    try:
        if str(path) == "-":
            data = _stdin().buffer.read(_MAX_INPUT + 1)
        else:
            from pathlib import Path  # slow to import, and help needs none of it

            with Path(path).open("rb") as stream:
                data = stream.read(_MAX_INPUT + 1)
    except FileNotFoundError:
        raise FileProblem(f"{path}: there is no such file") from None
    except IsADirectoryError:
        raise FileProblem(f"{path}: is a directory", hint="name a file inside it") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise FileProblem(f"{path}: cannot be read: {reason(error)}") from error
    if len(data) > _MAX_INPUT:
        raise FileProblem(f"{path}: is larger than 16 MiB, and no certificate, key or token is")
    return data


def _stdin() -> TextIO:
    """Stdin, which this command has not read before: a second time there is nothing. Raises FileProblem, Usage."""
    if sys.stdin is None:
        raise FileProblem("-: stdin is closed", hint="name a file, or write into stdin")
    context = click.get_current_context(silent=True)
    if context is not None and context.meta.setdefault(_STDIN, read := object()) is not read:
        raise Usage("stdin is read twice", hint="where - stands twice, give one a file, or a descriptor: fd:3")
    return sys.stdin


def settle(outputs: "Iterable[Path]", *, force: bool) -> None:
    """Every output can be written, and whoever was asked agreed to overwrite what is there.

    Raises Usage when two outputs are one file, FileProblem when one cannot be written, Cancelled when the answer is no.
    """
    paths = list(outputs)
    if "-" in map(str, paths):
        raise Usage("- is stdin, and nothing can be written there", hint="/dev/stdout is stdout")
    targets = [_target(path) for path in paths]
    for index, target in enumerate(targets):
        if target in targets[:index] and not _is_stream(target):
            raise Usage(
                f"{paths[index]} and {paths[targets.index(target)]} are the same file", hint="give each its own"
            )
    for path, target in zip(paths, targets, strict=True):
        _check_writable(path, target)
    for path, target in zip(paths, targets, strict=True):
        if target.exists() and not _is_stream(target) and not force:
            _ask_to_overwrite(path)


def keep_apart(outputs: "Iterable[Path | None]", inputs: "Iterable[str | Path | None]") -> None:
    """No output takes the place of a file that is read, such as the only copy of a key, whatever ``--force`` allows.

    Raises Usage.
    """
    read = [name for name in inputs if name is not None and os.access(name, os.F_OK)]
    for output in filter(None, outputs):
        for name in read:
            if output.exists() and output.samefile(name) and not _is_stream(output):
                raise Usage(f"{output} would take the place of {name}, which is read", hint="give another name")


def write_atomic(path: "Path", data: bytes, *, mode: int | Access) -> None:
    """``path`` holds ``data``, durably, or what it held before; see ``write_all``."""
    write_all([(path, data, mode)])


def write_all(outputs: "Iterable[tuple[Path, bytes, int | Access]]") -> None:
    """Every path holds its data, durably; all are on disk before they take their names, in the order given (key first).

    ``mode`` is that of a new file, less the umask. An existing file keeps its owner and mode, but a secret (a mode
    that gives nothing to others) never becomes readable to more than ``mode`` says; unless an Access says otherwise.
    A link is followed.
    Raises FileProblem.
    """
    staged: list[tuple[Path, Path]] = []
    try:
        for path, data, mode in outputs:
            target = _target(path)
            if _is_stream(target):
                target.write_bytes(data)
            else:
                staged.append((_stage(target, data, mode), target))
        while staged:
            temporary, path = staged[0]
            temporary.rename(path)
            del staged[0]
            _sync_directory(path.parent)
    except OSError as error:
        raise FileProblem(f"{path}: cannot be written: {reason(error)}") from error
    finally:
        for temporary, _ in staged:
            temporary.unlink(missing_ok=True)


def reason(error: Exception) -> str:
    """Why the operating system refused, as it says it, in lower case."""
    text = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return text[:1].lower() + text[1:]


def _target(path: "Path") -> "Path":
    try:
        # What /dev/stdout stands for may be a pipe, which has no path of its own.
        return path if _is_stream(path) else path.resolve()
    except (OSError, RuntimeError, ValueError) as error:  # a ring of links; a NUL in the name
        raise FileProblem(f"{path}: cannot be written: {reason(error)}") from error


def _is_stream(target: "Path") -> bool:
    """Whether ``target`` is a terminal, a pipe, ``/dev/null`` …: written to, never replaced."""
    try:
        kind = target.stat().st_mode
    except OSError:
        return False
    return not stat.S_ISREG(kind) and not stat.S_ISDIR(kind)


def _check_writable(path: "Path", target: "Path") -> None:
    directory = target.parent
    if target.is_dir():
        raise FileProblem(f"{path}: is a directory", hint="name the file to write inside it")
    if not directory.is_dir():
        raise FileProblem(f"{path}: there is no directory {directory}", hint=f"make it first: mkdir -p {directory}")
    if _is_stream(target):
        return
    if not os.access(directory, os.W_OK | os.X_OK):
        raise FileProblem(f"{path}: you may not write in {directory}", hint="choose another directory, or another user")
    if target.exists() and os.geteuid() not in (0, target.stat().st_uid):
        raise FileProblem(f"{path}: belongs to another user", hint="run this as its owner, or choose another file")
    _refuse_planted(path, target)


def _refuse_planted(path: "Path", target: "Path") -> None:
    """In a directory where everybody may write, nobody's file or link but ours or the directory's owner's is replaced.

    What Linux' protected_symlinks and protected_regular guard, for renames also.
    """
    for place in {path.absolute(), target}:
        parent = place.parent.stat()
        if not parent.st_mode & stat.S_IWOTH or not os.path.lexists(place):
            continue
        if place.lstat().st_uid not in (os.geteuid(), parent.st_uid):
            raise FileProblem(
                f"{path}: was put there by another user, in a directory where everybody may write",
                hint="choose another directory",
            )


def _ask_to_overwrite(path: "Path") -> None:
    if not console.ask_yes_no(f"Would you like to overwrite {path}", flag="--force"):
        raise Cancelled(f"{path}: exists, and is left as it is")


def _stage(target: "Path", data: bytes, mode: int | Access) -> "Path":
    """A file beside ``target`` that holds ``data`` and is ready to take its name."""
    access = mode if isinstance(mode, Access) else Access(mode=mode, exact=False)
    temporary = target.parent / f".mica-{os.urandom(8).hex()}"
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(temporary, flags, access.mode)
        with os.fdopen(descriptor, "wb") as stream:
            _furnish(descriptor, target, access)
            stream.write(data)
            stream.flush()
            os.fsync(descriptor)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def _furnish(descriptor: int, target: "Path", access: Access) -> None:
    """The new file has the owner and the mode of the old one, if there is one, or those that were asked for."""
    made = os.fstat(descriptor)
    try:
        old = target.stat()
    except FileNotFoundError:
        old = made
    mode = access.mode if access.exact else stat.S_IMODE(old.st_mode) & 0o777
    if access.mode & 0o077 == 0:
        mode &= access.mode
    uid, gid = (old if wanted < 0 else wanted for old, wanted in ((old.st_uid, access.uid), (old.st_gid, access.gid)))
    if (uid, gid) != (made.st_uid, made.st_gid):
        try:
            os.fchown(descriptor, uid, gid)
        except PermissionError:
            if (access.uid, access.gid) != (-1, -1):
                raise
            mode &= ~0o070  # the group is not ours to give, and what it could read another group must not
    os.fchmod(descriptor, mode)


def _sync_directory(directory: "Path") -> None:
    """The new names in ``directory`` outlast a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
