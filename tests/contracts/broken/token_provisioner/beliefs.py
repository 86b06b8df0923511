"""Broken copies of the JWK provisioner that believe what they should not: audiences, times, keys, names."""

import hmac
from dataclasses import replace
from datetime import UTC, datetime
from typing import ClassVar

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from tests.contracts.broken.breaking import with_claims
from tests.contracts.broken.jwk import PliableJWK
from tests.contracts.broken.token_provisioner import original

from mica import (
    Context,
    Grant,
    Operation,
    Unauthorized,
    UnverifiedToken,
)
from mica_jwk.keys import VerificationKey
from mica_jwk.provisioner import JWKConfig, JWKProvisioner


class Broken(original.Broken):
    """Copies that one order shows."""

    ordered = (Operation.X509_SIGN,)


@pytest.mark.caught(by="test_every_hostile_token_is_refused", because="aud absent was granted")
class TestSkipsTheAudience(Broken):
    """Whom a token is for is not looked at: another authority's is good here (threats 1 and 34)."""

    class Part(PliableJWK):
        async def authorize(self, token: UnverifiedToken, operation: Operation) -> Grant:
            path = operation.replace("x509-", "").replace("ssh-", "ssh/")
            aud = f"{self._context.url}/1.0/{path}"
            return await super().authorize(with_claims(token, aud=aud), operation)


@pytest.mark.caught(by="test_every_hostile_token_is_refused", because=r"aud .*a prefix|aud 'https://[^']*x'")
class TestComparesTheAudienceByItsBeginning(Broken):
    """An audience that begins like ours is ours (threat 18)."""

    class Part(PliableJWK):
        def read(self, token: UnverifiedToken) -> UnverifiedToken:
            for path in ("sign", "revoke", "ssh/sign", "ssh/revoke"):
                ours = f"{self._context.url}/1.0/{path}"
                if any(audience.startswith(ours) for audience in token.audiences):
                    return with_claims(token, aud=ours)
            return token


@pytest.mark.caught(by="test_every_hostile_token_is_refused", because="aud for two operations|aud for every operation")
class TestTakesTheFirstOfSeveralAudiences(Broken):
    """Of several audiences the first is taken: one token orders several things (threat 16)."""

    class Part(PliableJWK):
        def read(self, token: UnverifiedToken) -> UnverifiedToken:
            return with_claims(token, aud=token.audiences[0]) if token.audiences else token


@pytest.mark.caught(by="test_every_hostile_token_is_refused", because="exp absent")
class TestSkipsTheExpiry(Broken):
    """A token that ended an hour ago is taken."""

    class Part(PliableJWK):
        def read(self, token: UnverifiedToken) -> UnverifiedToken:
            return with_claims(token, exp=int(self._context.now().timestamp()) + 300)


@pytest.mark.caught(by="test_every_hostile_token_is_refused", because="exp absent")
class TestNeedsNoExpiry(Broken):
    """A token without an end is taken."""

    class Part(PliableJWK):
        def read(self, token: UnverifiedToken) -> UnverifiedToken:
            if "exp" in token.payload:
                return token
            return with_claims(token, exp=int(self._context.now().timestamp()) + 300)


@pytest.mark.caught(by="test_every_hostile_token_is_refused", because="exp in 25 hours")
class TestTakesTokensForYears(Broken):
    """How far ahead a token ends is not limited."""

    class Part(PliableJWK):
        def read(self, token: UnverifiedToken) -> UnverifiedToken:
            exp, now = token.payload.get("exp"), int(self._context.now().timestamp())
            if isinstance(exp, int) and not isinstance(exp, bool) and 0 < exp < 2**35:
                return with_claims(token, exp=min(exp, now + 86000))
            return token


@pytest.mark.caught(by="test_every_hostile_token_is_refused", because="nbf in an hour|iat in an hour")
class TestSkipsTheTimesBeforeWhichATokenIsNotGood(Broken):
    """``nbf`` and ``iat`` are not looked at."""

    class Part(PliableJWK):
        def read(self, token: UnverifiedToken) -> UnverifiedToken:
            return with_claims(token, nbf=None, iat=None)


@pytest.mark.caught(by="test_a_good_token_is_granted_what_it_orders", because="Unauthorized|Untimely|expire")
class TestAsksTheSystemForTheTime(Broken):
    """The time is the system's and not the authority's."""

    class Part(PliableJWK):
        def __init__(self, config: JWKConfig, context: Context) -> None:
            super().__init__(config, replace(context, now=lambda: datetime.now(UTC)))


@pytest.mark.caught(by="test_a_token_of_another_key_is_refused", because="Failed: ")
class TestSkipsTheSignature(Broken):
    """The signature is not verified."""

    class Part(JWKProvisioner):
        def _verify(self, token: UnverifiedToken) -> None:
            return None


@pytest.mark.caught(by="test_every_hostile_token_is_refused", because="alg .*with a signature was granted")
class TestSkipsTheAlgorithm(Broken):
    """Which algorithm the header names is not looked at (RFC 8725 §3.1)."""

    class Part(JWKProvisioner):
        def _verify(self, token: UnverifiedToken) -> None:
            try:
                self._key.verify(token.signature, token.signing_input)
            except InvalidSignature as error:
                raise Unauthorized("token's signature is not the key's") from error


@pytest.mark.caught(by="test_every_hostile_token_is_refused", because="HS256 with the public key")
class TestTakesThePublicKeyForASharedSecret(Broken):
    """The header chooses HS256, and the public key is the secret (PyJWT CVE-2022-29217)."""

    class Part(JWKProvisioner):
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

    class Part(JWKProvisioner):
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

    class Part(Credulous):
        def recognizes(self, token: UnverifiedToken) -> bool:
            return super().recognizes(token) and token.issuer == self.name


@pytest.mark.caught(by="test_every_hostile_token_is_refused", because="iss absent|iss ''")
class TestSkipsTheIssuer(Broken):
    """Which provisioner a token names is not looked at: one that holds its key is all of them."""

    class Part(Credulous):
        def recognizes(self, token: UnverifiedToken) -> bool:
            return super().recognizes(token) and token.kid == self._key.kid


@pytest.mark.caught(by="test_every_hostile_token_is_refused", because="iss 'HARBOUR'")
class TestComparesTheIssuerInAnyCase(Broken):
    """The name of the provisioner is compared whatever its case is (threat 18)."""

    class Part(Credulous):
        def recognizes(self, token: UnverifiedToken) -> bool:
            return super().recognizes(token) and token.issuer.lower() == self.name and token.kid == self._key.kid


@pytest.mark.caught(by="test_every_hostile_token_is_refused", because="iss ' harbour'|iss 'harbour ")
class TestStripsTheIssuer(Broken):
    """Blanks around the name of the provisioner are taken away before it is compared (threat 18)."""

    class Part(Credulous):
        def recognizes(self, token: UnverifiedToken) -> bool:
            return super().recognizes(token) and token.issuer.strip() == self.name and token.kid == self._key.kid


@pytest.mark.caught(by="test_a_hostile_token_is_refused_even_when_nobody_asked_whose_it_is", because="was granted")
class TestReliesOnHavingBeenAskedWhoseATokenIs(Broken):
    """Whose a token is, is looked at by ``recognizes`` alone, which proves nothing."""

    class Part(JWKProvisioner):
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

    class Part(PliableJWK):
        def read(self, token: UnverifiedToken) -> UnverifiedToken:
            visible = "".join(filter(str.isprintable, token.subject))
            return with_claims(token, sub=visible) if visible else token
