"""A stranger's plugin, for tests: its provisioner believes whoever knows a password, and grants what its table says.

It is careless on purpose: it looks at no audience, and grants whatever it is asked for. What it did not declare, and
what nobody may have, the core must refuse.
"""

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import jwt
from cryptography import x509

from mica import (
    CertificateKind,
    CertType,
    Context,
    Exactly,
    Grant,
    Issuance,
    Kind,
    OneTime,
    Operation,
    Provisioner,
    ProvisionerRef,
    Renew,
    RenewSSH,
    Reusable,
    Revoke,
    SignSSH,
    SignX509,
    Unauthorized,
    UnverifiedToken,
    Within,
    hookimpl,
    kind,
    names,
)

SERVER_AUTH, CLIENT_AUTH = "1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyedConfig:
    name: str
    password: str
    operations: tuple[str, ...] = tuple(Operation)
    usages: tuple[str, ...] = (SERVER_AUTH, CLIENT_AUTH)
    within: tuple[str, ...] = ()
    """The names of which a request may have some; none: the token's ``sans``, all of them."""
    lifetime: timedelta | None = None
    """For how long from now a certificate may last."""
    ready: bool = True


class KeyedProvisioner:
    type = "Keyed"

    def __init__(self, config: KeyedConfig, context: Context) -> None:
        self.name = config.name
        self.operations = frozenset(map(Operation, config.operations))
        self._config = config
        self._context = context

    async def start(self) -> None:
        if not self._config.ready:
            raise ConnectionError("nobody answers")

    def describe(self) -> Mapping[str, Any]:
        return {}

    def recognizes(self, token: UnverifiedToken) -> bool:
        return token.issuer == self.name

    async def authorize(self, token: UnverifiedToken, operation: Operation) -> Grant:
        try:
            jwt.decode(token.raw, self._config.password, ["HS256"], options={"verify_aud": False})
        except jwt.PyJWTError as error:
            raise Unauthorized(str(error)) from error
        now = self._context.now()
        return Grant(
            provisioner=ProvisionerRef(name=self.name, type=self.type),
            operation=operation,
            subject=token.subject,
            spend=OneTime(id=token.id, until=now + timedelta(hours=1)),
            expires_at=now + timedelta(minutes=1),
            permits=(self._permit(token, operation),),
        )

    async def authorize_renewal(self, issuance: Issuance, operation: Operation) -> Grant:
        return Grant(
            provisioner=ProvisionerRef(name=self.name, type=self.type),
            operation=operation,
            subject=issuance.subject,
            spend=Reusable(reason="possession of the certificate's key"),
            expires_at=self._context.now() + timedelta(minutes=1),
            permits=(Renew(certificate=issuance),),
        )

    def _permit(self, token: UnverifiedToken, operation: Operation) -> SignX509 | SignSSH | RenewSSH | Revoke:
        match operation:
            case Operation.X509_SIGN:
                return self._sign(token)
            case Operation.SSH_SIGN:
                granted = token.strings("sans") or (token.subject,)
                return SignSSH(cert_type=CertType.HOST, key_id=token.subject, principals=Exactly(names=granted))
            case Operation.SSH_RENEW | Operation.SSH_REKEY:
                return RenewSSH(certificate=base64.b64decode(str(token.header.get("sshpop", ""))))
            case Operation.SSH_REVOKE:
                return _revoke(token, CertificateKind.SSH)
            case _:
                return _revoke(token, CertificateKind.X509)

    def _sign(self, token: UnverifiedToken) -> SignX509:
        granted = tuple(map(names.classify, self._config.within or token.strings("sans") or (token.subject,)))
        lifetime = self._config.lifetime
        return SignX509(
            subject_common_name=token.subject,
            names=Within(names=granted) if self._config.within else Exactly(names=granted),
            common_names=None,
            not_after=None if lifetime is None else self._context.now() + lifetime,
            extended_key_usages=tuple(map(x509.ObjectIdentifier, self._config.usages)),
        )


def _revoke(token: UnverifiedToken, of: CertificateKind) -> Revoke:
    return Revoke(kind=of, serial_numbers=(int(token.subject) if token.subject.isdigit() else 1,))


@hookimpl
def register_provisioners() -> Iterable[Kind[Provisioner]]:
    return [kind("keyed", KeyedConfig, KeyedProvisioner)]
