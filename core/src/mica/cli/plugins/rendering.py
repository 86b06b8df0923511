"""The files of a new plugin's project, made of templates: the same for the same name, whenever and wherever."""

import keyword
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from importlib.util import find_spec
from pathlib import Path
from string import Template

from mica import __version__
from mica.cli.errors import Usage

TEMPLATES = Path(__file__).parent / "templates"
_SHARED = "project"
_USAGE = "USAGE.md.in"
#: Every line of the project still fits with a name of this length.
_LONGEST = 20
_NAME = re.compile("[a-z][a-z0-9]*(_[a-z0-9]+)*")

#: First segments of paths that no plugin can have.
SERVED = frozenset(
    {"sign", "renew", "rekey", "revoke", "health", "version", "root", "roots", "federation", "intermediates",
     "provisioners", "crl"}
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a kind of plugin is, in the words of its project."""

    description: str
    dependencies: tuple[str, ...] = ()
    client: bool = False


SUBJECTS: Mapping[str, Subject] = {
    "provisioner": Subject(
        description="A mica provisioner whose tokens are signed with an Ed25519 key, and the source of such tokens.",
        dependencies=("cryptography>=46",),
        client=True,
    ),
    "store": Subject(description="A mica store that keeps its records in one SQLite file."),
    "keys": Subject(description="A mica key backend that finds keys below a folder by name."),
    "policy": Subject(
        description="A mica policy that limits how many names a certificate has.", dependencies=("cryptography>=46",)
    ),
    "listener": Subject(description="A mica listener that writes a line for each event."),
    "routes": Subject(
        description="A mica route that tells what has become of a certificate.", dependencies=("starlette>=0.50",)
    ),
}


def require_name(name: str, kind: str) -> None:
    """A plugin of that kind may be called so, and no installed one is; raises Usage."""
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        raise Usage(
            f"{name!r} cannot be a plugin's name",
            hint="lower-case letters, digits and single underscores, "
            f"at most {_LONGEST}, a letter first: {_similar(name)}",
        )
    if keyword.iskeyword(name):
        raise Usage(f"{name!r} is a word of Python's, and no plugin's name", hint="choose another: door_badge")
    if owner := _reserved(kind).get(name):
        raise Usage(f"{name!r} cannot be the name of a plugin of the kind {kind}: {owner}", hint="choose another name")
    from importlib.metadata import entry_points  # slow to import

    if taken := [point for point in entry_points(group="mica") if point.name == name]:
        owner = taken[0].dist.name if taken[0].dist else taken[0].value
        raise Usage(f"{name!r} is the name of a plugin of {owner}", hint="choose another, or uninstall that one")
    if find_spec(f"mica_{name}") is not None:
        raise Usage(f"mica_{name} is the name of a package that is installed", hint="choose another name")


def _similar(name: str) -> str:
    """A name that may be, as much like ``name`` as can be."""
    similar = re.sub("[^a-z0-9]+", "_", name.lower()).strip("_")[:_LONGEST].strip("_")
    return similar if _NAME.fullmatch(similar) and not keyword.iskeyword(similar) else "door_badge"


def _reserved(kind: str) -> dict[str, str]:
    """What a new plugin of that kind could not have to itself, and whose it is."""
    from importlib.metadata import entry_points  # slow to import

    if kind == "policy":
        from mica.config import ProvisionerConfig

        return {field.name: "every provisioner has a setting of that name" for field in fields(ProvisionerConfig)}
    if kind == "keys":
        points = entry_points(group="mica.keys")
        return {point.name: f"URIs of that scheme belong to {point.value.partition(':')[0]}" for point in points}
    if kind == "routes":
        return dict.fromkeys(SERVED, "the CA itself serves what is below it")
    return {}


def rendered(name: str, kind: str) -> dict[Path, str]:
    """The text of each file of the project, by its path there, in order."""
    values = _values(name, kind)
    usage = (TEMPLATES / kind / _USAGE).read_text("utf-8")
    values["usage"] = Template(usage).substitute(values)
    files = {
        _place(path.relative_to(TEMPLATES / folder), name): Template(path.read_text("utf-8")).substitute(values)
        for folder in (_SHARED, kind)
        for path in _templates(TEMPLATES / folder)
    }
    return dict(sorted(files.items()))


def _values(name: str, kind: str) -> dict[str, str]:
    subject, title = SUBJECTS[kind], "".join(part.capitalize() for part in name.split("_"))
    clients = f'\n[project.entry-points."mica.clients"]\n{name} = "mica_{name}.client:{title}TokenSource"\n'
    return {
        "name": name,
        "Title": title,
        "dashed": name.replace("_", "-"),
        "scheme": name.replace("_", "-"),
        "version": __version__,
        "description": subject.description,
        "dependencies": "".join(f', "{dependency}"' for dependency in subject.dependencies),
        "clients": clients if subject.client else "",
    }


def _templates(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*.in")) if path.name != _USAGE)


def _place(path: Path, name: str) -> Path:
    """Where the file of that template goes: NAME stands for the name, and dot_ for a dot that hides."""
    text = path.as_posix().removesuffix(".in").replace("NAME", name)
    return Path(re.sub(r"(^|/)dot_", r"\1.", text))
