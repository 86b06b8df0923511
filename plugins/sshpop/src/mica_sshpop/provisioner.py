"""The server's side: whoever holds the key of an SSH certificate may renew, rekey or revoke that very certificate."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mica import (
    ConfigError,
    Context,
    Grant,
    OneTime,
    Operation,
    ProvisionerRef,
    Refused,
    RenewSSH,
    RevokeHeld,
    Unauthorized,
    UnverifiedToken,
    tokens,
)
from mica.sshcert import SSHCertificate
from mica_sshpop import possession

_SUBJECT_SHOWN = 80
_KEY_ID_SHOWN = 256  # octets of a key id that are worth logging: anybody can write a long one


@dataclass(frozen=True, slots=True, kw_only=True)
class SSHPOPConfig:
    """``[[provisioners]]`` with ``type = "sshpop"``."""

    name: str


class SSHPOPProvisioner:
    """Vouches for whoever holds the key of an SSH certificate, for that certificate and nothing else."""

    type = "SSHPOP"
    operations = frozenset({Operation.SSH_RENEW, Operation.SSH_REKEY, Operation.SSH_REVOKE})

    def __init__(self, config: SSHPOPConfig, context: Context) -> None:
        if not config.name:
            raise ConfigError(["name: must not be empty"])
        self.name = config.name
        self._context = context
        self._fragment = f"sshpop/{config.name}"

    def describe(self) -> Mapping[str, Any]:
        """Nothing: there is nothing to know of it."""
        return {}

    def recognizes(self, token: UnverifiedToken) -> bool:
        """Whether the token names this provisioner, as ``iss`` and in the fragment of an audience."""
        return token.issuer == self.name and self._fragment in token.fragments

    async def authorize(self, token: UnverifiedToken, operation: Operation) -> Grant:
        """The token was signed with its certificate's key, is current, and orders ``operation``; raises Unauthorized.

        Which certificates may be continued, hosts' and not users', is the core's rule.
        """
        if not self.recognizes(token) or operation not in self.operations:
            raise Unauthorized(f"token does not name this provisioner, or {operation} is not for it")
        if self._context.audiences.operation(token, fragment=self._fragment) is not operation:
            raise Unauthorized(f"token's audience is not for {operation}")
        now = self._context.now()
        expires_at = token.expiry(now) + tokens.LEEWAY
        certificate = possession.prove(token)
        # A renewal may come late or not, as the claims say: the core knows them.
        if operation is not Operation.SSH_RENEW:
            _require_current(certificate, now)
        return Grant(
            provisioner=ProvisionerRef(
                name=self.name, type=self.type, credential_id=certificate.tbs.public_key.fingerprint
            ),
            operation=operation,
            subject=_subject(token, certificate, operation),
            spend=OneTime.of(token.id, expires_at),
            expires_at=expires_at,
            permits=(_permit(certificate, operation),),
            claims=token.payload,
            evidence=_evidence(token, certificate),
        )


def _require_current(certificate: SSHCertificate, now: datetime) -> None:
    """The certificate is valid now; raises Unauthorized."""
    tbs = certificate.tbs
    if now < tbs.valid_after:
        raise Unauthorized(f"the sshpop certificate is not valid before {tbs.valid_after.isoformat()}")
    if tbs.valid_before is not None and now >= tbs.valid_before:
        raise Unauthorized(f"the sshpop certificate has expired on {tbs.valid_before.isoformat()}")


def _subject(token: UnverifiedToken, certificate: SSHCertificate, operation: Operation) -> str:
    """The ``sub``, printable; to revoke, it is the certificate's serial number. Raises Unauthorized, Refused."""
    if not token.subject or not token.subject.isprintable():
        raise Unauthorized("token has no sub, or one with control characters")
    serial = str(certificate.tbs.serial)
    if operation is Operation.SSH_REVOKE and token.subject != serial:
        shown = token.subject[:_SUBJECT_SHOWN]
        raise Refused(f'token subject "{shown}" and sshpop certificate serial number "{serial}" do not match')
    return token.subject


def _permit(certificate: SSHCertificate, operation: Operation) -> RenewSSH | RevokeHeld:
    if operation is Operation.SSH_REVOKE:
        return RevokeHeld(certificate=certificate.blob)
    return RenewSSH(certificate=certificate.blob)


def _evidence(token: UnverifiedToken, certificate: SSHCertificate) -> dict[str, str]:
    tbs = certificate.tbs
    return {
        "serial": str(tbs.serial),
        "key_id": tbs.key_id[:_KEY_ID_SHOWN],
        "fingerprint": tbs.public_key.fingerprint,
        "jti": token.id,
    }
