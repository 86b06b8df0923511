"""Broken copies of the JWK provisioner that whole authorities show: what they let through, remember and tell."""

import asyncio
import logging
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import pytest
from tests.contracts.broken.breaking import with_claims, with_permit
from tests.contracts.broken.jwk import PliableJWK, TurnedJWK

from mica import (
    AsRequested,
    CertType,
    Context,
    Exactly,
    Grant,
    OneTime,
    Operation,
    ProvisionerRef,
    Refused,
    SignSSH,
    SignX509,
    Unauthorized,
    UnverifiedToken,
    names,
)
from mica_jwk import contracts
from mica_jwk.provisioner import JWKConfig, JWKProvisioner

_log = logging.getLogger(__name__)
_CANARY = "canary-6f1e"


class TestOriginal(contracts.TestLine):
    """The suite of the plugin, one order of each kind of certificate, without processes of its own."""

    plugin = ""
    ordered = (Operation.X509_SIGN, Operation.SSH_SIGN)


class Broken(TurnedJWK, TestOriginal):
    """The suite, turned on another provisioner."""

    ordered: ClassVar[tuple[Operation, ...]] = (Operation.X509_SIGN,)


class OfSSH(Broken):
    """The suite with an order of an SSH certificate."""

    ordered = (Operation.SSH_SIGN,)


# What it lets through.


@pytest.mark.caught(
    by="test_a_good_token_is_served_at_its_own_routes_and_refused_at_every_other", because="/ssh/sign.*CREATED"
)
class TestGrantsSSHForATokenOfX509(Broken):
    """Which operation a token is for is not looked at: an order of a server's certificate logs in (threats 1 and 2)."""

    class Part(JWKProvisioner):
        async def authorize(self, token: UnverifiedToken, operation: Operation) -> Grant:
            grant = await super().authorize(token, self._context.audiences.operation(token))
            if operation is not Operation.SSH_SIGN:
                return grant
            user = SignSSH(cert_type=CertType.USER, key_id=token.subject, principals=Exactly(names=("root",)))
            return replace(grant, operation=operation, permits=(user,))


@pytest.mark.caught(
    by="test_whatever_its_audience_a_token_serves_no_other_operation_than_that_names", because="CREATED"
)
class TestComparesTheAudienceByItsBeginning(Broken):
    """An audience that begins like ours is ours (threats 16 and 18)."""

    class Part(PliableJWK):
        def read(self, token: UnverifiedToken) -> UnverifiedToken:
            ours = f"{self._context.url}/1.0/sign"
            is_ours = any(audience.startswith(ours) for audience in token.audiences)
            return with_claims(token, aud=ours) if is_ours else token


@pytest.mark.caught(by="test_a_token_for_one_authority_is_refused_by_another", because="CREATED")
class TestServesTheTokensOfAnotherAuthority(Broken):
    """Of the audience the path is looked at, and not whose it is (threat 34)."""

    class Part(PliableJWK):
        def read(self, token: UnverifiedToken) -> UnverifiedToken:
            path = "".join(token.audiences).partition("/1.0/")[2]
            return with_claims(token, aud=f"{self._context.url}/1.0/{path}")


@pytest.mark.caught(by="test_no_csr_gets_a_name_or_a_power_that_the_token_does_not_grant", because="is not granted")
class TestPermitsTheNamesOfTheRequest(Broken):
    """The certificate has whatever names the request has (threat 11)."""

    class Part(PliableJWK):
        def changed(self, grant: Grant, token: UnverifiedToken) -> Grant:
            return with_permit(grant, SignX509, names=AsRequested(kinds=frozenset(names.KINDS)))


@pytest.mark.caught(
    by="test_no_ssh_request_gets_a_principal_that_the_token_does_not_grant", because="root|assert|status"
)
class TestPermitsAFurtherPrincipal(OfSSH):
    """A user's certificate is good for root as well, for who asks for it (threats 12 and 13)."""

    class Part(PliableJWK):
        def changed(self, grant: Grant, token: UnverifiedToken) -> Grant:
            return with_permit(grant, SignSSH, principals=Exactly(names=("ann", "root")))


# What it remembers.


@pytest.mark.caught(by="test_200_uses_of_one_token_at_once_in_one_process_serve_once", because="assert")
class TestSpendsATokenUnderAnotherIdEachTime(Broken):
    """The id has nothing to do with the token: it serves as often as it is shown (threat 4)."""

    class Part(PliableJWK):
        def changed(self, grant: Grant, token: UnverifiedToken) -> Grant:
            return replace(grant, spend=OneTime.of(secrets.token_hex(16), grant.expires_at))


