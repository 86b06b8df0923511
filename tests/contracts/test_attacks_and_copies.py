"""Every attack has a broken copy for each role that it concerns, or is said to be the core's affair."""

import re
from pathlib import Path

from tests.contracts.attacks import NEVER, OF_THE_CORE, THREATS
from tests.contracts.trials import broken_copies

_ROOT = Path(__file__).parents[2]
_ROLES = {file.stem.removeprefix("test_broken_") for file in Path(__file__).parent.glob("test_broken_*.py")}
_CITATION = re.compile(r"\(.*?(threat|never)s?,? ([\d, and]+)\)")


def _lines() -> set[str]:
    """The lines of "What must never happen", by number."""
    (section,) = re.findall(
        r"## What must never happen\n(.*?)\n## ", _ROOT.joinpath("docs/security.md").read_text(), re.S
    )
    return {f"never {number}" for number in re.findall(r"^(\d+)\. ", section, re.M)}


def _rows() -> set[str]:
    """The rows of attacks, by number."""
    numbers = re.findall(r"^\| (\d+) \|", _ROOT.joinpath("docs/threats.md").read_text(), re.M)
    return {f"threat {number}" for number in numbers}


def test_every_line_and_every_row_has_broken_copies_or_is_the_cores() -> None:
    tried = {f"never {number}" for number in NEVER} | {f"threat {number}" for number in THREATS}
    assert tried.isdisjoint(OF_THE_CORE)
    assert tried | OF_THE_CORE.keys() == _lines() | _rows()


def test_what_stands_for_an_attack_is_a_broken_copy_of_its_role() -> None:
    there = {(role, copy.name) for role in _ROLES for copy in broken_copies(role)}
    named = {standing for table in (NEVER, THREATS) for copies in table.values() for standing in copies.items()}
    assert named - there == set()
    assert {role for role, _ in named} == _ROLES, "a role stands for nothing"


def test_what_a_copy_is_said_to_be_like_is_a_line_or_a_row() -> None:
    faults = [copy.fault for role in _ROLES for copy in broken_copies(role)]
    cited = {
        f"{kind} {number}"
        for fault in faults
        for kind, numbers in _CITATION.findall(fault)
        for number in re.findall(r"\d+", numbers)
    }
    assert len(cited) > 30
    assert cited - _lines() - _rows() == set()
