"""What ``mica plugin check`` says of code that its author wrote this afternoon, without running a suite."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from core.tests.cli_plugins.distributions import install_recorded

import mica.testing
from mica import ConfigError
from mica.cli import main
from mica.cli.plugins import statics, suites

#: An extension whose every mistake shows only when it is built, or asked.
EXTENSION = """
from dataclasses import dataclass, field
from mica import hookimpl, kind

@dataclass(frozen=True, kw_only=True)
class Config:
    limit: int = field(default=1, metadata={"help": "How many"})

class Crane:
    def __init__(self, config, context):
        pass

    @hookimpl
    def refuse_x509(self, request, tbs, grant):
        return None

@hookimpl
def register_extensions():
    return [kind("crane", Config, Crane)]
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path of this process and of those that it starts; what is imported from there is forgotten."""
    site = tmp_path / "site"
    monkeypatch.syspath_prepend(site)
    monkeypatch.setenv("PYTHONPATH", str(site))
    yield site
    sys.modules.pop("crane", None)


def faults(site: Path, old: str = "", new: str = "") -> dict[str, str]:
    """What is wrong with the code of the extension where it has ``new`` for ``old``: the remedy for each fault."""
    assert not old or EXTENSION.count(old) == 1
    install_recorded(site, "crane", EXTENSION.replace(old, new) if old else EXTENSION)
    metadata = {"has a README", "has a licence", "has types", "says which mica-ca it goes with"}
    found = statics.examine("crane").findings
    return {one.fault: one.remedy for one in found if one.fault and one.what not in metadata}


def test_a_sound_extension_has_no_faults(site: Path) -> None:
    assert faults(site) == {}


@pytest.mark.parametrize(
    ("file", "octets", "fault"),
    [
        ("entry_points.txt", b"[mica]\ncrane = crane: x y\n", '"crane: x y" names no module'),
        ("METADATA", b"\xff\xfe", "the METADATA of its distribution is damaged"),
    ],
    ids=["entry point", "METADATA"],
)
def test_a_damaged_installation_is_not_imported(site: Path, file: str, octets: bytes, fault: str) -> None:
    install_recorded(site, "crane", EXTENSION)
    (site / "crane-1.0.dist-info" / file).write_bytes(octets)
    (finding,) = statics.examine("crane").findings
    assert finding.fault == fault
    assert "install it again" in finding.remedy
    assert "crane" not in sys.modules


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("def refuse_x509", "def refuse_x508", "refuse_x508 is no hook of mica; did you mean refuse_x509?"),
        ("    @hookimpl\n    def", "    def", "refuse_x509 bears a hook's name without mica.hookimpl"),
        ("tbs, grant)", "tbs, grants)", "refuse_x509 is not given grants, but request, tbs, grant"),
        ("self, config, context)", "self, config)", "its constructor cannot be called: too many positional arguments"),
        ("limit: int", "limit: bytes", "crane.Config.limit: bytes is no type that a table can hold; take str, int"),
        ("limit: int", "limit: list[str]", "crane.Config.limit: list[str] is no type that a table can hold"),
        ("limit: int", "limit: int | str", "crane.Config.limit: int | str is no type that a table can hold"),
        ("limit: int", "limit: tuple[int, str]", "crane.Config.limit: tuple[int, str] is no type that a table can"),
        ("limit: int", "limit: 'Limit'", "crane.Config: its annotations cannot be read: name 'Limit' is not defined"),
        ("class Crane:", "class Crane", "cannot be imported: SyntaxError"),
        ("class Crane:", "import sys; sys.stdout.write('hoist')\nclass Crane:", "importing it prints 'hoist'"),
    ],
    ids=["no hook", "no marker", "parameter", "constructor", "octets", "list", "either", "pair", "unknown type",
         "syntax", "prints"],
)  # fmt: skip
def test_what_would_show_only_at_the_start_is_named_with_a_remedy(site: Path, old: str, new: str, fault: str) -> None:
    found = faults(site, old, new)
    (said,) = found
    assert fault in said
    assert found[said] not in ("", "mend it")


def test_the_schema_of_a_table_that_is_never_read_is_an_error_in_words(
    site: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MICAPATH", str(tmp_path))
    install_recorded(site, "crane", EXTENSION.replace("limit: int", "limit: bytes"))
    assert main(["ca", "schema", "--plugin", "crane"]) == 5
    assert "crane.Config.limit: bytes is no type that a table can hold" in capfd.readouterr().err


def test_what_a_plugin_prints_is_not_taken_for_what_the_command_prints(
    site: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MICAPATH", str(tmp_path))
    install_recorded(site, "crane", "print('hoist')\n" + EXTENSION)
    assert main(["ca", "schema", "--plugin", "crane"]) == 0
    printed, told = capfd.readouterr()
    assert json.loads(printed)["title"] == "ca.toml"
    assert told == "hoist\n"


def test_every_suite_that_is_asked_for_is_one_of_the_kit() -> None:
    roles = [name for alternatives in suites.OF_ROLE.values() for names in alternatives for name in names]
    abilities = [name for names in suites.OF_ABILITY.values() for name in names]
    assert {*roles, *abilities, *suites.OF_HOOK.values(), suites.OF_CLIENT} <= set(mica.testing.__all__)


def test_one_fault_is_one_fault_though_it_is_given_as_a_text() -> None:
    assert ConfigError("limit: must be odd").faults == ("limit: must be odd",)
