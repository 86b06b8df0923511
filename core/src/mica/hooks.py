"""The only caller of pluggy besides ``hookspecs``: plugins are loaded, examined and asked here.

pluggy skips or merges many things in silence; a policy that is silently not asked is a certificate too many. So
registration refuses whatever pluggy would not call plainly, and every implementation is called by itself.
"""

import inspect
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, is_dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

import pluggy

from mica import hookspecs, pins
from mica.containment import contained
from mica.custody import Custody
from mica.deadlines import within
from mica.errors import ConfigError, Unavailable, told
from mica.events import Event
from mica.examination import examine
from mica.examination import hook_names as hook_names
from mica.grants import Grant
from mica.pkix import TBSCertificate
from mica.requests import SignRequest, SSHSignRequest
from mica.roles import Kind
from mica.sshcert import TBSSSHCertificate

if TYPE_CHECKING:  # only the server has routes
    from mica.services import Services

#: How long an asynchronous policy or listener may take, in seconds.
DEADLINE = 5.0
GROUP = "mica"

_PROJECT = "mica"
_log = logging.getLogger("mica.hooks")


@dataclass(frozen=True, slots=True)
class Implementation:
    """One plugin's function for one hook."""

    plugin: str
    hook: str
    function: Any
    arguments: tuple[str, ...]

    def __call__(self, facts: dict[str, Any]) -> Any:
        """Its answer to ``facts``, of which it is given those that it names; may raise anything."""
        return self.function(**{name: facts[name] for name in self.arguments})


