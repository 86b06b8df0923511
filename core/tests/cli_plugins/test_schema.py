"""``mica ca schema``: another's validator and the CA's own reader agree on what ca.toml may say."""

import json
import os
import subprocess
import sys
import tomllib
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import pytest
from core.tests.cli_plugins.distributions import install_recorded
from jsonschema import Draft202012Validator

from mica.assembly import Assembly
from mica.clock import system_clock
from mica.config import Settings, structure_core
from mica.errors import ConfigError
from mica.hooks import Hooks
from mica.schema import of_type
from mica.structuring import structure

PLUGINS = ("x509signer", "sshsigner", "filekeys", "jwk", "oidc", "storage_sqlite", "policy")
GOOD = """
url = "https://ca.example:8443"
address = ":8443"
dns_names = ["ca.example"]
plugins = ["x509signer", "sshsigner", "filekeys", "jwk", "oidc", "storage_sqlite", "policy"]

[claims]
default_tls_cert_duration = "1h30m"

[store]
type = "storage_sqlite"

[signers.x509]
type = "x509signer"
roots = ["root.crt"]
certificate = "intermediate.crt"
key = "file:key"
backdate = "1.5m"

[signers.ssh]
type = "sshsigner"
user_key = "file:user"

[keys.filekeys]

[[provisioners]]
type = "JWK"
name = "admin"
key = { kty = "OKP", crv = "Ed25519", x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", kid = "k" }
claims = { enable_ssh_ca = true }
policy = { x509 = { allow = { dns = ["*.example"] } } }

[plugin.policy]
x509 = { allow = { dns = ["*.example"] } }
"""
#: One mistake each: what is replaced, and by what.
MISTAKES = {
    "an unknown member": ('address = ":8443"', 'address = ":8443"\nadress = ":1"'),
    "a missing member": ('url = "https://ca.example:8443"\n', ""),
    "a number for a text": ('address = ":8443"', "address = 8443"),
    "a text for an array": ('dns_names = ["ca.example"]', 'dns_names = "ca.example"'),
    "no pin": ('"jwk", "oidc"', '"jwk@sha256:00", "oidc"'),
    "a number for a duration": ('"1h30m"', "90"),
    "no duration": ('"1h30m"', '"90 minutes"'),
    "a duration with two signs": ('"1h30m"', '"1h-30m"'),
    "an unknown claim": ("default_tls_cert_duration", "default_tls_duration"),
    "a store that nobody offers": ('type = "storage_sqlite"', 'type = "storage_paper"'),
    "a store without type": ('[store]\ntype = "storage_sqlite"', "[store]"),
    "a member that the store does not know": ("[store]\n", "[store]\nx = 1\n"),
    "no signer for X.509": ("[signers.x509]", "[signers.other]"),
    "a signer without key": ('key = "file:key"\n', ""),
    "a text for true": ("enable_ssh_ca = true", 'enable_ssh_ca = "true"'),
    "a text for an array of paths": ('roots = ["root.crt"]', 'roots = "root.crt"'),
    "an empty path": ('roots = ["root.crt"]', 'roots = [""]'),
    "a type of signer for the other": ('type = "sshsigner"', 'type = "x509signer"'),
    "settings of a key backend that nobody offers": ("[keys.filekeys]", "[keys.paper]"),
    "settings that a key backend does not have": ("[keys.filekeys]", "[keys.filekeys]\nx = 1"),
    "a provisioner without name": ('name = "admin"\n', ""),
    "a provisioner of an unknown type": ('type = "JWK"', 'type = "JWKS"'),
    "a member of another type": ('name = "admin"', 'name = "admin"\nclient_id = "x"'),
    "a number in a key": ('kid = "k"', "kid = 1"),
    "a policy at a provisioner that nobody knows": ('policy = { x509 = { allow', "policy = { x508 = { allow"),
    "settings of an extension that nobody offers": ("[plugin.policy]", "[plugin.police]"),
    "a policy that nobody knows": ('\nx509 = { allow = { dns', '\nx509 = { allow = { dms'),
}  # fmt: skip


