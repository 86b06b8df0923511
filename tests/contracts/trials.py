"""Broken copies on trial: a role's suite is turned on all of them in one process, and each is judged by itself."""

import ast
import fcntl
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

_ROOT = Path(__file__).parents[2]
_BROKEN = Path(__file__).parent / "broken"
_WITHIN_SECONDS = 300
_TESTS_FAILED = pytest.ExitCode.TESTS_FAILED


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """A broken copy: its class, and what is wrong with it."""

    name: str
    fault: str

    def __str__(self) -> str:
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", self.name.removeprefix("Test")).lower()


def modules(role: str) -> list[Path]:
    """Those with the role's broken copies: one of its name, or all in the folder of its name."""
    folder = _BROKEN / role
    return sorted(folder.glob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]


def broken_copies(role: str) -> list[Copy]:
    """Those of the role, in the order of its modules, which are read and not imported."""
    return [
        Copy(name=node.name, fault=ast.get_docstring(node) or "")
        for module in modules(role)
        for node in ast.parse(module.read_text()).body
        if isinstance(node, ast.ClassDef) and any("caught" in ast.unparse(mark) for mark in node.decorator_list)
    ]


def verdicts(role: str, file: Path) -> dict[str, Any]:
    """What the suite said of each class of the role, as the plugin ``verdicts`` has written it to ``file``."""
    options = ("-p", "no:cacheprovider", "-p", "tests.contracts.verdicts", "--hypothesis-seed=0", f"--verdicts={file}")
    command = [sys.executable, "-m", "pytest", *options, *modules(role)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_WITHIN_SECONDS, check=False, cwd=_ROOT)
    assert done.returncode == _TESTS_FAILED, f"the copies were not tried:\n{done.stdout[-4000:]}\n{done.stderr}"
    found: dict[str, Any] = json.loads(file.read_text())
    return found


class BrokenCopies:
    """Every broken copy is caught by its role's suite, in the test and for the reason that it is known for."""

    role: ClassVar[str]
    """The module or the folder in ``broken``."""

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "copy" in metafunc.fixturenames:
            metafunc.parametrize("copy", broken_copies(self.role), ids=str)

    @pytest.fixture(scope="class")
    @classmethod
    def trials(cls, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
        """Tried once, though several processes of pytest-xdist have a share of the tests."""
        own = tmp_path_factory.getbasetemp()
        file = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / f"{cls.role}.json"
        with file.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            return json.loads(file.read_text()) if file.exists() else verdicts(cls.role, file)

    def test_the_suite_catches_it(self, trials: dict[str, Any], copy: Copy) -> None:
        assert copy.fault, f"{copy.name} does not say what is wrong with it"
        trial = trials[copy.name]
        expected, failure = trial["expected"], trial["failure"]
        assert failure, f"nothing caught it: {copy.fault}"
        assert (failure["test"], failure["when"]) == (expected["by"], "call"), failure["message"]
        assert re.search(expected["because"], failure["message"]), failure["message"]

    def test_what_catches_the_copies_lets_the_original_pass(self, trials: dict[str, Any]) -> None:
        copies = {copy.name for copy in broken_copies(self.role)}
        originals = {name: trial for name, trial in trials.items() if name not in copies}
        assert {name: trial["failure"] for name, trial in originals.items()} == dict.fromkeys(originals)
        passed = {test for trial in originals.values() for test in trial["passed"]}
        assert passed == {trials[name]["expected"]["by"] for name in copies}
