"""The reference page of hooks and roles says what the code says, and all of it."""

from pathlib import Path
from runpy import run_path

import pytest

import mica
from mica import hookspecs, roles
from mica.hooks import hook_names

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "hooks.md").read_text()
#: What core gives to plugins, and what ties kinds together: explained where they are used.
NOT_ROLES = {"Kind"}


def test_the_page_is_what_the_code_says() -> None:
    assert run_path(str(DOCS / "generate_hooks.py"))["page"]() == PAGE, "write it again with: make docs"


@pytest.mark.parametrize("hook", sorted(hook_names()))
def test_every_hook_is_on_the_page_with_its_docstring(hook: str) -> None:
    assert PAGE.count(f"\n### `{hook}`\n") == 1
    described = (getattr(hookspecs, hook).__doc__ or "").splitlines()[0].replace("``", "`")
    assert described and f"\n{described}\n" in PAGE


def test_every_role_and_every_context_is_on_the_page_with_its_members() -> None:
    declared = {
        name: found
        for name, found in vars(roles).items()
        if isinstance(found, type) and found.__module__ == roles.__name__ and name not in NOT_ROLES
    }
    assert len(declared) > 15
    for name, found in declared.items():
        (section,) = (part for part in PAGE.split("\n## ")[1:] if part.startswith(f"`{name}`"))
        for member in (*vars(found).get("__annotations__", {}), *(m for m in vars(found) if not m.startswith("_"))):
            assert f"def {member}(" in section or f"`{member}`" in section or f"\n{member}: " in section, member


def test_what_the_page_has_for_plugins_is_published() -> None:
    names = [part.partition("`")[0] for part in PAGE.split("\n## `")[1:]]
    assert set(names) - {"Context"} <= set(mica.__all__)


def test_a_hook_has_somebody_who_answers_it() -> None:
    assert PAGE.count("\nAnswered by: `") == len(hook_names())
