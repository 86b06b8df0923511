"""Orders of SSH certificates at an assembled authority: keys, requests, tokens of ``admin`` and of the holder."""

from typing import Any

from mica.authority import Authority
from mica.client import sshpoptoken
from mica.keyfiles import PrivateKey, generate
from mica.records import CertificateId
from mica.requests import SSHSignRequest
from mica.sshcert import CertType, SSHCertificate
from mica.sshissuance import IssuedSSH, sign_ssh_token
from mica.sshissuers import id_of
from mica.sshkeys import SSHPublicKey
from mica.testing.ca import TestCA


def public(key: PrivateKey) -> SSHPublicKey:
    """The public half, as SSH has it."""
    return SSHPublicKey.of(key.public_key())


def order(key: PrivateKey | None = None, **members: Any) -> SSHSignRequest:
    """A request for this key, or for a new one."""
    return SSHSignRequest(public_key=public(key or generate("EC-P256")), **members)


def decoded(issued: IssuedSSH) -> SSHCertificate:
    """The certificate, its signature good."""
    certificate = SSHCertificate.decode(issued.certificate)
    certificate.check_signature()
    return certificate


async def user(ca: TestCA, authority: Authority, *principals: str, key: PrivateKey | None = None) -> SSHCertificate:
    """A user's certificate for these principals."""
    token = ca.ssh_token("alice@example", "user", principals or ("alice",))
    return decoded(await sign_ssh_token(authority, order(key), token))


async def host(ca: TestCA, authority: Authority, key: PrivateKey, name: str = "web.example") -> SSHCertificate:
    """A host's certificate for ``name``."""
    return decoded(await sign_ssh_token(authority, order(key), ca.ssh_token(name, "host", (name,))))


def held(ca: TestCA, certificate: SSHCertificate, key: PrivateKey, path: str) -> str:
    """A token by which the holder of ``certificate`` orders what is done at ``path``."""
    serial = str(certificate.tbs.serial)
    return sshpoptoken.make(f"{ca.url}/1.0{path}", "sshpop", certificate, key, serial, ca.clock())


def recorded_id(certificate: SSHCertificate) -> CertificateId:
    """What the certificate is recorded under."""
    return id_of(certificate.tbs.signature_key, certificate.tbs.serial)


def ca_key(ca: TestCA, cert_type: CertType) -> SSHPublicKey:
    """The key that signs certificates of this type."""
    return public(ca.ssh_keys[cert_type].key)
