"""``mica plugin check``: what is wrong with a plugin is named, with its place and a remedy."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from core.tests.cli_plugins.distributions import GOOD, record

from mica.testing.plugins import install

KEYS = """
from dataclasses import dataclass
from pathlib import Path
from mica import ConfigError, hookimpl, keyfiles, kind

@dataclass(frozen=True, kw_only=True)
class Config:
    pass

class Keys:
    scheme = "crane"
    blocking = False

    def __init__(self, config, context):
        self._context = context

    def load(self, uri):
        scheme, _, name = uri.partition(":")
        if scheme != "crane" or name not in ("key", "none"):
            raise ConfigError([f"{uri!r}: must be crane:key"])
        path = self._context.directory / name
        try:
            data = self._context.read_secret(path)
        except ConfigError as error:
            raise ConfigError(f"{uri}: {fault}" for fault in error.faults) from error
        return keyfiles.load_private_key(data, self._context.password, where=uri)

@hookimpl
def register_key_backends():
    return [kind("crane", Config, Keys)]
"""
CONTRACTS = """
from mica import keyfiles
from mica.testing.keys import KeyBackendContract
from crane import Config, Keys

class TestKeys(KeyBackendContract):
    def build(self, context):
        return Keys(Config(), context)

    def install(self, directory, key, password):
        file = directory / "key"
        file.write_bytes(keyfiles.dump_private_key(key, password))
        file.chmod(0o600)
        return "crane:key"

    def vacancy(self):
        return "crane:none"
"""
#: Another plugin of that name, whose suite is done at once.
RULES = """
from mica import hookimpl

@hookimpl
def refuse_x509(request, tbs, grant):
    return "no jib" if b"jib.example" in tbs.der.lower() else None
"""
RULES_CONTRACTS = """
import crane
from mica.testing.policies import PolicyContract
from mica.testing.samples import x509_sample

class TestRules(PolicyContract):
    def build(self, context):
        return crane

    def passing(self):
        return [x509_sample("hook.example")]

    def refused(self):
        return [x509_sample("jib.example")]
"""
METADATA = """Metadata-Version: 2.4
Name: crane
Version: 1.0
License-Expression: Apache-2.0
Requires-Dist: mica-ca~=0.1.0

# crane
"""


def site_with(tmp_path: Path, source: str = KEYS, contracts: str = CONTRACTS, metadata: str = METADATA) -> Path:
    """A folder where the plugin ``crane`` is installed, as whole as a good one, or as the test spoils it."""
    site = tmp_path / "site"
    tmp_path.mkdir(exist_ok=True)
    (tmp_path / "crane.py").write_text(source)
    install(site, tmp_path / "crane.py")
    (site / "crane.py").unlink()
    (site / "crane").mkdir()
    (site / "crane/__init__.py").write_text(source)
    (site / "crane/py.typed").touch()
    (site / "crane/contracts.py").write_text(contracts)
    folder = site / "crane-1.0.dist-info"
    (folder / "METADATA").write_text(metadata)
    groups = "[mica]\ncrane = crane\n" + ("[mica.contracts]\ncrane = crane.contracts\n" if contracts else "")
    (folder / "entry_points.txt").write_text(groups)
    record(site, "crane")
    return site


def check(site: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "mica.cli", "plugin", "check", *arguments]
    environment = os.environ | {"PYTHONPATH": str(site), "NO_COLOR": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert "Traceback" not in done.stderr
    return done


def faults(done: "subprocess.CompletedProcess[str]") -> list[dict[str, Any]]:
    """What ``--json`` finds wrong."""
    assert done.returncode == 1, done.stdout + done.stderr
    return [finding for finding in json.loads(done.stdout)["findings"] if finding["fault"]]


def test_a_good_plugin_is_sound_and_each_suite_has_its_line(tmp_path: Path) -> None:
    done = check(site_with(tmp_path, RULES, RULES_CONTRACTS), "crane")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "✘" not in done.stdout
    assert "✔ brings its contracts along" in done.stdout
    assert "✔ PolicyContract proves it, since it answers refuse_x509" in done.stdout
    assert re.search(r"^✔ TestRules \(PolicyContract\): (\d+) of \1 passed$", done.stdout, re.MULTILINE)


def test_a_test_that_fails_is_a_sentence_with_its_place(tmp_path: Path) -> None:
    lax = RULES.replace('"no jib" if', "None if")
    torn = RULES_CONTRACTS.replace('[x509_sample("hook.example")]', "crane.SAMPLES")
    done = check(site_with(tmp_path, lax, torn), "crane")
    assert done.returncode == 1
    assert "✘ TestRules (PolicyContract):" in done.stdout
    assert "    ✘ what must be refused is refused\n        AssertionError: " in done.stdout
    assert "    ✘ what must pass passes\n        AttributeError: module 'crane' has no attribute" in done.stdout
    assert "crane/contracts.py:11" in done.stdout
    assert "tests failed" in done.stderr


def test_a_test_that_is_skipped_proves_nothing_but_what_does_not_concern_the_plugin_is_no_fault(tmp_path: Path) -> None:
    left_out = """
    def test_it_is_blue(self):
        does_not_concern("it has no colour")
"""
    skipped = """
    @pytest.mark.skip("some day")
    def test_it_is_fast(self):
        pass

    def test_it_is_small(self):
        pytest.skip("some day")
