"""Several CAs on one client. A context names an authority, whose files it uses, and a profile, whose defaults it has.

``$MICAPATH/contexts/`` holds ``contexts.json`` (name → authority and profile), ``current-context.json``,
``authorities/<authority>/`` (what ``$MICAPATH`` itself holds without contexts) and ``profiles/<profile>/``.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mica.cli.console import ask_choice, json_text, say, settings
from mica.cli.errors import CLIError, FileProblem, Usage
from mica.cli.files import reason, write_atomic
from mica.cli.paths import make_private, read_object

if TYPE_CHECKING:
    from pathlib import Path

_REMEDY = 'it is one JSON object such as {"prod": {"authority": "ca.example", "profile": "prod"}}'
_LONGEST = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """A CA as this client knows it; ``folder`` is that of all contexts. The names are checked: they become folders."""

    name: str
    authority: str
    profile: str
    folder: "Path"

    def __post_init__(self) -> None:
        for what in ("context", "authority", "profile"):
            check_name(self.name if what == "context" else getattr(self, what), what)

    @property
    def home(self) -> "Path":
        """Where the files of the CA are."""
        return self.folder / "authorities" / self.authority

    @property
    def profile_folder(self) -> "Path":
        """Where the profile's ``defaults.json`` is."""
        return self.folder / "profiles" / self.profile


def check_name(name: str, what: str) -> None:
    """``name`` can be the name of a folder, and of nothing outside; raises Usage."""
    if (
        not name
        or len(name.encode("utf-8", "replace")) > _LONGEST
        or not name.isprintable()
        or any(character in "/\\" or character.isspace() for character in name)
        or name.startswith((".", "-"))
    ):
        raise Usage(
            f"{name!r} cannot be the name of a{'n' if what == 'authority' else ''} {what}",
            hint=f"at most {_LONGEST} characters without spaces or slashes, not beginning with a dot or a dash",
        )


def known(base: "Path") -> dict[str, Context]:
    """Every context below ``base``, by name; raises FileProblem when ``contexts.json`` is not as it must be."""
    folder = base / "contexts"
    place = folder / "contexts.json"
    found: dict[str, Context] = {}
    for name, entry in sorted((read_object(place, _REMEDY) or {}).items()):
        authority, profile = (entry.get(key) for key in ("authority", "profile")) if isinstance(entry, dict) else (0, 0)
        if not isinstance(authority, str) or not isinstance(profile, str):
            raise FileProblem(f"{place}: {name!r} needs an authority and a profile", hint=_REMEDY)
        try:
            found[name] = Context(name=name, authority=authority, profile=profile, folder=folder)
        except Usage as error:
            raise FileProblem(f"{place}: {error.message}", hint=error.hint) from error
    return found


def named(base: "Path", name: str) -> Context:
    """The context ``name``; raises Usage when there is none."""
    contexts = known(base)
    if name not in contexts:
        there = f"there are {', '.join(contexts)}" if contexts else "mica ca bootstrap --context NAME makes one"
        raise Usage(f"there is no context {name!r}", hint=there)
    return contexts[name]


def current(base: "Path") -> Context | None:
    """The context that is used when nothing names another; raises FileProblem when the file names none that exists."""
    place = base / "contexts" / "current-context.json"
    found = (read_object(place, 'it is one JSON object such as {"context": "prod"}') or {}).get("context")
    if found is None:
        return None
    contexts = known(base)
    if not isinstance(found, str) or found not in contexts:
        raise FileProblem(f"{place}: there is no context {found!r}", hint="mica context select NAME chooses another")
    return contexts[found]


def in_use(base: "Path", name: str | None, *, ask: bool) -> Context | None:
    """The context ``name``, else the current one; see ``mica.cli.paths.context_in_use``."""
    if name:
        return named(base, name)
    contexts = known(base)
    selected = current(base) if contexts else None
    if selected or not contexts or not ask or _is_plain(base):
        return selected
    picked = ask_choice("Which context would you like to use?", list(contexts), flag="--context", name="Context")
    settings().context = picked  # so that it is asked once
    say(f"mica context select {picked} makes it the current one.")
    return contexts[picked]


