"""Broken copies of the JWK provisioner as one that renews: foreign and other certificates, other operations."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.contracts.broken.jwk import TurnedJWK

from mica import Exactly, Grant, Issuance, Operation, ProvisionerRef, Renew, Reusable, SignX509, names
from mica_jwk.contracts import TestP256
from mica_jwk.provisioner import JWKProvisioner


class Broken(TurnedJWK, TestP256):
    """The suite of the plugin with one kind of key, turned on another provisioner."""


def _vouched(issuance: Issuance, **members: str) -> Issuance:
    """The certificate as if somebody else had vouched for it."""
    return replace(issuance, provisioner=replace(issuance.provisioner, **members))


def _restored(grant: Grant, issuance: Issuance) -> Grant:
    return replace(grant, permits=(Renew(certificate=issuance),))


@pytest.mark.caught(by="test_a_certificate_that_another_vouched_for_is_not_renewed", because="Failed: ")
class TestRenewsWhatAnotherVouchedFor(Broken):
    """Whose a certificate is, is not looked at (threat 20)."""

    class Part(JWKProvisioner):
        async def authorize_renewal(self, issuance: Issuance, operation: Operation) -> Grant:
            mine = _vouched(issuance, name=self.name, type=self.type)
            return _restored(await super().authorize_renewal(mine, operation), issuance)


@pytest.mark.caught(by="test_a_certificate_that_another_vouched_for_is_not_renewed", because="Failed: ")
class TestRenewsForANamesakeOfAnotherType(Broken):
    """Whose a certificate is, is told by the name alone: a provisioner of another type may have had it."""

    class Part(JWKProvisioner):
        async def authorize_renewal(self, issuance: Issuance, operation: Operation) -> Grant:
            mine = _vouched(issuance, type=self.type)
            return _restored(await super().authorize_renewal(mine, operation), issuance)


@pytest.mark.caught(by="test_a_certificate_that_another_vouched_for_is_not_renewed", because="Failed: ")
class TestRenewsForWhoeverHasALongerName(Broken):
    """The names of provisioners are compared by their beginning (threat 18)."""

    class Part(JWKProvisioner):
        async def authorize_renewal(self, issuance: Issuance, operation: Operation) -> Grant:
            is_mine = issuance.provisioner.name.startswith(self.name)
            mine = _vouched(issuance, name=self.name) if is_mine else issuance
            return _restored(await super().authorize_renewal(mine, operation), issuance)


@pytest.mark.caught(by="test_a_renewal_is_granted_for_that_certificate_alone", because="assert")
class TestRenewsAnotherCertificate(Broken):
    """The certificate of the grant is not the one that was presented (threat 3)."""

    class Part(JWKProvisioner):
        async def authorize_renewal(self, issuance: Issuance, operation: Operation) -> Grant:
            other = replace(issuance, id=replace(issuance.id, serial_number=issuance.id.serial_number + 1))
            return await super().authorize_renewal(other, operation)


@pytest.mark.caught(by="test_a_renewal_is_granted_for_that_certificate_alone", because="assert")
class TestRenewsWithAFurtherName(Broken):
    """What is renewed has a name more than it had."""

    class Part(JWKProvisioner):
        async def authorize_renewal(self, issuance: Issuance, operation: Operation) -> Grant:
            further = replace(issuance, names=(*issuance.names, "evil.example"))
            return await super().authorize_renewal(further, operation)


@pytest.mark.caught(by="test_a_renewal_is_granted_for_that_certificate_alone", because="assert")
class TestGrantsANewCertificateInstead(Broken):
    """A renewal is a new certificate, for which the old one's limits do not hold."""

    class Part(JWKProvisioner):
        async def authorize_renewal(self, issuance: Issuance, operation: Operation) -> Grant:
            grant = await super().authorize_renewal(issuance, operation)
            named = Exactly(names=tuple(map(names.classify, issuance.names)))
            return replace(grant, permits=(SignX509(subject_common_name=issuance.subject, names=named),))


@pytest.mark.caught(by="test_a_renewal_is_granted_for_no_other_operation", because="Failed: ")
class TestGrantsWhateverIsAsked(Broken):
    """Which operation is asked for is not looked at: possession of a certificate revokes, or signs SSH."""

    class Part(JWKProvisioner):
        async def authorize_renewal(self, issuance: Issuance, operation: Operation) -> Grant:
            return replace(await super().authorize_renewal(issuance, Operation.X509_RENEW), operation=operation)


@pytest.mark.caught(by="test_a_renewal_is_granted_for_that_certificate_alone", because="assert")
class TestRenewsWhereARekeyWasAsked(Broken):
    """The grant is for a renewal whatever was asked."""

    class Part(JWKProvisioner):
        async def authorize_renewal(self, issuance: Issuance, operation: Operation) -> Grant:
            return replace(await super().authorize_renewal(issuance, operation), operation=Operation.X509_RENEW)


@pytest.mark.caught(by="test_a_renewal_is_granted_for_that_certificate_alone", because="assert")
class TestGrantsForADay(Broken):
    """The grant outlives what it rests on, the handshake of one connection."""

    class Part(JWKProvisioner):
        async def authorize_renewal(self, issuance: Issuance, operation: Operation) -> Grant:
            grant = await super().authorize_renewal(issuance, operation)
            return replace(grant, expires_at=self._context.now() + timedelta(days=1))


@pytest.mark.caught(by="test_a_renewal_is_granted_for_that_certificate_alone", because="assert")
class TestDoesNotSayWhyItServesAgain(Broken):
    """The credential may serve again, and nobody learns why."""

    class Part(JWKProvisioner):
        async def authorize_renewal(self, issuance: Issuance, operation: Operation) -> Grant:
            return replace(await super().authorize_renewal(issuance, operation), spend=Reusable(reason=""))


@pytest.mark.caught(by="test_a_renewal_is_granted_for_that_certificate_alone", because="assert")
class TestVouchesInAnothersName(Broken):
    """The grant says that another provisioner vouches."""

    class Part(JWKProvisioner):
        async def authorize_renewal(self, issuance: Issuance, operation: Operation) -> Grant:
            grant = await super().authorize_renewal(issuance, operation)
            return replace(grant, provisioner=ProvisionerRef(name="admin", type="JWK"))


@pytest.mark.caught(by="test_a_renewal_is_granted_for_that_certificate_alone", because="NoneType")
class TestAnswersNothing(Broken):
    """It answers None."""

    class Part(JWKProvisioner):
        async def authorize_renewal(self, issuance: Issuance, operation: Operation) -> Any:
            await super().authorize_renewal(issuance, operation)