"""
    contracts = "import pytest\nfrom mica.testing.untried import does_not_concern" + RULES_CONTRACTS + left_out
    done = check(site_with(tmp_path / "sound", RULES, contracts), "crane")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "    - it is blue: not tried, it has no colour" in done.stdout
    done = check(site_with(tmp_path / "unsound", RULES, contracts + skipped), "crane")
    assert done.returncode == 1
    assert "2 tests failed" in done.stderr
    for sentence in ("it is fast", "it is small"):
        assert f"    ✘ {sentence}\n        it was skipped, and proves nothing: some day" in done.stdout


def test_a_role_without_a_suite_is_a_failure(tmp_path: Path) -> None:
    (fault,) = faults(check(site_with(tmp_path, contracts="def test_nothing():\n    assert True\n"), "crane", "--json"))
    assert fault["fault"] == (
        "it offers crane, through register_key_backends, and its contracts have no KeyBackendContract"
    )
    assert fault["remedy"].startswith("class Test…(KeyBackendContract)")


def test_a_plugin_without_contracts_is_told_how_to_name_them(tmp_path: Path) -> None:
    (fault, *_) = faults(check(site_with(tmp_path, contracts=""), "crane", "--json"))
    assert 'no entry point "crane" of the group mica.contracts' in fault["fault"]
    assert '[project.entry-points."mica.contracts"]' in fault["remedy"]


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("\n# crane\n", "", "no description"),
        ("License-Expression: Apache-2.0\n", "", "names no licence"),
        ("Requires-Dist: mica-ca~=0.1.0\n", "", "bound mica-ca on no side"),
        ("mica-ca~=0.1.0", "mica-ca>=0.1", "bound mica-ca on no side, or on one"),
    ],
    ids=["README", "licence", "requirement", "no upper bound"],
)
def test_metadata_that_lacks_something_is_a_fault(tmp_path: Path, old: str, new: str, fault: str) -> None:
    site = site_with(tmp_path, metadata=METADATA.replace(old, new))
    (found,) = faults(check(site, "crane", "--static", "--json"))
    assert fault in found["fault"]
    assert "[project]" in found["remedy"]


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("@hookimpl\ndef register", "def register", "bears a hook's name without mica.hookimpl"),
        ('kind("crane"', 'kind("jib"', 'its kind must be named "crane"'),
        ("frozen=True", "frozen=False", "must be a frozen dataclass"),
        ("from mica import", "import sys; sys.exit(3)\nfrom mica import", "raised SystemExit"),
        ("from mica import", "import pytest\nfrom mica import", "importing it imports pytest"),
        ("from mica import", "import time; time.sleep(1.2)\nfrom mica import", "ms; at most 1000"),
        ("    pass\n\nclass Keys", "    folder: Path = Path()\n\nclass Keys", "crane.Config has no help for folder"),
    ],
    ids=["no marker", "another's name", "not frozen", "exit", "pytest", "slow", "no help"],
)
def test_what_is_wrong_with_the_code_is_named(tmp_path: Path, old: str, new: str, fault: str) -> None:
    assert KEYS.count(old) == 1
    found = faults(check(site_with(tmp_path, KEYS.replace(old, new)), "crane", "--static", "--json"))
    assert any(fault in one["fault"] for one in found), found
    assert all(one["remedy"] for one in found)


def test_a_package_without_types_is_a_fault(tmp_path: Path) -> None:
    site = site_with(tmp_path)
    (site / "crane/py.typed").unlink()
    (found,) = faults(check(site, "crane", "--static", "--json"))
    assert "no py.typed" in found["fault"]


def test_contracts_that_cannot_be_imported_are_told_and_no_stack_trace(tmp_path: Path) -> None:
    done = check(site_with(tmp_path, contracts="import nothing_of_the_kind\n"), "crane")
    assert done.returncode == 1
    assert "✘ the suites can be run" in done.stdout
    assert "nothing_of_the_kind" in done.stdout


def test_a_plugin_that_is_not_installed_is_told_which_are(tmp_path: Path) -> None:
    (found,) = faults(check(tmp_path, "crane", "--json"))
    assert '"crane" is not installed; installed: ' in found["fault"]


def test_a_name_that_two_claim_is_not_imported(tmp_path: Path) -> None:
    site = site_with(tmp_path)
    (tmp_path / "jib.py").write_text(GOOD)
    install(site, tmp_path / "jib.py")
    (site / "jib-1.0.dist-info/entry_points.txt").write_text("[mica]\ncrane = jib\n")
    (found,) = faults(check(site, "crane", "--json"))
    assert found["fault"] == "it is claimed by crane and jib"


OUR_OWN = sorted(
    name
    for project in (Path(__file__).parents[3] / "plugins").glob("*/pyproject.toml")
    for name in tomllib.loads(project.read_text())["project"]["entry-points"].get("mica", ())
)


@pytest.mark.parametrize("name", OUR_OWN)
def test_a_plugin_of_our_own_has_nothing_wrong_with_it_as_installed(tmp_path: Path, name: str) -> None:
    report = json.loads(check(tmp_path, name, "--static", "--json").stdout)
    assert [finding["fault"] for finding in report["findings"] if finding["fault"]] == []
