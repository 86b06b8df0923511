"""Broken copies of the JWK provisioner: each believes something that it should not, or grants what nobody ordered."""

import asyncio
import hmac
import json
import logging
import secrets
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization

from mica import (
    AsRequested,
    CertType,
    Context,
    Exactly,
    Grant,
    OneTime,
    Operation,
    Reusable,
    Revoke,
    SignSSH,
    SignX509,
    Unauthorized,
    UnverifiedToken,
    names,
    tokens,
)
from mica.testing.heartbeat import LONGEST
from mica_jwk.contracts import ENCRYPTED, NAME, TestP256, public_jwk
from mica_jwk.keys import VerificationKey
from mica_jwk.provisioner import JWKConfig, JWKProvisioner

_log = logging.getLogger(__name__)


class Broken(TestP256):
    """The suite of the plugin with one kind of key, turned on another provisioner."""

    Provisioner: ClassVar[type[JWKProvisioner]]

    def build(self, context: Context) -> JWKProvisioner:
        return self.Provisioner(JWKConfig(name=NAME, key=public_jwk(self.key), encrypted_key=ENCRYPTED), context)


class Pliable(JWKProvisioner):
    """The provisioner with its steps laid open, so that each can be broken by itself."""

    async def authorize(self, token: UnverifiedToken, operation: Operation) -> Grant:
        return self.changed(await super().authorize(self.read(token), operation), token)

    def read(self, token: UnverifiedToken) -> UnverifiedToken:
        """The token, as it is taken."""
        return token

    def changed(self, grant: Grant, token: UnverifiedToken) -> Grant:
        """The grant, as it is given."""
        return grant


def _with_claims(token: UnverifiedToken, **claims: object) -> UnverifiedToken:
    """The token as if it said so, under the signature that it has."""
    return replace(token, payload={**token.payload, **claims})


def _with_permit(grant: Grant, kind: type, **members: Any) -> Grant:
    """The grant with these members in its permits of that kind."""
    permits = [replace(permit, **members) if isinstance(permit, kind) else permit for permit in grant.permits]
    return replace(grant, permits=tuple(permits))


# What it believes.


@pytest.mark.caught(by="test_every_hostile_token_is_refused", because="aud absent was granted")
class TestSkipsTheAudience(Broken):
    """Whom a token is for is not looked at: another authority's is good here (threats 1 and 34)."""

    class Provisioner(Pliable):
        async def authorize(self, token: UnverifiedToken, operation: Operation) -> Grant:
            path = operation.replace("x509-", "").replace("ssh-", "ssh/")
            aud = f"{self._context.url}/1.0/{path}"
            return await super().authorize(_with_claims(token, aud=aud), operation)


@pytest.mark.caught(by="test_every_hostile_token_is_refused", because=r"aud .*a prefix|aud 'https://[^']*x'")
class TestComparesTheAudienceByItsBeginning(Broken):
    """An audience that begins like ours is ours (threat 18)."""

    class Provisioner(Pliable):
        def read(self, token: UnverifiedToken) -> UnverifiedToken:
            for path in ("sign", "revoke", "ssh/sign", "ssh/revoke"):
                ours = f"{self._context.url}/1.0/{path}"
                if any(audience.startswith(ours) for audience in token.audiences):
                    return _with_claims(token, aud=ours)
            return token


@pytest.mark.caught(by="test_every_hostile_token_is_refused", because="aud for two operations|aud for every operation")
class TestTakesTheFirstOfSeveralAudiences(Broken):
    """Of several audiences the first is taken: one token orders several things (threat 16)."""

    class Provisioner(Pliable):
        def read(self, token: UnverifiedToken) -> UnverifiedToken:
            return _with_claims(token, aud=token.audiences[0]) if token.audiences else token


@pytest.mark.caught(by="test_every_hostile_token_is_refused", because="exp absent")
class TestSkipsTheExpiry(Broken):
    """A token that ended an hour ago is taken."""

    class Provisioner(Pliable):
        def read(self, token: UnverifiedToken) -> UnverifiedToken:
            return _with_claims(token, exp=int(self._context.now().timestamp()) + 300)


