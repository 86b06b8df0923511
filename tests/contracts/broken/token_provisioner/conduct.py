"""Broken copies of the JWK provisioner that tell secrets, fail, block or do not answer."""

import asyncio
import json
import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from tests.contracts.broken.jwk import PliableJWK
from tests.contracts.broken.token_provisioner.original import Broken

from mica import (
    Grant,
    Operation,
    Unauthorized,
    UnverifiedToken,
)
from mica.testing.heartbeat import LONGEST
from mica_jwk.provisioner import JWKProvisioner

_log = logging.getLogger(__name__)


@pytest.mark.caught(by="test_its_description_is_json_without_secrets", because="in '")
class TestDescribesItsSecret(Broken):
    """Everyone who asks for the list of provisioners has the private key (threat 27)."""

    class Part(JWKProvisioner):
        def describe(self) -> Mapping[str, Any]:
            return {**super().describe(), "d": next(Broken().secrets())}


@pytest.mark.caught(by="test_its_description_is_json_without_secrets", because="not JSON serializable")
class TestDescribesWhatIsNoJSON(Broken):
    """The list of provisioners cannot be written (never, 7)."""

    class Part(JWKProvisioner):
        def describe(self) -> Mapping[str, Any]:
            return {**super().describe(), "since": self._context.now()}


@pytest.mark.caught(by="test_no_token_and_no_secret_is_logged_or_granted", because="leave it out")
class TestLogsTheToken(Broken):
    """Whoever reads the log of a debugging day can use the tokens in it (threat 27)."""

    class Part(PliableJWK):
        def read(self, token: UnverifiedToken) -> UnverifiedToken:
            _log.debug("asked with %s", token.raw)
            return token


@pytest.mark.caught(by="test_no_token_and_no_secret_is_logged_or_granted", because="leave it out")
class TestPutsTheTokenIntoTheEvidence(Broken):
    """What is worth logging about the proof is the proof itself."""

    class Part(PliableJWK):
        def changed(self, grant: Grant, token: UnverifiedToken) -> Grant:
            return replace(grant, evidence={**grant.evidence, "token": token.raw})


@pytest.mark.caught(by="test_every_hostile_token_is_refused", because="an error quotes the token")
class TestQuotesTheTokenInAnError(Broken):
    """The refusal has the whole token, and goes to the log (threat 27)."""

    class Part(JWKProvisioner):
        async def authorize(self, token: UnverifiedToken, operation: Operation) -> Grant:
            try:
                return await super().authorize(token, operation)
            except Unauthorized as error:
                raise Unauthorized(f"{error}: {token.raw}") from error


@pytest.mark.caught(by="test_every_hostile_token_is_refused", because="KeyError")
class TestRaisesKeyError(Broken):
    """A token that lacks a member ends in a KeyError (never, 7)."""

    class Part(JWKProvisioner):
        def recognizes(self, token: UnverifiedToken) -> bool:
            return token.header["kid"] == self._key.kid and super().recognizes(token)


@pytest.mark.caught(by="test_arbitrary_claims_are_granted_or_refused_and_nothing_else", because="Error")
class TestStumblesOverClaims(Broken):
    """A claim of another type ends in an error of Python's (threat 10)."""

    class Part(PliableJWK):
        def changed(self, grant: Grant, token: UnverifiedToken) -> Grant:
            return replace(grant, evidence={"cnf": json.dumps(token.payload.get("step", {})["x"])})


@pytest.mark.usefixtures("impatient")
@pytest.mark.caught(by="test_it_holds_nobody_up", because="stands still")
class TestBlocksTheLoop(Broken):
    """While a token is judged, the CA answers nobody."""

    class Part(PliableJWK):
        def read(self, token: UnverifiedToken) -> UnverifiedToken:
            time.sleep(LONGEST * 1.2)
            return token


@pytest.mark.usefixtures("impatient")
@pytest.mark.caught(by="test_a_good_token_is_granted_what_it_orders", because="no answer within")
class TestNeverAnswers(Broken):
    """It waits for something that does not come."""

    class Part(JWKProvisioner):
        async def authorize(self, token: UnverifiedToken, operation: Operation) -> Grant:
            await asyncio.Event().wait()
            return await super().authorize(token, operation)


@pytest.mark.caught(by="test_a_good_token_is_granted_what_it_orders", because="'NoneType'")
class TestAnswersNothing(Broken):
    """It answers None."""

    class Part(JWKProvisioner):
        async def authorize(self, token: UnverifiedToken, operation: Operation) -> Any:
            await super().authorize(token, operation)


@pytest.mark.caught(by="test_a_token_of_another_key_is_refused", because="Failed: ")
class TestAnswersNothingForARefusal(Broken):
    """A refusal is an answer without a grant, which the next reader may take for consent."""

    class Part(JWKProvisioner):
        async def authorize(self, token: UnverifiedToken, operation: Operation) -> Any:
            try:
                return await super().authorize(token, operation)
            except Unauthorized:
                return None
