"""What can be said of a plugin without running its suites: its metadata, its import, its kinds, its settings."""

import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, fields, is_dataclass
from importlib.metadata import Distribution, EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args, get_type_hints

from mica.cli.plugins.inspection import Offered, offered
from mica.hooks import GROUP

CONTRACTS = "mica.contracts"
#: How long the import of a plugin may take, beyond that of what it imports of mica, in milliseconds.
_SLOW = 1000
_IMPORT = """
import sys, time
import mica.hooks
before = time.perf_counter()
__import__(sys.argv[1])
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
    loads = Finding(
        what="is imported, and its hooks and kinds are sound", fault="; ".join(offer.faults), remedy="mend it"
    )
    findings = [
        entry,
        *_metadata(distribution, point),
        loads,
        *([] if offer.faults else [_import_cost(point.module, contracts[0] if contracts else "")]),
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
    claimants = sorted({point.dist.name if point.dist else "?" for point in points})
    if len(claimants) > 1:
        return Finding(what=what, fault=f"it is claimed by {' and '.join(claimants)}", remedy="uninstall one")
    return Finding(what=what)


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


def _import_cost(module: str, contracts: str) -> Finding:
    """Measured in a process that has imported mica and nothing else."""
    what = "is imported quickly, and imports no tests"
    command = [sys.executable, "-c", _IMPORT, module, contracts]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)  # noqa: S603 - this program, no shell
    if done.returncode != 0:
        return Finding(
            what=what, fault=done.stderr.strip().rpartition("\n")[2], remedy=f"try: python -c 'import {module}'"
        )
    milliseconds, *tests = done.stdout.strip().rpartition("\n")[2].split()
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
            waiting += get_type_hints(target).values()
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
    silent = [f.name for f in fields(config) if f.name != "name" and not f.metadata.get("help")]
    yield Finding(
        what=f"{config.__name__} explains its fields",
        fault=f"{where} has no help for {', '.join(silent)}" if silent else "",
        remedy='field(metadata={"help": "…"})',
    )
