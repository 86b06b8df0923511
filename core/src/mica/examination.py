"""Whether a plugin's hooks are what they seem to be: whatever pluggy would skip or merge in silence is a fault."""

import functools
import inspect
from difflib import get_close_matches
from typing import Any

from mica import hookspecs

_PROJECT = "mica"
_MARK = f"{_PROJECT}_impl"


@functools.cache
def hook_names() -> frozenset[str]:
    """Every hook that ``hookspecs`` declares."""
    return frozenset(name for name, value in vars(hookspecs).items() if hasattr(value, f"{_PROJECT}_spec"))


def examine(plugin: object) -> tuple[list[str], set[str]]:
    """What is wrong with the plugin's hooks, and the names of those that are sound."""
    faults, functions = [], set()
    for name in dir(plugin):
        if name.startswith("__"):
            continue
        fault = _fault(plugin, name)
        if fault is not None:
            faults.append(fault)
        elif name in hook_names():
            functions.add(name)
    return faults, functions


def _fault(plugin: object, name: str) -> str | None:
    """Why the attribute cannot be what it seems to be, or None: it is a sound hook, or no hook at all."""
    value = inspect.getattr_static(plugin, name)
    if isinstance(value, staticmethod | classmethod):
        value = value.__func__
    marked = getattr(value, _MARK, None) is not None
    if name not in hook_names():
        return _misspelling(plugin, name, value, marked)
    if not inspect.isfunction(value):
        return f"{name} must be a plain function, not {type(value).__name__}"
    if not marked:
        return f"{name} bears a hook's name without mica.hookimpl"
    return _unsound_options(name, value) or _unsound_signature(name, value)


def _misspelling(plugin: object, name: str, value: object, marked: bool) -> str | None:
    near = get_close_matches(name, hook_names(), n=1, cutoff=0.9)
    if marked:
        return f"{name} is no hook of mica" + (f"; did you mean {near[0]}?" if near else "")
    home = plugin.__name__ if inspect.ismodule(plugin) else type(plugin).__module__
    if near and callable(value) and getattr(value, "__module__", home) == home:
        return f"{name} is nearly a hook's name; did you mean {near[0]}, with mica.hookimpl?"
    return None


def _unsound_options(name: str, function: Any) -> str | None:
    options: dict[str, Any] = getattr(function, _MARK)
    used = sorted(option for option, value in options.items() if value)
    return f"{name} uses {', '.join(used)}; mica calls every implementation plainly" if used else None


def _unsound_signature(name: str, function: Any) -> str | None:
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        return f"{name} is a generator function; return a value"
    if inspect.iscoroutinefunction(function) and name.startswith(("register_", "routes")):
        return f"{name} must not be async"
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is not inspect.Parameter.POSITIONAL_OR_KEYWORD:
            return f"{name}: parameter {parameter.name} must be an ordinary one"
        if parameter.default is not inspect.Parameter.empty:
            return f"{name}: parameter {parameter.name} has a default, and would never be given"
    return None
