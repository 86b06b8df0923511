"""Keys and certificates of ``ssh certificate`` and ``ssh login`` at work: a real sshd takes them, and a real ssh."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from core.tests.cli_ca.conftest import Machine
from core.tests.cli_ssh.sshclients import SSHCA

from mica.testing.agents import RunningAgent
from mica.testing.sshd import HostFiles, Sshd, account, trust_hosts

PLAIN = ("--no-password", "--insecure")
HOST = "host.example"


@pytest.fixture
def sshd(served_ca: SSHCA, client: Machine, tmp_path: Path) -> Iterator[Sshd]:
    """A host whose keys ``mica ssh certificate --host`` has made, one of each kind."""
    files = HostFiles(folder=tmp_path / "etc", keys=("ssh_host_ecdsa_key", "ssh_host_ed25519_key", "ssh_host_rsa_key"))
    files.folder.mkdir()
    for name, kty in zip(files.keys, ("EC", "OKP", "RSA"), strict=True):
        client.mica("ssh", "certificate", "--host", HOST, files.key(name), "--kty", kty, *PLAIN)
    files.user_ca.write_text(served_ca.key("user") + "\n")
    with Sshd(files) as running:
        yield running


@pytest.fixture
def known_hosts(served_ca: SSHCA, tmp_path: Path) -> Path:
    key = tmp_path / "host_ca.pub"
    key.write_text(served_ca.key("host") + "\n")
    return trust_hosts(tmp_path / "known_hosts", key)


def test_sshd_and_ssh_believe_each_other_by_certificates_alone(
    sshd: Sshd, known_hosts: Path, client: Machine, agent: RunningAgent
) -> None:
    for kty, algorithm in (("EC", "ecdsa-sha2-nistp256"), ("OKP", "ssh-ed25519"), ("RSA", "rsa-sha2-512")):
        client.mica("ssh", "certificate", "-n", account(), "alice", f"id_{kty}", "--kty", kty, *PLAIN, "--no-agent")
        only = [f"HostKeyAlgorithms={algorithm}-cert-v01@openssh.com"]
        done = sshd.login(known_hosts=known_hosts, identity=client.path(f"id_{kty}"), options=only)
        assert (done.code, done.stdout) == (0, "logged in\n"), done.stderr
    client.mica("ssh", "certificate", "-n", "somebody-else", "alice", "id_other", *PLAIN, "--no-agent")
    assert sshd.login(known_hosts=known_hosts, identity=client.path("id_other")).code == 255
    client.environment |= agent.environment
    client.mica("ssh", "login", "alice", "-n", account())
    done = sshd.login(known_hosts=known_hosts, agent=agent.socket)
    assert (done.code, done.stdout) == (0, "logged in\n"), done.stderr