@pytest.mark.caught(by="test_every_hostile_token_is_refused", because="exp absent")
class TestNeedsNoExpiry(Broken):
    """A token without an end is taken."""

    class Provisioner(Pliable):
        def read(self, token: UnverifiedToken) -> UnverifiedToken:
            if "exp" in token.payload:
                return token
            return _with_claims(token, exp=int(self._context.now().timestamp()) + 300)


@pytest.mark.caught(by="test_every_hostile_token_is_refused", because="exp in 25 hours")
class TestTakesTokensForYears(Broken):
    """How far ahead a token ends is not limited."""

    class Provisioner(Pliable):
        def read(self, token: UnverifiedToken) -> UnverifiedToken:
            exp, now = token.payload.get("exp"), int(self._context.now().timestamp())
            if isinstance(exp, int) and not isinstance(exp, bool) and 0 < exp < 2**35:
                return _with_claims(token, exp=min(exp, now + 86000))
            return token


@pytest.mark.caught(by="test_every_hostile_token_is_refused", because="nbf in an hour|iat in an hour")
class TestSkipsTheTimesBeforeWhichATokenIsNotGood(Broken):
    """``nbf`` and ``iat`` are not looked at."""

    class Provisioner(Pliable):
        def read(self, token: UnverifiedToken) -> UnverifiedToken:
            return _with_claims(token, nbf=None, iat=None)


@pytest.mark.caught(by="test_a_good_token_is_granted_what_it_orders", because="Unauthorized|Untimely|expire")
class TestAsksTheSystemForTheTime(Broken):
    """The time is the system's and not the authority's."""

    class Provisioner(Pliable):
        def __init__(self, config: JWKConfig, context: Context) -> None:
            super().__init__(config, replace(context, now=lambda: datetime.now(UTC)))


@pytest.mark.caught(by="test_a_token_of_another_key_is_refused", because="DID NOT RAISE")
class TestSkipsTheSignature(Broken):
    """The signature is not verified."""

    class Provisioner(JWKProvisioner):
        def _verify(self, token: UnverifiedToken) -> None:
            return None


@pytest.mark.caught(by="test_every_hostile_token_is_refused", because="alg .*with a signature was granted")
class TestSkipsTheAlgorithm(Broken):
    """Which algorithm the header names is not looked at (RFC 8725 §3.1)."""

    class Provisioner(JWKProvisioner):
        def _verify(self, token: UnverifiedToken) -> None:
            try:
                self._key.verify(token.signature, token.signing_input)
            except InvalidSignature as error:
                raise Unauthorized("token's signature is not the key's") from error


@pytest.mark.caught(by="test_every_hostile_token_is_refused", because="HS256 with the public key")
class TestTakesThePublicKeyForASharedSecret(Broken):
    """The header chooses HS256, and the public key is the secret (PyJWT CVE-2022-29217)."""

    class Provisioner(JWKProvisioner):
        def _verify(self, token: UnverifiedToken) -> None:
            if token.header["alg"] != "HS256":
                return super()._verify(token)
            pem = self._key.key.key.public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
            if not hmac.compare_digest(hmac.digest(pem, token.signing_input, "sha256"), token.signature):
                raise Unauthorized("wrong")
            return None


@pytest.mark.caught(by="test_every_hostile_token_is_refused", because="jwk of the signer, another key")
class TestTakesTheKeyFromTheToken(Broken):
    """The key in the token's own header verifies it (RFC 8725 §2.4)."""

    class Provisioner(JWKProvisioner):
        def _verify(self, token: UnverifiedToken) -> None:
            jwk = token.header.get("jwk")
            if not isinstance(jwk, dict):
                return super()._verify(token)
            key = VerificationKey.parse({**jwk, "kid": "any"})
            try:
                key.verify(token.signature, token.signing_input)
            except InvalidSignature as error:
                raise Unauthorized("wrong") from error
            return None


class Credulous(JWKProvisioner):
    """Takes every token for its own that its key has signed, unless it is told otherwise."""

    def recognizes(self, token: UnverifiedToken) -> bool:
        return not any("#" in audience for audience in token.audiences)


