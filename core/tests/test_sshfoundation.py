"""The keys with which a CA signs SSH certificates, and the CA of the tests that has them."""

import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_ssh_public_key

from mica import sshfoundation
from mica.sshcert import CertType
from mica.testing.ca import TestCA
from mica.testing.plugins import enable


def test_each_type_of_certificate_has_a_key_of_its_own() -> None:
    user, host = sshfoundation.new_keys("Harbour Works")
    assert (user.cert_type, host.cert_type) == (CertType.USER, CertType.HOST)
    assert user.key.public_key() != host.key.public_key()
    for key in (user, host):
        assert load_ssh_public_key(key.line) == key.key.public_key()


@pytest.mark.parametrize(
    ("taken", "name"),
    [([], "sshpop"), (["ops"], "sshpop"), (["sshpop"], "sshpop-1"), (["sshpop", "sshpop-1"], "sshpop-2")],
)
def test_the_second_provisioner_has_a_name_of_its_own(taken: list[str], name: str) -> None:
    assert sshfoundation.possession(taken)["name"] == name


def test_claims_that_are_there_stay() -> None:
    table = {"name": "ops", "claims": {"disable_renewal": True}}
    assert sshfoundation.enabled(table)["claims"] == {"disable_renewal": True, "enable_ssh_ca": True}
    assert table["claims"] == {"disable_renewal": True}


def test_a_ca_of_the_tests_signs_ssh_certificates_when_asked_to(tmp_path: Path) -> None:
    ca = TestCA.found(tmp_path, ssh=True, claims={"max_tls_cert_duration": "48h"})
    authority = ca.authority()
    assert authority.ssh is not None
    for cert_type, key in ca.ssh_keys.items():
        assert authority.ssh.key(cert_type).key == key.key.public_key()
        done = subprocess.run(["ssh-keygen", "-y", "-f", tmp_path / key.path], capture_output=True, check=True)
        assert done.stdout.split()[:2] == key.line.split()[:2]
    admin, sshpop = authority.provisioners
    assert admin.claims.enable_ssh_ca
    assert sshpop.claims.enable_ssh_ca
    assert (sshpop.provisioner.type, sshpop.name) == ("SSHPOP", "sshpop")


def test_a_ca_of_the_tests_has_no_ssh_unasked(tmp_path: Path) -> None:
    ca = TestCA.found(tmp_path)
    assert ca.ssh_keys == {}
    assert ca.authority().ssh is None


@pytest.mark.parametrize("ssh", [False, True])
def test_a_plugin_more_is_enabled_beside_those_that_are(tmp_path: Path, ssh: bool) -> None:
    ca = TestCA.found(tmp_path, ssh=ssh)
    before = set(ca.authority().settings.core.plugins)
    enable(ca, "one", "two")
    assert f'"storage_sqlite", "one", "two"{", " if ssh else "]"}' in (tmp_path / "ca.toml").read_text()
    assert before == {"x509signer", "filekeys", "jwk", "storage_sqlite", *(("sshsigner", "sshpop") if ssh else ())}
