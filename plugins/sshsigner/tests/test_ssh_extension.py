"""``[plugin.sshsigner]``: what may stand there, and what is said about the rest."""

from pathlib import Path

import pytest

from mica import ConfigError
from mica.authority import Authority
from mica.config import load
from mica.structuring import structure
from mica.testing.ca import TestCA
from mica.testing.contexts import Clock, make_context
from mica.testing.keygen import Keygen
from mica.web.app import create_app
from mica_sshsigner.extension import BastionSettings, SSHService, SSHServiceSettings


def build(directory: Path, **table: object) -> SSHService:
    settings = structure(SSHServiceSettings, table, "plugin.sshsigner")
    return SSHService(settings, make_context(Clock(), directory))


def faults(directory: Path, **table: object) -> str:
    with pytest.raises(ConfigError) as caught:
        build(directory, **table)
    return str(caught.value)


def test_nothing_need_stand_there(tmp_path: Path) -> None:
    service = build(tmp_path)
    assert not any(service.federated.values())
    assert (service.settings.bastion, service.settings.list_hosts) == (None, True)


def test_a_federated_key_belongs_to_users_or_to_hosts(keygen: Keygen) -> None:
    keygen.key("p256")
    both = faults(keygen.folder, federated_user_keys=["p256.pub"], federated_host_keys=["p256.pub"])
    assert both.startswith("federated_host_keys: the key SHA256:")
    assert both.endswith(" is that of federated_user_keys too; users and hosts need two CAs")


def test_a_federated_key_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.pub").write_text("prose\n")
    assert faults(tmp_path, federated_host_keys=["a.pub", "b.pub"]).splitlines() == [
        "federated_host_keys[0]: a.pub: line 1: is no SSH public key or certificate",
        f"federated_host_keys[1]: {tmp_path}/b.pub: cannot be read: No such file or directory",
    ]


@pytest.mark.parametrize(
    ("bastion", "fault"),
    [
        ({"hostname": ""}, "bastion.hostname: must name the bastion"),
        ({"hostname": "-oProxyCommand=x"}, "bastion.hostname: must be one word that is no option"),
        ({"hostname": "a b"}, "bastion.hostname: must be one word that is no option"),
        ({"hostname": "a", "user": "-x"}, "bastion.user: must be one word that is no option"),
        ({"hostname": "a", "cmd": "nc\n"}, "bastion.cmd: must not contain line ends"),
        ({"hostname": "a", "port": 0}, "bastion.port: must be from 1 to 65535, not 0"),
        ({"hostname": "a", "port": 70000}, "bastion.port: must be from 1 to 65535, not 70000"),
        ({"user": "ops"}, "plugin.sshsigner.bastion.hostname: is missing"),
        ({"hostname": "a", "port": "22"}, "plugin.sshsigner.bastion.port: must be an integer"),
        ({"hostname": "a", "shell": ""}, 'plugin.sshsigner.bastion: extra field "shell"'),
    ],
)
def test_a_bastion_that_no_client_could_use_is_refused(tmp_path: Path, bastion: dict[str, object], fault: str) -> None:
    assert fault in faults(tmp_path, bastion=bastion)


def test_every_fault_of_the_table_is_told(tmp_path: Path) -> None:
    template = {"name": "a", "type": "none", "path": "a", "file": "absent"}
    table = {"user_templates": [template], "host_templates": [template], "bastion": {"hostname": ""}}
    keys = {"federated_user_keys": ["a.pub"], "federated_host_keys": ["b.pub"]}
    assert len(faults(tmp_path, **table, **keys).splitlines()) == 7


def test_a_client_learns_what_is_set_of_a_bastion_and_no_more() -> None:
    assert BastionSettings(hostname="b.example").describe() == {"hostname": "b.example"}
    assert BastionSettings(hostname="b.example", port=22).describe() == {"hostname": "b.example", "port": "22"}


def test_faults_of_the_configuration_have_their_whole_path(tmp_path: Path) -> None:
    ca = TestCA.found(tmp_path, ssh=True, more='\n[plugin.sshsigner]\nfederated_user_keys = ["absent.pub"]\n')
    settings = ca.directory / "ca.toml"
    further = 'type = "sshsigner"\nfurther_user_keys = ["certs/ssh_host_ca_key.pub"]\n'
    settings.write_text(settings.read_text().replace('type = "sshsigner"\n', further))
    with pytest.raises(ConfigError) as caught:
        Authority.assemble(load(settings))
    text = str(caught.value)
    assert "plugin.sshsigner.federated_user_keys[0]: " in text
    assert "signers.ssh.further_user_keys: the key SHA256:" in text and "is that of host_key too" in text


@pytest.mark.parametrize(
    ("setting", "fault"),
    [("user", "is that of signers.ssh too"), ("host", "stands in signers.ssh already")],
)
def test_a_key_of_the_ca_itself_is_not_federated(tmp_path: Path, setting: str, fault: str) -> None:
    more = f'\n[plugin.sshsigner]\nfederated_{setting}_keys = ["certs/ssh_host_ca_key.pub"]\n'
    authority = TestCA.found(tmp_path, ssh=True, more=more).authority()
    with pytest.raises(ConfigError, match=rf"federated_{setting}_keys: the key SHA256:\S+ {fault}"):
        create_app(authority)
