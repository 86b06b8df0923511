"""docs/threats.md names tests that there are, for every attack, and links to files that there are."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/threats.md").read_text()
ROWS = re.findall(r"^\| (\d+) \|.*$", PAGE, re.MULTILINE)
REFERENCES = re.findall(r"\[`(test_\w+)`\]\(\.\./([^)]+)\)", PAGE)


@cache
def functions(path: Path) -> frozenset[str]:
    """The names of the functions in the module, those of its classes too."""
    nodes = ast.walk(ast.parse(path.read_text()))
    return frozenset(node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize(("name", "path"), sorted(set(REFERENCES)))
def test_a_test_that_is_named_exists(name: str, path: str) -> None:
    assert name in functions(ROOT / path)


def test_every_attack_has_a_number_and_a_test() -> None:
    assert [str(number) for number in range(1, len(ROWS) + 1)] == ROWS
    assert len(ROWS) >= 42
    lines = [line for line in PAGE.splitlines() if re.match(r"\| \d+ \|", line)]
    assert [line for line in lines if not re.search(r"\[`test_\w+`\]\(", line)] == []


def test_every_file_that_is_linked_exists() -> None:
    for target in re.findall(r"\]\(([^)#]+)", PAGE):
        assert (ROOT / "docs" / target).exists(), target
