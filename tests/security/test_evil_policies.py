"""Evil policies and listeners: no certificate comes of them, the log names them, and the CA lives on."""

import asyncio
from contextlib import suppress
from enum import StrEnum
from typing import Any

import pytest
from cryptography import x509
from tests.security import evil
from tests.security.evil import CANARY, FAILURES, hang_and_agree, tried

from mica import Exactly, deadlines, hookimpl, hooks, listeners
from mica.errors import ConfigError, MicaError, Unauthorized
from mica.events import Event
from mica.issuance import issue_own
from mica.keyfiles import generate
from mica.pkix import SubjectPublicKey
from mica.renewal import renew
from mica.requests import RenewRequest
from mica.testing.ca import TestCA
from mica.testing.line_requests import send


class Policy:
    """Does to X.509 certificates as it is told; then it agrees."""

    def __init__(self, act: evil.Act | None) -> None:
        self.act = act

    @hookimpl
    def refuse_x509(self, request: Any, tbs: Any, grant: Any) -> Any:
        return self.act(request, tbs, grant) if self.act else None


class Witness:
    """A policy and a listener that keep what they are shown."""

    def __init__(self) -> None:
        self.seen: list[tuple[Any, ...]] = []
        self.heard: list[Event] = []

    @hookimpl
    def refuse_x509(self, request: Any, tbs: Any, grant: Any) -> None:
        self.seen.append((tbs.serial_number, tbs.names, grant.subject, grant.permits, request and request.csr))

    @hookimpl
    def notify(self, event: Event) -> None:
        self.heard.append(event)


class Listener:
    """Does as it is told with what it hears."""

    def __init__(self, act: evil.Act) -> None:
        self.act = act

    @hookimpl
    def notify(self, event: Any) -> Any:
        return self.act(event)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks, "DEADLINE", 0.05)
    monkeypatch.setattr(deadlines, "GRACE", 0.05)


class Asking:
    """Whoever asks it anything meets an end."""

    def _end(self, *_: Any) -> Any:
        raise SystemExit(CANARY)

    __bool__ = __len__ = __str__ = __repr__ = __iter__ = _end
    __class__ = property(_end)


class Text(str):
    """A text that denies everything."""

    __hash__ = None  # type: ignore[assignment]

    def _deny(self, *_: Any) -> Any:
        raise RuntimeError(CANARY)

    __bool__ = __len__ = __eq__ = __str__ = __repr__ = __format__ = _deny


class Untold(Exception):
    """One that was never told."""

    def __str__(self) -> str:
        raise RuntimeError(CANARY)

    __repr__ = __str__


class Unfinished(Unauthorized):
    """Its author forgot ``super().__init__``, and what it says of itself is wrong."""

    def __init__(self) -> None: ...

    def __str__(self) -> str:
        return f"{self.reason}"  # type: ignore[attr-defined]


async def stream() -> Any:
    yield None


async def _agree() -> None: ...


SPENT = _agree()
SPENT.close()


async def disobedient() -> None:
    async def work() -> None:
        for _ in range(20):
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0.05)

    await asyncio.create_task(work())


def own(error: MicaError) -> evil.Act:
    return evil.raising(error)


ANSWERS: dict[str, evil.Act] = {
    "agrees after the deadline": hang_and_agree,
    "gives a coroutine that gives one": lambda *_: asyncio.sleep(0, asyncio.sleep),
    "gives its own class": lambda *_: Policy,
    "gives what calls itself a text": lambda *_: evil.Posing(str),
    "gives what calls itself nothing": lambda *_: evil.Posing(type(None)),
    "gives what asks back": lambda *_: Asking(),
    "gives an asynchronous generator": lambda *_: stream(),
    "gives one coroutine to all": lambda *_: SPENT,
    "waits for a task that does not obey": lambda *_: disobedient(),
    "raises what cannot be told": evil.raising(Untold()),
    "raises later what cannot be told": evil.raising_later(Untold()),
    "is not authorised, and cannot say why": evil.raising(Unfinished()),
    "is not authorised": own(Unauthorized(CANARY)),
    "finds a mistake in the configuration": own(ConfigError([CANARY])),
    "gives bytes": lambda *_: b"no",
    "gives a number": lambda *_: 0,
    "gives a mapping": lambda *_: {},
}


