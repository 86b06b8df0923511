"""Broken copies of the X5C provisioner: chains that lead nowhere, other signers, certificates beyond theirs."""

from dataclasses import replace

import pytest
from tests.contracts.broken.breaking import Pliable, Turned, Without, with_claims, with_permit

from mica import Exactly, Grant, OneTime, Reusable, SignSSH, SignX509, UnverifiedToken, names
from mica_x5c.contracts import NAME, ROOT_PEM, TestP256
from mica_x5c.provisioner import X5CConfig, X5CProvisioner


class Broken(Turned, TestP256):
    """The suite of the plugin with one kind of key, turned on another provisioner."""

    config = X5CConfig(name=NAME, roots_pem=ROOT_PEM)


class PliableX5C(Pliable, X5CProvisioner):
    """The provisioner with its steps laid open."""


class WithoutX5C(Without, X5CProvisioner):
    """The provisioner, one step of which does nothing."""


@pytest.mark.caught(by="test_every_hostile_token_is_refused", because="x5c.* was granted")
class TestBelievesEveryChain(Broken):
    """Whether the chain leads to a root is not looked at (threat 5)."""

    class Part(WithoutX5C):
        step = "mica_x5c.paths.verify"


@pytest.mark.caught(by="test_a_token_of_another_key_is_refused", because="Failed: ")
class TestSkipsTheSignature(Broken):
    """The chain is good, and who signed the token is not looked at: a certificate is public."""

    class Part(WithoutX5C):
        step = "mica_x5c.chains.require_signature"


@pytest.mark.caught(by="test_a_grant_permits_what_the_token_says_and_no_more", because="until|after")
class TestCertifiesForLongerThanTheSigner(Broken):
    """What is issued outlives the certificate that it was ordered with (never, 10)."""

    class Part(PliableX5C):
        def changed(self, grant: Grant, token: UnverifiedToken) -> Grant:
            return with_permit(grant, SignX509, not_after=None)


@pytest.mark.caught(by="test_a_grant_permits_what_the_token_says_and_no_more", because="until|after")
class TestCertifiesUsersForLongerThanTheSigner(Broken):
    """The same of SSH."""

    class Part(PliableX5C):
        def changed(self, grant: Grant, token: UnverifiedToken) -> Grant:
            return with_permit(grant, SignSSH, not_after=None)


@pytest.mark.caught(by="test_a_grant_permits_what_the_token_says_and_no_more", because="edge.example")
class TestPermitsTheNameOfTheSigner(Broken):
    """Besides what was ordered, the signer's own name is certified (threat 11)."""

    class Part(PliableX5C):
        def changed(self, grant: Grant, token: UnverifiedToken) -> Grant:
            further = Exactly(names=(names.classify("edge.example"), names.classify("svc.example")))
            return with_permit(grant, SignX509, names=further)


@pytest.mark.caught(by="test_every_hostile_token_is_refused", because="aud.* was granted")
class TestTakesTokensOfOtherProvisioners(Broken):
    """The fragment of the audience, which names the provisioner, is not looked at."""

    class Part(PliableX5C):
        def recognizes(self, token: UnverifiedToken) -> bool:
            return token.issuer == self.name

        def read(self, token: UnverifiedToken) -> UnverifiedToken:
            aud = [f"{audience.partition('#')[0]}#{self._fragment}" for audience in token.audiences]
            return with_claims(token, aud=aud)


@pytest.mark.caught(by="test_each_token_is_spent_under_an_id_of_its_own", because="assert")
class TestSpendsTheCertificateInsteadOfTheToken(Broken):
    """Tokens are remembered by who signed them: after the first, a signer's tokens are refused (threat 4)."""

    class Part(PliableX5C):
        def changed(self, grant: Grant, token: UnverifiedToken) -> Grant:
            return replace(grant, spend=OneTime.of(grant.provisioner.credential_id or self.name, grant.expires_at))


@pytest.mark.caught(by="test_a_token_serves_once_unless_the_suite_says_otherwise", because="may serve again")
class TestTokensServeAgainAndAgain(Broken):
    """A token is not spent: its signer could sign another, but others have seen this one (threat 4)."""

    class Part(PliableX5C):
        def changed(self, grant: Grant, token: UnverifiedToken) -> Grant:
            return replace(grant, spend=Reusable(reason="its bearer holds the key"))
