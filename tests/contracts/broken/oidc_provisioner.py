"""Broken copies of the OIDC provisioner: other clients' tokens, people who proved nothing, logins reused."""

from dataclasses import replace

import pytest
from tests.contracts.broken.breaking import Pliable, Turned, with_claims, with_permit

from mica import AsRequested, Context, Grant, OneTime, Operation, SignSSH, SignX509, UnverifiedToken, names
from mica.grants import Exactly
from mica.testing.contexts import Clock
from mica.testing.makers import ABSENT
from mica.testing.verdicts import REFUSALS, verdict
from mica_oidc import contracts
from mica_oidc.config import OIDCConfig
from mica_oidc.contracts import config_of
from mica_oidc.provisioner import OIDCProvisioner


class TestColleagues(contracts.TestUsers):
    """The suite of the plugin with users, of whom those of one domain are let in."""

    @property
    def config(self) -> OIDCConfig:
        return config_of(self.provider, domains=("harbour.example",))

    def build(self, context: Context) -> OIDCProvisioner:
        return OIDCProvisioner(self.config, context)

    async def test_an_address_in_a_neighbouring_domain_is_refused(
        self, provisioner: OIDCProvisioner, clock: Clock
    ) -> None:
        for domain in ("evilharbour.example", "harbour.example.evil.example", "sub.harbour.example", "example", ""):
            for operation in self.ordered:
                raw = self.maker(operation, clock()).token(email=f"ann@{domain}" if domain else ABSENT)
                with pytest.raises(REFUSALS):
                    await verdict(provisioner, raw, operation)


class Broken(Turned, TestColleagues):
    """The suite, turned on another provisioner."""


class PliableOIDC(Pliable, OIDCProvisioner):
    """The provisioner with its steps laid open."""


@pytest.mark.caught(by="test_every_hostile_token_is_refused", because="email.* was granted")
class TestBelievesAnAddressThatNobodyVerified(Broken):
    """``email_verified`` is not looked at: whoever types an address has it."""

    class Part(PliableOIDC):
        def read(self, token: UnverifiedToken) -> UnverifiedToken:
            return with_claims(token, email_verified=True)


@pytest.mark.caught(by="test_every_hostile_token_is_refused", because="(aud|azp).* was granted")
class TestTakesTokensOfOtherParties(Broken):
    """For which party the token was made is not looked at (threat 17)."""

    class Part(OIDCProvisioner):
        def _require_party(self, token: UnverifiedToken) -> None:
            return None


@pytest.mark.caught(by="test_every_hostile_token_is_refused", because="aud.* was granted")
class TestTakesTokensOfOtherClients(Broken):
    """The audience is not looked at: every client of the provider is this one."""

    class Part(PliableOIDC):
        def recognizes(self, token: UnverifiedToken) -> bool:
            return super().recognizes(self.read(token))

        def read(self, token: UnverifiedToken) -> UnverifiedToken:
            return with_claims(token, aud=self._config.client_id)


@pytest.mark.caught(by="test_every_hostile_token_is_refused", because="iss.* was granted|issuer.* was granted")
class TestTakesTokensOfOtherIssuers(Broken):
    """Who issued the token is not looked at."""

    class Part(PliableOIDC):
        def recognizes(self, token: UnverifiedToken) -> bool:
            return super().recognizes(self.read(token))

        def read(self, token: UnverifiedToken) -> UnverifiedToken:
            return with_claims(token, iss=self._provider.issuer) if self._provider else token


@pytest.mark.caught(by="test_an_address_in_a_neighbouring_domain_is_refused", because="Failed: ")
class TestComparesTheDomainByItsEnd(Broken):
    """A domain that ends like one that is let in is let in: ``evilharbour.example`` (threat 18)."""

    class Part(PliableOIDC):
        def read(self, token: UnverifiedToken) -> UnverifiedToken:
            email = str(token.payload.get("email"))
            is_let_in = any(email.endswith(domain) for domain in self._config.domains)
            return with_claims(token, email="ann@harbour.example") if is_let_in else token


@pytest.mark.caught(by="test_an_address_in_a_neighbouring_domain_is_refused", because="Failed: ")
class TestLetsInWhoeverHasNoAddress(Broken):
    """Where there is no address, there is no domain that could be wrong: who leaves it out is let in (threat 17)."""

    class Part(PliableOIDC):
        def read(self, token: UnverifiedToken) -> UnverifiedToken:
            return token if token.payload.get("email") else with_claims(token, email="ann@harbour.example")


@pytest.mark.caught(by="test_every_hostile_token_is_refused", because="nonce.* was granted")
class TestSkipsTheNonce(Broken):
    """The nonce is not looked at: what is remembered is the token, and a login has as many as one likes (threat 17)."""

    class Part(PliableOIDC):
        def read(self, token: UnverifiedToken) -> UnverifiedToken:
            return with_claims(token, nonce="")


@pytest.mark.caught(by="test_every_hostile_token_is_refused", because="typ|events|token")
class TestTakesOtherKindsOfTokens(Broken):
    """An access token of the same provider is as good as an ID token (RFC 8725 §3.12)."""

    class Part(OIDCProvisioner):
        async def authorize(self, token: UnverifiedToken, operation: Operation) -> Grant:
            with pytest.MonkeyPatch.context() as patched:
                patched.setattr("mica_oidc.provisioner._require_id_token", lambda token: None)
                return await super().authorize(token, operation)


@pytest.mark.caught(by="test_each_token_is_spent_under_an_id_of_its_own", because="assert")
class TestSpendsALoginUnderItsSubject(Broken):
    """A login is remembered by who logged in: nobody logs in a second time."""

    class Part(PliableOIDC):
        def changed(self, grant: Grant, token: UnverifiedToken) -> Grant:
            return replace(grant, spend=OneTime.of(token.subject, grant.expires_at))


@pytest.mark.caught(by="test_a_grant_permits_what_the_token_says_and_no_more", because="granted beyond the token")
class TestUsersChooseTheirNames(Broken):
    """A user gets whatever names they ask for, as an administrator does."""

    class Part(PliableOIDC):
        def changed(self, grant: Grant, token: UnverifiedToken) -> Grant:
            return with_permit(grant, SignX509, names=AsRequested(kinds=frozenset(names.KINDS)))


@pytest.mark.caught(by="test_a_grant_permits_what_the_token_says_and_no_more", because="root")
class TestUsersAreRoot(Broken):
    """A user's certificate is good for root as well."""

    class Part(PliableOIDC):
        def changed(self, grant: Grant, token: UnverifiedToken) -> Grant:
            return with_permit(grant, SignSSH, principals=Exactly(names=("annb", "root")))