@pytest.mark.parametrize("case", [*FAILURES, *ANSWERS])
async def test_a_policy_that_does_not_plainly_agree_refuses_is_named_and_burns_no_token(
    ca: TestCA, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    policy, token = Policy((FAILURES | ANSWERS)[case]), ca.token("svc.example")
    async with tried(ca, evil=policy) as trial:
        refused = await trial.sign(token)
        assert refused.status == 403
        assert CANARY not in refused.json["message"]
        assert evil.lines_of(caplog, "evil")
        assert not [line for line in evil.told(caplog).splitlines() if not line.isprintable()]
        assert await trial.on_record() == []
        policy.act = None
        assert (await trial.sign(token)).status == 201


async def test_an_objection_of_a_class_of_its_own_counts_for_what_is_written_there(ca: TestCA) -> None:
    class Reason(StrEnum):
        NO = "not on Fridays"

    policy, witness = Policy(lambda *_: Text("not today")), Witness()
    async with tried(ca, evil=policy, witness=witness) as trial:
        refused = await trial.sign()
        assert refused.status == 403 and "not today" in refused.json["message"]
        policy.act = lambda *_: Reason.NO
        assert "not on Fridays" in (await trial.sign()).json["message"]
        policy.act = lambda *_: Text("")
        assert "policy evil refused" in (await trial.sign()).json["message"]
        assert await trial.on_record() == []
    assert [type(reason) for event in witness.heard for reason in event.reasons] == [str] * 3  # type: ignore[union-attr]


async def test_while_a_policy_hangs_others_are_served(ca: TestCA, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks, "DEADLINE", 60)

    def slow_for_some(request: Any, tbs: Any, grant: Any) -> Any:
        return evil.hang() if grant.subject == "slow.example" else None

    async with tried(ca, evil=Policy(slow_for_some)) as trial:
        hanging = [asyncio.create_task(trial.sign(name="slow.example")) for _ in range(20)]
        await asyncio.sleep(0.05)
        assert [(await trial.sign()).status for _ in range(5)] == [201] * 5
        for task in hanging:
            task.cancel()  # as the server does at the end of its grace period
        assert {(await task).status for task in hanging} == {503}
        assert await trial.on_record() == ["svc.example"] * 5


# What was lent


def write(what: Any, **members: Any) -> None:
    for name, value in members.items():
        object.__setattr__(what, name, value)


OTHER = SubjectPublicKey.of(generate("EC-P256").public_key())
ROOT = x509.DNSName("root.example")
FORGERIES: dict[str, evil.Act] = {
    "the serial number": lambda request, tbs, grant: write(tbs, serial_number=1),
    "the validity": lambda request, tbs, grant: write(tbs, not_after=tbs.not_after.replace(year=9999)),
    "the key": lambda request, tbs, grant: write(tbs, subject_public_key=OTHER),
    "the extensions": lambda request, tbs, grant: write(tbs, extensions=()),
    "one extension": lambda request, tbs, grant: write(tbs.extensions[-1], value=b""),
    "the octets": lambda request, tbs, grant: tbs.__dict__.update(der=b"anything"),
    "the names": lambda request, tbs, grant: tbs.__dict__.update(names=(ROOT,)),
    "the parsed names": lambda request, tbs, grant: tbs.found.clear(),
    "the CSR": lambda request, tbs, grant: write(request.csr, public_key=OTHER, names=(ROOT,)),
    "the request": lambda request, tbs, grant: write(request, csr=None),
    "the subject": lambda request, tbs, grant: write(grant, subject="root"),
    "the permits": lambda request, tbs, grant: write(grant, permits=()),
    "a permit": lambda request, tbs, grant: write(grant.permits[0], subject_common_name="root"),
    "a permit's names": lambda request, tbs, grant: write(grant.permits[0].names, names=(ROOT,)),
    "a permit's rule": lambda request, tbs, grant: write(grant.permits[0], names=Exactly(names=(ROOT,))),
    "the provisioner": lambda request, tbs, grant: write(grant.provisioner, name="root"),
    "the spend": lambda request, tbs, grant: write(grant.spend, id="another"),
    "a claim": lambda request, tbs, grant: grant.claims.update(sub="root"),
    "a claim's list": lambda request, tbs, grant: grant.claims["sans"].append("root"),
    "the evidence": lambda request, tbs, grant: grant.evidence.clear(),
    "by plain assignment": lambda request, tbs, grant: setattr(tbs, "serial_number", 1),
    "by deletion": lambda request, tbs, grant: delattr(grant, "subject"),
}


@pytest.mark.parametrize("case", FORGERIES)
async def test_a_policy_that_changes_what_it_was_shown_refuses_is_named_and_misleads_nobody(
    ca: TestCA, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    policy, witness = Policy(FORGERIES[case]), Witness()
    async with tried(ca, evil=policy, witness=witness) as trial:
        token = ca.token("svc.example", sans=["svc.example"])
        assert (await trial.sign(token)).status == 403
        assert evil.lines_of(caplog, "plugin evil")
        assert await trial.on_record() == []
        policy.act = None
        reply = await trial.sign(token)
        assert reply.status == 201
    leaf = x509.load_pem_x509_certificate(reply.json["crt"].encode())
    for _, names, subject, (permit,), csr in witness.seen:
        assert (names, subject, permit.subject_common_name) == ((x509.DNSName("svc.example"),), *["svc.example"] * 2)
        assert csr.names == names and csr.public_key.spki != OTHER.spki
    assert witness.seen[-1][0] == leaf.serial_number
    denied, issued = witness.heard
    assert (denied.subject, issued.subject) == ("svc.example", "svc.example")


async def test_a_policy_is_asked_of_the_authoritys_own_certificate_and_of_renewals(ca: TestCA) -> None:
    policy = Policy(None)
    async with tried(ca, evil=policy) as trial:
        reply = await trial.sign()
        leaf = x509.load_pem_x509_certificate(reply.json["crt"].encode())
        policy.act = evil.raising(RuntimeError(CANARY))
        for attempt in (
            issue_own(trial.authority, generate("EC-P256")),  # type: ignore[arg-type]
            renew(trial.authority, RenewRequest(certificate=leaf)),
        ):
            with pytest.raises(MicaError, match="policy evil failed"):
                await attempt
        assert await trial.on_record() == ["svc.example"]


# Listeners

HEARERS: dict[str, evil.Act] = {
    **FAILURES,
    "answers": lambda event: "no",
    "forges the subject": lambda event: write(event, subject="root"),
    "forges the record": lambda event: write(event.issuance, subject="root", certificate=b""),
    "forges the id": lambda event: write(event.issuance.id, serial_number=1),
    "forges the evidence": lambda event: event.evidence.clear(),
    "takes something out": lambda event: object.__delattr__(event, "subject"),
    "raises what cannot be told": evil.raising(Untold()),
    "answers what asks back": lambda event: Asking(),
}


@pytest.mark.parametrize("case", HEARERS)
async def test_a_listener_harms_neither_certificates_nor_who_listens_after_it(
    ca: TestCA, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    witness = Witness()
    async with tried(ca, evil=Listener(HEARERS[case]), witness=witness) as trial:
        replies = [await trial.sign(name=f"{number}.example") for number in range(3)]
        assert {reply.status for reply in replies} == {201}
    leaves = [x509.load_pem_x509_certificate(reply.json["crt"].encode()) for reply in replies]
    assert [event.subject for event in witness.heard] == ["0.example", "1.example", "2.example"]
    assert [event.issuance.id.serial_number for event in witness.heard] == [leaf.serial_number for leaf in leaves]  # type: ignore[union-attr]
    if case != "answers":
        assert evil.lines_of(caplog, "plugin evil")


async def test_a_listener_that_never_ends_loses_events_loudly_and_nothing_else(
    ca: TestCA, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(hooks, "DEADLINE", 60)
    monkeypatch.setattr(listeners, "CAPACITY", 2)
    monkeypatch.setattr(listeners, "GRACE", 0.1)
    async with tried(ca, evil=Listener(evil.hang)) as trial:
        assert {(await trial.sign()).status for _ in range(6)} == {201}
        assert (await send(trial.app, "GET", "/health")).status == 200
        assert len(await trial.on_record()) == 6
    assert evil.lines_of(caplog, "listeners are too slow")
