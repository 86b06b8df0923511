"""The SSH half of the CA of this host, in this process: it does what the served one does, in the same store."""

from pathlib import Path

import pytest
from core.tests.cli_ca.conftest import CA_PASSWORD, Machine
from core.tests.cli_ssh.sshclients import SSHCA, running_ca

from mica.cli.ca.local_ca import LocalCA
from mica.client import AlreadyRevoked, Client, Refused, sshpoptoken
from mica.client.ssh import SSHOrder
from mica.clock import system_clock
from mica.keyfiles import generate
from mica.sshcert import CertType, SSHCertificate
from mica.sshkeys import SSHPublicKey

KEY = generate("EC-P256")
BLOB = SSHPublicKey.of(KEY.public_key()).blob
ORDER = SSHOrder(public_key=BLOB)


@pytest.fixture
def local(served_ca: SSHCA) -> LocalCA:
    return LocalCA(served_ca.home / "ca.toml", password=CA_PASSWORD.encode())


@pytest.fixture
def remote(served_ca: SSHCA) -> Client:
    return Client(served_ca.url, served_ca.root.read_bytes())


def token(client: Machine, *arguments: str) -> str:
    return client.mica("ca", "token", "--ssh", *arguments).out.strip()


def own_token(url: str, operation: str, blob: bytes) -> str:
    """A token that the certificate's own key has signed."""
    certificate = SSHCertificate.decode(blob)
    audience, serial = f"{url}/1.0/ssh/{operation}", str(certificate.tbs.serial)
    return sshpoptoken.make(audience, "sshpop", certificate, KEY, serial, system_clock())


def test_the_keys_are_those_that_the_server_tells_of(local: LocalCA, remote: Client) -> None:
    assert local.ssh.roots() == remote.ssh.roots()


def test_a_token_serves_here_or_there_but_once(local: LocalCA, remote: Client, client: Machine) -> None:
    ordered = token(client, "--host", "svc.example")
    issued = local.ssh.sign(ORDER, ordered)
    assert SSHCertificate.decode(issued.certificate).tbs.valid_principals == ("svc.example",)
    with pytest.raises(Refused) as caught:
        remote.ssh.sign(ORDER, ordered)
    assert caught.value.status == 401
    with pytest.raises(Refused, match="this token has been used") as caught:
        local.ssh.sign(ORDER, ordered)
    assert caught.value.explained


def test_what_one_has_issued_the_other_renews_and_revokes(local: LocalCA, remote: Client, client: Machine) -> None:
    first = local.ssh.sign(ORDER, token(client, "--host", "svc.example")).certificate
    renewed = local.ssh.renew(own_token(local.url, "renew", first)).certificate
    assert SSHCertificate.decode(remote.ssh.renew(own_token(local.url, "renew", renewed)).certificate)
    other = SSHPublicKey.of(generate("Ed25519").public_key())
    rekeyed = SSHCertificate.decode(local.ssh.rekey(own_token(local.url, "rekey", first), other.blob).certificate)
    assert rekeyed.tbs.public_key == other
    number = rekeyed.tbs.serial
    local.ssh.revoke(token(client, "--revoke", str(number)), serial=number, reason_code=1, reason="stolen")
    with pytest.raises(AlreadyRevoked):
        remote.ssh.revoke(token(client, "--revoke", str(number)), serial=number)
    with pytest.raises(AlreadyRevoked):
        local.ssh.revoke(token(client, "--revoke", str(number)), serial=number)
    local.ssh.revoke(token(client, "--revoke", "--key-id", "svc.example"), key_id="svc.example")
    with pytest.raises(Refused, match="revoked"):
        local.ssh.renew(own_token(local.url, "renew", first))


def test_a_second_certificate_makes_the_account(local: LocalCA, client: Machine) -> None:
    extra = SSHPublicKey.of(generate("Ed25519").public_key())
    order = SSHOrder(public_key=BLOB, cert_type="user", principals=("alice",), add_user_public_key=extra.blob)
    issued = local.ssh.sign(order, token(client, "alice"))
    assert issued.add_user is not None
    tbs = SSHCertificate.decode(issued.add_user).tbs
    assert (tbs.public_key, tbs.cert_type, tbs.valid_principals) == (extra, CertType.USER, ("provisioner",))


def test_a_ca_without_ssh_says_so(tmp_path: Path) -> None:
    with running_ca(tmp_path, ssh=False) as ca:
        local = LocalCA(ca.home / "ca.toml", password=CA_PASSWORD.encode())
        for call in (
            lambda: local.ssh.roots(),
            lambda: local.ssh.sign(ORDER, "x"),
            lambda: local.ssh.renew("x"),
            lambda: local.ssh.revoke("x", serial=1),
        ):
            with pytest.raises(Refused, match="no keys for SSH") as caught:
                call()
            assert caught.value.status == 404
