"""Broken copies of the JWK provisioner whose grants serve for too much, too often or too long."""

import secrets
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.contracts.broken.breaking import with_permit
from tests.contracts.broken.jwk import PliableJWK
from tests.contracts.broken.token_provisioner.original import Broken

from mica import (
    Grant,
    OneTime,
    Reusable,
    SignX509,
    UnverifiedToken,
    tokens,
)


@pytest.mark.caught(by="test_a_token_that_confirms_a_request_is_good_for_no_other", because="cnf is dropped")
class TestForgetsWhichRequestWasConfirmed(Broken):
    """A token for one CSR is good for any (threat 5)."""

    class Part(PliableJWK):
        def changed(self, grant: Grant, token: UnverifiedToken) -> Grant:
            return with_permit(grant, SignX509, confirmation=None)


@pytest.mark.caught(by="test_a_token_serves_once_unless_the_suite_says_otherwise", because="may serve again")
class TestTokensServeAgainAndAgain(Broken):
    """A token is not spent (threat 4)."""

    class Part(PliableJWK):
        def changed(self, grant: Grant, token: UnverifiedToken) -> Grant:
            return replace(grant, spend=Reusable(reason="it is simpler"))


@pytest.mark.caught(by="test_each_token_is_spent_under_an_id_of_its_own", because="assert")
class TestSpendsEveryTokenUnderOneId(Broken):
    """The first token that is spent spends them all."""

    class Part(PliableJWK):
        def changed(self, grant: Grant, token: UnverifiedToken) -> Grant:
            return replace(grant, spend=OneTime.of("token", grant.expires_at))


@pytest.mark.caught(by="test_each_token_is_spent_under_an_id_of_its_own", because="assert")
class TestSpendsATokenUnderAnotherIdEachTime(Broken):
    """The id has nothing to do with the token: it serves as often as it is shown."""

    class Part(PliableJWK):
        def changed(self, grant: Grant, token: UnverifiedToken) -> Grant:
            return replace(grant, spend=OneTime.of(secrets.token_hex(16), grant.expires_at))


@pytest.mark.caught(by="test_a_signature_in_its_other_form_makes_no_new_token", because="two ids")
class TestSpendsATokenWithItsSignature(Broken):
    """The signature is part of what a token is spent under, and whoever has one can write it in another form."""

    class Part(PliableJWK):
        def changed(self, grant: Grant, token: UnverifiedToken) -> Grant:
            return replace(grant, spend=OneTime.of(token.raw.replace(".", "-")[-80:], grant.expires_at))


@pytest.mark.caught(by="test_a_token_is_remembered_as_long_as_it_is_accepted", because="Failed: ")
class TestForgetsATokenBeforeItEnds(Broken):
    """A spent token is remembered until ``exp``, and accepted a minute longer."""

    class Part(PliableJWK):
        def changed(self, grant: Grant, token: UnverifiedToken) -> Grant:
            return replace(grant, spend=OneTime.of(token.id, grant.expires_at - tokens.LEEWAY))


@pytest.mark.caught(by="test_a_grant_has_expired_once_its_token_is_refused", because="Failed: ")
class TestGrantsForAMoment(Broken):
    """A grant ends a second after it is made, whatever the token says."""

    class Part(PliableJWK):
        def changed(self, grant: Grant, token: UnverifiedToken) -> Grant:
            return replace(grant, expires_at=self._context.now() + timedelta(seconds=1))


@pytest.mark.caught(by="test_a_good_token_is_granted_what_it_orders", because="assert")
class TestGrantsForAWeek(Broken):
    """A grant lasts a week, long after its token is forgotten."""

    class Part(PliableJWK):
        def changed(self, grant: Grant, token: UnverifiedToken) -> Grant:
            return replace(grant, expires_at=self._context.now() + timedelta(days=7))


@pytest.mark.caught(by="test_a_good_token_is_granted_what_it_orders", because="assert")
class TestVouchesInAnothersName(Broken):
    """The grant says that another provisioner vouches."""

    class Part(PliableJWK):
        def changed(self, grant: Grant, token: UnverifiedToken) -> Grant:
            return replace(grant, provisioner=replace(grant.provisioner, name="admin"))
