"""The server's side: ID tokens that an OpenID provider has signed for this client id (OpenID Connect Core §3.1.3.7).

An ID token says who somebody is, and nothing of what they order: that is the request's to say.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography import x509

from mica import (
    ConfigError,
    Context,
    Grant,
    Issuance,
    OneTime,
    Operation,
    ProvisionerRef,
    Unauthorized,
    UnverifiedToken,
    orders,
    tokens,
)
from mica.pkix import UNREADABLE
from mica_oidc.config import OIDCConfig, faults
from mica_oidc.discovery import Provider, discover
from mica_oidc.granting import permits
from mica_oidc.identity import identify, spend_id
from mica_oidc.keycache import KeyCache
from mica_oidc.keyset import ProviderKey


class OIDCProvisioner:
    """Vouches for whom its provider vouches for."""

    type = "OIDC"
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

    def __init__(self, config: OIDCConfig, context: Context) -> None:
        if found := faults(config):
            raise ConfigError(found)
        self.name = config.name
        self._config = config
        self._context = context
        self._roots = None if config.roots is None else _read_roots(context, config.roots)
        self._ref = ProvisionerRef(name=self.name, type=self.type, credential_id=config.client_id)
        self._provider: Provider | None = None
        self._keys: KeyCache | None = None

    async def start(self) -> None:
        """The provider is known, and its keys; raises Unavailable."""
        http = self._context.http
        provider = await discover(self._config, http, self._roots)
        keys = KeyCache(
            lambda: http.get(provider.jwks_uri, named=provider.named, roots=self._roots),
            self._context.now,
            self._context.random,
        )
        await keys.load()
        self._provider, self._keys = provider, keys

    async def aclose(self) -> None:
        """The provider is not asked any more."""
        if self._keys is not None:
            await self._keys.aclose()

    def describe(self) -> Mapping[str, Any]:
        """What a client needs for the login, its secret included, and who is let in."""
        return self._config.describe()

    def recognizes(self, token: UnverifiedToken) -> bool:
        """Whether the token is for the client id, and by the issuer: exactly, as soon as that is known.

        While the provider is down, tokens by others for the same client id are still theirs to take.
        """
        if self._config.client_id not in token.audiences:
            return False
        if self._provider is None:
            return self._config.may_be_issuer(token.issuer)
        return token.issuer == self._provider.issuer

    async def authorize(self, token: UnverifiedToken, operation: Operation) -> Grant:
        """The provider signed the token for this client, it is current, and its bearer is let in.

        Raises Unauthorized; Unavailable when the provider's keys cannot be had.
        """
        if self._keys is None or not self.recognizes(token):
            raise Unauthorized("token is not by this provider for this client")
        key = await self._signer(token, self._keys)
        _require_id_token(token)
        self._require_party(token)
        expires_at = token.expiry(self._context.now()) + tokens.LEEWAY
        identity = identify(token, self._config)
        return Grant(
            provisioner=self._ref,
            operation=operation,
            subject=identity.email or identity.subject,
            spend=OneTime.of(spend_id(token), expires_at),
            expires_at=expires_at,
            permits=permits(identity, operation),
            claims=token.payload,
            evidence={
                "iss": identity.issuer,
                "sub": identity.subject,
                "email": identity.email,
                "kid": key.kid,
                "admin": str(identity.is_admin).lower(),
            },
        )

    async def authorize_renewal(self, issuance: Issuance, operation: Operation) -> Grant:
        """The grant to renew or rekey a certificate that this provisioner vouched for; raises Unauthorized."""
        return orders.renewal(issuance, operation, self._ref, self._context)

    async def _signer(self, token: UnverifiedToken, keys: KeyCache) -> ProviderKey:
        """The provider's key that has signed the token; raises Unauthorized, Unavailable."""
        kid, algorithm = token.header.get("kid", ""), token.header["alg"]
        if not isinstance(kid, str):
            raise Unauthorized("token's kid is not text")
        for key in await keys.find(kid):
            if key.is_signer_of(token.signing_input, token.signature, algorithm):
                return key
        raise Unauthorized("token is not signed with a key of the provider")

    def _require_party(self, token: UnverifiedToken) -> None:
        """The token was made for this client alone: others to whom it was given must not use it here.

        OpenID Connect Core §2, §3.1.3.7: ``azp`` is the party that it was made for, among several audiences.
        """
        azp = token.payload.get("azp")
        if azp is None and len(set(token.audiences)) > 1:
            raise Unauthorized("token has several audiences and no azp")
        if azp is not None and azp != self._config.client_id:
            raise Unauthorized("token was made for another party (azp)")


def _read_roots(context: Context, path: Path) -> bytes:
    """The file, which holds certificates; raises ConfigError. Where it is empty, nobody else's take its place."""
    octets = context.read(context.directory / path)
    try:
        x509.load_pem_x509_certificates(octets)
    except UNREADABLE as error:
        raise ConfigError([f"roots: {path} must hold certificates in PEM: {error}"]) from error
    return octets


def _require_id_token(token: UnverifiedToken) -> None:
    """It is no other kind of JWT that the provider signs with the same keys for the same client (RFC 8725 §3.12).

    Access tokens say so in ``typ`` (RFC 9068 §2.1), as logout tokens do, which have ``events`` as well (OpenID Connect
    Back-Channel Logout §2.4). An ID token may have no ``typ``.
    """
    kind = token.header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.lower().removeprefix("application/") != "jwt":
        raise Unauthorized("token is not an ID token (typ)")
    if "events" in token.payload:
        raise Unauthorized("token tells of events (RFC 8417): it is not an ID token")
