"""``ssh config --roots``: keys for hosts and for clients, read by ssh-keygen."""

import base64
import json
from pathlib import Path

import pytest
from core.tests.cli_ca.conftest import Machine
from core.tests.cli_ssh.sshclients import SSHCA, client_of, running_ca

from mica.testing.keygen import Keygen, blob_of


def test_roots_are_for_hosts_and_host_roots_for_clients(client: Machine, served_ca: SSHCA, keygen: Keygen) -> None:
    users, hosts = (client.mica("ssh", "config", *host, "--roots") for host in ((), ("--host",)))
    assert (users.out, users.err) == (served_ca.key("user") + "\n", "")
    assert (hosts.out, hosts.err) == (served_ca.key("host") + "\n", "")
    (keygen.folder / "ca.pub").write_text(users.out)
    assert "(ECDSA)" in keygen("-l", "-f", "ca.pub")


def test_ssh_keygen_finds_the_ca_for_the_hosts_of_the_pattern(client: Machine, keygen: Keygen) -> None:
    lines = client.mica("ssh", "config", "--host", "--roots", "--cert-authority", "*.harbour.example,10.0.0.*").out
    assert lines.startswith("@cert-authority *.harbour.example,10.0.0.* ecdsa-sha2-nistp256 AAAA")
    (keygen.folder / "known").write_text(lines)
    assert "CA" in keygen("-F", "build1.harbour.example", "-f", "known")
    keygen("-F", "build1.elsewhere.example", "-f", "known", code=1)


@pytest.mark.parametrize("pattern", ["", "a b", "a\n*", "#a", "@a", "|1|x", "x" * 1025, "\x1b[31m"])
def test_what_is_no_pattern_is_a_usage_error(client: Machine, pattern: str) -> None:
    client.mica("ssh", "config", "--host", "--roots", "--cert-authority", pattern, code=2)


def test_json_has_the_lines_and_their_fingerprints(client: Machine, served_ca: SSHCA, keygen: Keygen) -> None:
    found = json.loads(client.mica("ssh", "config", "--roots", "--json").out)
    (row,) = found.pop("keys")
    assert found == {"ca_url": served_ca.url, "signs": "user"}
    assert (row["line"], row["type"]) == (served_ca.key("user"), "ecdsa-sha2-nistp256")
    assert row["fingerprint"] in keygen("-l", "-f", served_ca.home / "certs/ssh_user_ca_key.pub")


def test_federation_has_the_keys_of_others_too(tmp_path: Path, keygen: Keygen) -> None:
    other = keygen.key("ed25519", file="other")
    more = f'\n[plugin.sshsigner]\nfederated_host_keys = ["{other}"]\n'
    (tmp_path / "ca").mkdir()
    with running_ca(tmp_path / "ca", more=more) as ca:
        machine = client_of(ca, tmp_path / "client")
        line = f"ssh-ed25519 {base64.b64encode(blob_of(other)).decode()}"
        assert machine.mica("ssh", "config", "--host", "--federation").out == f"{ca.key('host')}\n{line}\n"
        assert machine.mica("ssh", "config", "--host", "--roots").out == f"{ca.key('host')}\n"


def test_a_ca_without_ssh_says_so_whatever_is_asked(tmp_path: Path) -> None:
    (tmp_path / "ca").mkdir()
    with running_ca(tmp_path / "ca", ssh=False) as ca:
        machine = client_of(ca, tmp_path / "client")
        for arguments in (
            ("config", "--roots"),
            ("config", "--federation"),
            ("config", "--set", "User=alice"),
            ("config",),
            ("hosts",),
        ):
            said = machine.mica("ssh", *arguments, code=4).err
            assert said.startswith(
                f"error: the CA at {ca.url} is not configured for SSH\nhint: its operator adds that: "
            )
        assert json.loads(machine.mica("ssh", "hosts", "--json", code=4).err)["error"]["code"] == "refused"
        machine.mica("ssh", "check-host", "localhost", code=1)


def test_a_ca_that_is_away_is_another_exit_code(client: Machine) -> None:
    for arguments in (("config", "--roots"), ("config", "--set", "User=alice"), ("hosts",)):
        client.mica("ssh", *arguments, "--ca-url", "https://localhost:1", code=3)