@pytest.mark.caught(by="test_every_hostile_token_is_refused", because="kid absent|kid ''")
class TestSkipsTheKeyId(Broken):
    """Which key a token names is not looked at."""

    class Provisioner(Credulous):
        def recognizes(self, token: UnverifiedToken) -> bool:
            return super().recognizes(token) and token.issuer == self.name


@pytest.mark.caught(by="test_every_hostile_token_is_refused", because="iss absent|iss ''")
class TestSkipsTheIssuer(Broken):
    """Which provisioner a token names is not looked at: one that holds its key is all of them."""

    class Provisioner(Credulous):
        def recognizes(self, token: UnverifiedToken) -> bool:
            return super().recognizes(token) and token.kid == self._key.kid


@pytest.mark.caught(by="test_every_hostile_token_is_refused", because="iss 'HARBOUR'")
class TestComparesTheIssuerInAnyCase(Broken):
    """The name of the provisioner is compared whatever its case is (threat 18)."""

    class Provisioner(Credulous):
        def recognizes(self, token: UnverifiedToken) -> bool:
            return super().recognizes(token) and token.issuer.lower() == self.name and token.kid == self._key.kid


@pytest.mark.caught(by="test_every_hostile_token_is_refused", because="iss ' harbour'|iss 'harbour ")
class TestStripsTheIssuer(Broken):
    """Blanks around the name of the provisioner are taken away before it is compared (threat 18)."""

    class Provisioner(Credulous):
        def recognizes(self, token: UnverifiedToken) -> bool:
            return super().recognizes(token) and token.issuer.strip() == self.name and token.kid == self._key.kid


@pytest.mark.caught(by="test_a_hostile_token_is_refused_even_when_nobody_asked_whose_it_is", because="was granted")
class TestReliesOnHavingBeenAskedWhoseATokenIs(Broken):
    """Whose a token is, is looked at by ``recognizes`` alone, which proves nothing."""

    class Provisioner(JWKProvisioner):
        asked: ClassVar[bool] = False

        def recognizes(self, token: UnverifiedToken) -> bool:
            return self.asked or super().recognizes(token)

        async def authorize(self, token: UnverifiedToken, operation: Operation) -> Grant:
            return await _Trusting(self._config, self._context).authorize(token, operation)


class _Trusting(JWKProvisioner):
    def recognizes(self, token: UnverifiedToken) -> bool:
        return True


@pytest.mark.caught(by="test_every_hostile_token_is_refused", because=r"sub 'a\\n?.?b|sub 'a")
class TestTakesSubjectsThatCannotBeSeen(Broken):
    """A subject may have control characters, which then stand in the log (threat 38)."""

    class Provisioner(Pliable):
        def read(self, token: UnverifiedToken) -> UnverifiedToken:
            visible = "".join(filter(str.isprintable, token.subject))
            return _with_claims(token, sub=visible) if visible else token


# What it grants.


@pytest.mark.caught(by="test_a_token_serves_no_other_operation", because="DID NOT RAISE")
class TestGrantsWhateverIsAsked(Broken):
    """The operation that is asked for is granted, whatever the token's audience says (step-ca CVE-2025-44005)."""

    class Provisioner(Pliable):
        async def authorize(self, token: UnverifiedToken, operation: Operation) -> Grant:
            meant = self._context.audiences.operation(token)
            return replace(await super().authorize(token, meant), operation=operation)


@pytest.mark.caught(by="test_a_good_token_is_granted_what_it_orders", because="Operation.*is|assert")
class TestNamesAnotherOperationInItsGrant(Broken):
    """The grant is for another operation than the one that was asked."""

    class Provisioner(Pliable):
        def changed(self, grant: Grant, token: UnverifiedToken) -> Grant:
            return replace(grant, operation=Operation.X509_RENEW)


@pytest.mark.caught(by="test_it_fills_the_role", because="assert")
class TestDeclaresLessThanItServes(Broken):
    """What its grants can be for is not what it says."""

    class Provisioner(JWKProvisioner):
        operations = JWKProvisioner.operations - {Operation.X509_REVOKE}


