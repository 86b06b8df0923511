"""A plugin of pytest's, loaded with ``-p``: what was collected and how it went is written as JSON lines.

``MICA_SUITE_REPORT`` names the file. pytest finds its functions by their names.
"""

import json
import os
from typing import Any

from mica.testing.untried import MARK

_FILE = "MICA_SUITE_REPORT"


def pytest_collection_finish(session: Any) -> None:
    """The suites of each test class: the contracts of ``mica.testing`` that it is made of."""
    classes = {item.cls for item in session.items if item.cls is not None}
    for cls in sorted(classes, key=lambda one: str(one.__qualname__)):
        kit = (base.__name__ for base in cls.__mro__[1:] if base.__module__.startswith("mica.testing"))
        suites = [name for name in kit if name.endswith("Contract")]
        _write(event="suite", name=cls.__name__, suites=suites)


def pytest_collectreport(report: Any) -> None:
    """What could not be collected is a failure."""
    if report.failed:
        _write(event="broken", place=report.nodeid, message=str(report.longrepr))


def pytest_runtest_logreport(report: Any) -> None:
    """How a test went: one line for each failure, and one for each that passed or was left out."""
    if report.failed or report.skipped or report.when == "call":
        crash = getattr(report.longrepr, "reprcrash", None)
        message = crash.message if crash else str(report.longrepr or "")
        if report.skipped and isinstance(report.longrepr, tuple):
            message = report.longrepr[2].removeprefix("Skipped: ")  # path, line, reason
        _write(
            event="test",
            nodeid=report.nodeid,
            outcome="untried" if report.skipped and message.startswith(MARK) else report.outcome,
            message=message.removeprefix(MARK) if report.skipped else message,
            place=f"{crash.path}:{crash.lineno}" if crash else report.nodeid,
        )


def _write(**members: object) -> None:
    with open(os.environ[_FILE], "a", encoding="utf-8") as file:  # noqa: PTH123
        file.write(json.dumps(members) + "\n")
