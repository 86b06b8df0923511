"""No library with a hole that is known can be installed with mica."""

import tomllib
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PROJECTS = sorted([ROOT / "core/pyproject.toml", *ROOT.glob("plugins/*/pyproject.toml")])
#: The last version with the hole.
HOLES = {"CVE-2026-48523": ("pyjwt", "2.12.1"), "CVE-2025-62727": ("starlette", "0.49.0")}


def wanted(project: Path, name: str) -> list[Requirement]:
    """What the distribution says of the library."""
    found = map(Requirement, tomllib.loads(project.read_text())["project"]["dependencies"])
    return [requirement for requirement in found if requirement.name.lower() == name]


@pytest.mark.parametrize(("name", "version"), HOLES.values(), ids=HOLES)
def test_a_version_with_a_known_hole_is_not_installed(name: str, version: str) -> None:
    assert wanted(PROJECTS[0], name)
    for project in PROJECTS:
        for requirement in wanted(project, name):
            assert not requirement.specifier.contains(version), project


def test_the_version_of_httpcore_keeps_the_hole_of_h11_away() -> None:
    """CVE-2025-43859: httpcore 1.0.9 is the first to want h11 0.16, where chunks end as they must."""
    (own,) = wanted(PROJECTS[0], "httpcore")
    assert not own.specifier.contains("1.0.8")
    (its,) = [each for each in map(Requirement, requires("httpcore") or ()) if each.name == "h11"]
    assert not its.specifier.contains("0.15.0")
