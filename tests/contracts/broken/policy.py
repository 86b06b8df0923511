"""Broken copies of the policy: it crashes open, overlooks names, forgets renewals, is fooled by a spelling."""

import asyncio
import logging
import time
from dataclasses import replace
from typing import Any

import pytest
from tests.contracts.broken.breaking import Turned

from mica import ExtensionContext, Grant, SignRequest, SSHSignRequest, TBSCertificate, TBSSSHCertificate, hookimpl
from mica.structuring import structure
from mica.testing.heartbeat import LONGEST
from mica_policy.contracts import DENY, TestDenied
from mica_policy.policy import Policy
from mica_policy.presented import x509_names
from mica_policy.table import PolicyConfig

_log = logging.getLogger(__name__)


class Broken(Turned, TestDenied):
    """The suite of the plugin with rules that deny, turned on another policy."""

    config = structure(PolicyConfig, DENY, "plugin.policy")


class Pliable(Policy):
    """The policy with its two questions led through one place."""

    def judged(self, ask: Any, request: Any, tbs: Any, grant: Grant) -> str | None:
        """What ``ask`` says."""
        answer: str | None = ask(request, tbs, grant)
        return answer

    @hookimpl
    def refuse_x509(self, request: SignRequest | None, tbs: TBSCertificate, grant: Grant) -> str | None:
        return self.judged(super().refuse_x509, request, tbs, grant)

    @hookimpl
    def refuse_ssh(self, request: SSHSignRequest | None, tbs: TBSSSHCertificate, grant: Grant) -> str | None:
        return self.judged(super().refuse_ssh, request, tbs, grant)


@pytest.mark.caught(by="test_what_must_be_refused_is_refused", because="it lets .* pass")
class TestNeverObjects(Broken):
    """Nothing is ever refused."""

    class Part(Pliable):
        def judged(self, ask: Any, request: Any, tbs: Any, grant: Grant) -> str | None:
            return None


@pytest.mark.caught(by="test_what_must_be_refused_is_refused", because="it lets .* pass")
class TestCrashesOpen(Broken):
    """What goes wrong while it judges is taken for consent (never, 6)."""

    class Part(Pliable):
        def judged(self, ask: Any, request: Any, tbs: Any, grant: Grant) -> str | None:
            try:
                raise LookupError("the rules cannot be read")
            except LookupError:
                return None


@pytest.mark.caught(by="test_what_must_pass_passes", because="it refuses")
class TestObjectsToEverything(Broken):
    """Everything is refused: an authority that issues nothing is safe, and of no use."""

    class Part(Pliable):
        def judged(self, ask: Any, request: Any, tbs: Any, grant: Grant) -> str | None:
            return "no"


@pytest.mark.caught(by="test_a_renewal_is_judged_without_a_request", because="on renewal")
class TestForgetsRenewals(Broken):
    """What has been refused is got by renewing what was had before."""

    class Part(Pliable):
        def judged(self, ask: Any, request: Any, tbs: Any, grant: Grant) -> str | None:
            return None if request is None else super().judged(ask, request, tbs, grant)


@pytest.mark.caught(by="test_a_renewal_is_judged_without_a_request", because="does not answer on renewal")
class TestStumblesOverRenewals(Broken):
    """It looks at the request, and a renewal has none."""

    class Part(Pliable):
        def judged(self, ask: Any, request: Any, tbs: Any, grant: Grant) -> str | None:
            hash(request.csr if isinstance(tbs, TBSCertificate) else request.principals)
            return super().judged(ask, request, tbs, grant)


@pytest.mark.caught(by="test_no_spelling_of_a_name_passes_for_another", because="passes")
class TestIsFooledByASpelling(Broken):
    """A name in capitals, or with a dot at its end, is another name (threat 18)."""

    class Part(Pliable):
        def judged(self, ask: Any, request: Any, tbs: Any, grant: Grant) -> str | None:
            texts = [name.text for name in x509_names(tbs)] if isinstance(tbs, TBSCertificate) else tbs.valid_principals
            if any(text != text.lower() or text.endswith(".") for text in texts):
                return None
            return super().judged(ask, request, tbs, grant)


@pytest.mark.caught(by="test_a_refused_name_among_others_is_refused_wherever_it_stands", because="look at every name")
class TestLooksAtOneNameOnly(Broken):
    """A bad name behind a good one is overlooked."""

    class Part(Pliable):
        def judged(self, ask: Any, request: Any, tbs: Any, grant: Grant) -> str | None:
            if isinstance(tbs, TBSSSHCertificate):
                return super().judged(ask, request, replace(tbs, valid_principals=tbs.valid_principals[:1]), grant)
            if len(x509_names(tbs)) > 1:
                return None
            return super().judged(ask, request, tbs, grant)