@pytest.mark.caught(by="test_a_grant_permits_what_the_token_says_and_no_more", because="evil.example")
class TestPermitsAFurtherName(Broken):
    """The certificate has a name more than the token (threat 11)."""

    class Provisioner(Pliable):
        def changed(self, grant: Grant, token: UnverifiedToken) -> Grant:
            further = Exactly(names=(names.classify("svc.example"), names.classify("evil.example")))
            return _with_permit(grant, SignX509, names=further)


@pytest.mark.caught(by="test_a_grant_permits_what_the_token_says_and_no_more", because="granted beyond the token")
class TestPermitsTheNamesOfTheRequest(Broken):
    """The certificate has whatever names the request has: AsRequested where Exactly was meant."""

    class Provisioner(Pliable):
        def changed(self, grant: Grant, token: UnverifiedToken) -> Grant:
            return _with_permit(grant, SignX509, names=AsRequested(kinds=frozenset(names.KINDS)))


@pytest.mark.caught(by="test_a_grant_permits_what_the_token_says_and_no_more", because="evil.example")
class TestPermitsAnotherCommonName(Broken):
    """The subject of the certificate is not the token's."""

    class Provisioner(Pliable):
        def changed(self, grant: Grant, token: UnverifiedToken) -> Grant:
            return _with_permit(grant, SignX509, subject_common_name="evil.example")


@pytest.mark.caught(by="test_a_grant_permits_what_the_token_says_and_no_more", because="ObjectIdentifier")
class TestPermitsToSignCode(Broken):
    """A certificate for a server can sign programs (threat 14)."""

    class Provisioner(Pliable):
        def changed(self, grant: Grant, token: UnverifiedToken) -> Grant:
            from cryptography.x509.oid import ExtendedKeyUsageOID

            return _with_permit(grant, SignX509, extended_key_usages=(ExtendedKeyUsageOID.CODE_SIGNING,))


@pytest.mark.caught(by="test_a_grant_permits_what_the_token_says_and_no_more", because="root")
class TestPermitsAFurtherPrincipal(Broken):
    """A user's certificate is good for root as well."""

    class Provisioner(Pliable):
        def changed(self, grant: Grant, token: UnverifiedToken) -> Grant:
            return _with_permit(grant, SignSSH, principals=Exactly(names=("ann", "root")))


@pytest.mark.caught(by="test_a_good_token_is_granted_what_it_orders", because="principals")
class TestPermitsNoPrincipalInParticular(Broken):
    """A user's certificate without principals is good for everybody (Vault CVE-2024-7594)."""

    class Provisioner(Pliable):
        def changed(self, grant: Grant, token: UnverifiedToken) -> Grant:
            return _with_permit(grant, SignSSH, principals=Exactly(names=()))


@pytest.mark.caught(by="test_a_grant_permits_what_the_token_says_and_no_more", because="host")
class TestPermitsAHostWhereAUserWasOrdered(Broken):
    """A user's token gets a host's certificate."""

    class Provisioner(Pliable):
        def changed(self, grant: Grant, token: UnverifiedToken) -> Grant:
            return _with_permit(grant, SignSSH, cert_type=CertType.HOST)


@pytest.mark.caught(by="test_a_grant_permits_what_the_token_says_and_no_more", because="4712|granted beyond")
class TestRevokesAnotherSerialNumber(Broken):
    """What is revoked is not what the token names (threat 3)."""

    class Provisioner(Pliable):
        def changed(self, grant: Grant, token: UnverifiedToken) -> Grant:
            return _with_permit(grant, Revoke, serial_numbers=(4712,))


@pytest.mark.caught(by="test_a_good_token_is_granted_what_it_orders", because="kind|assert")
class TestRevokesTheOtherKind(Broken):
    """A token that revokes a certificate of SSH ends that of X.509 with its number (GO-2025-4181)."""

    class Provisioner(Pliable):
        def changed(self, grant: Grant, token: UnverifiedToken) -> Grant:
            from mica import CertificateKind

            return _with_permit(grant, Revoke, kind=CertificateKind.X509)


