"""Writes docs/hooks.md from the hooks and the roles themselves, and from the plugins of this repository."""

import ast
import dataclasses
import inspect
import tomllib
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

from mica import hookspecs, roles
from mica.hooks import Hooks, hook_names
from mica.roles import Kind

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "docs/hooks.md"

_INTRODUCTION = """\
# Hooks and roles

<!-- Written by docs/generate_hooks.py from mica/hookspecs.py and mica/roles.py. Change those; then: make docs -->

The whole surface between mica and its plugins. What any number of plugins may say is a **hook**: a function that is
marked with `mica.hookimpl`. What exactly one part must do is a **role**: a Protocol, whose members a class has or has
not; nothing is inherited. [writing-plugins.md](writing-plugins.md) builds some from nothing.

A plugin is the module that an entry point of the group `mica` names, or an object that such a module offers with
`register_extensions`. Hooks are plain functions or methods; they take the parameters that they need, by name, in any
order. Registration refuses what pluggy would skip in silence: a missing or foreign marker, a misspelt name, default
values, `*args`, generators, wrappers, `tryfirst`, a plugin without any hook.
"""

_ROLES = """\

# Roles

Members are found once, when the authority is assembled. An optional ability is a Protocol of its own (**ability**
below): whoever has its members has it. Who answers late is cancelled, and what was asked for is refused: a hook after
5 s, a provisioner or a signer after 10 s. A store has 30 s and an endpoint 90 s, and the client is told to try again.
"""