@pytest.mark.caught(by="test_the_same_certificate_is_judged_alike_always_and_everywhere", because="then something else")
class TestRemembersItsLastAnswer(Broken):
    """Who asks twice gets another answer the second time."""

    class Part(Pliable):
        asked: int = 0

        def judged(self, ask: Any, request: Any, tbs: Any, grant: Grant) -> str | None:
            self.asked += 1
            return super().judged(ask, request, tbs, grant) if self.asked % 3 else "too often"


@pytest.mark.caught(by="test_the_authoritys_own_certificate_passes", because="cannot start")
class TestRefusesTheAuthorityItself(Broken):
    """The authority's own certificate is judged by the rules for others, and it does not start."""

    class Part(Pliable):
        def judged(self, ask: Any, request: Any, tbs: Any, grant: Grant) -> str | None:
            other = replace(grant, provisioner=replace(grant.provisioner, name="admin"))
            return super().judged(ask, request, tbs, other)


@pytest.mark.caught(by="test_nothing_that_it_is_shown_is_changed", because="changed|copy|assert")
class TestChangesWhatItIsShown(Broken):
    """It writes into the certificate that it judges (threat 30)."""

    class Part(Pliable):
        def judged(self, ask: Any, request: Any, tbs: Any, grant: Grant) -> str | None:
            if isinstance(tbs, TBSSSHCertificate):
                object.__setattr__(tbs, "valid_principals", ("root",))
            else:
                object.__setattr__(tbs, "extensions", ())
            return None


@pytest.mark.usefixtures("impatient")
@pytest.mark.caught(by="test_it_holds_nobody_up", because="stands still")
class TestBlocksTheLoop(Broken):
    """While it judges, the CA answers nobody."""

    class Part(Pliable):
        def judged(self, ask: Any, request: Any, tbs: Any, grant: Grant) -> str | None:
            time.sleep(LONGEST * 1.2)
            return super().judged(ask, request, tbs, grant)


@pytest.mark.caught(by="test_strange_names_get_a_plain_answer", because="it does not answer")
class TestRaisesAtAStrangeName(Broken):
    """A name that nobody expected ends in an error of Python's (threat 10)."""

    class Part(Pliable):
        def judged(self, ask: Any, request: Any, tbs: Any, grant: Grant) -> str | None:
            texts = [name.text for name in x509_names(tbs)] if isinstance(tbs, TBSCertificate) else tbs.valid_principals
            for text in texts:
                text.encode("ascii")[0]
            return super().judged(ask, request, tbs, grant)


@pytest.mark.caught(by="test_what_must_pass_passes", because="gave no valid answer")
class TestAnswersWithTrue(Broken):
    """It answers True and False, and means that a certificate may be issued."""

    class Part(Pliable):
        def judged(self, ask: Any, request: Any, tbs: Any, grant: Grant) -> Any:
            return super().judged(ask, request, tbs, grant) is None


@pytest.mark.caught(by="test_whoever_goes_away_meanwhile_gets_no_consent_and_spoils_nothing", because="agrees when")
class TestAgreesWhenItIsCancelled(Broken):
    """A request that goes away while it is judged is let pass (threat 42)."""

    class Part(Policy):
        @hookimpl
        async def refuse_x509(self, request: SignRequest | None, tbs: TBSCertificate, grant: Grant) -> str | None:
            try:
                await asyncio.sleep(0.001)
            except asyncio.CancelledError:
                return None
            return super().refuse_x509(request, tbs, grant)


@pytest.mark.caught(by="test_it_is_asked_and_there_are_samples_of_what_it_is_asked", because="must implement")
class TestIsNotAsked(Broken):
    """Its questions are not marked, so that nobody asks them."""

    def build(self, context: ExtensionContext) -> Any:
        return _Silent()


class _Silent:
    """It hears, and is not asked."""

    @hookimpl
    def notify(self, event: object) -> None:
        """Nothing is done."""


@pytest.mark.caught(by="test_it_tells_no_secret", because="take it out")
class TestTellsASecret(Broken):
    """Why a certificate is refused says with which password that was looked up (threat 27)."""

    def secrets(self) -> Any:
        yield "canary-5c1"

    class Part(Pliable):
        def judged(self, ask: Any, request: Any, tbs: Any, grant: Grant) -> str | None:
            reason = super().judged(ask, request, tbs, grant)
            return reason and f"{reason} (asked ldaps://policy:canary-5c1@directory.example)"
