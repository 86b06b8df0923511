"""Broken copies of the SSHPOP provisioner: certificates that are nobody's or another's, and more than they earn."""

import base64
import logging
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from tests.contracts.broken.breaking import Pliable, Turned, Without, with_claims

from mica import (
    CertificateKind,
    Context,
    Exactly,
    Grant,
    OneTime,
    Operation,
    RenewSSH,
    Reusable,
    Revoke,
    SignSSH,
    Unauthorized,
    UnverifiedToken,
    tokens,
)
from mica.clock import system_clock
from mica.sshcert import CertType
from mica.testing.contexts import Clock
from mica.testing.verdicts import REFUSALS, verdict
from mica_sshpop import contracts, possession
from mica_sshpop.contracts import P256, certify, header
from mica_sshpop.provisioner import SSHPOPConfig, SSHPOPProvisioner

_log = logging.getLogger(__name__)


class TestHolders(contracts.TestP256):
    """The suite of the plugin with one kind of key, and what is true of holders of SSH certificates alone."""

    async def test_a_certificate_is_continued_or_ended_in_its_time(
        self, provisioner: SSHPOPProvisioner, clock: Clock
    ) -> None:
        hour = timedelta(hours=1)
        for operation in (Operation.SSH_REKEY, Operation.SSH_REVOKE):
            for start, end in ((-2 * hour, -hour), (hour, 2 * hour)):
                maker = self.maker(operation, clock())
                other = header(certify(self.key, clock(), start=start, end=end), self.alg)
                with pytest.raises(REFUSALS):
                    await verdict(provisioner, maker.token({"sshpop": other["sshpop"]}), operation)


class Broken(Turned, TestHolders):
    """The suite, turned on another provisioner."""

    config = SSHPOPConfig(name="sshpop")


class OneOrder(Broken):
    """Copies that one order shows."""

    ordered = (Operation.SSH_RENEW,)


class PliableSSHPOP(Pliable, SSHPOPProvisioner):
    """The provisioner with its steps laid open."""


class WithoutSSHPOP(Without, SSHPOPProvisioner):
    """The provisioner, one step of which does nothing."""


# Whom it believes.


@pytest.mark.caught(by="test_a_token_of_another_key_is_refused", because="Failed: ")
class TestSkipsTheTokensSignature(Broken):
    """Who signed the token is not looked at: a certificate is public (threat 20)."""

    class Part(WithoutSSHPOP):
        step = "mica.tokensignatures.require_signature"


@pytest.mark.caught(by="test_every_hostile_token_is_refused", because="under the old signature was granted")
class TestBelievesEveryCertificate(OneOrder):
    """Whether anybody signed the certificate is not looked at: its bearer writes what stands in it (threat 20)."""

    class Part(WithoutSSHPOP):
        step = "mica.sshcert.SSHCertificate.check_signature"


@pytest.mark.caught(by="test_a_certificate_is_continued_or_ended_in_its_time", because="Failed: ")
class TestTakesCertificatesThatHaveEnded(Broken):
    """Whether the certificate is valid now is not looked at (threat 20)."""

    class Part(WithoutSSHPOP):
        step = "mica_sshpop.provisioner._require_current"


@pytest.mark.caught(by="test_every_hostile_token_is_refused", because="the certificate in the header .* was granted")
class TestTakesTheCertificateFromAnyHeader(OneOrder):
    """The certificate may stand in whatever header: what another reader overlooks, this one believes (threat 15)."""

    class Part(PliableSSHPOP):
        def read(self, token: UnverifiedToken) -> UnverifiedToken:
            found = [value for name, value in token.header.items() if name.lower() in ("sshpop", "x5c", "jwk")]
            return replace(token, header={**token.header, "sshpop": found[0]}) if found else token


@pytest.mark.caught(by="test_every_hostile_token_is_refused", because="aud absent was granted")
class TestSkipsTheAudience(OneOrder):
    """Whom a token is for, and for what, is not looked at (threats 1, 16 and 34)."""

    class Part(SSHPOPProvisioner):
        def recognizes(self, token: UnverifiedToken) -> bool:
            return token.issuer == self.name

        async def authorize(self, token: UnverifiedToken, operation: Operation) -> Grant:
            path = operation.removeprefix("ssh-")
            aud = f"{self._context.url}/1.0/ssh/{path}#{self._fragment}"
            return await super().authorize(with_claims(token, aud=aud), operation)


@pytest.mark.caught(by="test_every_hostile_token_is_refused", because="aud .* was granted")
class TestTakesTokensOfOtherProvisioners(OneOrder):
    """The fragment of the audience, which names the provisioner, is not looked at (threat 18)."""

    class Part(PliableSSHPOP):
        def recognizes(self, token: UnverifiedToken) -> bool:
            return token.issuer == self.name

        def read(self, token: UnverifiedToken) -> UnverifiedToken:
            return with_claims(token, aud=[f"{aud.partition('#')[0]}#{self._fragment}" for aud in token.audiences])


@pytest.mark.caught(by="test_a_good_token_is_granted_what_it_orders", because="Unauthorized|Untimely|exp")
class TestAsksTheSystemForTheTime(Broken):
    """The time is the system's and not the authority's (threat 31)."""

    class Part(SSHPOPProvisioner):
        def __init__(self, config: SSHPOPConfig, context: Context) -> None:
            super().__init__(config, replace(context, now=system_clock))


# What it grants.