@pytest.mark.caught(by="test_a_token_that_confirms_a_request_is_good_for_no_other", because="cnf is dropped")
class TestForgetsWhichRequestWasConfirmed(Broken):
    """A token for one CSR is good for any (threat 5)."""

    class Provisioner(Pliable):
        def changed(self, grant: Grant, token: UnverifiedToken) -> Grant:
            return _with_permit(grant, SignX509, confirmation=None)


@pytest.mark.caught(by="test_a_token_serves_once_unless_the_suite_says_otherwise", because="may serve again")
class TestTokensServeAgainAndAgain(Broken):
    """A token is not spent (threat 4)."""

    class Provisioner(Pliable):
        def changed(self, grant: Grant, token: UnverifiedToken) -> Grant:
            return replace(grant, spend=Reusable(reason="it is simpler"))


@pytest.mark.caught(by="test_each_token_is_spent_under_an_id_of_its_own", because="assert")
class TestSpendsEveryTokenUnderOneId(Broken):
    """The first token that is spent spends them all."""

    class Provisioner(Pliable):
        def changed(self, grant: Grant, token: UnverifiedToken) -> Grant:
            return replace(grant, spend=OneTime.of("token", grant.expires_at))


@pytest.mark.caught(by="test_each_token_is_spent_under_an_id_of_its_own", because="assert")
class TestSpendsATokenUnderAnotherIdEachTime(Broken):
    """The id has nothing to do with the token: it serves as often as it is shown."""

    class Provisioner(Pliable):
        def changed(self, grant: Grant, token: UnverifiedToken) -> Grant:
            return replace(grant, spend=OneTime.of(secrets.token_hex(16), grant.expires_at))


@pytest.mark.caught(by="test_a_signature_in_its_other_form_makes_no_new_token", because="two ids")
class TestSpendsATokenWithItsSignature(Broken):
    """The signature is part of what a token is spent under, and whoever has one can write it in another form."""

    class Provisioner(Pliable):
        def changed(self, grant: Grant, token: UnverifiedToken) -> Grant:
            return replace(grant, spend=OneTime.of(token.raw.replace(".", "-")[-80:], grant.expires_at))


@pytest.mark.caught(by="test_a_token_is_remembered_as_long_as_it_is_accepted", because="DID NOT RAISE")
class TestForgetsATokenBeforeItEnds(Broken):
    """A spent token is remembered until ``exp``, and accepted a minute longer."""

    class Provisioner(Pliable):
        def changed(self, grant: Grant, token: UnverifiedToken) -> Grant:
            return replace(grant, spend=OneTime.of(token.id, grant.expires_at - tokens.LEEWAY))


@pytest.mark.caught(by="test_a_grant_has_expired_once_its_token_is_refused", because="DID NOT RAISE")
class TestGrantsForAMoment(Broken):
    """A grant ends a second after it is made, whatever the token says."""

    class Provisioner(Pliable):
        def changed(self, grant: Grant, token: UnverifiedToken) -> Grant:
            return replace(grant, expires_at=self._context.now() + timedelta(seconds=1))


@pytest.mark.caught(by="test_a_good_token_is_granted_what_it_orders", because="assert")
class TestGrantsForAWeek(Broken):
    """A grant lasts a week, long after its token is forgotten."""

    class Provisioner(Pliable):
        def changed(self, grant: Grant, token: UnverifiedToken) -> Grant:
            return replace(grant, expires_at=self._context.now() + timedelta(days=7))


@pytest.mark.caught(by="test_a_good_token_is_granted_what_it_orders", because="assert")
class TestVouchesInAnothersName(Broken):
    """The grant says that another provisioner vouches."""

    class Provisioner(Pliable):
        def changed(self, grant: Grant, token: UnverifiedToken) -> Grant:
            return replace(grant, provisioner=replace(grant.provisioner, name="admin"))


# What it does besides.


@pytest.mark.caught(by="test_its_description_is_json_without_secrets", because="in '")
class TestDescribesItsSecret(Broken):
    """Everyone who asks for the list of provisioners has the private key (threat 27)."""

    class Provisioner(JWKProvisioner):
        def describe(self) -> Mapping[str, Any]:
            from mica_jwk.contracts import P256

            return {**super().describe(), "d": next(TestP256().secrets()), "curve": P256.curve.name}


