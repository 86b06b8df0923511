"""``mica ca enable-ssh``: a CA that is there signs SSH certificates as well, and whatever else it says stays."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pexpect
import pytest
from core.tests.cli_ca.conftest import Machine

INIT = (
    "ca", "init", "--name", "Harbour Works", "--dns", "ca.harbour.example", "--address", "127.0.0.1:8443",
    "--provisioner", "ops", "--ca-password-file", "ca-password", "--provisioner-password-file", "other-password",
)  # fmt: skip
ENABLE = ("ca", "enable-ssh", "--password-file", "ca-password")


@pytest.fixture
def host(tmp_path: Path) -> Machine:
    machine = Machine(tmp_path, tmp_path / "home")
    machine.write("ca-password", "the CA's\n")
    machine.write("other-password", "the provisioner's\n")
    machine.mica(*INIT)
    return machine


def table(host: Machine) -> dict[str, Any]:
    return tomllib.loads((host.home / "ca.toml").read_text())


def contents(host: Machine) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in host.home.rglob("*") if path.is_file()}


def test_the_ca_is_as_if_it_had_been_founded_with_ssh(host: Machine) -> None:
    other = Machine(host.folder, host.folder / "other")
    other.mica(*INIT, "--ssh")
    host.mica(*ENABLE)
    assert host.mica("ca", "check", "--password-file", "ca-password").out == "ok\n"
    added, founded = table(host), table(other)
    assert added["signers"] == founded["signers"]
    assert added["plugins"] == founded["plugins"]
    assert added["provisioners"][1] == founded["provisioners"][1]
    assert sorted(path.relative_to(host.home) for path in contents(host)) == sorted(
        path.relative_to(other.home) for path in contents(other)
    )
    for cert_type in ("user", "host"):
        key = host.home / f"secrets/ssh_{cert_type}_ca_key"
        assert key.stat().st_mode & 0o777 == 0o600
        opened = subprocess.run(["ssh-keygen", "-y", "-P", "the CA's", "-f", key], capture_output=True, text=True)
        public = (host.home / f"certs/ssh_{cert_type}_ca_key.pub").read_text()
        assert opened.stdout.split()[:2] == public.split()[:2]


def test_no_provisioner_may_order_ssh_certificates_until_it_is_told(host: Machine) -> None:
    said = host.mica(*ENABLE).err
    assert "claims" not in table(host)["provisioners"][0]
    assert "mica ca provisioner update ops --ssh" in said
    assert "SIGHUP" in said
    host.mica("ca", "provisioner", "update", "ops", "--ssh")
    assert table(host)["provisioners"][0]["claims"] == {"enable_ssh_ca": True}


def test_everything_else_in_the_configuration_stays(host: Machine) -> None:
    configuration = host.home / "ca.toml"
    before = configuration.read_text().replace("[signers.x509]", "# The usual signer.\n[signers.x509]")
    before += "\n# What every provisioner inherits.\n[claims]\ndisable_renewal = false # not yet\n"
    configuration.write_text(before)
    configuration.chmod(0o640)
    host.mica(*ENABLE)
    after = configuration.read_text().splitlines()
    assert [line for line in before.splitlines() if line not in after] == [
        'plugins = ["x509signer", "filekeys", "jwk", "storage_sqlite"]'
    ]
    assert after.index("[signers.ssh]") < after.index("[[provisioners]]")
    assert configuration.stat().st_mode & 0o777 == 0o640


def test_a_second_time_nothing_is_changed(host: Machine) -> None:
    host.mica(*ENABLE)
    before = contents(host)
    ran = host.mica(*ENABLE, "--json")
    assert "nothing has been changed" in ran.err
    assert json.loads(ran.out) == {"config": str(host.home / "ca.toml"), "changed": False, "dry_run": False}
    assert contents(host) == before


def test_the_report_names_what_was_made(host: Machine) -> None:
    ran = host.mica(*ENABLE, "--json")
    told = json.loads(ran.out)
    assert told["changed"] is True
    assert told["ssh_user_public_key"] == str(host.home / "certs/ssh_user_ca_key.pub")
    assert f"✔ SSH host private key: {host.home}/secrets/ssh_host_ca_key\n" in ran.err


def test_a_dry_run_writes_nothing_and_asks_nothing(host: Machine) -> None:
    before = contents(host)
    ran = host.mica("ca", "enable-ssh", "--dry-run", "--json")
    assert "Nothing has been written" in ran.err
    assert json.loads(ran.out)["dry_run"] is True
    assert contents(host) == before


def test_an_sshpop_provisioner_that_is_there_is_enough_and_a_taken_name_is_not_used(host: Machine) -> None:
    host.mica("ca", "provisioner", "update", "ops", "--name", "sshpop")
    host.mica(*ENABLE)
    assert [(each["type"], each["name"]) for each in table(host)["provisioners"]] == [
        ("jwk", "sshpop"), ("sshpop", "sshpop-1"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "arguments", "code", "text"),
    [
        (None, ("--password-file", "other-password"), 5, "the key cannot be decrypted"),
        (None, ("--password-file", "none"), 5, "none: there is no such file"),
        (None, ("--ca-config", "none"), 5, "none: there is no such file"),
        (None, ("--ca-config", "other-password"), 5, "is not TOML"),
        (None, (), 6, "--password-file"),
        (("address = ", "adress = "), (), 5, 'extra field "adress"'),
        (('"filekeys", ', ""), ("--password-file", "ca-password"), 5, "no enabled plugin serves file:"),
        (("[signers.x509]", "[signers.x509] # \xff"), (), 5, "must be UTF-8"),
    ],
)
def test_what_cannot_be_is_told_and_everything_stays(
    host: Machine, change: tuple[str, str] | None, arguments: tuple[str, ...], code: int, text: str
) -> None:
    configuration = host.home / "ca.toml"
    if change:
        configuration.write_bytes(configuration.read_text().replace(*change).encode("latin-1"))
    before = contents(host)
    assert text in host.mica("ca", "enable-ssh", *arguments, code=code).err
    assert contents(host) == before


def test_a_key_that_lies_there_is_not_replaced(host: Machine) -> None:
    key = host.home / "secrets/ssh_host_ca_key"
    key.write_text("precious")
    before = contents(host)
    said = host.mica(*ENABLE, code=5).err
    assert str(key) in said
    assert "move them away" in said
    assert contents(host) == before


def test_signers_in_one_line_are_left_to_their_operator(host: Machine) -> None:
    configuration = host.home / "ca.toml"
    text = configuration.read_text()
    start, end = text.index("[signers.x509]"), text.index("[[provisioners]]")
    lines = text[start:end].splitlines()[1:]
    inline = f"signers = {{ x509 = {{ {', '.join(line for line in lines if line)} }} }}\n"
    configuration.write_text(inline + text[:start] + text[end:])
    assert host.mica("ca", "check", "--password-file", "ca-password").out == "ok\n"
    before = contents(host)
    assert "edit it by hand" in host.mica(*ENABLE, code=1).err
    assert contents(host) == before


def test_a_founding_over_a_ca_tells_of_the_other_way(host: Machine) -> None:
    assert "mica ca enable-ssh" in host.mica(*INIT, "--ssh", code=5).err


def test_the_password_is_asked_for_twice(host: Machine) -> None:
    environment = {**os.environ, "MICAPATH": str(host.home), "NO_COLOR": "1", "TERM": "dumb"}
    child = pexpect.spawn(
        sys.executable, ["-m", "mica.cli", "ca", "enable-ssh"], env=environment, encoding="utf-8", timeout=30
    )
    for question in ("enter the password of the CA keys", "once more"):
        child.expect(question)
        child.sendline("the CA's")
    child.expect("The CA does not know yet")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