def printed(*arguments: str, **environment: str) -> Any:
    """What the command has on stdout."""
    command = [sys.executable, "-m", "mica.cli", "ca", "schema", *arguments]
    return json.loads(subprocess.check_output(command, env=os.environ | environment, timeout=60))


@pytest.fixture(scope="module")
def schema() -> Any:
    found = printed(*(argument for name in PLUGINS for argument in ("--plugin", name)))
    Draft202012Validator.check_schema(found)
    return found


def reader_accepts(text: str) -> bool:
    """Whether the CA takes every table, apart from the files that they name."""
    core, faults = structure_core(tomllib.loads(text))
    assembly = Assembly(Settings(path=Path("/nonexistent/ca.toml"), core=core), Hooks(), system_clock)
    assembly.load_plugins({})
    assembly.store()
    assembly.entries()
    backends = assembly.key_backends()
    assembly.issuers(backends)
    assembly.ssh_issuer(backends)
    return not [fault for fault in [*faults, *assembly.faults] if "No such file" not in fault]


def test_a_configuration_that_the_ca_takes_is_valid(schema: Any) -> None:
    document = tomllib.loads(GOOD)
    assert [error.message for error in Draft202012Validator(schema).iter_errors(document)] == []
    assert reader_accepts(GOOD)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_what_the_ca_refuses_is_not_valid(schema: Any, mistake: str) -> None:
    old, new = MISTAKES[mistake]
    assert GOOD.count(old) == 1
    bad = GOOD.replace(old, new)
    assert not Draft202012Validator(schema).is_valid(tomllib.loads(bad))
    assert not reader_accepts(bad)


@pytest.mark.parametrize("duration", ["24h", "1h30m", "7d", ".5s", "1.h", "0", "-1m", "+2w", "5µs", "", "h", "1", "1x",
                                      "1h ", "00", "1e3s", "٣h", "9" * 64 + "h"])  # fmt: skip
def test_a_duration_is_one_for_both(duration: str) -> None:
    @dataclass(frozen=True, kw_only=True)
    class Table:
        wait: timedelta

    try:
        taken = structure(Table, {"wait": duration}, "table") is not None
    except ConfigError:
        taken = False
    assert Draft202012Validator(of_type(timedelta)).is_valid(duration) is taken


def test_fields_bring_their_help_and_their_defaults() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Table:
        mode: Literal["log", "refuse"] = field(default="log", metadata={"help": "What it does"})
        wait: timedelta = field(default=timedelta(minutes=90), metadata={"help": "How long"})
        names: tuple[str, ...] = ()
        note: str | None = None

    found = of_type(Table)["properties"]
    assert found["mode"] == {"enum": ["log", "refuse"], "description": "What it does", "default": "log"}
    assert (found["wait"]["default"], found["wait"]["description"]) == ("1h30m0s", "How long")
    assert found["names"] == {"type": "array", "items": {"type": "string"}, "default": []}
    assert found["note"] == {"type": "string"}


def test_the_types_of_the_configuration_at_hand_are_known_and_no_others(tmp_path: Path) -> None:
    (tmp_path / "ca.toml").write_text(GOOD.replace('"oidc", ', "").replace('"jwk"', '"jwk"'))
    found = printed("--ca-config", str(tmp_path / "ca.toml"))
    tables = found["properties"]["provisioners"]["items"]["oneOf"]
    assert [table["title"] for table in tables] == ["jwk"]
    assert set(tables[0]["properties"]) == {"type", "name", "claims", "key", "encrypted_key", "policy"}


def test_where_no_plugin_offers_a_store_no_store_is_valid(tmp_path: Path) -> None:
    found = printed("--plugin", "x509signer", MICAPATH=str(tmp_path))
    assert not Draft202012Validator(found).is_valid(tomllib.loads(GOOD))


def test_a_plugin_that_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    install_recorded(tmp_path / "site", "crane", "raise RuntimeError('rust')")
    command = [sys.executable, "-m", "mica.cli", "ca", "schema", "--plugin", "crane"]
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "site")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (5, "")
    assert "\"crane\" cannot be imported: RuntimeError('rust')" in done.stderr
    assert "Traceback" not in done.stderr