_CONTEXTS = """\

# What constructors are given

The second argument of a kind's constructor; the first is what its table was read into.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasion:
    """When a hook is called, and what comes of its failure: the part that no signature says."""

    title: str
    when: str
    failure: str


_REGISTERED = Occasion(
    title="What a plugin has",
    when="Once, when the plugin is loaded. `mica ca check` calls it too.",
    failure="The start is refused, and the message names the plugin.",
)
_SERVED = Occasion(
    title="What a plugin serves",
    when="Once, when the server is put together.",
    failure="The start is refused. An endpoint that raises later is answered by the table of errors, others by 500; "
    "one that hangs, by 503 after 90 s.",
)
_ASKED = Occasion(
    title="What a plugin thinks",
    when="For every certificate, after it is composed and before it is signed; on renewal too.",
    failure="A refusal: any answer but None objects, an exception objects, and so does silence for 5 s. "
    "`mica.Unavailable` means not now (503), and spends no token.",
)
_TOLD = Occasion(
    title="What a plugin hears",
    when="After the event is on record, through a bounded queue, never before the client has its answer.",
    failure="A line in the log that names the plugin. What is on record stays, and others are told.",
)
#: By the beginning of the hook's name. A hook that none of them fits has to be described here first.
OCCASIONS = {"register_": _REGISTERED, "routes": _SERVED, "refuse_": _ASKED, "notify": _TOLD}


def page() -> str:
    """The reference page."""
    answered = _answered()
    parts = [_INTRODUCTION]
    title = ""
    for name in _declared(hookspecs):
        occasion = next(found for beginning, found in OCCASIONS.items() if name.startswith(beginning))
        if occasion.title != title:
            title = occasion.title
            parts.append(f"\n## {title}\n\n**When:** {occasion.when}\n\n**Failure:** {occasion.failure}\n")
        parts.append(_hook(name, answered.get(name, [])))
    parts.append(_ROLES)
    parts += [_role(role) for role in _classes(lambda found: _is_protocol(found))]
    parts.append(_CONTEXTS)
    parts += [_fields(found) for found in _classes(lambda found: dataclasses.is_dataclass(found) and found is not Kind)]
    return "".join(parts)


def main() -> None:
    """The page on disk is up to date."""
    TARGET.write_text(page())


def _declared(module: ModuleType) -> Iterator[str]:
    """The hooks in the order in which the module declares them."""
    yield from (name for name in vars(module) if name in hook_names())


def _answered() -> dict[str, list[str]]:
    """Which plugins of this repository answer each hook, by themselves or by an extension."""
    found: dict[str, list[str]] = {}
    for project in sorted((ROOT / "plugins").glob("*/pyproject.toml")):
        entry_points = tomllib.loads(project.read_text())["project"].get("entry-points", {})
        for name, module in entry_points.get("mica", {}).items():
            hooks = Hooks()
            hooks.register(name, import_module(module))
            built = [hook for kind in hooks.kinds("register_extensions") for hook in _methods(kind)]
            for hook in dict.fromkeys([*hooks.answers(), *built]):
                found.setdefault(hook, []).append(name)
    return found


def _methods(kind: Kind[Any]) -> list[str]:
    """The hooks among the methods of what the kind builds."""
    built = kind.build if isinstance(kind.build, type) else typing.get_type_hints(kind.build)["return"]
    return [name for name in hook_names() if hasattr(built, name)]


def _hook(name: str, plugins: list[str]) -> str:
    function = getattr(hookspecs, name)
    by = ", ".join(f"`{plugin}`" for plugin in plugins) or "no plugin of this repository"
    return f"\n### `{name}`\n\n{_code(_signature(function))}\n{_prose(function)}\n\nAnswered by: {by}.\n"


def _role(role: type[Any]) -> str:
    ability = " (ability)" if getattr(role, "_is_runtime_protocol", False) else ""
    further = [base.__name__ for base in role.__bases__ if base not in (typing.Protocol, object, typing.Generic)]
    besides = f" Besides what `{further[0]}` has:" if further else ""
    members = "".join(_member(name, value) for name, value in vars(role).items() if not name.startswith("_"))
    return f"\n## `{role.__name__}`{ability}\n\n{_prose(role)}{besides}\n{members}"


def _member(name: str, value: Any) -> str:
    """A method, or what a property is for whoever implements the role: an attribute."""
    if isinstance(value, property):
        assert value.fget is not None
        shown, text = f"{name}: {_declaration(value.fget).partition(' -> ')[2]}", _prose(value.fget)
    else:
        shown, text = _signature(value), _prose(value)
    return f"\n{_code(shown)}" + (f"\n{text}\n" if text else "")


def _fields(found: type[Any]) -> str:
    base = found.__bases__[0]
    own = base.__dataclass_fields__ if dataclasses.is_dataclass(base) else {}
    further = f" `{base.__name__}` has the rest." if own else ""
    rows = "".join(f"| `{name}` | `{type_}` | {text} |\n" for name, type_, text in _described(found))
    return f"\n## `{found.__name__}`\n\n{_prose(found)}{further}\n\n| field | type | |\n|---|---|---|\n{rows}"


def _classes(wanted: Callable[[type[Any]], bool]) -> Iterator[type[Any]]:
    """The classes that ``mica.roles`` declares, in its order."""
    yield from (
        found
        for found in vars(roles).values()
        if isinstance(found, type) and found.__module__ == roles.__name__ and wanted(found)
    )


def _is_protocol(found: type[Any]) -> bool:
    return getattr(found, "_is_protocol", False) is True


def _described(found: type[Any]) -> Iterator[tuple[str, str, str]]:
    """Each field that the class itself declares: its name, its type, and the text below it in the source."""
    (body,) = (node.body for node in ast.parse(inspect.getsource(found)).body if isinstance(node, ast.ClassDef))
    for field, below in pairwise([*body, ast.Pass()]):
        if isinstance(field, ast.AnnAssign):
            text = below.value if isinstance(below, ast.Expr) else None
            meaning = str(text.value) if isinstance(text, ast.Constant) else ""
            yield ast.unparse(field.target), _cell(ast.unparse(field.annotation)), _cell(meaning)


def _signature(function: Callable[..., Any]) -> str:
    """The function as whoever calls it sees it."""
    return _declaration(function).replace("(self, ", "(").replace("(self)", "()")


def _declaration(function: Callable[..., Any]) -> str:
    """The function's first line, as its source has it, on one line."""
    (node,) = ast.parse(inspect.cleandoc("\n" + inspect.getsource(function))).body
    assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    node.body, node.decorator_list = [ast.Pass()], []
    # Names that only a type checker imports stand in quotes.
    return ast.unparse(node).partition("\n")[0].removesuffix(":").replace("'", "")


def _prose(found: Any) -> str:
    """The docstring, as Markdown has it."""
    return (inspect.getdoc(found) or "").replace("``", "`")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("``", "`").replace("|", "\\|")


def _code(line: str) -> str:
    return f"```python\n{line}\n```\n"


if __name__ == "__main__":
    main()
