"""What the routes of a plugin may do: the verbs of the authority, and nothing below them. No signer, no store."""

from datetime import datetime

from mica.authority import Authority
from mica.errors import Unsupported
from mica.records import CertificateKind, Page, Query, Revocation
from mica.requests import SSHRenewRequest, SSHRevokeRequest, SSHSignRequest
from mica.roles import RevocationLister
from mica.sshcert import CertType
from mica.sshissuance import IssuedSSH, sign_ssh_token
from mica.sshkeys import SSHPublicKey
from mica.sshrenewal import renew_ssh
from mica.sshrevocation import revoke_ssh


class Services:
    """One authority, as its plugins' routes see it."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority

    @property
    def url(self) -> str:
        """The URL at which clients reach the authority, without a trailing slash."""
        return self._authority.settings.url

    def now(self) -> datetime:
        """The current time, aware, in UTC."""
        return self._authority.now()

    def ssh_keys(self, cert_type: CertType) -> tuple[SSHPublicKey, ...]:
        """What SSH certificates of this type are believed by, the key that signs first; empty where there is none."""
        return self._authority.ssh.keys[cert_type] if self._authority.ssh else ()

    async def sign_ssh(self, request: SSHSignRequest, token: str) -> IssuedSSH:
        """What the token's bearer asked for is on record.

        Raises Unauthorized, Refused, MalformedRequest, Unsupported, Unavailable.
        """
        return await sign_ssh_token(self._authority, request, token)

    async def renew_ssh(self, request: SSHRenewRequest, token: str) -> IssuedSSH:
        """The continuation of the certificate in the token is on record; raises as ``sign_ssh``."""
        return await renew_ssh(self._authority, request, token)

    async def revoke_ssh(self, request: SSHRevokeRequest, token: str) -> None:
        """What the request names is on record as revoked; raises as ``sign_ssh``, and NotFound, Conflict."""
        await revoke_ssh(self._authority, request, token)

    async def search(self, query: Query) -> Page:
        """One page of the certificates on record that match; see ``Store.search``."""
        return await self._authority.store.search(query)

    async def revocations(
        self, kind: CertificateKind, issuer: bytes, *, after: int = -1, limit: int = 1000
    ) -> tuple[Revocation, ...]:
        """See ``RevocationLister.revocations``; raises Unsupported when the store cannot tell."""
        store = self._authority.store
        if not isinstance(store, RevocationLister):
            raise Unsupported("the store cannot list what is revoked")
        return await store.revocations(kind, issuer, after=after, limit=limit)
