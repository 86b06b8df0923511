"""The server's side: tokens signed with a key that the authority knows the public half of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidSignature

from mica import (
    AddUser,
    ConfigError,
    Context,
    Grant,
    Issuance,
    OneTime,
    Operation,
    ProvisionerRef,
    Revoke,
    RevokeKeyId,
    SignSSH,
    SignX509,
    SubjectPublicKey,
    Unauthorized,
    UnverifiedToken,
    orders,
    sshorders,
    tokens,
)
from mica.jwk import public
from mica_jwk.keys import VerificationKey


@dataclass(frozen=True, slots=True, kw_only=True)
class JWKConfig:
    """``[[provisioners]]`` with ``type = "jwk"``."""

    name: str
    key: Mapping[str, str] = field(metadata={"help": "The public JWK: kty, crv, x, y (or n, e), kid, use, alg"})
    encrypted_key: str = field(
        default="",
        metadata={
            "help": "The private JWK as a compact JWE, for clients that know its password",
            "json": "encryptedKey",
            "flag": None,  # --create and --private-key make it
        },
    )


class JWKProvisioner:
    """Vouches for whoever holds the private key, which signs a token for each order."""

    type = "JWK"
    operations = frozenset(
        {
            Operation.X509_SIGN,
            Operation.X509_RENEW,
            Operation.X509_REKEY,
            Operation.X509_REVOKE,
            Operation.SSH_SIGN,
            Operation.SSH_REVOKE,
        }
    )

    def __init__(self, config: JWKConfig, context: Context) -> None:
        self.name = config.name
        self._config = config
        self._context = context
        faults = _config_faults(config)
        try:
            self._key = VerificationKey.parse(config.key)
        except ConfigError as error:
            faults += error.faults
        if faults:
            raise ConfigError(faults)
        self._ref = ProvisionerRef(name=self.name, type=self.type, credential_id=self._key.kid)

    @property
    def public_keys(self) -> tuple[SubjectPublicKey, ...]:
        """The key that its tokens are signed with."""
        return (self._key.key,)

    def describe(self) -> Mapping[str, Any]:
        """The public key, and the encrypted private one."""
        key = public({**self._config.key, "use": "sig", "alg": self._key.alg})
        return {"key": key} | ({"encryptedKey": self._config.encrypted_key} if self._config.encrypted_key else {})

    def recognizes(self, token: UnverifiedToken) -> bool:
        """Whether the token names this provisioner and its key, and no provisioner of another type in a fragment."""
        return token.issuer == self.name and token.kid == self._key.kid and not token.fragments

    async def authorize(self, token: UnverifiedToken, operation: Operation) -> Grant:
        """The token was signed with the key, is current, and orders ``operation`` here; raises Unauthorized."""
        if not self.recognizes(token):
            raise Unauthorized("token does not name this provisioner and its key")
        self._verify(token)
        if self._context.audiences.operation(token) is not operation:
            raise Unauthorized(f"token's audience is not for {operation}")
        expires_at = token.expiry(self._context.now()) + tokens.LEEWAY
        return Grant(
            provisioner=self._ref,
            operation=operation,
            subject=orders.subject(token),
            spend=OneTime.of(token.id, expires_at),
            expires_at=expires_at,
            permits=_permits(token, operation),
            claims=token.payload,
            evidence={"kid": self._key.kid, "jti": token.id},
        )

    async def authorize_renewal(self, issuance: Issuance, operation: Operation) -> Grant:
        """The grant to renew or rekey a certificate that this provisioner vouched for; raises Unauthorized."""
        return orders.renewal(issuance, operation, self._ref, self._context)

    def _verify(self, token: UnverifiedToken) -> None:
        """The token's signature is the key's, by the key's algorithm."""
        if token.header["alg"] != self._key.alg:
            raise Unauthorized(f"token is not signed with {self._key.alg}")
        try:
            self._key.verify(token.signature, token.signing_input)
        except InvalidSignature as error:
            raise Unauthorized("token's signature is not the key's") from error


def _config_faults(config: JWKConfig) -> list[str]:
    faults = []
    if not config.name:
        faults.append("name: must not be empty")
    if config.encrypted_key and config.encrypted_key.count(".") != 4:
        faults.append("encrypted_key: must be a compact JWE, five parts joined by dots (RFC 7516 §7.1)")
    return faults


def _permits(
    token: UnverifiedToken, operation: Operation
) -> tuple[SignX509 | SignSSH | AddUser | Revoke | RevokeKeyId, ...]:
    """What the verified token entitles its bearer to; raises Unauthorized for what no token can order."""
    match operation:
        case Operation.X509_SIGN:
            return (orders.sign(token, sans_as_common_name=True),)
        case Operation.X509_REVOKE:
            return (orders.revoke(token),)
        case Operation.SSH_SIGN:
            return sshorders.sign(token)
        case Operation.SSH_REVOKE:
            return (sshorders.revoke(token),)
        case _:
            raise Unauthorized(f"a JWK token cannot order {operation}")
