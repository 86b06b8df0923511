"""A plugin of pytest that tries broken copies: each until its suite has caught it, and what did is written down.

A module in ``broken`` holds the broken copies of one role's parts. Each is a test class, a suite of ``mica.testing``
turned on a part with one thing wrong; its docstring says what, and ``@pytest.mark.caught(by=…, because=…)`` says which
test of the suite must fail, and what that failure says. A class without the mark is an original: of its tests those
are run, after all copies, that have caught one, and they pass. Such a module is collected only when it is named, and
with this plugin; ``trials`` does that.

With ``--verdicts`` a copy is turned on the test that must catch it and on no other. Without, as for somebody who
wants to know what else would (``python -m pytest -p tests.contracts.verdicts tests/contracts/broken/store.py``), the
rest of the suite follows until a test fails.
"""

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import Phase, settings

# A copy fails, and that is all that is asked: to make the example smaller could take minutes.
settings.register_profile("trials", phases=(Phase.explicit, Phase.generate), database=None)
settings.load_profile("trials")

_CAUGHT = "caught(by, because): which test of the suite fails, and what its failure says (a regular expression)"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The suite waits briefly, and once: for a copy that blocks or does not answer, it would wait in vain."""
    monkeypatch.setattr("mica.testing.verdicts.DEADLINE", 0.1)
    monkeypatch.setattr("mica.testing.heartbeat._TRIALS", 1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--verdicts", type=Path, help="a file, where it is written what caught each broken copy")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", _CAUGHT)
    config.pluginmanager.register(_Trials(config.getoption("--verdicts")), "mica-trials")


def _class_of(item: pytest.Item) -> type:
    found = getattr(item, "cls", None)
    assert found is not None, f"{item.nodeid}: only classes are broken copies"
    return found


def _test_of(item: pytest.Item) -> str:
    return _case_of(item).partition("[")[0]


def _case_of(item: pytest.Item) -> str:
    """The test with its parameters."""
    return item.nodeid.rpartition("::")[2]


def _mark_of(cls: type) -> pytest.Mark | None:
    """The mark of the class itself."""
    return next((mark for mark in vars(cls).get("pytestmark", ()) if mark.name == "caught"), None)


class _Trials:
    """What happened to each class, and which classes need no further test."""

    def __init__(self, verdicts: Path | None) -> None:
        self._file = verdicts
        self._failures: dict[str, dict[str, str]] = {}
        self._passed: dict[str, list[str]] = defaultdict(list)
        self._catches: set[str] = set()
        self._marks: dict[str, pytest.Mark | None] = {}

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """The tests that must catch a broken copy come first; of an original, only such tests are left."""
        classes = {_class_of(item) for item in items}
        marks = {cls: _mark_of(cls) for cls in classes}
        self._marks = {cls.__name__: mark for cls, mark in marks.items()}
        assert len(self._marks) == len(classes), "two classes of a role have one name"
        catching = {
            cls: {mark.kwargs["by"] for copy, mark in marks.items() if mark is not None and issubclass(copy, cls)}
            for cls in classes
        }
        named = [item for item in items if _test_of(item) in catching[_class_of(item)]]
        named.sort(key=lambda item: marks[_class_of(item)] is None)
        others = [item for item in items if item not in set(named)]
        wanted = [item for item in others if self._file is None and marks[_class_of(item)] is not None]
        config.hook.pytest_deselected(items=[item for item in others if item not in set(wanted)])
        items[:] = named + wanted

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """A broken copy that has been caught is left alone, and so is an original by what has caught none."""
        name = _class_of(item).__name__
        if self._marks[name] is None and _case_of(item) not in self._catches:
            pytest.skip("has caught nothing")
        if self._marks[name] is not None and name in self._failures:
            pytest.skip("caught already")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Iterator[None]:
        report: pytest.TestReport = yield
        name, test = _class_of(item).__name__, _test_of(item)
        if report.failed:
            crash = getattr(report.longrepr, "reprcrash", None)
            message = crash.message if crash is not None else report.longreprtext
            self._catches.add(_case_of(item))
            self._failures.setdefault(name, {"test": test, "when": report.when, "message": message})
        elif report.when == "call" and report.passed:
            self._passed[name].append(test)
        return report

    def pytest_sessionfinish(self) -> None:
        if self._file is None:
            return
        verdicts = {
            name: {
                "expected": None if mark is None else mark.kwargs,
                "failure": self._failures.get(name),
                "passed": sorted(set(self._passed[name])),
            }
            for name, mark in self._marks.items()
        }
        self._file.write_text(json.dumps(verdicts, ensure_ascii=True))
