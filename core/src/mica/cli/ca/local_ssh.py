"""The SSH half of the CA of this host, in this process: what ``SSHClient`` is over HTTP."""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from mica.authority import Authority
from mica.client import Refused
from mica.client.ssh import SSHIssued, SSHKeys, SSHOrder
from mica.requests import SSHRenewRequest, SSHRevokeRequest, SSHSignRequest
from mica.sshcert import CertType
from mica.sshissuance import IssuedSSH, sign_ssh_token
from mica.sshissuers import SSHIssuer
from mica.sshkeys import SSHPublicKey
from mica.sshrenewal import renew_ssh
from mica.sshrevocation import revoke_ssh

_NOT_FOUND = 404

Result = TypeVar("Result")


class CarryOut(Protocol):
    """Has an authority do something, with a line in its log; see ``LocalCA``."""

    def __call__(self, path: str, verb: Callable[[Authority], Awaitable[Result]], **facts: object) -> Result:
        """What ``verb`` gives."""


class LocalSSH:
    """The SSH half of a ``LocalCA``; see ``mica.client.ssh.SSHCA``. ``issuer`` is None where it has none."""

    def __init__(self, issuer: SSHIssuer | None, carry_out: CarryOut) -> None:
        self._issuer = issuer
        self._carry_out = carry_out

    def sign(self, order: SSHOrder, token: str) -> SSHIssued:
        """A certificate as the one-time ``token`` orders it."""
        add_user = order.add_user_public_key

        async def verb(authority: Authority) -> IssuedSSH:
            request = SSHSignRequest(
                public_key=SSHPublicKey.decode(order.public_key),
                cert_type=CertType[order.cert_type.upper()] if order.cert_type else None,
                principals=order.principals,
                key_id=order.key_id,
                valid_after=order.valid_after,
                valid_before=order.valid_before,
                add_user_public_key=None if add_user is None else SSHPublicKey.decode(add_user),
            )
            return await sign_ssh_token(authority, request, token)

        return self._issued("/ssh/sign", verb)

    def renew(self, token: str) -> SSHIssued:
        """A certificate that continues the one whose key has signed the token."""
        return self._issued("/ssh/renew", lambda authority: renew_ssh(authority, SSHRenewRequest(), token))

    def rekey(self, token: str, public_key: bytes) -> SSHIssued:
        """A certificate that continues it with another key."""

        async def verb(authority: Authority) -> IssuedSSH:
            request = SSHRenewRequest(public_key=SSHPublicKey.decode(public_key))
            return await renew_ssh(authority, request, token)

        return self._issued("/ssh/rekey", verb)

    def revoke(
        self,
        token: str,
        *,
        serial: int | None = None,
        key_id: str | None = None,
        reason_code: int = 0,
        reason: str = "",
    ) -> None:
        """The certificate is revoked, or every live one with the key id; raises AlreadyRevoked."""
        request = SSHRevokeRequest(
            serial_number=serial if key_id is None else None, key_id=key_id, reason_code=reason_code, reason=reason
        )
        which = {"serial": str(serial)} if key_id is None else {"key_id": key_id}
        self._require()
        self._carry_out(
            "/ssh/revoke", lambda authority: revoke_ssh(authority, request, token), **which, reason_code=reason_code
        )

    def roots(self) -> SSHKeys:
        """The CA's own keys; raises Refused when it has none."""
        keys = self._require().keys
        user, host = (tuple(key.blob for key in keys[each]) for each in (CertType.USER, CertType.HOST))
        return SSHKeys(user=user, host=host)

    def _require(self) -> SSHIssuer:
        """The issuer; raises Refused, as a server without SSH does."""
        if self._issuer is None:
            raise Refused("the CA has no keys for SSH", status=_NOT_FOUND, explained=True)
        return self._issuer

    def _issued(self, path: str, verb: Callable[[Authority], Awaitable[IssuedSSH]]) -> SSHIssued:
        self._require()
        issued = self._carry_out(path, verb)
        return SSHIssued(certificate=issued.certificate, add_user=issued.add_user)
