"""The suites of ``mica.testing`` that the plugin keeps, for every kind of key."""

import base64
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from mica import Context, Operation
from mica.testing.algorithms import EachAlgorithm, Signer, signing_key
from mica.testing.contexts import URL
from mica.testing.issuers import key_usage, make_ca, name, usual_digest
from mica.testing.line import ProvisionerLineContract
from mica.testing.makers import Maker, SigningKey
from mica.testing.provisioners import TokenProvisionerContract
from mica.testing.renewals import RenewalProvisionerContract
from mica.testing.sources import PaperDesk, TokenSourceContract
from mica_x5c.client import X5CTokenSource
from mica_x5c.provisioner import X5CConfig, X5CProvisioner

NAME = "edge"
SIGN, REVOKE, SSH_SIGN = Operation.X509_SIGN, Operation.X509_REVOKE, Operation.SSH_SIGN
P256 = signing_key("ES256")
ROOT = make_ca("Harbour Root")
ISSUER = make_ca("Harbour Issuer", issuer=ROOT, path_length=0)
ROOT_PEM = ROOT.certificate.public_bytes(Encoding.PEM).decode()


def text_of(certificate: x509.Certificate) -> str:
    """The certificate as an x5c header has it (RFC 7515 §4.1.6)."""
    return base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()


@cache
def leaf(key: SigningKey) -> x509.Certificate:
    """A client's certificate for the key, good for twenty years; the same one each time."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(name("edge.example"))
        .issuer_name(ISSUER.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(2025, 1, 2, tzinfo=UTC))
        .not_valid_after(datetime(2044, 1, 1, tzinfo=UTC))
        .add_extension(key_usage("digital_signature"), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
    )
    return builder.sign(ISSUER.key, usual_digest(ISSUER.key))


def claims(operation: Operation, now: datetime) -> dict[str, Any]:
    """What step's command line puts in a token."""
    moment = int(now.timestamp())
    path = operation.removeprefix("x509-").replace("ssh-", "ssh/")
    shared = {
        "iss": NAME, "iat": moment, "nbf": moment, "exp": moment + 300, "jti": secrets.token_hex(32),
        "aud": f"{URL}/1.0/{path}#x5c/{NAME}",
    }  # fmt: skip
    if operation is REVOKE:
        return {**shared, "sub": "4711"}
    if operation is SSH_SIGN:
        ssh = {"certType": "user", "keyID": "ann@harbour.example", "principals": ["ann"]}
        return {**shared, "sub": "ann@harbour.example", "step": {"ssh": ssh}}
    return {**shared, "sub": "svc.example", "sans": ["svc.example"]}


class Tokens(Signer):
    """A provisioner that believes one root, and the holder of a certificate below it."""

    ordered: ClassVar[tuple[Operation, ...]] = (SIGN, REVOKE, SSH_SIGN)

    def build(self, context: Context) -> X5CProvisioner:
        """It knows the root."""
        return X5CProvisioner(X5CConfig(name=NAME, roots_pem=ROOT_PEM), context)

    def maker(self, operation: Operation, now: datetime) -> Maker:
        """The holder."""
        # The kid of such tokens is anything, and so it is no case for the corpus.
        header = {"alg": self.alg, "typ": "JWT", "x5c": [text_of(leaf(self.key)), text_of(ISSUER.certificate)]}
        return Maker(key=self.key, header=header, payload=claims(operation, now), now=now)


class Suite(Tokens, TokenProvisionerContract, RenewalProvisionerContract):
    """Both contracts of the provisioner by itself."""


class TestP256(Suite):
    """ECDSA with P-256."""


class TestOtherAlgorithms(EachAlgorithm, Suite):
    """What differs with another key is the signature, which one order shows."""

    ordered: ClassVar[tuple[Operation, ...]] = (SIGN,)


class TestLine(Tokens, ProvisionerLineContract):
    """The provisioner in whole authorities."""

    plugin = "x5c"

    def table(self, folder: Path) -> str:
        """One with the root in a file."""
        (folder / "certs/harbour.crt").write_text(ROOT_PEM)
        return f'type = "x5c"\nname = "{NAME}"\nroots = ["certs/harbour.crt"]\n'


class TestTokens(TokenSourceContract):
    """The client's side, with a certificate and its key in files."""

    ordered = (SIGN, REVOKE, SSH_SIGN)

    def build(self) -> X5CTokenSource:
        return X5CTokenSource()

    def provisioner(self, context: Context) -> X5CProvisioner:
        (context.directory / "source_root.crt").write_text(ROOT_PEM)
        return X5CProvisioner(X5CConfig(name=NAME, roots=(Path("source_root.crt"),)), context)

    def desk(self, directory: Path) -> PaperDesk:
        certificate, key = directory / "edge.crt", directory / "edge.key"
        chain = (leaf(P256), ISSUER.certificate)
        certificate.write_bytes(b"".join(one.public_bytes(Encoding.PEM) for one in chain))
        key.write_text(_pem())
        key.chmod(0o600)
        return PaperDesk(certificate_file=certificate, key_file=key)

    def secrets(self) -> Iterator[str]:
        yield _pem().splitlines()[1]


def _pem() -> str:
    return P256.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
