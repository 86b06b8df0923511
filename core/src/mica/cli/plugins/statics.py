"""What can be said of a plugin without running its suites: its metadata, its import, its kinds, its settings."""

import inspect
import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, fields, is_dataclass
from importlib.metadata import Distribution, EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args, get_type_hints

from mica import hookspecs, schema
from mica.cli.plugins.inspection import Offered, built_class, called, offered
from mica.errors import ConfigError
from mica.examination import examine as examine_hooks
from mica.hooks import GROUP
from mica.roles import Kind

CONTRACTS = "mica.contracts"
#: How long the import of a plugin may take, beyond that of what it imports of mica, in milliseconds.
_SLOW = 1000
#: How long it is waited for, in seconds.
_PATIENCE = 60
_IMPORT = """
import sys, time
import mica.hooks
before = time.perf_counter()
__import__(sys.argv[1])
print()
print(round((time.perf_counter() - before) * 1000), *sorted({"pytest", sys.argv[2]} & set(sys.modules)))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at; ``fault`` is empty where it is as it must be."""

    what: str
    fault: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """The plugin as it is installed; ``offer`` is None where it could not be looked at."""

    name: str
    findings: tuple[Finding, ...]
    offer: Offered | None = None
    contracts: str = ""
    """The module of its contracts; empty where it has none."""
    clients: tuple[str, ...] = ()


def examine(name: str) -> Examined:
    """What is right and wrong with the installed plugin ``name``. It is imported."""
    points = [point for point in entry_points(group=GROUP) if point.name == name]
    entry = _entry(name, points)
    if entry.fault or points[0].dist is None:
        return Examined(name=name, findings=(entry,))
    point, distribution = points[0], points[0].dist
    offer = offered([name])
    contracts = [one.value for one in distribution.entry_points if one.group == CONTRACTS and one.name == name]
    findings = [
        entry,
        *_metadata(distribution, point),
        _loads(point.module, offer.faults),
        *([] if offer.faults else [_import_cost(point.module, contracts[0] if contracts else "")]),
        *(finding for kinds in offer.kinds.values() for kind in kinds for finding in _construction(kind)),
        *(finding for config in _configs(offer) for finding in _settings(config)),
    ]
    clients = tuple(sorted(one.name for one in distribution.entry_points if one.group == "mica.clients"))
    return Examined(
        name=name,
        findings=tuple(findings),
        offer=offer,
        contracts=contracts[0] if contracts else "",
        clients=clients,
    )


def _entry(name: str, points: list[EntryPoint]) -> Finding:
    what = f'one distribution has the entry point "{name}" of the group {GROUP}'
    if not points:
        known = ", ".join(sorted({point.name for point in entry_points(group=GROUP)})) or "none"
        return Finding(what=what, fault=f'"{name}" is not installed; installed: {known}', remedy="install it with pip")
    claimants = sorted({called(point.dist) if point.dist else "?" for point in points})
    if len(claimants) > 1:
        return Finding(what=what, fault=f"it is claimed by {' and '.join(claimants)}", remedy="uninstall one")
    point = points[0]
    if point.pattern.match(point.value) is None:
        remedy = f'[project.entry-points.{GROUP}] {name} = "mica_{name}.plugin", and install it again'
        return Finding(what=what, fault=f'"{point.value}" names no module', remedy=remedy)
    if point.dist is None or not _has_metadata(point.dist):
        return Finding(what=what, fault="the METADATA of its distribution is damaged", remedy="install it again")
    return Finding(what=what)


def _has_metadata(distribution: Distribution) -> bool:
    try:
        return bool(distribution.metadata.json)
    except (UnicodeDecodeError, KeyError, OSError, TypeError, AttributeError):
        return False


def _metadata(distribution: Distribution, point: EntryPoint) -> list[Finding]:
    metadata = distribution.metadata.json
    requirements = distribution.requires or []
    readme = str(metadata.get("description", "")).strip()
    licence = metadata.get("license_expression") or metadata.get("license")
    facts: tuple[tuple[str, bool, str, str], ...] = (
        ("has a README", bool(readme), "its metadata has no description", 'readme = "README.md" in [project]'),
        ("has a licence", bool(licence), "its metadata names no licence", 'license = "…" in [project]'),
        (
            "says which mica-ca it goes with",
            any(re.match(r"mica-ca(\[[^]]*\])?\s*(~=|==)", one) for one in requirements),
            "its dependencies bound mica-ca on no side, or on one",
            'dependencies = ["mica-ca~=…"] in [project]',
        ),
        (
            "has types",
            _typed(point.module),
            "its package has no py.typed",
            "put an empty file py.typed into the package",
        ),
    )
    return [
        Finding(what=what) if holds else Finding(what=what, fault=fault, remedy=remedy)
        for what, holds, fault, remedy in facts
    ]


