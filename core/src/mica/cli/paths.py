"""Where mica keeps its files, and what ``defaults.json`` says.

Without contexts everything lies below ``$MICAPATH``. With them each CA has a folder like it below
``$MICAPATH/contexts/authorities``, and ``mica_path`` is the folder of the context in use.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from mica.cli.console import settings
from mica.cli.errors import FileProblem

if TYPE_CHECKING:
    from pathlib import Path

    from mica.cli.contexts import Context

_MAX_OBJECT = 1 << 20
#: A file of defaults belongs to a context, and cannot choose one.
_NO_DEFAULTS = ("context", "profile", "authority")


def base_path() -> "Path":
    """``$MICAPATH``, else ``~/.mica``."""
    from pathlib import Path  # slow to import, and help needs none of it

    configured = os.environ.get("MICAPATH")
    return Path(configured) if configured else Path.home() / ".mica"


def context_in_use(*, ask: bool = True) -> "Context | None":
    """The context of this run: ``--context``, ``MICA_CONTEXT``, the current one, or the one that is picked on a menu.

    None is the plain layout. Without ``ask`` it is also the answer to what only a menu could tell. Raises Usage,
    FileProblem, PromptNeeded.
    """
    base, named = base_path(), settings().context or os.environ.get("MICA_CONTEXT")
    if not named and not (base / "contexts" / "contexts.json").exists():
        return None
    from mica.cli import contexts  # most machines know one CA

    return contexts.in_use(base, named, ask=ask)


def mica_path() -> "Path":
    """Where the files of the CA in use are; see ``context_in_use``."""
    context = context_in_use()
    return context.home if context else base_path()


def defaults(config: "Path | None" = None, *, ask: bool = False) -> "list[tuple[Path, dict[str, object]]]":
    """The files of defaults that count, each with what it says, the one that beats the others first.

    ``config`` takes their place, and must exist. Raises FileProblem when a file is not such an object.
    """
    if config is not None:
        said = read_defaults(config)
        if said is None:
            raise FileProblem(f"{config}: there is no such file", hint="--config names a file of defaults")
        return [(config, said)]
    context = context_in_use(ask=ask)
    folders = (context.profile_folder, context.home) if context else (base_path(),)
    places = [folder / "defaults.json" for folder in folders]
    return [(place, said) for place in places if (said := read_defaults(place)) is not None]


def read_defaults(place: "Path") -> dict[str, object] | None:
    """What ``place`` says: flag name → text, number, boolean or list of texts. None when it is not there.

    Raises FileProblem when it says anything else.
    """
    remedy = 'it is one JSON object such as {"ca-url": "https://ca.example:8443"}'
    found = read_object(place, remedy)
    for name, value in (found or {}).items():
        if name in _NO_DEFAULTS:
            raise FileProblem(
                f"{place}: {name!r} cannot be a default", hint="mica context select NAME, or MICA_CONTEXT, chooses one"
            )
        if not _is_default(value):
            raise FileProblem(f"{place}: {name!r} must be a text, a number, a boolean or a list of texts", hint=remedy)
    return found


def read_object(place: "Path", remedy: str) -> dict[str, object] | None:
    """The JSON object in ``place``, None when there is no such file; raises FileProblem with ``remedy``."""
    try:
        with place.open("rb") as stream:
            data = stream.read(_MAX_OBJECT + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise FileProblem(f"{place}: cannot be read: {(error.strerror or str(error)).lower()}") from error
    if len(data) > _MAX_OBJECT:
        raise FileProblem(f"{place}: is larger than 1 MiB", hint=remedy)
    import json  # most calls need no defaults

    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise FileProblem(f"{place}: is not JSON: {error}", hint=remedy) from error
    if not isinstance(found, dict):
        raise FileProblem(f"{place}: is not a JSON object", hint=remedy)
    return found


def make_private(directory: "Path") -> None:
    """``directory`` exists; what had to be made is for its owner alone. Raises FileProblem."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise FileProblem(f"{directory}: cannot be made: {(error.strerror or str(error)).lower()}") from error


@contextmanager
def made_private(directories: "Iterable[Path]") -> Iterator[None]:
    """The directories exist, as ``make_private`` has it; what had to be made is gone again when what follows fails."""
    wanted = list(directories)
    missing = {parent for directory in wanted for parent in (directory, *directory.parents) if not parent.exists()}
    try:
        for directory in wanted:
            make_private(directory)
        yield
    except BaseException:
        for directory in sorted(missing, reverse=True):  # the deepest first
            with suppress(OSError):  # somebody else has put something there
                directory.rmdir()
        raise


def _is_default(value: object) -> bool:
    if isinstance(value, list):
        return all(isinstance(item, str) for item in value)
    return isinstance(value, str | int | float)
