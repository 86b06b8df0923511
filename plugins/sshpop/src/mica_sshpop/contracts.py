"""The suites of ``mica.testing`` that the plugin keeps, for every kind of key."""

import base64
import secrets
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    SSHCertificateBuilder,
    SSHCertificateType,
)

from mica import Context, Operation
from mica.client import TokenOrder
from mica.sshcert import SSHCertificate
from mica.sshkeys import SSHPublicKey
from mica.testing.algorithms import EachAlgorithm, Signer, signing_key
from mica.testing.contexts import URL, Clock
from mica.testing.line import Line, ProvisionerLineContract
from mica.testing.line_requests import send
from mica.testing.makers import Maker, SigningKey
from mica.testing.provisioners import TokenProvisionerContract
from mica.testing.sources import PaperDesk, TokenSourceContract
from mica_sshpop.client import SSHPOPTokenSource
from mica_sshpop.provisioner import SSHPOPConfig, SSHPOPProvisioner

RENEW, REKEY, REVOKE = Operation.SSH_RENEW, Operation.SSH_REKEY, Operation.SSH_REVOKE
ALL = (RENEW, REKEY, REVOKE)
CA = ed25519.Ed25519PrivateKey.generate()
P256 = signing_key("ES256")
HOST = SSHCertificateType.HOST
SERIAL = 2**64 - 2
HOUR = timedelta(hours=1)


def certify(
    key: SigningKey,
    now: datetime,
    *,
    ca: SigningKey = CA,
    cert_type: SSHCertificateType = HOST,
    start: timedelta = -HOUR,
    end: timedelta = HOUR,
    key_id: bytes = b"web.example",
) -> bytes:
    """The blob of a certificate as pyca writes it."""
    builder = (
        SSHCertificateBuilder()
        .public_key(key.public_key())
        .serial(SERIAL)
        .type(cert_type)
        .key_id(key_id)
        .valid_principals([b"web.example"])
        .valid_after(int((now + start).timestamp()))
        .valid_before(int((now + end).timestamp()))
    )
    return base64.b64decode(builder.sign(ca).public_bytes().split()[1])


def claims(operation: Operation, now: datetime, name: str = "sshpop", serial: int = SERIAL) -> dict[str, Any]:
    """What step's command line puts in a token."""
    moment = int(now.timestamp())
    return {
        "iss": name, "iat": moment, "nbf": moment, "exp": moment + 300, "jti": secrets.token_hex(32),
        "sub": str(serial), "aud": f"{URL}/1.0/ssh/{operation.removeprefix('ssh-')}#sshpop/{name}",
    }  # fmt: skip


def header(blob: bytes, alg: str) -> dict[str, Any]:
    """A token's header with the certificate."""
    return {"alg": alg, "typ": "JWT", "kid": "/etc/ssh/ssh_host_key", "sshpop": base64.b64encode(blob).decode()}


class Suite(Signer, TokenProvisionerContract):
    """The contract of the provisioner by itself, for one key and algorithm."""

    ordered: ClassVar[tuple[Operation, ...]] = ALL
    name: ClassVar[str] = "sshpop"

    def build(self, context: Context) -> SSHPOPProvisioner:
        """One of that name."""
        return SSHPOPProvisioner(SSHPOPConfig(name=self.name), context)

    def maker(self, operation: Operation, now: datetime) -> Maker:
        """The holder of a certificate."""
        # The kid of such tokens is anything, and so it is no case for the corpus.
        members = {name: value for name, value in header(certify(self.key, now), self.alg).items() if name != "kid"}
        return Maker(key=self.key, header=members, payload=claims(operation, now, self.name), now=now)


class TestP256(Suite):
    """ECDSA with P-256."""


class TestOtherAlgorithms(EachAlgorithm, Suite):
    """What differs with another key is the signature, which one order shows."""

    ordered: ClassVar[tuple[Operation, ...]] = (RENEW,)
    algorithms = ("ES384", "ES512", "EdDSA", "RS256")


class TestANameOfSeveralWords(Suite):
    """A name that an audience has with a blank."""

    name = "our hosts"


class TestLine(ProvisionerLineContract):
    """The provisioner in whole authorities, which themselves issue the certificates that its tokens are for."""

    ordered = ALL
    plugin = "sshpop"
    name: ClassVar[str] = "hosts"

    def table(self, folder: Path) -> str:
        """There is nothing to say of it."""
        return f'type = "sshpop"\nname = "{self.name}"\n'

    async def bearer(self, line: Line, operation: Operation) -> Maker:
        """A host with a certificate of its own, which it has just been given."""
        token = line.ca.ssh_token("web.example", "host", ["web.example"])
        key = base64.b64encode(SSHPublicKey.of(P256.public_key()).blob).decode()
        reply = await send(line.app, "POST", "/ssh/sign", {"publicKey": key, "ott": token})
        blob = base64.b64decode(reply.json["crt"])
        serial, now = SSHCertificate.decode(blob).tbs.serial, line.ca.clock()
        members = {name: value for name, value in header(blob, "ES256").items() if name != "kid"}
        return Maker(key=P256, header=members, payload=claims(operation, now, self.name, serial), now=now)


class TestTokens(TokenSourceContract):
    """The client's side, with a certificate and its key in files."""

    ordered = ALL

    def build(self) -> SSHPOPTokenSource:
        return SSHPOPTokenSource()

    def provisioner(self, context: Context) -> SSHPOPProvisioner:
        return SSHPOPProvisioner(SSHPOPConfig(name="sshpop"), context)

    def desk(self, directory: Path) -> PaperDesk:
        certificate, key = directory / "host-cert.pub", directory / "host"
        blob = certify(P256, Clock()())
        certificate.write_text(f"{SSHCertificate.decode(blob).tbs.type} {base64.b64encode(blob).decode()}\n")
        key.write_bytes(_key_file())
        key.chmod(0o600)
        return PaperDesk(certificate_file=certificate, key_file=key)

    def order(self, operation: Operation, clock: Clock) -> TokenOrder:
        """It concerns the certificate on the desk, whatever is to become of it."""
        return replace(super().order(operation, clock), subject=str(SERIAL))

    def secrets(self) -> Iterator[str]:
        yield _key_file().decode().splitlines()[1]


def _key_file() -> bytes:
    return P256.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
