"""The suites of ``mica.testing`` that the plugin keeps, for every kind of key."""

import json
import secrets
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from cryptography.hazmat.primitives import serialization
from jwcrypto import jwk as jwcrypto_jwk

from mica import Context, Operation
from mica.jwe import encrypt_jwk
from mica.jwk import dump
from mica.testing.algorithms import EachAlgorithm, Signer, signing_key
from mica.testing.contexts import URL
from mica.testing.line import ProvisionerLineContract
from mica.testing.makers import Maker, SigningKey
from mica.testing.provisioners import TokenProvisionerContract
from mica.testing.renewals import RenewalProvisionerContract
from mica.testing.sources import PaperDesk, TokenSourceContract
from mica_jwk.client import JWKTokenSource
from mica_jwk.provisioner import JWKConfig, JWKProvisioner

NAME = "harbour"
ENCRYPTED = "eyJhbGciOiJQQkVTMi1IUzI1NitBMTI4S1cifQ.AA.AA.AA.AA"
P256 = signing_key("ES256")
SIGN, REVOKE = Operation.X509_SIGN, Operation.X509_REVOKE
SSH_SIGN, SSH_REVOKE = Operation.SSH_SIGN, Operation.SSH_REVOKE


def pem_of(key: SigningKey) -> bytes:
    """The private key, as OpenSSL reads it."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def public_jwk(key: SigningKey, alg: str = "") -> dict[str, str]:
    """The public JWK as another library writes it."""
    members = jwcrypto_jwk.JWK.from_pem(pem_of(key))
    jwk: dict[str, str] = members.export_public(as_dict=True)
    return {**jwk, "kid": members.thumbprint(), "use": "sig"} | ({"alg": alg} if alg else {})


def claims(operation: Operation, now: datetime) -> dict[str, Any]:
    """What step's command line puts in a token."""
    moment = int(now.timestamp())
    shared = {"iss": NAME, "iat": moment, "nbf": moment, "exp": moment + 300, "jti": secrets.token_hex(32)}
    if operation is REVOKE:
        return {**shared, "sub": "4711", "aud": f"{URL}/1.0/revoke"}
    if operation is SSH_REVOKE:
        return {**shared, "sub": "18446744073709551615", "aud": f"{URL}/1.0/ssh/revoke"}
    if operation is SSH_SIGN:
        ssh = {"certType": "user", "keyID": "ann@harbour.example", "principals": ["ann"]}
        ssh |= {"validAfter": "", "validBefore": ""}
        return {**shared, "sub": "ann@harbour.example", "aud": f"{URL}/1.0/ssh/sign", "step": {"ssh": ssh}}
    return {**shared, "sub": "svc.example", "sans": ["svc.example"], "aud": f"{URL}/1.0/sign"}


class Tokens(Signer):
    """A provisioner of one key, and whoever has that key."""

    ordered: ClassVar[tuple[Operation, ...]] = (SIGN, REVOKE, SSH_SIGN, SSH_REVOKE)

    def build(self, context: Context) -> JWKProvisioner:
        """It knows the public key."""
        config = JWKConfig(name=NAME, key=public_jwk(self.key, self.alg), encrypted_key=ENCRYPTED)
        return JWKProvisioner(config, context)

    def maker(self, operation: Operation, now: datetime) -> Maker:
        """Whoever has the private key."""
        header = {"alg": self.alg, "kid": public_jwk(self.key)["kid"], "typ": "JWT"}
        return Maker(key=self.key, header=header, payload=claims(operation, now), now=now)

    def secrets(self) -> Iterator[str]:
        """The private key."""
        yield json.loads(jwcrypto_jwk.JWK.from_pem(pem_of(self.key)).export_private())["d"]


class Suite(Tokens, TokenProvisionerContract, RenewalProvisionerContract):
    """Both contracts of the provisioner by itself."""


class TestP256(Suite):
    """ECDSA with P-256."""


class TestOtherAlgorithms(EachAlgorithm, Suite):
    """What differs with another key is the signature, which one order shows."""

    ordered: ClassVar[tuple[Operation, ...]] = (SIGN,)


class TestLine(Tokens, ProvisionerLineContract):
    """The provisioner in whole authorities."""

    plugin = "jwk"

    def table(self, folder: Path) -> str:
        """One with the public key."""
        members = ", ".join(f'{name} = "{value}"' for name, value in public_jwk(self.key, self.alg).items())
        return f'type = "jwk"\nname = "{NAME}"\nkey = {{ {members} }}\nencrypted_key = "{ENCRYPTED}"\n'


class TestTokensByKeyFile(TokenSourceContract):
    """The client's side, with the key in a file."""

    ordered = (Operation.X509_SIGN, Operation.X509_REVOKE, Operation.SSH_SIGN, Operation.SSH_REVOKE)

    def build(self) -> JWKTokenSource:
        return JWKTokenSource()

    def provisioner(self, context: Context) -> JWKProvisioner:
        return JWKProvisioner(JWKConfig(name=NAME, key=public_jwk(P256), encrypted_key=ENCRYPTED), context)

    def desk(self, directory: Path) -> PaperDesk:
        file = directory / "key.json"
        file.write_text(json.dumps(dump(P256)))
        file.chmod(0o600)
        return PaperDesk(key_file=file)

    def secrets(self) -> Iterator[str]:
        yield dump(P256)["d"]


class TestTokensByPassword(TestTokensByKeyFile):
    """The client's side, with the key as the CA keeps it, and a password."""

    password = b"correct horse battery staple"

    def desk(self, directory: Path) -> PaperDesk:
        return PaperDesk(kept=encrypt_jwk(dump(P256), self.password), given=(b"a wrong one", self.password))

    def secrets(self) -> Iterator[str]:
        yield from super().secrets()
        yield self.password.decode()
