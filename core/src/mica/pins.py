"""A pin ties a plugin to what was installed: ``plugins = ["policy@sha256:<64 hexadecimal digits>"]`` in ``ca.toml``.

The digest is the SHA-256 of the RECORD of the plugin's distribution, which lists every file of it with a digest. So
one line of ``ca.toml`` says which code runs: another release, an edit, or another distribution of the name is refused.
A pin says nothing of other distributions, whatever the plugin imports.
"""

import csv
import marshal
import re
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import file_digest, sha256
from importlib.machinery import PathFinder, all_suffixes
from importlib.util import cache_from_source
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from mica.errors import ConfigError

if TYPE_CHECKING:
    from importlib.metadata import Distribution, EntryPoint

#: What an entry of ``plugins`` looks like; for editors too.
PATTERN = r"^[^@]*(@sha256:[0-9a-f]{64})?$"
_ENTRY = re.compile(PATTERN)
_DIGESTS = ("sha256", "sha384", "sha512")
_AGAIN = "install it again, from where you trust it; mica plugin list prints its pin then"
_CACHE = "__pycache__"


@dataclass(frozen=True, slots=True)
class Wanted:
    """One entry of ``plugins``: the plugin's name, and the digest that it is pinned to."""

    name: str
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> "Wanted":
        """What the entry says; raises ConfigError when what stands behind the name is no pin."""
        if not _ENTRY.fullmatch(text):
            raise ConfigError(
                [f'plugins: "{text}" must be NAME or NAME@sha256:<64 digits 0-9a-f>; mica plugin list prints the pin']
            )
        name, _, pin = text.partition("@")
        return cls(name, pin.removeprefix("sha256:"))


def names(plugins: Iterable[str]) -> tuple[str, ...]:
    """The names of the plugins, without what they are pinned to."""
    return tuple(text.partition("@")[0] for text in plugins)


def pin(distribution: "Distribution") -> str:
    """What stands behind the ``@``; raises ConfigError with the reason why the distribution cannot be pinned."""
    return f"sha256:{sha256(_record(distribution).read_bytes()).hexdigest()}"


def verify(wanted: Wanted, entry_point: "EntryPoint") -> None:
    """The plugin's code is what its pin says, where it has one; raises ConfigError with everything that is not."""
    if not wanted.digest:
        return
    where = f'plugins: "{wanted.name}"'
    if entry_point.dist is None:
        raise ConfigError([f"{where}: belongs to no distribution, and cannot be pinned; remove its pin"])
    where += f" ({entry_point.dist.name} {entry_point.dist.version})"
    try:
        record = _record(entry_point.dist)
        octets = record.read_bytes()
    except ConfigError as error:
        raise ConfigError(f"{where}: {fault}" for fault in error.faults) from error
    found = sha256(octets).hexdigest()
    if found != wanted.digest:
        raise ConfigError([f"{where}: its RECORD has the SHA-256 {found}, not the pinned one: {_AGAIN}"])
    files = _Files.parse(octets, record.parent.parent)
    if faults := [*files.faults(), *files.foreign(entry_point.module)]:
        raise ConfigError(f"{where}: {fault}: {_AGAIN}" for fault in faults)


def _record(distribution: "Distribution") -> Path:
    """The file RECORD; raises ConfigError where there is none, or where it does not list what is imported."""
    folder = getattr(distribution, "_path", None)  # there is no public way to it, and read_text changes line ends
    record = folder / "RECORD" if isinstance(folder, Path) else None
    if record is None or not record.is_file():
        raise ConfigError(["has no RECORD, and cannot be pinned: install it with pip or uv, or remove its pin"])
    try:
        rows = [row for row in csv.reader(record.read_text("utf-8").splitlines()) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError([f"has a damaged RECORD, and cannot be pinned: {_AGAIN}"]) from error
    if any(row[0].endswith(".pth") for row in rows):
        # An editable installation lists the file that leads to its code, and not the code.
        raise ConfigError(["is installed editable, and cannot be pinned: install it without -e, or remove its pin"])
    return record


@dataclass(frozen=True, slots=True)
class _Files:
    """What a RECORD lists: each file with its digest, empty for those that have none."""

    root: Path
    digests: dict[PurePosixPath, str]

    @classmethod
    def parse(cls, record: bytes, root: Path) -> "_Files":
        rows = (row for row in csv.reader(record.decode().splitlines()) if row)
        return cls(root, {PurePosixPath(row[0]): row[1] if len(row) > 1 else "" for row in rows})

    def faults(self) -> Iterator[str]:
        """The files that are not as they were recorded."""
        for name, digest in self.digests.items():
            path = self.root / name
            algorithm, _, expected = digest.partition("=")
            if not digest:
                if _importable(name):
                    yield f"{path} has no digest in RECORD"
            elif algorithm not in _DIGESTS:
                yield f"{path} has a digest in RECORD that is none of {', '.join(_DIGESTS)}"
            elif not path.is_file():
                yield f"{path} is missing"
            elif _digest(path, algorithm) != expected:
                yield f"{path} has been changed"
            elif name.suffix == ".py" and not _sound_cache(path):
                yield f"{cache_from_source(path)} is not what {path.name} compiles to; delete it, or"

    def foreign(self, module: str) -> Iterator[str]:
        """What Python would import in the place of the plugin's files, or beside them, that RECORD does not know."""
        top = module.partition(".")[0]
        spec = PathFinder.find_spec(top)
        if spec is None or not spec.origin or not self._knows(Path(spec.origin)):
            found = spec.origin if spec and spec.origin else "no file"
            yield f"Python finds {top} at {found}, which RECORD does not list"
        for folder in self._packages():
            for path in sorted((self.root / folder).rglob("*")):
                name = PurePosixPath(path.relative_to(self.root).as_posix())
                if name not in self.digests and _importable(name):
                    yield f"{path} is not in RECORD"

    def _knows(self, path: Path) -> bool:
        return path.resolve() in {(self.root / name).resolve() for name, digest in self.digests.items() if digest}

    def _packages(self) -> list[PurePosixPath]:
        """The folders with an ``__init__`` that lie in no other."""
        folders = {name.parent for name in self.digests if name.stem == "__init__" and _importable(name)}
        return sorted(folder for folder in folders if not folders.intersection(folder.parents))


def _importable(name: PurePosixPath) -> bool:
    """Whether Python would import the file. Of what it caches, only what belongs to a source, which is compared."""
    return name.parent.name != _CACHE and name.name.endswith(tuple(all_suffixes()))


def _digest(path: Path, algorithm: str) -> str:
    """As RECORD has it: base64url without padding (PEP 376)."""
    with path.open("rb") as file:
        return urlsafe_b64encode(file_digest(file, algorithm).digest()).rstrip(b"=").decode()


def _sound_cache(source: Path) -> bool:
    """Whether the compiled file that Python would take for ``source``, which no RECORD lists, is its own or none."""
    cache = Path(cache_from_source(source))
    try:
        octets = cache.read_bytes()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    try:
        compiled = marshal.loads(octets[16:])  # noqa: S302 - Python itself would, and run it; here it is compared
        return bool(compiled == compile(source.read_bytes(), source, "exec", dont_inherit=True))
    except (ValueError, EOFError, TypeError, SyntaxError):
        return False