@pytest.mark.caught(
    by="test_200_uses_of_one_token_at_once_at_two_authorities_on_one_record_serve_once", because="assert"
)
class TestSpendsATokenUnderAnIdOfTheProcess(Broken):
    """The id has a part that each process makes for itself, as ``hash()`` does: two processes serve (threat 4)."""

    class Part(PliableJWK):
        def __init__(self, config: JWKConfig, context: Context) -> None:
            super().__init__(config, context)
            self._salt = secrets.token_hex(16)

        def changed(self, grant: Grant, token: UnverifiedToken) -> Grant:
            return replace(grant, spend=OneTime.of(f"{self._salt}{token.id}", grant.expires_at))


@pytest.mark.caught(
    by="test_no_ssh_request_gets_a_principal_that_the_token_does_not_grant", because="burnt the token|must be served"
)
class TestRemembersTokensItself(OfSSH):
    """Tokens are remembered in the process when they are shown: whoever makes a mistake has lost theirs (threat 4)."""

    class Part(PliableJWK):
        def __init__(self, config: JWKConfig, context: Context) -> None:
            super().__init__(config, context)
            self._seen: set[str] = set()

        def changed(self, grant: Grant, token: UnverifiedToken) -> Grant:
            if token.id in self._seen:
                raise Refused("the token has been used")
            self._seen.add(token.id)
            return replace(grant, spend=OneTime.of(secrets.token_hex(16), grant.expires_at))


@pytest.mark.caught(by="test_a_token_serves_in_its_time_and_neither_before_nor_after", because="assert")
class TestAsksForTheTimeOnce(Broken):
    """The time is that of the start: a token serves for as long as the process runs (threats 31 and 35)."""

    class Part(PliableJWK):
        def __init__(self, config: JWKConfig, context: Context) -> None:
            started = context.now()
            super().__init__(config, replace(context, now=lambda: started))


@pytest.mark.caught(
    by="test_a_request_that_is_cancelled_at_any_await_is_done_or_not_and_its_token_serves_once", because="assert"
)
class TestIsSpoiltByACancellation(Broken):
    """A request that goes away while it is judged leaves the provisioner unable (threat 42)."""

    class Part(PliableJWK):
        lost: bool = False

        async def authorize(self, token: UnverifiedToken, operation: Operation) -> Grant:
            if self.lost:
                raise Unauthorized("the connection to the directory has ended")
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                self.lost = True
                raise
            return await super().authorize(token, operation)


# What it tells.


class Telling(Broken):
    """A provisioner with a secret of its own."""

    def secrets(self) -> Iterator[str]:
        yield _CANARY


@pytest.mark.caught(by="test_no_secret_is_in_an_answer_in_the_log_or_on_record", because=_CANARY)
class TestDescribesItsSecret(Telling):
    """Everyone who asks for the list of provisioners has its password (threat 27)."""

    class Part(JWKProvisioner):
        def describe(self) -> Mapping[str, Any]:
            return {**super().describe(), "directory": f"ldaps://mica:{_CANARY}@directory.example"}


@pytest.mark.caught(by="test_no_secret_is_in_an_answer_in_the_log_or_on_record", because=_CANARY)
class TestLogsItsSecret(Telling):
    """Whoever reads the log of a debugging day has its password (threat 27)."""

    class Part(PliableJWK):
        def read(self, token: UnverifiedToken) -> UnverifiedToken:
            _log.debug("asking ldaps://mica:%s@directory.example", _CANARY)
            return token


@pytest.mark.caught(by="test_no_secret_is_in_an_answer_in_the_log_or_on_record", because="canary-")
class TestTellsWhatATokenSays(Broken):
    """The refusal tells the claims, and goes to the log and to whoever asked (threat 27)."""

    class Part(JWKProvisioner):
        async def authorize(self, token: UnverifiedToken, operation: Operation) -> Grant:
            try:
                return await super().authorize(token, operation)
            except Unauthorized as error:
                raise Unauthorized(f"{error}: {token.payload}") from error


@pytest.mark.caught(by="test_no_secret_is_in_an_answer_in_the_log_or_on_record", because="eyJ|assert")
class TestPutsTheTokenOnRecord(Broken):
    """The record says with which token a certificate was ordered, whole (threat 27)."""

    class Part(PliableJWK):
        def changed(self, grant: Grant, token: UnverifiedToken) -> Grant:
            told = ProvisionerRef(name=self.name, type=self.type, credential_id=token.raw)
            return replace(grant, provisioner=told)
