"""From an ID token to a certificate on record, by an authority that has the provisioner."""

import base64
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from mica import MalformedRequest, TokenReused, Unauthorized
from mica.authority import Authority
from mica.errors import AlreadyRevoked, Refused
from mica.issuance import sign_token
from mica.keyfiles import generate
from mica.requests import RevokeRequest, SignRequest, SSHRevokeRequest, SSHSignRequest
from mica.revocation import revoke_by_token
from mica.sshcert import CertType, SSHCertificate
from mica.sshissuance import sign_ssh_token
from mica.sshkeys import SSHPublicKey
from mica.sshrevocation import revoke_ssh
from mica.testing.ca import TestCA, csr
from mica.testing.openid import CLIENT_ID, KEYS, OpenIDProvider, openid_provider
from mica.testing.webserver import Reply
from mica_oidc import plugin

ADMIN = {"email": "root@harbour.example", "sub": "1"}
TABLE = """
[[provisioners]]
type = "oidc"
name = "corp"
client_id = "{client_id}"
configuration_endpoint = "{issuer}"
roots = "{roots}"
admins = ["root@harbour.example"]
domains = ["harbour.example"]

[provisioners.claims]
enable_ssh_ca = true
"""


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[OpenIDProvider]:
    (tmp_path / "provider").mkdir()
    with openid_provider(tmp_path / "provider") as running:
        yield running


@pytest.fixture
def ca(tmp_path: Path, provider: OpenIDProvider) -> TestCA:
    table = TABLE.format(client_id=CLIENT_ID, issuer=provider.issuer, roots=provider.server.roots)
    return TestCA.found(tmp_path / "ca", more=table, ssh=True)


@pytest.fixture
async def authority(ca: TestCA) -> AsyncIterator[Authority]:
    authority = ca.authority({"oidc": plugin})
    await authority.start()
    yield authority
    await authority.aclose()


def token(provider: OpenIDProvider, ca: TestCA, **claims: Any) -> str:
    return provider.maker(ca.clock(), **claims).good()


def order(**members: Any) -> SSHSignRequest:
    return SSHSignRequest(public_key=SSHPublicKey.of(generate("EC-P256").public_key()), **members)


