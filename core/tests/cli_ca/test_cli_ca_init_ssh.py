"""``mica ca init --ssh``: the keys that sign SSH certificates are made with the CA, all or nothing."""

import json
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from core.tests.cli_ca.conftest import Machine

FLAGS = (
    "ca", "init", "--ssh", "--name", "Harbour Works", "--dns", "ca.harbour.example", "--address", "127.0.0.1:8443",
    "--provisioner", "ops", "--ca-password-file", "ca-password", "--provisioner-password-file", "other-password",
)  # fmt: skip
PASSWORD = "the CA's"
SSH_FILES = [
    "certs/ssh_host_ca_key.pub", "certs/ssh_user_ca_key.pub", "secrets/ssh_host_ca_key", "secrets/ssh_user_ca_key",
]  # fmt: skip


@pytest.fixture
def host(tmp_path: Path) -> Machine:
    machine = Machine(tmp_path, tmp_path / "home")
    machine.write("ca-password", f"{PASSWORD}\n")
    machine.write("other-password", "the provisioner's\n")
    return machine


def ssh_keygen(*arguments: str | Path) -> str:
    done = subprocess.run(["ssh-keygen", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def configuration(host: Machine) -> dict[str, Any]:
    return tomllib.loads((host.home / "ca.toml").read_text())


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_ssh_keygen_reads_the_keys_and_the_two_halves_belong_together(host: Machine) -> None:
    host.mica(*FLAGS)
    fingerprints = set()
    for cert_type in ("user", "host"):
        private = host.home / f"secrets/ssh_{cert_type}_ca_key"
        public = host.home / f"certs/ssh_{cert_type}_ca_key.pub"
        assert private.stat().st_mode & 0o777 == 0o600
        key_type, blob, comment = public.read_text().rstrip("\n").split(" ", 2)
        assert comment == f"Harbour Works SSH {cert_type} CA"
        assert ssh_keygen("-y", "-P", PASSWORD, "-f", private).split()[:2] == [key_type, blob]
        size, fingerprint, *_, kind = ssh_keygen("-l", "-f", public).split()
        assert (size, kind) == ("256", "(ECDSA)")
        fingerprints.add(fingerprint)
    assert len(fingerprints) == 2


def test_the_keys_are_encrypted_with_the_password_of_the_ca(host: Machine) -> None:
    host.mica(*FLAGS)
    for name in ("ssh_user_ca_key", "ssh_host_ca_key"):
        key = host.home / "secrets" / name
        assert key.read_text().startswith("-----BEGIN ENCRYPTED PRIVATE KEY-----\n")
        host.openssl("pkey", "-in", str(key), "-passin", "file:ca-password", "-noout")
        opened = subprocess.run(["ssh-keygen", "-y", "-P", "the provisioner's", "-f", key], capture_output=True)
        assert opened.returncode != 0


def test_the_configuration_signs_for_ssh_and_both_provisioners_may_order_it(host: Machine) -> None:
    host.mica(*FLAGS)
    found = configuration(host)
    assert found["plugins"][-2:] == ["sshsigner", "sshpop"]
    assert found["signers"]["ssh"] == {
        "type": "sshsigner",
        "user_key": "file:secrets/ssh_user_ca_key",
        "host_key": "file:secrets/ssh_host_ca_key",
    }
    jwk, sshpop = found["provisioners"]
    assert (jwk["type"], jwk["name"], jwk["claims"]) == ("jwk", "ops", {"enable_ssh_ca": True})
    assert sshpop == {"type": "sshpop", "name": "sshpop", "claims": {"enable_ssh_ca": True}}


def test_the_ca_accepts_what_was_made(host: Machine) -> None:
    host.mica(*FLAGS)
    told = json.loads(host.mica("ca", "check", "--password-file", "ca-password", "--json").out)
    assert told["provisioners"] == ["ops", "sshpop"]
    assert told["hooks"]["register_ssh_signers"] == ["sshsigner"]
    assert "cannot be decrypted" in host.mica("ca", "check", "--password-file", "other-password", code=5).err


def test_a_first_provisioner_of_the_same_name_gives_the_second_another(host: Machine) -> None:
    host.mica(*FLAGS, "--provisioner", "sshpop")
    assert [table["name"] for table in configuration(host)["provisioners"]] == ["sshpop", "sshpop-1"]


def test_without_the_flag_there_is_nothing_of_ssh(host: Machine) -> None:
    host.mica(*(flag for flag in FLAGS if flag != "--ssh"))
    assert not [name for name in files(host.home) if "ssh" in name]
    assert "ssh" not in (host.home / "ca.toml").read_text()


def test_the_summary_and_the_report_name_the_keys(host: Machine) -> None:
    ran = host.mica(*FLAGS, "--json")
    assert "Generating user and host SSH certificate signing keys... done!\n" in ran.err
    lines = [line for line in ran.err.splitlines() if line.startswith("✔ SSH")]
    assert lines == [
        f"✔ SSH user public key: {host.home}/certs/ssh_user_ca_key.pub",
        f"✔ SSH user private key: {host.home}/secrets/ssh_user_ca_key",
        f"✔ SSH host public key: {host.home}/certs/ssh_host_ca_key.pub",
        f"✔ SSH host private key: {host.home}/secrets/ssh_host_ca_key",
    ]
    told = json.loads(ran.out)
    assert told["ssh_user_public_key"] == f"{host.home}/certs/ssh_user_ca_key.pub"
    assert told["ssh_host_private_key"] == f"{host.home}/secrets/ssh_host_ca_key"
    assert "mica ssh config" in ran.err


def test_a_dry_run_tells_of_the_keys_and_makes_none(host: Machine) -> None:
    ran = host.mica(*FLAGS, "--dry-run", "--json")
    assert f"✔ SSH user private key: {host.home}/secrets/ssh_user_ca_key\n" in ran.err
    assert "Generating" not in ran.err
    assert json.loads(ran.out)["ssh_host_public_key"] == f"{host.home}/certs/ssh_host_ca_key.pub"
    assert not host.home.exists()


def test_pki_alone_makes_the_keys_and_no_configuration(host: Machine) -> None:
    host.mica("ca", "init", "--pki", "--ssh", "--name", "Harbour Works", "--ca-password-file", "ca-password")
    assert [name for name in files(host.home) if "ssh" in name] == SSH_FILES
    assert not (host.home / "ca.toml").exists()


def test_keys_that_are_there_are_replaced_only_with_force(host: Machine) -> None:
    (host.home / "secrets").mkdir(parents=True)
    key = host.home / "secrets/ssh_user_ca_key"
    key.write_text("an old key")
    ran = host.mica(*FLAGS, code=5)
    assert str(key) in ran.err
    assert "--force" in ran.err
    assert files(host.home) == ["secrets/ssh_user_ca_key"]
    host.mica(*FLAGS, "--force")
    assert key.read_text() != "an old key"
    assert key.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("obstacle", SSH_FILES)
def test_a_key_that_cannot_be_written_leaves_nothing(host: Machine, obstacle: str) -> None:
    (host.home / obstacle).mkdir(parents=True)
    assert "is a directory" in host.mica(*FLAGS, "--force", code=5).err
    assert files(host.home) == []


def test_a_name_with_control_characters_makes_one_line_of_each_key(host: Machine) -> None:
    host.mica(*FLAGS, "--name", "Harbour\nssh-ed25519 AAAA\x1b")
    line = (host.home / "certs/ssh_user_ca_key.pub").read_text()
    assert line.endswith(" Harbour?ssh-ed25519 AAAA? SSH user CA\n")
    assert line.count("\n") == 1
    ssh_keygen("-l", "-f", host.home / "certs/ssh_user_ca_key.pub")
