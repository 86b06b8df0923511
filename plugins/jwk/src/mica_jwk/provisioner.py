"""The server's side: tokens signed with a key that the authority knows the public half of."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from cryptography.exceptions import InvalidSignature

from mica import (
    AddUser,
    CertificateKind,
    ConfigError,
    Context,
    Exactly,
    Grant,
    Issuance,
    MalformedRequest,
    OneTime,
    Operation,
    ProvisionerRef,
    Renew,
    Reusable,
    Revoke,
    RevokeKeyId,
    SignSSH,
    SignX509,
    SubjectPublicKey,
    Unauthorized,
    UnverifiedToken,
    names,
    tokens,
)
from mica.jwk import public
from mica_jwk import sshclaims
from mica_jwk.keys import VerificationKey
from mica_jwk.refusals import unusable

#: How long the core may take to use a grant that rests on the possession of a certificate's key.
_RENEWAL_LIFETIME = timedelta(minutes=1)
_SERIAL_NUMBER = re.compile(r"[0-9]{1,49}|0[xX][0-9a-fA-F]{1,40}")  # RFC 5280 §4.1.2.2: at most 20 octets


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
        return (
            token.issuer == self.name
            and token.kid == self._key.kid
            and not any("#" in audience for audience in token.audiences)
        )

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
            subject=_subject(token),
            spend=OneTime.of(token.id, expires_at),
            expires_at=expires_at,
            permits=_permits(token, operation),
            claims=token.payload,
            evidence={"kid": self._key.kid, "jti": token.id},
        )

    async def authorize_renewal(self, issuance: Issuance, operation: Operation) -> Grant:
        """The grant to renew or rekey a certificate that this provisioner vouched for; raises Unauthorized."""
        if operation not in (Operation.X509_RENEW, Operation.X509_REKEY):
            raise Unauthorized(f"{operation} is no renewal")
        if (issuance.provisioner.name, issuance.provisioner.type) != (self.name, self.type):
            raise Unauthorized(f"the certificate is not one that {self.name} vouched for")
        return Grant(
            provisioner=self._ref,
            operation=operation,
            subject=issuance.subject,
            spend=Reusable(reason="possession of the certificate's key"),
            expires_at=self._context.now() + _RENEWAL_LIFETIME,
            permits=(Renew(certificate=issuance),),
        )

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


def _subject(token: UnverifiedToken) -> str:
    """The ``sub``, which becomes a common name and stands in logs: some text, and nothing that cannot be seen."""
    if not token.subject:
        raise Unauthorized("token has no sub")
    if not token.subject.isprintable():
        raise Unauthorized("token's sub has control characters")
    return token.subject


def _permits(
    token: UnverifiedToken, operation: Operation
) -> tuple[SignX509 | SignSSH | AddUser | Revoke | RevokeKeyId, ...]:
    """What the verified token entitles its bearer to; raises Unauthorized for what no token can order."""
    match operation:
        case Operation.X509_SIGN:
            return (_sign(token),)
        case Operation.X509_REVOKE:
            return (_revoke(token),)
        case Operation.SSH_SIGN:
            return sshclaims.sign(token)
        case Operation.SSH_REVOKE:
            return (sshclaims.revoke(token),)
        case _:
            raise Unauthorized(f"a JWK token cannot order {operation}")


def _revoke(token: UnverifiedToken) -> Revoke:
    _require_x509(token)
    if not _SERIAL_NUMBER.fullmatch(token.subject):
        raise unusable("the token's subject is not a serial number, decimal or hexadecimal with 0x")
    base = 16 if token.subject[1:2] in ("x", "X") else 10
    return Revoke(kind=CertificateKind.X509, serial_numbers=(int(token.subject, base),))


def _require_x509(token: UnverifiedToken) -> None:
    """The token says nothing of SSH, whatever its audience is."""
    if sshclaims.find(token) is not None:
        raise unusable("the token has a claim step.ssh, and orders no X.509 certificate")


def _sign(token: UnverifiedToken) -> SignX509:
    """A certificate for exactly the names in ``sans``, or for ``sub`` when there are none."""
    _require_x509(token)
    sans = token.strings("sans") or (token.subject,)
    try:
        granted = names.ordered(map(names.classify, sans))
    except MalformedRequest as error:
        raise unusable(f"the token orders a name that cannot be certified: {error}") from error
    return SignX509(
        subject_common_name=token.subject,
        names=Exactly(names=granted),
        common_names=frozenset({token.subject, *sans}),
        confirmation=_confirmation(token),
    )


def _confirmation(token: UnverifiedToken) -> bytes | None:
    """The SHA-256 of the only CSR that may be used; raises Unauthorized when ``cnf`` says something else."""
    cnf = token.payload.get("cnf")
    if cnf is None:
        return None
    digest = cnf.get("x5rt#S256") if isinstance(cnf, dict) else None
    # RFC 7800 §3.1 lets members that are not understood be ignored; but then nothing would be confirmed.
    if not isinstance(digest, str):
        raise unusable("the token's cnf has no x5rt#S256, the digest of a certificate request")
    try:
        octets = tokens.decode_base64url(digest)
    except MalformedRequest as error:
        raise unusable("the token's cnf is not base64url") from error
    if len(octets) != 32:
        raise unusable("the token's cnf is not a SHA-256 digest")
    return octets