async def test_a_user_is_certified_for_what_the_provider_says_and_nothing_else(
    provider: OpenIDProvider, ca: TestCA, authority: Authority, tmp_path: Path
) -> None:
    raw = token(provider, ca)
    issued = await sign_token(authority, SignRequest(csr=csr("evil.example", "10.0.0.1", "root@evil.example")), raw)
    leaf = tmp_path / "leaf.der"
    leaf.write_bytes(issued.issuance.certificate)
    command = ["openssl", "x509", "-inform", "DER", "-in", leaf, "-noout", "-subject", "-ext", "subjectAltName"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "subject=CN = 248289761001" in shown.replace("CN=", "CN = ")
    assert f"email:Ann.B@harbour.example, URI:{provider.issuer}#248289761001" in shown
    assert "evil" not in shown
    for again in (sign_token(authority, SignRequest(csr=csr("x")), raw), sign_ssh_token(authority, order(), raw)):
        with pytest.raises(TokenReused):
            await again


async def test_an_administrator_is_certified_for_what_the_request_says(
    provider: OpenIDProvider, ca: TestCA, authority: Authority
) -> None:
    request = SignRequest(csr=csr("web.example", "10.0.0.1", common_name="web.example"))
    issued = await sign_token(authority, request, token(provider, ca, **ADMIN))
    certificate = x509.load_der_x509_certificate(issued.issuance.certificate)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["web.example"]
    assert len(names) == 2
    with pytest.raises(Refused, match="subjectAltName"):
        await sign_token(authority, SignRequest(csr=csr(common_name="web.example")), token(provider, ca, **ADMIN))


async def test_a_user_gets_an_ssh_certificate_with_principals_of_their_own(
    provider: OpenIDProvider, ca: TestCA, authority: Authority
) -> None:
    issued = await sign_ssh_token(authority, order(), token(provider, ca))
    tbs = SSHCertificate.decode(issued.certificate).tbs
    assert tbs.key_id == "Ann.B@harbour.example"
    assert tbs.valid_principals == ("annb", "Ann.B", "Ann.B@harbour.example")
    for members in ({"principals": ("root",)}, {"cert_type": CertType.HOST}):
        with pytest.raises(Refused, match="does not match"):
            await sign_ssh_token(authority, order(**members), token(provider, ca))
    with pytest.raises(Refused, match="plain name"):
        await sign_ssh_token(authority, order(), token(provider, ca, email="a*b@harbour.example"))


async def test_an_administrator_says_all_of_an_ssh_certificate_or_gets_none(
    provider: OpenIDProvider, ca: TestCA, authority: Authority, tmp_path: Path
) -> None:
    whole: dict[str, Any] = {"cert_type": CertType.HOST, "key_id": "web 1", "principals": ("web.example", "10.0.0.1")}
    for missing, named in (("cert_type", "certType"), ("key_id", "keyID"), ("principals", "principals")):
        part = {name: value for name, value in whole.items() if name != missing}
        with pytest.raises(MalformedRequest, match=f"^ssh certificate {named} cannot be empty$"):
            await sign_ssh_token(authority, order(**part), token(provider, ca, **ADMIN))
    issued = await sign_ssh_token(authority, order(**whole), token(provider, ca, **ADMIN))
    line = tmp_path / "host-cert.pub"
    type_ = SSHCertificate.decode(issued.certificate).tbs.type
    line.write_text(f"{type_} {base64.b64encode(issued.certificate).decode()}")
    shown = subprocess.run(["ssh-keygen", "-L", "-f", line], capture_output=True, text=True, check=True).stdout
    assert "host certificate" in shown
    assert 'Key ID: "web 1"' in shown
    assert "web.example" in shown
    for name in ("deploy,root", "*", "", "a b", "x\n"):
        with pytest.raises(Refused):
            await sign_ssh_token(authority, order(**{**whole, "principals": (name,)}), token(provider, ca, **ADMIN))


async def test_an_administrator_revokes_any_certificate_and_a_user_none(
    provider: OpenIDProvider, ca: TestCA, authority: Authority
) -> None:
    issued = await sign_token(authority, SignRequest(csr=csr("x")), token(provider, ca))
    request = RevokeRequest(serial_number=issued.issuance.id.serial_number)
    with pytest.raises(Unauthorized, match="administrators"):
        await revoke_by_token(authority, request, token(provider, ca))
    await revoke_by_token(authority, request, token(provider, ca, **ADMIN))
    with pytest.raises(AlreadyRevoked):
        await revoke_by_token(authority, request, token(provider, ca, **ADMIN))
    ssh = await sign_ssh_token(authority, order(), token(provider, ca))
    by_serial = SSHRevokeRequest(serial_number=ssh.issuance.id.serial_number)
    with pytest.raises(Unauthorized, match="administrators"):
        await revoke_ssh(authority, by_serial, token(provider, ca))
    await revoke_ssh(authority, by_serial, token(provider, ca, **ADMIN))
    another = await sign_ssh_token(authority, order(), token(provider, ca))
    await revoke_ssh(authority, SSHRevokeRequest(key_id="Ann.B@harbour.example"), token(provider, ca, **ADMIN))
    assert await authority.store.revocation(another.issuance.id) is not None


async def test_while_the_provider_is_down_the_provisioner_is_listed_and_refuses(
    provider: OpenIDProvider, ca: TestCA
) -> None:
    provider.server.replies[KEYS] = Reply(status=503)
    authority = ca.authority({"oidc": plugin})
    await authority.start()
    try:
        (entry,) = [entry for entry in authority.provisioners if entry.name == "corp"]
        assert entry.describe()["state"] == "Uninitialized"
        assert "503" in entry.describe()["stateReason"]
        with pytest.raises(Unauthorized, match="disabled due to an initialization error"):
            await sign_token(authority, SignRequest(csr=csr("x")), token(provider, ca))
        provider.publish()
        assert await entry.start()
        assert await sign_token(authority, SignRequest(csr=csr("x")), token(provider, ca))
    finally:
        await authority.aclose()
