"""``ssh config --host``: sshd shows its certificates and believes in users, by what the real sshd says."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from core.tests.cli_ca.conftest import Machine
from core.tests.cli_ssh.sshclients import SSHCA

from mica.testing.sshd import find


def pair(name: str) -> tuple[str, ...]:
    return ("--set", f"Certificate={name}-cert.pub", "--set", f"Key={name}")


@pytest.fixture
def etc_ssh(tmp_path: Path) -> Path:
    """The folder of an image, with a configuration as distributions have it."""
    (folder := tmp_path / "image" / "etc" / "ssh").mkdir(parents=True)
    (folder / "sshd_config").write_text("Port 22\n\nMatch User backup\n\tPermitTTY no\n")
    (folder / "sshd_config").chmod(0o644)
    return folder


def lines(etc_ssh: Path) -> list[str]:
    return [line.strip() for line in (etc_ssh / "sshd_config").read_text().splitlines()]


def test_sshd_takes_the_configuration_for_its_own(client: Machine, served_ca: SSHCA, etc_ssh: Path) -> None:
    said = client.mica("ssh", "config", "--host", "--etc-ssh", etc_ssh, *pair("key")).err
    assert f"✔ Written: {etc_ssh / 'sshd_config'}" in said and "sshd -t" in said
    ca = (etc_ssh / "ca.pub").read_text()
    assert served_ca.key("user") in ca.splitlines()
    # The image's paths are not this machine's.
    config = etc_ssh / "sshd_config"
    config.write_text(config.read_text().replace("/etc/ssh", str(etc_ssh)))
    subprocess.run([find("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", etc_ssh / "key"], check=True)
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    done = subprocess.run([find("sshd"), "-T", "-f", config], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"trustedusercakeys {etc_ssh}/ca.pub" in done.stdout
    assert f"hostcertificate {etc_ssh}/key-cert.pub" in done.stdout
    assert f"hostkey {etc_ssh}/key\n" in done.stdout


def test_the_mode_and_the_other_lines_of_sshd_config_stay(client: Machine, etc_ssh: Path) -> None:
    config = etc_ssh / "sshd_config"
    before, mode = config.read_bytes(), config.stat().st_mode
    client.mica("ssh", "config", "--host", "--etc-ssh", etc_ssh, *pair("key"))
    assert config.read_bytes().startswith(before) and config.stat().st_mode == mode
    client.mica("ssh", "config", "--host", "--etc-ssh", etc_ssh, "--undo")
    assert config.read_bytes() == before and not (etc_ssh / "ca.pub").exists()


def test_several_host_keys_accumulate_in_one_run_and_over_runs(client: Machine, etc_ssh: Path) -> None:
    arguments = ("ssh", "config", "--host", "--etc-ssh", etc_ssh)
    client.mica(*arguments, *pair("ecdsa"), *pair("rsa"))
    client.mica(*arguments, *pair("ed25519"))
    found = lines(etc_ssh)
    assert {line for line in found if line.startswith("HostKey ")} == {
        f"HostKey /etc/ssh/{name}" for name in ("ecdsa", "rsa", "ed25519")
    }
    assert {line for line in found if line.startswith("HostCertificate ")} == {
        f"HostCertificate /etc/ssh/{name}-cert.pub" for name in ("ecdsa", "rsa", "ed25519")
    }
    for once in ("Match all", "TrustedUserCAKeys /etc/ssh/ca.pub", "# end"):
        assert found.count(once) == 1
    client.mica(*arguments, *pair("rsa"), *pair("ed25519"), *pair("ecdsa"))
    assert sorted(lines(etc_ssh)[6:]) == sorted(found[6:])


def test_missing_files_are_warned_of_and_paths_in_etc_ssh_are_understood(client: Machine, etc_ssh: Path) -> None:
    (etc_ssh / "key").touch()
    said = client.mica(
        "ssh",
        "config",
        "--host",
        "--etc-ssh",
        etc_ssh,
        "--set",
        "Certificate=/etc/ssh/key-cert.pub",
        "--set",
        "Key=key",
    ).err
    assert f"warning: {etc_ssh}/key-cert.pub: there is no such file yet" in said and f"{etc_ssh}/key:" not in said
    assert "HostCertificate /etc/ssh/key-cert.pub" in lines(etc_ssh)


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (("Certificate=a-cert.pub",), "--set Certificate=… stands 1 times, and --set Key=… 0 times"),
        (("Certificate=/tmp/a", "Key=b"), "must be a file in /etc/ssh"),
        (("Certificate=a", "Key=../b"), "must be a file in /etc/ssh"),
    ],
)
def test_certificates_and_keys_go_in_pairs_below_etc_ssh(
    client: Machine, etc_ssh: Path, pairs: tuple[str, ...], message: str
) -> None:
    flags = [flag for one in pairs for flag in ("--set", one)]
    assert message in client.mica("ssh", "config", "--host", "--etc-ssh", etc_ssh, *flags, code=2).err


def test_what_the_templates_require_the_ca_tells(client: Machine, etc_ssh: Path) -> None:
    said = client.mica("ssh", "config", "--host", "--etc-ssh", etc_ssh, code=4).err
    assert "required variable 'Certificate' is missing" in said
    assert "hint: each host key has its certificate: --set Certificate=" in said
    assert not (etc_ssh / "ca.pub").exists()


def test_a_folder_that_is_not_there_is_told_of_and_not_made(client: Machine, tmp_path: Path) -> None:
    for folder in (tmp_path / "no" / "etc" / "ssh", client.write("file", "")):
        said = client.mica("ssh", "config", "--host", "--etc-ssh", folder, *pair("key"), code=5).err
        assert f"{folder}: " in said
    assert not (tmp_path / "no").exists()


def test_a_link_out_of_an_image_is_not_followed(client: Machine, etc_ssh: Path, tmp_path: Path) -> None:
    (outside := tmp_path / "sshd_config").write_text("Port 2222\n")
    (etc_ssh / "sshd_config").unlink()
    (etc_ssh / "sshd_config").symlink_to(outside)
    said = client.mica("ssh", "config", "--host", "--etc-ssh", etc_ssh, *pair("key"), code=5).err
    assert f"{etc_ssh}/sshd_config: is a link that leads out of {etc_ssh}" in said
    assert outside.read_text() == "Port 2222\n" and not (etc_ssh / "ca.pub").exists()


def test_undo_in_one_image_leaves_another_as_it_is(client: Machine, etc_ssh: Path, tmp_path: Path) -> None:
    shutil.copytree(etc_ssh, other := tmp_path / "other")
    for folder in (etc_ssh, other):
        client.mica("ssh", "config", "--host", "--etc-ssh", folder, *pair("key"))
    client.mica("ssh", "config", "--host", "--etc-ssh", etc_ssh, "--undo")
    assert (other / "ca.pub").exists() and not (etc_ssh / "ca.pub").exists()
    client.mica("ssh", "config", "--host", "--etc-ssh", other, "--undo")
    assert not (other / "ca.pub").exists()
    again = client.mica("ssh", "config", "--host", "--etc-ssh", other, "--undo")
    assert again.err == "There is nothing to undo.\n" and (other / "sshd_config").exists()
