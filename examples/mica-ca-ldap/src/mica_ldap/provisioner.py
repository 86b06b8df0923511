"""The server's side: whoever can log in at the directory may have their own names, and those of their groups."""

import asyncio
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, TypeVar

from mica import (
    ConfigError,
    Context,
    Grant,
    Issuance,
    OneTime,
    Operation,
    ProvisionerRef,
    SubjectPublicKey,
    Unauthorized,
    Unavailable,
    UnverifiedToken,
    jwk,
    names,
    orders,
    tokens,
)
from mica_ldap import secretfiles
from mica_ldap.config import LDAPConfig, faults
from mica_ldap.entitlement import Person, certifiable, ordered, permitted
from mica_ldap.guesses import Guesses
from mica_ldap.sealing import ALG, fragment, unseal

#: Plain ASCII: one user has one spelling but for case, and so one count of failures.
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,63}")
#: A login that fails takes so long: how soon it did must not tell whether there is such a user.
_FAILURE_TIME = timedelta(seconds=1)
T = TypeVar("T")


class LDAPProvisioner:
    """Vouches for whoever the directory lets in."""

    type = "LDAP"
    operations = frozenset({Operation.X509_SIGN, Operation.X509_RENEW, Operation.X509_REKEY, Operation.SSH_SIGN})

    def __init__(self, config: LDAPConfig, context: Context) -> None:
        from mica_ldap.directory import Directory  # ldap3 is slow to import

        if found := faults(config):
            raise ConfigError(found)
        self.name = config.name
        self._config = config
        self._context = context
        self._key = secretfiles.key(context, config.key)
        members = jwk.public_members(self._key.public_key())
        self._jwk = {**members, "kid": jwk.thumbprint(members), "use": "enc"}
        password = secretfiles.password(context, config.bind_password_file)
        self._directory = Directory(config, secretfiles.verifier(context, config.roots), password)
        self._guesses = Guesses(config.max_failures, config.failure_window)

    @property
    def public_keys(self) -> tuple[SubjectPublicKey, ...]:
        """The key that passwords are sealed to."""
        return (SubjectPublicKey.of(self._key.public_key()),)

    async def start(self) -> None:
        """The directory answers; raises Unavailable."""
        await self._ask(self._directory.check)

    async def aclose(self) -> None:
        """The directory is not asked any more."""
        self._directory.close()

    def describe(self) -> Mapping[str, Any]:
        """The key that clients seal passwords to; nothing of the directory."""
        return {"key": self._jwk}

    def recognizes(self, token: UnverifiedToken) -> bool:
        """Whether the token names this provisioner and its key, and has a password sealed in our way."""
        return token.issuer == self.name and token.kid == self._jwk["kid"] and token.header["alg"] == ALG

    async def authorize(self, token: UnverifiedToken, operation: Operation) -> Grant:
        """The token's user has logged in by it, for ``operation`` here; raises Unauthorized, Refused, Unavailable.

        What the token alone says is judged first: the directory sees whole tokens only.
        """
        if not self.recognizes(token):
            raise Unauthorized("token does not name this provisioner and its key")
        if self._context.audiences.operation(token, fragment=fragment(self.name)) is not operation:
            raise Unauthorized(f"token's audience is not for {operation}")
        expires_at = token.expiry(self._context.now()) + tokens.LEEWAY
        orders.subject(token)
        permit = ordered(token, operation)
        password = unseal(token.signature, self._key, token.signing_input)
        user = token.text("ldap_user")
        if not _USER.fullmatch(user):
            raise Unauthorized("token's ldap_user is no plain user name")
        person = await self._login(user, password)
        return Grant(
            provisioner=self._ref(person.user),
            operation=operation,
            subject=person.user,
            spend=OneTime.of(token.id, expires_at),
            expires_at=expires_at,
            permits=(permitted(permit, token.subject, person, self._config.map),),
            claims=token.payload,
            evidence={"user": person.user, "groups": "; ".join(sorted(person.groups)), "jti": token.id},
        )

    async def authorize_renewal(self, issuance: Issuance, operation: Operation) -> Grant:
        """The grant to renew what this provisioner vouched for, for a user who might have it still.

        Raises Unauthorized, Unavailable.
        """
        user = issuance.provisioner.credential_id
        grant = orders.renewal(issuance, operation, self._ref(user), self._context)
        if self._config.ask_at_renewal:
            person = await self._ask(self._directory.find, user) if _USER.fullmatch(user) else None
            if person is None:
                raise Unauthorized(f"{user!r} may not log in any more")
            lost = set(issuance.names) - {names.text(name) for name in certifiable(person, self._config.map)}
            if lost:
                raise Unauthorized(f"{person.user} may not have {', '.join(sorted(lost))} any more")
        return grant

    async def _login(self, user: str, password: bytes) -> Person:
        """The person; raises Unauthorized, after the same time and for the same reason, for all who are not."""
        self._guesses.begin(user.lower(), self._context.now())
        clock = asyncio.get_running_loop().time
        failed_at = clock() + _FAILURE_TIME.total_seconds()
        try:
            person = await self._directory.ask(self._directory.login, user, password)
        except Unavailable:
            self._guesses.forgive(user.lower())
            raise
        except TimeoutError as error:  # the attempt counts: the directory may have judged the password
            raise Unavailable("the directory does not answer in time") from error
        if person is None:
            await asyncio.sleep(failed_at - clock())
            raise Unauthorized(f"the directory does not let {user} in with that password")
        self._guesses.clear(user.lower())
        return person

    async def _ask(self, question: Callable[..., T], *arguments: object) -> T:
        """As the directory's own; raises Unavailable where it has no answer in time."""
        try:
            return await self._directory.ask(question, *arguments)
        except TimeoutError as error:
            raise Unavailable("the directory does not answer in time") from error

    def _ref(self, user: str) -> ProvisionerRef:
        """The provisioner, and whose login it was: that is on record, for renewals."""
        return ProvisionerRef(name=self.name, type=self.type, credential_id=user)
