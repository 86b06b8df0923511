"""Broken copies of the X5C provisioner: chains that lead nowhere, other signers, certificates beyond theirs."""

from dataclasses import replace
from typing import Any, ClassVar

import pytest

from mica import Context, Exactly, Grant, Operation, SignSSH, SignX509, UnverifiedToken, names
from mica_x5c.contracts import NAME, ROOT_PEM, TestP256
from mica_x5c.provisioner import X5CConfig, X5CProvisioner


class Broken(TestP256):
    """The suite of the plugin with one kind of key, turned on another provisioner."""

    Provisioner: ClassVar[type[X5CProvisioner]]

    def build(self, context: Context) -> X5CProvisioner:
        return self.Provisioner(X5CConfig(name=NAME, roots_pem=ROOT_PEM), context)


class Without(X5CProvisioner):
    """The provisioner, one step of which does nothing."""

    step: ClassVar[str]

    async def authorize(self, token: UnverifiedToken, operation: Operation) -> Grant:
        with pytest.MonkeyPatch.context() as patched:  # it never waits, so that nobody else comes by
            patched.setattr(self.step, lambda *arguments: None)
            return await super().authorize(token, operation)


def _with_permit(grant: Grant, kind: type, **members: Any) -> Grant:
    permits = [replace(permit, **members) if isinstance(permit, kind) else permit for permit in grant.permits]
    return replace(grant, permits=tuple(permits))


@pytest.mark.caught(by="test_every_hostile_token_is_refused", because="x5c.* was granted")
class TestBelievesEveryChain(Broken):
    """Whether the chain leads to a root is not looked at (threat 5)."""

    class Provisioner(Without):
        step = "mica_x5c.paths.verify"


@pytest.mark.caught(by="test_a_token_of_another_key_is_refused", because="DID NOT RAISE")
class TestSkipsTheSignature(Broken):
    """The chain is good, and who signed the token is not looked at: a certificate is public."""

    class Provisioner(Without):
        step = "mica_x5c.chains.require_signature"


@pytest.mark.caught(by="test_a_grant_permits_what_the_token_says_and_no_more", because="until|after")
class TestCertifiesForLongerThanTheSigner(Broken):
    """What is issued outlives the certificate that it was ordered with (never, 10)."""

    class Provisioner(X5CProvisioner):
        async def authorize(self, token: UnverifiedToken, operation: Operation) -> Grant:
            return _with_permit(await super().authorize(token, operation), SignX509, not_after=None)


@pytest.mark.caught(by="test_a_grant_permits_what_the_token_says_and_no_more", because="until|after")
class TestCertifiesUsersForLongerThanTheSigner(Broken):
    """The same of SSH."""

    class Provisioner(X5CProvisioner):
        async def authorize(self, token: UnverifiedToken, operation: Operation) -> Grant:
            return _with_permit(await super().authorize(token, operation), SignSSH, not_after=None)


@pytest.mark.caught(by="test_a_grant_permits_what_the_token_says_and_no_more", because="edge.example")
class TestPermitsTheNameOfTheSigner(Broken):
    """Besides what was ordered, the signer's own name is certified (threat 11)."""

    class Provisioner(X5CProvisioner):
        async def authorize(self, token: UnverifiedToken, operation: Operation) -> Grant:
            further = Exactly(names=(names.classify("edge.example"), names.classify("svc.example")))
            return _with_permit(await super().authorize(token, operation), SignX509, names=further)


@pytest.mark.caught(by="test_every_hostile_token_is_refused", because="aud.* was granted")
class TestTakesTokensOfOtherProvisioners(Broken):
    """The fragment of the audience, which names the provisioner, is not looked at."""

    class Provisioner(X5CProvisioner):
        def recognizes(self, token: UnverifiedToken) -> bool:
            return token.issuer == self.name

        async def authorize(self, token: UnverifiedToken, operation: Operation) -> Grant:
            aud = [f"{audience.partition('#')[0]}#{self._fragment}" for audience in token.audiences]
            return await super().authorize(replace(token, payload={**token.payload, "aud": aud}), operation)
