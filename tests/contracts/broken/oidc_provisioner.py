"""Broken copies of the OIDC provisioner: other clients' tokens, people who proved nothing, logins reused."""

from dataclasses import replace
from typing import Any, ClassVar

import pytest

from mica import AsRequested, Context, Grant, OneTime, Operation, SignSSH, SignX509, UnverifiedToken, names
from mica.grants import Exactly
from mica_oidc.contracts import TestUsers, config_of
from mica_oidc.provisioner import OIDCProvisioner


class Broken(TestUsers):
    """The suite of the plugin, turned on another provisioner."""

    Provisioner: ClassVar[type[OIDCProvisioner]]

    def build(self, context: Context) -> OIDCProvisioner:
        return self.Provisioner(config_of(self.provider, admins=self.admins), context)


class Pliable(OIDCProvisioner):
    """The provisioner with its steps laid open."""

    async def authorize(self, token: UnverifiedToken, operation: Operation) -> Grant:
        return self.changed(await super().authorize(self.read(token), operation), token)

    def read(self, token: UnverifiedToken) -> UnverifiedToken:
        """The token, as it is taken."""
        return token

    def changed(self, grant: Grant, token: UnverifiedToken) -> Grant:
        """The grant, as it is given."""
        return grant


def _with_claims(token: UnverifiedToken, **claims: object) -> UnverifiedToken:
    return replace(token, payload={**token.payload, **claims})


def _with_permit(grant: Grant, kind: type, **members: Any) -> Grant:
    permits = [replace(permit, **members) if isinstance(permit, kind) else permit for permit in grant.permits]
    return replace(grant, permits=tuple(permits))


@pytest.mark.caught(by="test_every_hostile_token_is_refused", because="email.* was granted")
class TestBelievesAnAddressThatNobodyVerified(Broken):
    """``email_verified`` is not looked at: whoever types an address has it."""

    class Provisioner(Pliable):
        def read(self, token: UnverifiedToken) -> UnverifiedToken:
            return _with_claims(token, email_verified=True)


@pytest.mark.caught(by="test_every_hostile_token_is_refused", because="(aud|azp).* was granted")
class TestTakesTokensOfOtherParties(Broken):
    """For which party the token was made is not looked at (threat 17)."""

    class Provisioner(OIDCProvisioner):
        def _require_party(self, token: UnverifiedToken) -> None:
            return None


@pytest.mark.caught(by="test_every_hostile_token_is_refused", because="aud.* was granted")
class TestTakesTokensOfOtherClients(Broken):
    """The audience is not looked at: every client of the provider is this one."""

    class Provisioner(Pliable):
        def recognizes(self, token: UnverifiedToken) -> bool:
            return super().recognizes(self.read(token))

        def read(self, token: UnverifiedToken) -> UnverifiedToken:
            return _with_claims(token, aud=self._config.client_id)


@pytest.mark.caught(by="test_every_hostile_token_is_refused", because="iss.* was granted|issuer.* was granted")
class TestTakesTokensOfOtherIssuers(Broken):
    """Who issued the token is not looked at."""

    class Provisioner(Pliable):
        def recognizes(self, token: UnverifiedToken) -> bool:
            return super().recognizes(self.read(token))

        def read(self, token: UnverifiedToken) -> UnverifiedToken:
            return _with_claims(token, iss=self._provider.issuer) if self._provider else token


@pytest.mark.caught(by="test_every_hostile_token_is_refused", because="typ|events|token")
class TestTakesOtherKindsOfTokens(Broken):
    """An access token of the same provider is as good as an ID token (RFC 8725 §3.12)."""

    class Provisioner(OIDCProvisioner):
        async def authorize(self, token: UnverifiedToken, operation: Operation) -> Grant:
            with pytest.MonkeyPatch.context() as patched:
                patched.setattr("mica_oidc.provisioner._require_id_token", lambda token: None)
                return await super().authorize(token, operation)


@pytest.mark.caught(by="test_each_token_is_spent_under_an_id_of_its_own", because="assert")
class TestSpendsALoginUnderItsSubject(Broken):
    """A login is remembered by who logged in: nobody logs in a second time."""

    class Provisioner(Pliable):
        def changed(self, grant: Grant, token: UnverifiedToken) -> Grant:
            return replace(grant, spend=OneTime.of(token.subject, grant.expires_at))


@pytest.mark.caught(by="test_a_grant_permits_what_the_token_says_and_no_more", because="granted beyond the token")
class TestUsersChooseTheirNames(Broken):
    """A user gets whatever names they ask for, as an administrator does."""

    class Provisioner(Pliable):
        def changed(self, grant: Grant, token: UnverifiedToken) -> Grant:
            return _with_permit(grant, SignX509, names=AsRequested(kinds=frozenset(names.KINDS)))


@pytest.mark.caught(by="test_a_grant_permits_what_the_token_says_and_no_more", because="root")
class TestUsersAreRoot(Broken):
    """A user's certificate is good for root as well."""

    class Provisioner(Pliable):
        def changed(self, grant: Grant, token: UnverifiedToken) -> Grant:
            return _with_permit(grant, SignSSH, principals=Exactly(names=("annb", "root")))