@pytest.mark.caught(by="test_a_token_serves_no_other_operation", because="Failed: ")
class TestGrantsWhateverIsAsked(Broken):
    """Whoever may renew may have another key certified: the operation is not compared (threat 1)."""

    class Part(SSHPOPProvisioner):
        async def authorize(self, token: UnverifiedToken, operation: Operation) -> Grant:
            meant = self._context.audiences.operation(token, fragment=self._fragment)
            return replace(await super().authorize(token, meant), operation=operation)


@pytest.mark.caught(by="test_every_hostile_token_is_refused", because="sub .* was granted")
class TestEndsACertificateWhateverTheSubjectNames(Broken):
    """The subject need not be the certificate's number: who means one ends the other (threat 3)."""

    ordered = (Operation.SSH_REVOKE,)

    class Part(PliableSSHPOP):
        def read(self, token: UnverifiedToken) -> UnverifiedToken:
            return with_claims(token, sub=str(possession.prove(token).tbs.serial))


@pytest.mark.caught(by="test_a_grant_permits_what_the_token_says_and_no_more", because="RenewSSH")
class TestContinuesAnotherCertificate(Broken):
    """What is renewed is not the certificate whose key signed, but one for other principals (threats 3 and 20)."""

    class Part(PliableSSHPOP):
        def changed(self, grant: Grant, token: UnverifiedToken) -> Grant:
            blob = certify(P256, self._context.now(), ca=ed25519.Ed25519PrivateKey.generate(), key_id=b"root")
            permits = [RenewSSH(certificate=blob) if isinstance(p, RenewSSH) else p for p in grant.permits]
            return replace(grant, permits=tuple(permits))


@pytest.mark.caught(by="test_a_good_token_is_granted_what_it_orders", because="SignSSH")
class TestGrantsANewCertificateInstead(Broken):
    """What was to be renewed is issued anew, for the principals of the request (threats 11 and 13)."""

    class Part(PliableSSHPOP):
        def changed(self, grant: Grant, token: UnverifiedToken) -> Grant:
            anew = SignSSH(cert_type=CertType.HOST, key_id="web.example", principals=Exactly(names=("root",)))
            return replace(grant, permits=(anew,))


@pytest.mark.caught(by="test_a_good_token_is_granted_what_it_orders", because="assert")
class TestEndsTheNamesakeOfX509(Broken):
    """Whoever ends a certificate of SSH ends that of X.509 with its number (GO-2025-4181, threat 3)."""

    class Part(PliableSSHPOP):
        def changed(self, grant: Grant, token: UnverifiedToken) -> Grant:
            if grant.operation is not Operation.SSH_REVOKE:
                return grant
            ended = Revoke(serial_numbers=(int(token.subject),), kind=CertificateKind.X509)
            return replace(grant, permits=(ended,))


@pytest.mark.caught(by="test_a_token_serves_once_unless_the_suite_says_otherwise", because="may serve again")
class TestTokensServeAgainAndAgain(Broken):
    """Whoever has the key could sign another token, so this one is not spent; but others have seen it (threat 4)."""

    class Part(PliableSSHPOP):
        def changed(self, grant: Grant, token: UnverifiedToken) -> Grant:
            return replace(grant, spend=Reusable(reason="its bearer holds the key"))


@pytest.mark.caught(by="test_each_token_is_spent_under_an_id_of_its_own", because="assert")
class TestSpendsTheCertificateInsteadOfTheToken(Broken):
    """Tokens are remembered by the serial number: a certificate is renewed once and never revoked."""

    class Part(PliableSSHPOP):
        def changed(self, grant: Grant, token: UnverifiedToken) -> Grant:
            return replace(grant, spend=OneTime.of(token.subject, grant.expires_at))


@pytest.mark.caught(by="test_a_token_is_remembered_as_long_as_it_is_accepted", because="Failed: ")
class TestForgetsATokenBeforeItEnds(Broken):
    """A spent token is remembered until ``exp``, and accepted a minute longer (threat 35)."""

    class Part(PliableSSHPOP):
        def changed(self, grant: Grant, token: UnverifiedToken) -> Grant:
            return replace(grant, spend=OneTime.of(token.id, grant.expires_at - tokens.LEEWAY))


# What it does besides.


@pytest.mark.caught(by="test_every_hostile_token_is_refused", because="Error")
class TestStumblesOverWhatIsNoCertificate(OneOrder):
    """A header that is no certificate ends in an error of Python's (threat 10)."""

    class Part(PliableSSHPOP):
        def read(self, token: UnverifiedToken) -> UnverifiedToken:
            base64.b64decode(token.header["sshpop"], validate=True)
            return token


@pytest.mark.caught(by="test_every_hostile_token_is_refused", because="an error quotes the token")
class TestQuotesTheTokenInAnError(OneOrder):
    """The refusal has the whole token, and goes to the log (threat 27)."""

    class Part(SSHPOPProvisioner):
        async def authorize(self, token: UnverifiedToken, operation: Operation) -> Grant:
            try:
                return await super().authorize(token, operation)
            except Unauthorized as error:
                raise Unauthorized(f"{error}: {token.raw}") from error


@pytest.mark.caught(by="test_no_token_and_no_secret_is_logged_or_granted", because="leave it out")
class TestLogsTheToken(Broken):
    """Whoever reads the log of a debugging day can use the tokens in it (threat 27)."""

    class Part(PliableSSHPOP):
        def read(self, token: UnverifiedToken) -> UnverifiedToken:
            _log.debug("asked with %s", token.raw)
            return token
