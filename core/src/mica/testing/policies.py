"""What every policy must do: a contract that a plugin's tests subclass.

class TestZones(PolicyContract):
    def build(self, context): return Zones(ZonesConfig(allow=("example",)), context)
    def passing(self): return [x509_sample("svc.example"), ssh_sample("host", "svc.example")]
    def refused(self): return [x509_sample("svc.test"), ssh_sample("host", "svc.test")]
"""

import asyncio
import dataclasses
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest
import pytest_asyncio

from mica.custody import Custody
from mica.hooks import Hooks
from mica.logs import JSONFormatter
from mica.records import MICA
from mica.roles import Closeable, Context, ExtensionContext, Startable
from mica.testing.contexts import Clock, make_context
from mica.testing.heartbeat import LONGEST, standstill
from mica.testing.respelling import respelled
from mica.testing.samples import ADMIN, Sample, SSHSample, X509Sample, strange_samples, x509_sample
from mica.testing.suspensions import cancelled_at_every_await

_NAME = "policy-under-test"
#: What ``mica.hooks`` makes of a policy that does not answer as it must.
_FAULTS = (f"policy {_NAME} failed", f"policy {_NAME} gave no valid answer", f"policy {_NAME} changed")
Judge = Callable[..., Any]


class PolicyContract:
    """A policy says of every certificate plainly whether it may be issued: always the same, whatever is asked."""

    #: Why no sample is refused, for a policy that objects to no certificate as such.
    never_refuses: ClassVar[str] = ""
    #: Whether a renewal is judged as the first issuance is.
    judges_renewals: ClassVar[bool] = True
    #: The names of the CA's own TLS certificate, which must pass: else the CA cannot start.
    own_names: ClassVar[tuple[str, ...]] = ("ca.test", "localhost", "127.0.0.1")

    def build(self, context: ExtensionContext) -> Any:
        """The policy: what ``register_extensions`` would build, or the plugin's module."""
        raise NotImplementedError

    def passing(self) -> Iterable[Sample]:
        """Certificates that it lets pass."""
        raise NotImplementedError

    def refused(self) -> Iterable[Sample]:
        """Certificates that it refuses."""
        raise NotImplementedError

    def secrets(self) -> Iterator[str]:
        """Texts that must appear nowhere."""
        yield from ()

    def make_context(self, clock: Clock, directory: Path) -> ExtensionContext:
        """What ``build`` is given: no provisioner has settings for it, unless this is overridden."""
        context = make_context(clock, directory)
        return ExtensionContext(**{f.name: getattr(context, f.name) for f in dataclasses.fields(Context)})

    @pytest.fixture
    def policy_clock(self) -> Clock:
        return Clock()

    @pytest_asyncio.fixture
    async def judge(self, policy_clock: Clock, tmp_path: Path) -> AsyncIterator[Judge]:
        """Gives the policy's objections to a sample."""
        async with self._judging(policy_clock, tmp_path) as judge:
            yield judge

    @asynccontextmanager
    async def _judging(self, clock: Clock, directory: Path) -> AsyncIterator[Judge]:
        policy, hooks = self.build(self.make_context(clock, directory)), Hooks()
        hooks.register(_NAME, policy)
        if isinstance(policy, Startable):
            await policy.start()

        async def judge(sample: Sample, *, renewal: bool = False) -> list[str]:
            facts = sample.facts(clock(), renewal=renewal)
            return await (hooks.objections if isinstance(sample, X509Sample) else hooks.ssh_objections)(*facts)

        try:
            judge.hooks = hooks  # type: ignore[attr-defined]
            yield judge
        finally:
            if isinstance(policy, Closeable):
                await policy.aclose()

    def _samples(self) -> list[Sample]:
        return [*self.passing(), *self.refused()]

    def test_it_is_asked_and_there_are_samples_of_what_it_is_asked(self, judge: Judge) -> None:
        answered = judge.hooks.answers().keys() & {"refuse_x509", "refuse_ssh"}  # type: ignore[attr-defined]
        assert answered, "a policy must implement refuse_x509 or refuse_ssh; mark it with mica.hookimpl"
        for hook, kind in (("refuse_x509", X509Sample), ("refuse_ssh", SSHSample)):
            for name, given in (("passing", self.passing()), ("refused", self.refused())):
                if hook in answered and not (name == "refused" and self.never_refuses):
                    found = any(isinstance(sample, kind) for sample in given)
                    assert found, f"it implements {hook}: {name}() must give a {kind.__name__} that shows what it does"

    @pytest.mark.asyncio
    async def test_what_must_pass_passes(self, judge: Judge) -> None:
        for sample in self.passing():
            assert await judge(sample) == [], f"it refuses {sample}; mend the policy, or take it out of passing()"

    @pytest.mark.asyncio
    async def test_what_must_be_refused_is_refused(self, judge: Judge) -> None:
        for sample in self.refused():
            reasons = await judge(sample)
            assert reasons, f"it lets {sample} pass; mend the policy, or take it out of refused()"
            assert not reasons[0].startswith(_FAULTS), f"it fails at {sample}: {reasons}; answer with the reason"

    @pytest.mark.asyncio
    async def test_a_renewal_is_judged_without_a_request(self, judge: Judge) -> None:
        for sample in self._samples():
            reasons = await judge(sample, renewal=True)
            _plain(reasons, sample, "on renewal, where request is None")
            if self.judges_renewals:
                assert bool(reasons) == bool(await judge(sample)), f"on renewal it says {reasons} of {sample}"

    @pytest.mark.asyncio
    async def test_the_authoritys_own_certificate_passes(self, judge: Judge) -> None:
        sample = x509_sample(*self.own_names, common_name="mica", provisioner=MICA)
        reasons = await judge(sample)
        assert reasons == [], "the CA's own certificate is refused, so it cannot start; pass grant.provisioner == MICA"

    @pytest.mark.asyncio
    async def test_the_same_certificate_is_judged_alike_always_and_everywhere(
        self, judge: Judge, policy_clock: Clock, tmp_path: Path
    ) -> None:
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        async with self._judging(policy_clock, elsewhere) as another:
            for sample in self._samples():
                first = await judge(sample)
                again = await asyncio.gather(*(each(sample) for each in (judge, another) for _ in range(10)))
                assert all(reasons == first for reasons in again), f"of {sample} it says {first}, then something else"

    @pytest.mark.asyncio
    async def test_no_spelling_of_a_name_passes_for_another(self, judge: Judge) -> None:
        for sample in self.refused():
            for variant in respelled(sample):
                assert await judge(variant), f"{sample} is refused and {variant} passes; compare canonical names"

    @pytest.mark.asyncio
    async def test_a_refused_name_among_others_is_refused_wherever_it_stands(self, judge: Judge) -> None:
        for bad in self.refused():
            for good in self.passing():
                for mixed in _mixed(good, bad):
                    assert await judge(mixed), f"{mixed} passes, and {bad} is refused; look at every name"

    @pytest.mark.asyncio
    async def test_strange_names_get_a_plain_answer(self, judge: Judge, caplog: pytest.LogCaptureFixture) -> None:
        for label, sample in strange_samples().items():
            for renewal in (False, True):
                _plain(await judge(sample, renewal=renewal), label, "at a strange name")
        for line in map(JSONFormatter().format, caplog.records):
            assert line.isprintable(), f"a line of the log has a raw control character: {line!r}"

    @pytest.mark.asyncio
    async def test_nothing_that_it_is_shown_is_changed(self, judge: Judge, policy_clock: Clock) -> None:
        hooks = judge.hooks  # type: ignore[attr-defined]
        for sample in self._samples():
            facts = sample.facts(policy_clock())
            custody, octets = Custody(*facts), repr(facts)
            ask = hooks.objections if isinstance(sample, X509Sample) else hooks.ssh_objections
            reasons = await ask(*facts)
            assert not any("changed what it was given" in reason for reason in reasons) and not custody.restore(), (
                sample
            )
            assert repr(facts) == octets, f"it changes what it is shown of {sample}; copy what is to be changed"

    @pytest.mark.asyncio
    async def test_it_holds_nobody_up(self, judge: Judge) -> None:
        samples = [*self._samples(), *strange_samples().values()]
        for sample in samples:
            shortest = await standstill(partial(judge, sample))
            assert shortest < LONGEST, (
                f"the CA stands still for {shortest:.2f} s while it is asked of {str(sample)[:200]}; "
                "make the hook async, and let what waits run in a thread"
            )

    @pytest.mark.asyncio
    async def test_whoever_goes_away_meanwhile_gets_no_consent_and_spoils_nothing(self, judge: Judge) -> None:
        for sample in self.refused():
            expected = await judge(sample)
            async for task in cancelled_at_every_await(partial(_ask_again, judge, sample)):
                assert task.cancelled() or task.result(), "it agrees when it is cancelled; do not catch CancelledError"
                assert await judge(sample) == expected, f"after a cancellation it says something else of {sample}"

    @pytest.mark.asyncio
    async def test_it_tells_no_secret(self, judge: Judge, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.DEBUG):
            told = [reason for sample in self._samples() for reason in await judge(sample)]
        told += map(JSONFormatter().format, caplog.records)
        for secret in self.secrets():
            assert not any(secret in text for text in told), "a secret stands in a reason or in the log; take it out"


def _plain(reasons: list[str], sample: object, where: str) -> None:
    """The policy answered by itself."""
    failed = [reason for reason in reasons if reason.startswith(_FAULTS)]
    assert not failed, f"it does not answer {where} ({str(sample)[:200]}): {failed}; the log above has the reason"


def _mixed(good: Sample, bad: Sample) -> Iterator[Sample]:
    """Certificates with the names of both, where both are of one kind and of one provisioner."""
    if good.provisioner != bad.provisioner or good.provisioner != ADMIN:
        return
    if isinstance(good, X509Sample) and isinstance(bad, X509Sample) and bad.names:
        for names in ((*good.names, *bad.names), (*bad.names, *good.names), (*good.names, *bad.names, *good.names)):
            yield dataclasses.replace(bad, names=tuple(dict.fromkeys(names)))
    elif isinstance(good, SSHSample) and isinstance(bad, SSHSample) and good.cert_type is bad.cert_type:
        for found in ((*good.principals, *bad.principals), (*bad.principals, *good.principals)):
            yield dataclasses.replace(bad, principals=tuple(dict.fromkeys(found)))


async def _ask_again(judge: Judge, sample: Sample, _: int) -> list[str]:
    reasons: list[str] = await judge(sample)
    return reasons
