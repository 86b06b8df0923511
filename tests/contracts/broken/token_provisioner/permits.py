"""Broken copies of the JWK provisioner that grant what nobody ordered."""

from dataclasses import replace

import pytest
from tests.contracts.broken.breaking import with_permit
from tests.contracts.broken.jwk import PliableJWK
from tests.contracts.broken.token_provisioner.original import Broken

from mica import (
    AsRequested,
    CertType,
    Exactly,
    Grant,
    Operation,
    Revoke,
    SignSSH,
    SignX509,
    UnverifiedToken,
    names,
)
from mica_jwk.provisioner import JWKProvisioner


@pytest.mark.caught(by="test_a_token_serves_no_other_operation", because="Failed: ")
class TestGrantsWhateverIsAsked(Broken):
    """The operation that is asked for is granted, whatever the token's audience says (step-ca CVE-2025-44005)."""

    class Part(PliableJWK):
        async def authorize(self, token: UnverifiedToken, operation: Operation) -> Grant:
            meant = self._context.audiences.operation(token)
            return replace(await super().authorize(token, meant), operation=operation)


@pytest.mark.caught(by="test_a_good_token_is_granted_what_it_orders", because="Operation.*is|assert")
class TestNamesAnotherOperationInItsGrant(Broken):
    """The grant is for another operation than the one that was asked."""

    class Part(PliableJWK):
        def changed(self, grant: Grant, token: UnverifiedToken) -> Grant:
            return replace(grant, operation=Operation.X509_RENEW)


@pytest.mark.caught(by="test_it_fills_the_role", because="assert")
class TestDeclaresLessThanItServes(Broken):
    """What its grants can be for is not what it says."""

    class Part(JWKProvisioner):
        operations = JWKProvisioner.operations - {Operation.X509_REVOKE}


@pytest.mark.caught(by="test_a_grant_permits_what_the_token_says_and_no_more", because="evil.example")
class TestPermitsAFurtherName(Broken):
    """The certificate has a name more than the token (threat 11)."""

    class Part(PliableJWK):
        def changed(self, grant: Grant, token: UnverifiedToken) -> Grant:
            further = Exactly(names=(names.classify("svc.example"), names.classify("evil.example")))
            return with_permit(grant, SignX509, names=further)


@pytest.mark.caught(by="test_a_grant_permits_what_the_token_says_and_no_more", because="granted beyond the token")
class TestPermitsTheNamesOfTheRequest(Broken):
    """The certificate has whatever names the request has: AsRequested where Exactly was meant."""

    class Part(PliableJWK):
        def changed(self, grant: Grant, token: UnverifiedToken) -> Grant:
            return with_permit(grant, SignX509, names=AsRequested(kinds=frozenset(names.KINDS)))


@pytest.mark.caught(by="test_a_grant_permits_what_the_token_says_and_no_more", because="evil.example")
class TestPermitsAnotherCommonName(Broken):
    """The subject of the certificate is not the token's."""

    class Part(PliableJWK):
        def changed(self, grant: Grant, token: UnverifiedToken) -> Grant:
            return with_permit(grant, SignX509, subject_common_name="evil.example")


@pytest.mark.caught(by="test_a_grant_permits_what_the_token_says_and_no_more", because="ObjectIdentifier")
class TestPermitsToSignCode(Broken):
    """A certificate for a server can sign programs (threat 14)."""

    class Part(PliableJWK):
        def changed(self, grant: Grant, token: UnverifiedToken) -> Grant:
            from cryptography.x509.oid import ExtendedKeyUsageOID

            return with_permit(grant, SignX509, extended_key_usages=(ExtendedKeyUsageOID.CODE_SIGNING,))


@pytest.mark.caught(by="test_a_grant_permits_what_the_token_says_and_no_more", because="root")
class TestPermitsAFurtherPrincipal(Broken):
    """A user's certificate is good for root as well."""

    class Part(PliableJWK):
        def changed(self, grant: Grant, token: UnverifiedToken) -> Grant:
            return with_permit(grant, SignSSH, principals=Exactly(names=("ann", "root")))


@pytest.mark.caught(by="test_a_good_token_is_granted_what_it_orders", because="principals")
class TestPermitsNoPrincipalInParticular(Broken):
    """A user's certificate without principals is good for everybody (Vault CVE-2024-7594)."""

    class Part(PliableJWK):
        def changed(self, grant: Grant, token: UnverifiedToken) -> Grant:
            return with_permit(grant, SignSSH, principals=Exactly(names=()))


@pytest.mark.caught(by="test_a_grant_permits_what_the_token_says_and_no_more", because="host")
class TestPermitsAHostWhereAUserWasOrdered(Broken):
    """A user's token gets a host's certificate."""

    class Part(PliableJWK):
        def changed(self, grant: Grant, token: UnverifiedToken) -> Grant:
            return with_permit(grant, SignSSH, cert_type=CertType.HOST)


@pytest.mark.caught(by="test_a_grant_permits_what_the_token_says_and_no_more", because="4712|granted beyond")
class TestRevokesAnotherSerialNumber(Broken):
    """What is revoked is not what the token names (threat 3)."""

    class Part(PliableJWK):
        def changed(self, grant: Grant, token: UnverifiedToken) -> Grant:
            return with_permit(grant, Revoke, serial_numbers=(4712,))


@pytest.mark.caught(by="test_a_good_token_is_granted_what_it_orders", because="kind|assert")
class TestRevokesTheOtherKind(Broken):
    """A token that revokes a certificate of SSH ends that of X.509 with its number (GO-2025-4181)."""

    class Part(PliableJWK):
        def changed(self, grant: Grant, token: UnverifiedToken) -> Grant:
            from mica import CertificateKind

            return with_permit(grant, Revoke, kind=CertificateKind.X509)
