"""Orders of SSH certificates, for tests of the line: keys, requests, grants, tokens of the holder."""

import secrets
from dataclasses import replace
from datetime import timedelta
from typing import Any

from mica.authority import Authority
from mica.client.sshpoptoken import make
from mica.grants import Exactly, Grant, Operation, Permit, Reusable, SignSSH
from mica.keyfiles import PrivateKey, generate
from mica.records import ProvisionerRef
from mica.requests import SSHSignRequest
from mica.sshcert import CertType, SSHCertificate
from mica.sshissuance import IssuedSSH, issue, sign_ssh_token, ssh_issuer
from mica.sshkeys import SSHPublicKey
from mica.testing.ca import TestCA

HOST = "web.example"


def order(key: PrivateKey | None = None, **members: Any) -> SSHSignRequest:
    """A request for this key, or for a new one."""
    return SSHSignRequest(public_key=SSHPublicKey.of((key or generate("EC-P256")).public_key()), **members)


def decoded(issued: IssuedSSH) -> SSHCertificate:
    """The certificate, its signature good."""
    certificate = SSHCertificate.decode(issued.certificate)
    certificate.check_signature()
    return certificate


async def user(ca: TestCA, authority: Authority, *principals: str, **members: Any) -> SSHCertificate:
    """A user's certificate for these principals."""
    token = ca.ssh_token("alice@example", "user", principals or ("alice",))
    return decoded(await sign_ssh_token(authority, order(**members), token))


async def host(ca: TestCA, authority: Authority, key: PrivateKey, name: str = HOST, **members: Any) -> SSHCertificate:
    """A host's certificate for ``name``."""
    token = ca.ssh_token(name, "host", (name,))
    return decoded(await sign_ssh_token(authority, order(key, **members), token))


def held(ca: TestCA, certificate: SSHCertificate, key: PrivateKey, path: str, subject: str | None = None) -> str:
    """A token by which the holder of ``certificate`` orders something at ``path``."""
    return make(
        audience=f"{ca.url}/1.0{path}",
        name="sshpop",
        certificate=certificate,
        key=key,
        subject=str(certificate.tbs.serial) if subject is None else subject,
        now=ca.clock(),
    )


def permit(**members: Any) -> SignSSH:
    """A permit for alice, with these members over the usual ones."""
    usual = SignSSH(cert_type=CertType.USER, key_id="alice@example", principals=Exactly(names=("alice",)))
    return replace(usual, **members)


def grant(authority: Authority, *permits: Permit) -> Grant:
    """What the provisioner ``admin`` might have granted."""
    return Grant(
        provisioner=ProvisionerRef(name="admin", type="JWK"),
        operation=Operation.SSH_SIGN,
        subject="alice@example",
        spend=Reusable(reason=secrets.token_hex(8)),
        expires_at=authority.now() + timedelta(minutes=5),
        permits=permits,
    )


async def issued_by(authority: Authority, request: SSHSignRequest, *permits: Permit) -> SSHCertificate:
    """What ``request`` gets by a grant of these permits, under the claims of ``admin``."""
    entry = authority.registry.named("admin")
    assert entry is not None
    return decoded(await issue(authority, ssh_issuer(authority), request, grant(authority, *permits), entry.claims))
