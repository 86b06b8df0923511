"""What installed plugins are and bring. What metadata says is read; only what is enabled, or asked for, is imported."""

import sys
from collections.abc import Iterable, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from importlib.metadata import Distribution, EntryPoint, entry_points
from pathlib import Path
from typing import Any, get_type_hints

from mica import hooks, pins
from mica.errors import ConfigError
from mica.roles import Kind

#: What a kind is called that is offered through each hook.
ROLES = {
    "register_provisioners": "provisioners",
    "register_key_backends": "key_backends",
    "register_x509_signers": "x509_signers",
    "register_ssh_signers": "ssh_signers",
    "register_stores": "stores",
    "register_extensions": "extensions",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """What plugins offer, after they have been imported."""

    kinds: Mapping[str, tuple[Kind[Any], ...]] = field(default_factory=dict)
    """By hook."""
    hooks: tuple[str, ...] = ()
    """What they answer besides, themselves or by an extension."""
    faults: tuple[str, ...] = ()


def offered(plugins: Iterable[str]) -> Offered:
    """What the plugins offer together, which are imported; what is wrong with them is in ``faults``.

    ``plugins`` are entries of ``ca.toml``: a name may be pinned. What they print on the way goes to stderr.
    """
    with redirect_stdout(sys.stderr):  # stdout is the command's, and may have to be JSON
        return _offered(plugins)


def _offered(plugins: Iterable[str]) -> Offered:
    asked = hooks.Hooks()
    modules, faults = hooks.load(plugins)
    for name, module in modules.items():
        try:
            asked.register(name, module)
        except ConfigError as error:
            faults += error.faults
    kinds: dict[str, tuple[Kind[Any], ...]] = {}
    for hook in ROLES:
        try:
            kinds[hook] = tuple(asked.kinds(hook))
        except ConfigError as error:
            faults += error.faults
    answered = {hook for hook in asked.answers() if hook not in ROLES}
    answered.update(hook for kind in kinds.get("register_extensions", ()) for hook in answered_by(kind))
    return Offered(
        kinds={hook: found for hook, found in kinds.items() if found},
        hooks=tuple(sorted(answered)),
        faults=tuple(faults),
    )


def built_class(kind: Kind[Any]) -> type[Any] | None:
    """What the kind builds: its constructor where that is a class, what it says to return where it is a function."""
    if isinstance(kind.build, type):
        return kind.build
    try:
        found = get_type_hints(kind.build).get("return")
    except (NameError, TypeError):  # an annotation that only a type checker can read
        return None
    return found if isinstance(found, type) else None


def answered_by(kind: Kind[Any]) -> tuple[str, ...]:
    """The hooks that an extension answers; empty where only building it would tell."""
    built = built_class(kind)
    return tuple(sorted(hook for hook in hooks.hook_names() if hasattr(built, hook))) if built else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One plugin, as ``mica plugin list`` shows it."""

    name: str
    enabled: bool
    distributions: tuple[Distribution, ...]
    """One; several claim the name, or none has it where it is enabled and not installed."""
    entry: str = ""
    """What ``ca.toml`` has for it, with its pin."""
    offer: Offered | None = None
    """None where it has not been imported."""

    def members(self) -> dict[str, Any]:
        """The row as ``--json`` has it."""
        one = self.distributions[0] if len(self.distributions) == 1 else None
        pin, fault = _pin(one) if one else ("", "")
        return {
            "name": self.name,
            "enabled": self.enabled,
            "pinned": "@" in self.entry,
            "distribution": called(one) if one else None,
            "version": _version(one) if one else None,
            "pin": f"{self.name}@{pin}" if pin else None,
            "not_pinnable": fault or None,
            "kinds": self._kinds(),
            "hooks": None if self.offer is None else list(self.offer.hooks),
            "commands": [f"mica {point.name.replace('.', ' ')}" for point in _brought(one, "mica.commands")],
            "clients": [point.name for point in _brought(one, "mica.clients")],
            "contracts": [point.value for point in _brought(one, "mica.contracts") if point.name == self.name],
            "faults": self._faults(),
        }

    def _faults(self) -> list[str]:
        if self.offer is not None:
            return list(self.offer.faults)
        claimants = sorted(map(called, self.distributions))
        if len(claimants) > 1:
            return [f'"{self.name}" is claimed by {" and ".join(claimants)}; uninstall one']
        damaged = [f"{one} has no METADATA that can be read; install it again" for one in claimants]
        return [] if all(_version(one) for one in self.distributions) else damaged

    def _kinds(self) -> dict[str, list[str]] | None:
        if self.offer is None:
            return None
        return {ROLES[hook]: [kind.name for kind in kinds] for hook, kinds in self.offer.kinds.items()}


def rows(plugins: Iterable[str], *, every: bool) -> list[Row]:
    """Each installed plugin and each that ``plugins``, entries of ``ca.toml``, names; by name.

    Those that are enabled are imported, and with ``every`` the others too.
    """
    entries = dict(zip(pins.names(texts := tuple(plugins)), texts, strict=True))
    claims: dict[str, dict[str, Distribution]] = {name: {} for name in entries}
    for point in entry_points(group=hooks.GROUP):
        claims.setdefault(point.name, {}).update({called(point.dist): point.dist} if point.dist else {})
    return [
        Row(
            name=name,
            enabled=name in entries,
            distributions=tuple(distributions.values()),
            entry=entries.get(name, ""),
            offer=offered([entries.get(name, name)]) if every or name in entries else None,
        )
        for name, distributions in sorted(claims.items())
    ]


def called(distribution: Distribution) -> str:
    """Its name; where its METADATA is damaged, that of its folder."""
    try:
        name: str | None = distribution.name
    except (UnicodeDecodeError, KeyError, OSError):
        name = None
    folder = getattr(distribution, "_path", None)  # there is no public way to it
    return name or (folder.name.partition("-")[0] if isinstance(folder, Path) else "?")


def _version(distribution: Distribution) -> str | None:
    try:
        return distribution.version or None
    except (UnicodeDecodeError, KeyError, OSError):
        return None


def _pin(distribution: Distribution) -> tuple[str, str]:
    """What its plugin is pinned by, or why it cannot be."""
    try:
        return pins.pin(distribution), ""
    except ConfigError as error:
        return "", "; ".join(error.faults)


def _brought(distribution: Distribution | None, group: str) -> list[EntryPoint]:
    points = distribution.entry_points if distribution else ()
    return sorted((point for point in points if point.group == group), key=lambda point: point.name)