def _typed(module: str) -> bool:
    spec = find_spec(module.partition(".")[0])
    places = (spec.submodule_search_locations if spec else None) or ()
    return any((Path(place) / "py.typed").exists() for place in places)


def _loads(module: str, faults: Iterable[str]) -> Finding:
    fault = "; ".join(faults)
    shown = f"python -c 'import {module}' shows where"
    read = "docs/hooks.md has every hook and what it returns; mica plugin new writes one of each"
    return Finding(
        what="is imported, and its hooks and kinds are sound",
        fault=fault,
        remedy=shown if "cannot be imported" in fault else read,
    )


def _construction(kind: Kind[Any]) -> Iterable[Finding]:
    """What building it would come upon: constructors that cannot be called, hooks of an object that are none."""
    faults = []
    try:
        inspect.signature(kind.build).bind(None, None)
    except TypeError as error:
        faults.append(f"its constructor cannot be called: {error}")
    except ValueError:  # written in C, and says nothing of its parameters
        pass
    if (built := built_class(kind)) is not None:
        unsound, sound = examine_hooks(built)
        faults += [*unsound, *_foreign_parameters(built, sound)]
    yield Finding(
        what=f"{kind.name} can be built of its table and a context",
        fault="; ".join(faults),
        remedy="def __init__(self, config, context), and hooks as docs/hooks.md has them, with mica.hookimpl",
    )


def _foreign_parameters(built: type[Any], hooks: Iterable[str]) -> Iterable[str]:
    for hook in sorted(hooks):
        given = [*inspect.signature(getattr(hookspecs, hook)).parameters]
        asked = inspect.signature(getattr(built, hook)).parameters
        for name in asked:
            if name not in (*given, "self", "cls"):
                yield f"{hook} is not given {name}, but {', '.join(given) or 'nothing'}"


def _import_cost(module: str, contracts: str) -> Finding:
    """Measured in a process that has imported mica and nothing else."""
    what = "is imported quickly and quietly, and imports no tests"
    command = [sys.executable, "-c", _IMPORT, module, contracts]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE)  # noqa: S603 - this program
    except subprocess.TimeoutExpired:
        return Finding(what=what, fault=f"importing it takes more than {_PATIENCE} s", remedy="do no work at import")
    if done.returncode != 0:
        return Finding(
            what=what, fault=done.stderr.strip().rpartition("\n")[2], remedy=f"try: python -c 'import {module}'"
        )
    said, _, measured = done.stdout.strip().rpartition("\n")
    milliseconds, *tests = measured.split()
    if said.strip():
        told = f"importing it prints {said.strip()[:40]!r}; what commands print may have to be JSON"
        return Finding(what=what, fault=told, remedy="take it out, or log it: logging.getLogger(__name__)")
    if tests:
        return Finding(
            what=what, fault=f"importing it imports {' and '.join(tests)}", remedy="only contracts.py does so"
        )
    if int(milliseconds) > _SLOW:
        remedy = f"import what is slow where it is used; see: python -X importtime -c 'import {module}'"
        return Finding(what=what, fault=f"importing it takes {milliseconds} ms; at most {_SLOW}", remedy=remedy)
    return Finding(what=what)


def _configs(offer: Offered) -> list[type[Any]]:
    """Every dataclass that a table is read into, those inside others too; each once."""
    found: dict[type[Any], None] = {}
    waiting: list[Any] = [
        config for kinds in offer.kinds.values() for kind in kinds for config in (kind.config, kind.provisioners)
    ]
    while waiting:
        target = waiting.pop(0)
        if isinstance(target, type) and is_dataclass(target) and target not in found:
            found[target] = None
            try:
                waiting += get_type_hints(target).values()
            except (NameError, TypeError):  # it will be told of its types
                continue
        waiting += get_args(target)
    return list(found)


def _settings(config: type[Any]) -> Iterable[Finding]:
    parameters: Any = getattr(config, "__dataclass_params__", None)
    where = f"{config.__module__}.{config.__qualname__}"
    yield Finding(
        what=f"{config.__name__} is frozen",
        fault="" if parameters and parameters.frozen else f"{where} can be changed",
        remedy="@dataclass(frozen=True, slots=True, kw_only=True)",
    )
    yield Finding(
        what=f"{config.__name__} has fields that a table can hold",
        fault=_unreadable(config),
        remedy="the types in docs/writing-plugins.md; what they hold besides, check in __post_init__",
    )
    silent = [f.name for f in fields(config) if f.name != "name" and not f.metadata.get("help")]
    yield Finding(
        what=f"{config.__name__} explains its fields",
        fault=f"{where} has no help for {', '.join(silent)}" if silent else "",
        remedy='field(metadata={"help": "…"})',
    )


def _unreadable(config: type[Any]) -> str:
    try:
        schema.of_table([config])
    except ConfigError as error:
        return "; ".join(error.faults)
    return ""
