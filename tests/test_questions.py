"""Every question names a flag that answers it, and every command that can ask has it: read from the source.

What a command can come to is what its function refers to, and what that refers to, within and between the modules.
"""

import ast
import inspect
from functools import cache
from pathlib import Path
from runpy import run_path

import click
import pytest

ROOT = Path(__file__).parents[1]
PLACES = [ROOT / "core/src", *sorted((ROOT / "plugins").glob("*/src"))]
MODULES = {
    ".".join(path.relative_to(place).with_suffix("").parts): path
    for place in PLACES
    for path in [*(place / "mica/cli").rglob("*.py"), *place.glob("mica_*/**/*.py")]
}
COMMANDS: dict[str, click.Command] = {
    path.removeprefix("mica "): command for path, command in run_path(str(ROOT / "docs/generate_cli.py"))["commands"]()
}
ASKING = {"ask_text", "ask_yes_no", "ask_password", "ask_choice", "password"}
#: Functions that ask in the name of whoever calls them, and the flag that they name when the caller names none.
DEFAULTS = {"read_key": "--password-file", "ca_password": "--password-file"}
#: They pass on what a caller said.
PASSED_ON = {"flag", "self.flag", "self._flag"}
#: What answers a question that no flag does.
ARGUMENTS = {"context select": {"a NAME"}}
#: Questions to which a command cannot come, whatever its functions refer to, and why.
NOT_OF_THIS = {
    # They write the file that they edit, which nobody need allow.
    **{f"ca provisioner {verb}": {"--force"} for verb in ("add", "remove", "update")},
    "ca enable-ssh": {"--force"},
    # They refer to the whole tree, whose other commands have contexts.
    **{path: {"--context"} for path in ("completion bash", "completion zsh", "completion fish", "help")},
}
Node = tuple[str, str]
"""A module, and a name at its top."""


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text())


def calls(node: ast.AST) -> list[ast.Call]:
    return [part for part in ast.walk(node) if isinstance(part, ast.Call)]


def name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def argument(call: ast.Call, keyword: str) -> ast.expr | None:
    return next((given.value for given in call.keywords if given.arg == keyword), None)


@cache
def top(module: str) -> dict[str, ast.stmt]:
    """What stands at the top of a module, by name."""
    found: dict[str, ast.stmt] = {}
    for node in tree(module).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found[node.name] = node
        elif isinstance(node, ast.Assign):
            found.update((target.id, node) for target in node.targets if isinstance(target, ast.Name))
    return found


@cache
def imports(module: str) -> dict[str, Node]:
    """What imported names stand for: a module (with an empty name), or what stands at the top of one."""
    found: dict[str, Node] = {}
    for node in ast.walk(tree(module)):
        for alias in node.names if isinstance(node, ast.ImportFrom) else ():
            whole = f"{node.module}.{alias.name}"  # type: ignore[union-attr]
            target = (whole, "") if whole in MODULES else (str(node.module), alias.name)  # type: ignore[union-attr]
            found[alias.asname or alias.name] = target
    return found


def answer(module: str, value: ast.expr) -> str | None:
    """The flag that stands in ``flag=…``; None when it is passed on."""
    if isinstance(value, ast.Name) and isinstance(assigned := top(module).get(value.id), ast.Assign):
        value = assigned.value
    return str(value.value) if isinstance(value, ast.Constant) else None


def flags(node: Node) -> set[str]:
    """The flags that the questions of one function name, or of one class."""
    found: set[str | None] = set()
    for call in calls(top(node[0])[node[1]]):
        value, forced = argument(call, "flag"), argument(call, "force")
        if value is not None:
            found.add(answer(node[0], value))
        elif name(call.func) in DEFAULTS:
            found.add(DEFAULTS[name(call.func)])
        elif name(call.func) == "settle" and not isinstance(forced, ast.Constant):
            found.add("--force")
    return {flag for flag in found if flag is not None}


def references(node: Node) -> set[Node]:
    """What a function refers to at the top of its own module and of others."""
    module, known, found = node[0], imports(node[0]), set()
    statement = top(module)[node[1]]
    own = {part.arg for part in ast.walk(statement) if isinstance(part, ast.arg)}
    for part in ast.walk(statement):
        if isinstance(part, ast.Name) and part.id not in own:
            found.add(known.get(part.id, (module, part.id)))
        elif isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name) and part.value.id in known:
            found.add((known[part.value.id][0], part.attr))
    return {target for target in map(behind, found) if target[0] in MODULES and target[1] in top(target[0])}


def behind(node: Node) -> Node:
    """Where a name is that a module (the kit for authors of commands) only hands on."""
    module, identifier = node
    if module not in MODULES or identifier in top(module):
        return node
    target = imports(module).get(identifier)
    return behind(target) if target and target != node and target[1] else node


def reached(node: Node) -> set[Node]:
    seen: set[Node] = set()
    left = {node}
    while left:
        seen.add(one := left.pop())
        left |= references(one) - seen
    return seen


@pytest.mark.parametrize("module", MODULES)
def test_every_question_names_what_answers_it(module: str) -> None:
    for call in calls(tree(module)):
        if name(call.func) in ASKING:
            value = argument(call, "flag")
            assert value is not None, ast.unparse(call)
            said = answer(module, value) or ast.unparse(value)
            assert "--" in said or said in PASSED_ON | set().union(*ARGUMENTS.values()), ast.unparse(call)


@pytest.mark.parametrize("path", COMMANDS)
def test_the_flag_that_a_question_names_is_one_of_the_command(path: str) -> None:
    command = COMMANDS[path]
    function = inspect.unwrap(command.callback or pytest.fail(f"{path} does nothing"))
    own = {option for parameter in command.params for option in parameter.opts} | ARGUMENTS.get(path, set())
    asked = {flag: node for node in reached((function.__module__, function.__name__)) for flag in flags(node)}
    assert {flag: node for flag, node in asked.items() if flag not in own | NOT_OF_THIS.get(path, set())} == {}