@pytest.mark.caught(by="test_its_description_is_json_without_secrets", because="not JSON serializable")
class TestDescribesWhatIsNoJSON(Broken):
    """The list of provisioners cannot be written (never, 7: it answers 500)."""

    class Provisioner(JWKProvisioner):
        def describe(self) -> Mapping[str, Any]:
            return {**super().describe(), "since": self._context.now()}


@pytest.mark.caught(by="test_no_token_and_no_secret_is_logged_or_granted", because="leave it out")
class TestLogsTheToken(Broken):
    """Whoever reads the log of a debugging day can use the tokens in it (threat 27)."""

    class Provisioner(Pliable):
        def read(self, token: UnverifiedToken) -> UnverifiedToken:
            _log.debug("asked with %s", token.raw)
            return token


@pytest.mark.caught(by="test_no_token_and_no_secret_is_logged_or_granted", because="leave it out")
class TestPutsTheTokenIntoTheEvidence(Broken):
    """What is worth logging about the proof is the proof itself."""

    class Provisioner(Pliable):
        def changed(self, grant: Grant, token: UnverifiedToken) -> Grant:
            return replace(grant, evidence={**grant.evidence, "token": token.raw})


@pytest.mark.caught(by="test_every_hostile_token_is_refused", because="an error quotes the token")
class TestQuotesTheTokenInAnError(Broken):
    """The refusal has the whole token, and goes to the log (threat 27)."""

    class Provisioner(JWKProvisioner):
        async def authorize(self, token: UnverifiedToken, operation: Operation) -> Grant:
            try:
                return await super().authorize(token, operation)
            except Unauthorized as error:
                raise Unauthorized(f"{error}: {token.raw}") from error


@pytest.mark.caught(by="test_every_hostile_token_is_refused", because="KeyError")
class TestRaisesKeyError(Broken):
    """A token that lacks a member ends in a KeyError (never, 7)."""

    class Provisioner(JWKProvisioner):
        def recognizes(self, token: UnverifiedToken) -> bool:
            return token.header["kid"] == self._key.kid and super().recognizes(token)


@pytest.mark.caught(by="test_arbitrary_claims_are_granted_or_refused_and_nothing_else", because="Error")
class TestStumblesOverClaims(Broken):
    """A claim of another type ends in an error of Python's (threat 10)."""

    class Provisioner(Pliable):
        def changed(self, grant: Grant, token: UnverifiedToken) -> Grant:
            return replace(grant, evidence={"cnf": json.dumps(token.payload.get("step", {})["x"])})


@pytest.mark.caught(by="test_it_holds_nobody_up", because="stands still")
class TestBlocksTheLoop(Broken):
    """While a token is judged, the CA answers nobody."""

    class Provisioner(Pliable):
        def read(self, token: UnverifiedToken) -> UnverifiedToken:
            time.sleep(LONGEST * 1.2)
            return token


@pytest.mark.caught(by="test_a_good_token_is_granted_what_it_orders", because="no answer within")
class TestNeverAnswers(Broken):
    """It waits for something that does not come."""

    class Provisioner(JWKProvisioner):
        async def authorize(self, token: UnverifiedToken, operation: Operation) -> Grant:
            await asyncio.Event().wait()
            return await super().authorize(token, operation)


@pytest.mark.caught(by="test_a_good_token_is_granted_what_it_orders", because="'NoneType'")
class TestAnswersNothing(Broken):
    """It answers None."""

    class Provisioner(JWKProvisioner):
        async def authorize(self, token: UnverifiedToken, operation: Operation) -> Any:
            await super().authorize(token, operation)


@pytest.mark.caught(by="test_a_token_of_another_key_is_refused", because="DID NOT RAISE|NoneType")
class TestAnswersNothingForARefusal(Broken):
    """A refusal is an answer without a grant, which the next reader may take for consent."""

    class Provisioner(JWKProvisioner):
        async def authorize(self, token: UnverifiedToken, operation: Operation) -> Any:
            try:
                return await super().authorize(token, operation)
            except Unauthorized:
                return None