class Hooks:
    """The plugins of one authority, and what they answer. There is no other plugin manager in the process."""

    def __init__(self) -> None:
        self._manager = pluggy.PluginManager(_PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self._implementations: dict[str, list[Implementation]] = {name: [] for name in hook_names()}

    def register(self, name: str, plugin: object, *, part: str = "") -> None:
        """``plugin`` is asked from now on, under ``name``; raises ConfigError with everything that is wrong with it.

        ``part`` tells an object that the plugin ``name`` has built from the plugin itself.
        """
        faults, functions = examine(plugin)
        if not functions and not faults:
            faults.append("implements no hook; mark its functions with mica.hookimpl")
        if faults:
            raise ConfigError(f"plugin {name}: {fault}" for fault in faults)
        try:
            self._manager.register(plugin, name + part)
        except pluggy.PluginValidationError as error:
            raise ConfigError([f"plugin {name}: {str(error).splitlines()[-1].strip()}"]) from error
        except ValueError as error:
            raise ConfigError([f"plugin {name}: is registered already"]) from error
        self._adopt(name, plugin, functions)

    def _adopt(self, name: str, plugin: object, functions: set[str]) -> None:
        """Takes over what pluggy registered, which must be exactly what the examination saw."""
        callers = self._manager.get_hookcallers(plugin) or []
        if {caller.name for caller in callers} != functions:
            raise ConfigError([f"plugin {name}: not every hook of it could be registered"])
        for caller in callers:
            for found in caller.get_hookimpls():
                if found.plugin is plugin:
                    implementation = Implementation(name, caller.name, found.function, tuple(found.argnames))
                    self._implementations[caller.name].append(implementation)

    def answered(self, hook: str) -> bool:
        """Whether any plugin answers ``hook``."""
        return bool(self._implementations[hook])

    def answers(self) -> dict[str, list[str]]:
        """Which plugins answer each hook, for those hooks that somebody answers."""
        return {
            hook: [implementation.plugin for implementation in found]
            for hook, found in sorted(self._implementations.items())
            if found
        }

    def kinds(self, hook: str) -> Iterator[Kind[Any]]:
        """The kinds that plugins offer through ``hook``; raises ConfigError when one offers something else."""
        for implementation in self._implementations[hook]:
            try:
                with contained:
                    offered = implementation({})
                    kinds = list(offered) if isinstance(offered, Iterable) else [offered]
            except Exception as error:
                raise ConfigError([f"plugin {implementation.plugin}: {hook} failed: {told(error, repr)}"]) from error
            for kind in kinds:
                yield _sound_kind(implementation, kind)

    def routes(self, services: "Services") -> Iterator[tuple[str, object]]:
        """What each plugin serves, with the plugin's name; raises ConfigError when one fails to say."""
        for implementation in self._implementations["routes"]:
            try:
                with contained:
                    routes = list(implementation({"services": services}))
            except ConfigError as error:
                raise ConfigError(f"plugin {implementation.plugin}: {fault}" for fault in error.faults) from error
            except Exception as error:
                raise ConfigError([f"plugin {implementation.plugin}: routes failed: {told(error, repr)}"]) from error
            yield from ((implementation.plugin, route) for route in routes)

    async def objections(self, request: SignRequest | None, tbs: TBSCertificate, grant: Grant) -> list[str]:
        """Every plugin's reason to refuse the certificate. A plugin that fails in any way objects by that.

        Raises Unavailable where a plugin does: it cannot judge now.
        """
        return await self._objections("refuse_x509", {"request": request, "tbs": tbs, "grant": grant})

    async def ssh_objections(self, request: SSHSignRequest | None, tbs: TBSSSHCertificate, grant: Grant) -> list[str]:
        """As ``objections``, for an SSH certificate."""
        return await self._objections("refuse_ssh", {"request": request, "tbs": tbs, "grant": grant})

    async def _objections(self, hook: str, facts: dict[str, Any]) -> list[str]:
        if not self._implementations[hook]:
            return []
        objections, custody = [], Custody(*facts.values())
        for implementation in self._implementations[hook]:
            objections.append(await self._objection(implementation, facts))
            if custody.restore():
                _log.error("plugin %s changed what %s was given; refused", implementation.plugin, hook)
                objections.append(f"policy {implementation.plugin} changed what it was given")
        return [objection for objection in objections if objection is not None]

    async def _objection(self, implementation: Implementation, facts: dict[str, Any]) -> str | None:
        plugin, hook = implementation.plugin, implementation.hook
        try:
            with contained:
                answer = await _answer(implementation, facts)
                if answer is None:
                    return None
                if issubclass(type(answer), str):
                    # Its characters: what a class of its own thinks of being true, equal or empty counts for nothing.
                    return str.__str__(answer) or f"policy {plugin} refused"
        except Unavailable as error:
            raise Unavailable(f"plugin {plugin}: {told(error)}") from error
        except Exception:
            _log.exception("plugin %s failed in %s; refused", plugin, hook)
            return f"policy {plugin} failed"
        _log.error("plugin %s answered %s with %s; refused", plugin, hook, type(answer).__name__)
        return f"policy {plugin} gave no valid answer"

    async def notify(self, event: Event) -> None:
        """Every listener has been told of ``event``; what fails is logged."""
        custody = Custody(event)
        for implementation in self._implementations["notify"]:
            try:
                with contained:
                    await _answer(implementation, {"event": event})
            except Exception:
                _log.exception("plugin %s failed in notify", implementation.plugin)
            if custody.restore():
                _log.error("plugin %s changed the event that it was told", implementation.plugin)


def load(names: Iterable[str]) -> tuple[dict[str, object], list[str]]:
    """The modules of the plugins that ``plugins`` names so, and what prevented others from loading.

    No other entry point is imported, and none whose code is not what its pin says.
    """
    offers: dict[str, list[EntryPoint]] = {}
    for entry_point in entry_points(group=GROUP):
        offers.setdefault(entry_point.name, []).append(entry_point)
    modules: dict[str, object] = {}
    faults: list[str] = []
    for text in names:
        try:
            wanted = pins.Wanted.parse(text)
        except ConfigError as error:
            faults += error.faults
            continue
        name = wanted.name
        found = offers.get(name, [])
        claimants = sorted({point.dist.name if point.dist else "?" for point in found})
        if not found:
            known = ", ".join(sorted(offers)) or "none"
            faults.append(f'plugins: "{name}" is not installed; installed: {known}')
        elif len(claimants) > 1:
            faults.append(f'plugins: "{name}" is claimed by {" and ".join(claimants)}; uninstall one')
        else:
            try:
                pins.verify(wanted, found[0])
                with contained:
                    modules[name] = found[0].load()
            except ConfigError as error:
                faults += error.faults
            except Exception as error:
                faults.append(f'plugins: "{name}" cannot be imported: {told(error, repr)}')
    return modules, faults


async def _answer(implementation: Implementation, facts: dict[str, Any]) -> Any:
    """What the implementation answers, awaited within the deadline when it is to be awaited."""
    answer = implementation(facts)
    return await within(DEADLINE, answer) if inspect.isawaitable(answer) else answer


def _sound_kind(implementation: Implementation, kind: object) -> Kind[Any]:
    plugin, hook = implementation.plugin, implementation.hook
    if not isinstance(kind, Kind):
        raise ConfigError([f"plugin {plugin}: {hook} must return mica.kind(…) objects, not {type(kind).__name__}"])
    if type(kind.name) is not str or not callable(kind.build):
        raise ConfigError([f"plugin {plugin}: {hook} must return mica.kind(name, table's dataclass, constructor)"])
    if kind.name != plugin and not kind.name.startswith(f"{plugin}."):
        raise ConfigError([f'plugin {plugin}: its kind must be named "{plugin}" or "{plugin}.…", not "{kind.name}"'])
    if not _is_table(kind.config) or (kind.provisioners is not None and not _is_table(kind.provisioners)):
        raise ConfigError([f"plugin {plugin}: the table of {kind.name} must be a frozen dataclass"])
    return kind


def _is_table(config: object) -> bool:
    return isinstance(config, type) and is_dataclass(config) and config.__dataclass_params__.frozen  # type: ignore[attr-defined]