def planned(
    base: "Path", *, context: str | None, authority: str | None, profile: str | None, host: str | None
) -> Context | None:
    """The context for a CA that is new here; None is the plain layout, where no name is given and there are none yet.

    What is not named is called as the context of that name has it, or after ``host``. Raises Usage, FileProblem.
    """
    contexts = known(base)
    if not (context or authority or profile or contexts):
        return None
    name = context or host or authority or ""
    before = contexts.get(name)
    return Context(
        name=name,
        authority=authority or (before.authority if before else host or name),
        profile=profile or (before.profile if before else name),
        folder=base / "contexts",
    )


def refuse_another(context: Context, *, force: bool) -> None:
    """No context of this name has another authority or profile, unless ``force``; raises Usage."""
    before = known(context.folder.parent).get(context.name, context)
    if before != context and not force:
        raise Usage(
            f"the context {context.name!r} has the authority {before.authority!r} and the profile {before.profile!r}",
            hint="choose another --context, or give --force",
        )


def enter(context: Context) -> None:
    """``context`` is recorded, has a file of defaults, and is the current one; raises FileProblem."""
    with _edited(context.folder) as contexts:
        make_private(context.profile_folder)
        if not (context.profile_folder / "defaults.json").exists():
            write_atomic(context.profile_folder / "defaults.json", b"{}\n", mode=0o644)
        contexts[context.name] = context
    select(context.folder.parent, context.name)


def select(base: "Path", name: str | None) -> None:
    """The context ``name`` is the current one, or none is; raises Usage, FileProblem."""
    if name is not None:
        named(base, name)
    if name is not None or (base / "contexts").exists():
        with _locked(base / "contexts"):
            _write(base / "contexts" / "current-context.json", {} if name is None else {"context": name})


def folders_of(context: Context) -> "list[Path]":
    """The folders that no other context uses."""
    others = [other for other in known(context.folder.parent).values() if other.name != context.name]
    mine = {
        context.home: all(other.authority != context.authority for other in others),
        context.profile_folder: all(other.profile != context.profile for other in others),
    }
    return [folder for folder, alone in mine.items() if alone and folder.exists()]


def remove(context: Context) -> None:
    """``context`` and the folders that it alone used are gone; raises CLIError when it is current, FileProblem."""
    import shutil  # imports much

    with _edited(context.folder) as contexts:
        refuse_current(context)
        going = folders_of(context)
        contexts.pop(context.name, None)
    for folder in going:
        try:
            if folder.is_symlink():
                folder.unlink()  # what it leads to is not ours
            else:
                shutil.rmtree(folder)
        except OSError as error:
            raise FileProblem(f"{folder}: cannot be removed: {reason(error)}") from error


def refuse_current(context: Context) -> None:
    """``context`` is not the current one; raises CLIError."""
    if current(context.folder.parent) == context:
        raise CLIError(
            f"{context.name!r} is the current context, and stays",
            hint="mica context select chooses another; --none chooses none",
        )


def _is_plain(base: "Path") -> bool:
    return any((base / name).exists() for name in ("defaults.json", "ca.toml"))


@contextmanager
def _edited(folder: "Path") -> Iterator[dict[str, Context]]:
    """The contexts, to be changed; written when all went well, by one process at a time."""
    with _locked(folder):
        contexts = known(folder.parent)
        yield contexts
        entries = {
            name: {"authority": context.authority, "profile": context.profile}
            for name, context in sorted(contexts.items())
        }
        _write(folder / "contexts.json", entries)


@contextmanager
def _locked(folder: "Path") -> Iterator[None]:
    import fcntl  # only editing needs it

    make_private(folder)
    try:
        lock = (folder / ".lock").open("ab")
    except OSError as error:
        raise FileProblem(f"{folder}: may not be changed: {reason(error)}") from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _write(place: "Path", value: object) -> None:
    write_atomic(place, (json_text(value) + "\n").encode(), mode=0o644)
