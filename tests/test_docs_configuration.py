"""The reference page of ca.toml says what the code says."""

import tomllib
from pathlib import Path
from runpy import run_path

from mica.config import structure_core

DOCS = Path(__file__).parents[1] / "docs"


def test_the_page_is_what_the_dataclasses_say() -> None:
    written = (DOCS / "configuration.md").read_text()
    assert written == run_path(str(DOCS / "generate.py"))["configuration"](), "write it again with: make docs"


def test_the_example_has_no_mistake() -> None:
    example = (DOCS / "configuration.md").read_text().partition("```toml\n")[2].partition("```")[0]
    _, faults = structure_core(tomllib.loads(example))
    assert faults == []


def test_every_plugin_of_the_repository_is_on_the_page() -> None:
    page = (DOCS / "configuration.md").read_text()
    for project in (DOCS.parent / "plugins").glob("*/pyproject.toml"):
        described = tomllib.loads(project.read_text())["project"]
        if "mica" in described.get("entry-points", {}):
            assert f"From `{described['name']}`." in page


def test_every_field_is_explained() -> None:
    rows = [line for line in (DOCS / "configuration.md").read_text().splitlines() if line.startswith("| `")]
    assert len(rows) > 20
    assert [row for row in rows if row.rstrip(" |").endswith(("required", "|")) or row.endswith("| |")] == []
