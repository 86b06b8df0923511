"""Wheels: of the distributions in this repository, of a project, and of what is installed here, packed again.

No network is needed: a third party's wheel is made of the files that its RECORD lists (PEP 376, PEP 427).
"""

import re
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from email import message_from_string
from importlib.metadata import Distribution, distribution
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

ROOT = Path(__file__).parents[2]
#: What an installer adds to a distribution, and the list of files, which is written anew.
_INSTALLERS_OWN = frozenset({"INSTALLER", "REQUESTED", "RECORD", "direct_url.json"})


def build(project: Path, folder: Path) -> Path:
    """The wheel of ``project`` in ``folder``, as its own build backend makes it."""
    with TemporaryDirectory(dir=folder.parent) as fresh:
        command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", fresh]
        done = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        (wheel,) = Path(fresh).iterdir()
        return wheel.rename(folder / wheel.name)


def build_repository(folder: Path) -> list[Path]:
    """The wheels of core and of every plugin are in ``folder``."""
    projects = [ROOT / "core", *sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))]
    with ThreadPoolExecutor(2) as workers:
        return list(workers.map(lambda project: build(project, folder), projects))


def pack_needed(wheels: Iterable[Path], folder: Path, extras: Iterable[str]) -> None:
    """``folder`` has a wheel of everything that ``wheels`` need, with these extras of each, and of what that needs."""
    ours = {canonicalize_name(wheel.name.partition("-")[0]): _requirements(wheel) for wheel in wheels}
    for name in _closure(ours, frozenset(extras)):
        _pack(distribution(name), folder)


def _requirements(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        (place,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return message_from_string(archive.read(place).decode()).get_all("Requires-Dist") or []


def _closure(ours: Mapping[NormalizedName, list[str]], extras: frozenset[str]) -> Iterator[str]:
    """The names of the distributions of others that ``ours``, with their requirements, need."""
    waiting, seen = [(name, extras) for name in ours], dict[str, set[str]]()
    while waiting:
        name, asked = waiting.pop()
        if name not in seen and name not in ours:
            yield name
        new = {"", *asked} - seen.setdefault(name, set())
        seen[name] |= new
        for further in map(Requirement, ours[name] if name in ours else distribution(name).requires or ()):
            if any(further.marker is None or further.marker.evaluate({"extra": extra}) for extra in new):
                waiting.append((canonicalize_name(further.name), frozenset(further.extras)))


def _pack(installed: Distribution, folder: Path) -> None:
    """The installed distribution is a wheel again. Its scripts are left out: an installer makes them."""
    listed = [file for file in installed.files or () if _belongs(PurePath(file))]
    assert listed, f"{installed.name} has no RECORD; it cannot be packed again"
    (metadata,) = {file.parts[0] for file in listed if file.parts[0].endswith(".dist-info")}
    rows = [f"{file},{file.hash.mode}={file.hash.value},{file.size}" for file in listed if file.hash]
    with zipfile.ZipFile(folder / _file_name(installed), "w", zipfile.ZIP_STORED) as archive:
        for file in listed:
            archive.write(str(file.locate()), str(file))
        archive.writestr(f"{metadata}/RECORD", "\n".join([*rows, f"{metadata}/RECORD,,", ""]))


def _belongs(file: PurePath) -> bool:
    own = file.parts[0].endswith(".dist-info") and file.name in _INSTALLERS_OWN
    return ".." not in file.parts and file.suffix != ".pyc" and not own


def _file_name(installed: Distribution) -> str:
    """PEP 427, with the tags of the wheel that was installed (PEP 425, compressed)."""
    tags = message_from_string(installed.read_text("WHEEL") or "").get_all("Tag") or []
    parts = (".".join(sorted(set(column))) for column in zip(*(tag.split("-") for tag in tags), strict=True))
    return "-".join([re.sub("[-_.]+", "_", installed.name), installed.version, *parts]) + ".whl"
