"""``mica plugin list``: what is installed and enabled, without importing what nobody enabled."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from core.tests.cli_plugins.distributions import GOOD, install_recorded

from mica.cli.plugins import inspection
from mica.testing.ca import TestCA
from mica.testing.plugins import enable, install

#: A plugin that leaves a trace where it is imported.
TRACED = GOOD + "\nimport os, pathlib\npathlib.Path(os.environ['TRACE'], 'imported').write_text('')\n"
EXTENSION = """
from dataclasses import dataclass
from mica import hookimpl, kind

@dataclass(frozen=True, kw_only=True)
class Config:
    pass

class Bell:
    def __init__(self, config, context):
        pass

    @hookimpl
    def notify(self, event):
        pass

@hookimpl
def register_extensions():
    return [kind("bell", Config, Bell)]
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return tmp_path / "site"


def run(site: Path, home: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "mica.cli", "plugin", "list", *arguments]
    environment = os.environ | {"PYTHONPATH": str(site), "MICAPATH": str(home), "TRACE": str(site), "NO_COLOR": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)


def rows(site: Path, home: Path, *arguments: str) -> dict[str, Any]:
    """What ``--json`` says of each plugin."""
    done = run(site, home, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return {row["name"]: row for row in json.loads(done.stdout)["plugins"]}


def test_an_installed_plugin_is_listed_and_not_imported(site: Path, tmp_path: Path) -> None:
    pinned = install_recorded(site, "crane", TRACED)
    row = rows(site, tmp_path)["crane"]
    assert (row["enabled"], row["kinds"], row["hooks"], row["faults"]) == (False, None, None, [])
    assert (row["distribution"], row["version"], row["pin"]) == ("crane", "1.0", pinned)
    assert not (site / "imported").exists()
    assert "unknown: not enabled" in run(site, tmp_path).stdout


def test_all_imports_every_plugin_to_tell_what_it_offers(site: Path, tmp_path: Path) -> None:
    install_recorded(site, "crane", TRACED)
    listed = rows(site, tmp_path, "--all")
    assert listed["crane"]["hooks"] == ["refuse_x509"]
    assert listed["jwk"]["kinds"] == {"provisioners": ["jwk"]}
    assert (site / "imported").exists()


def test_an_enabled_plugin_tells_its_kinds_hooks_commands_and_clients(ca: TestCA, site: Path) -> None:
    install_recorded(site, "bell", EXTENSION)
    enable(ca, "bell", "policy")
    listed = rows(site, ca.directory)
    assert (listed["bell"]["kinds"], listed["bell"]["hooks"]) == ({"extensions": ["bell"]}, ["notify"])
    assert listed["jwk"]["clients"] == ["jwk"]
    assert "mica ca policy test" in listed["policy"]["commands"]
    assert [row["name"] for row in listed.values() if row["enabled"]] == sorted(
        ["bell", "filekeys", "jwk", "policy", "storage_sqlite", "x509signer"]
    )
    text = run(site, ca.directory).stdout
    assert "bell: enabled\n  distribution: bell 1.0\n  extensions:   bell\n  hooks:        notify\n" in text


def test_the_pin_is_the_digest_of_the_record_and_holds_in_ca_toml(ca: TestCA, site: Path) -> None:
    install_recorded(site, "crane")
    pin = rows(site, ca.directory)["crane"]["pin"]
    digest = subprocess.check_output(["sha256sum", site / "crane-1.0.dist-info/RECORD"], text=True).split()[0]
    assert pin == f"crane@sha256:{digest}"
    enable(ca, pin)
    row = rows(site, ca.directory)["crane"]
    assert (row["enabled"], row["pinned"], row["hooks"], row["faults"]) == (True, True, ["refuse_x509"], [])
    assert "crane: enabled, pinned\n" in run(site, ca.directory).stdout


def test_a_broken_plugin_is_a_row_with_its_fault(ca: TestCA, site: Path) -> None:
    sources = {
        "crash": "raise RuntimeError('rust')",
        "leave": "import sys; sys.exit('gone')",
        "silent": "",
        "changed": GOOD,
    }
    pinned = {name: install_recorded(site, name, source) for name, source in sources.items()}
    (site / "changed/__init__.py").write_text("")
    enable(ca, "crash", "leave", "silent", pinned["changed"], "absent")
    listed = rows(site, ca.directory)
    for name, fault in {
        "crash": "cannot be imported: RuntimeError('rust')",
        "leave": "raised SystemExit",
        "silent": "implements no hook",
        "changed": "changed/__init__.py has been changed",
        "absent": "is not installed",
    }.items():
        assert len(listed[name]["faults"]) == 1
        assert fault in listed[name]["faults"][0]
    done = run(site, ca.directory)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    assert 'fault:        plugins: "absent" is not installed' in done.stdout


def test_a_name_that_two_distributions_claim_has_both_named(site: Path, tmp_path: Path) -> None:
    install_recorded(site, "crane")
    (tmp_path / "jib.py").write_text(GOOD)
    install(site, tmp_path / "jib.py")
    (site / "jib-1.0.dist-info/entry_points.txt").write_text("[mica]\ncrane = jib\n")
    row = rows(site, tmp_path)["crane"]
    assert row["faults"] == ['"crane" is claimed by crane and jib; uninstall one']
    assert (row["distribution"], row["pin"]) == (None, None)


def test_a_damaged_distribution_is_a_row_that_says_so(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(site)
    for name in ("crane", "jib"):
        install_recorded(site, name)
    (site / "crane-1.0.dist-info/METADATA").write_bytes(b"\xff\xfe")
    (site / "jib-1.0.dist-info/RECORD").write_bytes(b"\xff\xfe")
    listed = {row.name: row.members() for row in inspection.rows([], every=False)}
    assert (listed["crane"]["distribution"], listed["crane"]["version"]) == ("crane", None)
    assert listed["crane"]["faults"] == ["crane has no METADATA that can be read; install it again"]
    assert "has a damaged RECORD" in listed["jib"]["not_pinnable"]


def test_a_server_refuses_to_start_where_two_distributions_claim_a_name_and_names_both(
    ca: TestCA, site: Path, tmp_path: Path
) -> None:
    install_recorded(site, "crane", TRACED)
    (tmp_path / "jib.py").write_text(TRACED)
    install(site, tmp_path / "jib.py")
    (site / "jib-1.0.dist-info/entry_points.txt").write_text("[mica]\ncrane = jib\n")
    enable(ca, "crane")
    command = [sys.executable, "-m", "mica.cli", "ca", "serve", "--workers", "1", str(ca.directory / "ca.toml")]
    environment = os.environ | {"PYTHONPATH": str(site), "TRACE": str(site), "NO_COLOR": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode not in (0, -15)
    assert 'plugins: "crane" is claimed by crane and jib; uninstall one' in done.stderr
    assert "Traceback" not in done.stderr
    assert not (site / "imported").exists()


def test_what_cannot_be_pinned_says_why(site: Path, tmp_path: Path) -> None:
    (tmp_path / "jib.py").write_text(GOOD)
    install(site, tmp_path / "jib.py")
    assert "has no RECORD" in rows(site, tmp_path)["jib"]["not_pinnable"]
    assert "none: is installed editable" in run(site, tmp_path).stdout


@pytest.mark.parametrize(
    ("text", "complaint"), [("plugins = 7", "plugins: must be an array"), ("]", "is not TOML")], ids=["array", "TOML"]
)
def test_a_configuration_that_cannot_be_read_is_said_so(site: Path, tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "ca.toml").write_text(text)
    done = run(site, tmp_path)
    assert done.returncode == 5
    assert complaint in done.stderr
    assert run(site, tmp_path, "--ca-config", "nothing.toml").returncode == 5


def test_the_digest_is_over_the_octets_of_record_whatever_its_line_ends(site: Path, tmp_path: Path) -> None:
    install_recorded(site, "crane")
    octets = (site / "crane-1.0.dist-info/RECORD").read_bytes()
    assert b"\r\n" in octets
    assert rows(site, tmp_path)["crane"]["pin"] == f"crane@sha256:{hashlib.sha256(octets).hexdigest()}"
