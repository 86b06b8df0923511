"""Whoever is quick gains nothing: one token, one certificate; once revoked, not renewed; nothing by halves."""

import asyncio
import dataclasses
import inspect
import random
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, closing, contextmanager
from http.client import HTTPSConnection
from typing import Any
from uuid import uuid4

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from mica import hookimpl
from mica.authority import Authority
from mica.client import renewtoken
from mica.errors import AlreadyRevoked, CertificateRevoked, TokenReused
from mica.issuance import IssuedX509, sign_token
from mica.keyfiles import generate
from mica.records import Commit, Query
from mica.registry import Registry
from mica.renewal import renew, renew_by_token
from mica.requests import RenewRequest, RevokeRequest, SignRequest
from mica.revocation import revoke_by_certificate, revoke_by_token
from mica.spends import InFlight
from mica.testing.ca import TestCA, csr
from mica.testing.service import Service

KEY = generate("EC-P256")


@contextmanager
def connections(client: Any, number: int) -> Iterator[list[HTTPSConnection]]:
    """So many connections, of which each worker has a good part."""
    with ExitStack() as stack:
        yield [stack.enter_context(closing(connection)) for connection in client.connect_to_both(number)]


# One token


def test_200_uses_of_one_token_at_two_workers_give_one_certificate(
    service: Service, make_client: Any, recorded: Any
) -> None:
    client, winners = make_client(service), []
    with connections(client, 200) as opened:
        for number in range(5):
            order = client.order(f"token-{number}.example")
            requests = [client.hold_back(connection, "/sign", order) for connection in opened]
            for request in requests:
                request.let_go()
            answers = [request.status() for request in requests]
            assert Counter(answers) == {201: 1, 401: 199}
            winners.append(client.worker_of(opened[answers.index(201)]))
    found = recorded(service.ca)
    assert all(len(found[f"token-{number}.example"]) == 1 for number in range(5))


def test_clients_that_go_away_leave_a_certificate_or_a_token_that_works(
    service: Service, make_client: Any, recorded: Any
) -> None:
    client, pauses = make_client(service), random.Random(42)
    names = [f"gone-{number}.example" for number in range(60)]
    orders = [client.order(name) for name in names]
    for number, order in enumerate(orders):
        with closing(client.connect()) as connection:
            request = client.hold_back(connection, "/sign", order)
            if number % 2:
                request.let_go()
            time.sleep(pauses.uniform(0, 0.004))
    with closing(client.connect()) as connection:
        answers = [client.ask(connection, "POST", "/sign", order)[0] for order in orders]
    assert set(answers[::2]) == {201}  # what was never whole has burnt nothing
    assert set(answers[1::2]) <= {201, 401}
    found = recorded(service.ca)
    assert [len(found[name]) for name in names] == [1] * 60


# Renewal and revocation


@pytest.fixture
def overtaken(ca: TestCA) -> Callable[[], int]:
    """How many renewals SQLite has seen written after the revocation of what they renew. Watches from the first call.

    The database itself is the witness: it alone knows in which order transactions took place.
    """
    path = ca.directory / "db/mica.db"
    watch = """
        CREATE TABLE overtaken (serial BLOB);
        CREATE TRIGGER watch AFTER INSERT ON certificates WHEN EXISTS (
            SELECT 1 FROM revocations WHERE issuer = NEW.replaces_issuer AND serial = NEW.replaces_serial
        ) BEGIN INSERT INTO overtaken VALUES (NEW.replaces_serial); END;
    """

    def count() -> int:
        with closing(sqlite3.connect(path, timeout=20)) as database:
            if not database.execute("SELECT 1 FROM sqlite_schema WHERE name = 'watch'").fetchall():
                database.executescript(watch)
            ((number,),) = database.execute("SELECT count(*) FROM overtaken").fetchall()
        return int(number)

    return count


@asynccontextmanager
async def started(ca: TestCA, number: int, **plugins: object) -> AsyncIterator[list[Authority]]:
    """So many authorities on one folder, as in so many processes."""
    async with AsyncExitStack() as stack:
        authorities = []
        for _ in range(number):
            authorities.append(ca.authority(plugins))
            stack.push_async_callback(authorities[-1].aclose)
            await authorities[-1].start()
        yield authorities


def certificate_of(issued: IssuedX509) -> x509.Certificate:
    return x509.load_der_x509_certificate(issued.certificate)


async def sign(authority: Authority, ca: TestCA, name: str, token: str = "") -> IssuedX509:
    return await sign_token(authority, SignRequest(csr=csr(name, key=KEY)), token or ca.token(name))


def revocation(certificate: x509.Certificate) -> RevokeRequest:
    return RevokeRequest(serial_number=certificate.serial_number)


async def after(pause: float, work: Coroutine[Any, Any, Any]) -> Any:
    if pause > 0:
        await asyncio.sleep(pause)
    return await work


async def test_renewal_and_revocation_raced_1000_times_never_leave_a_revoked_certificate_renewed(
    ca: TestCA, overtaken: Callable[[], int]
) -> None:
    async with started(ca, 2) as authorities:
        assert overtaken() == 0
        pauses, outcomes = random.Random(33), Counter[str]()
        for _ in range(50):
            issued = await asyncio.gather(*(sign(authorities[0], ca, f"{uuid4().hex}.example") for _ in range(20)))
            races = [_race(ca, pauses.sample(authorities, 2), certificate_of(one), pauses) for one in issued]
            outcomes.update(await asyncio.gather(*races))
        assert outcomes.total() == 1000 and min(outcomes["renewed before"], outcomes["refused"]) > 50, outcomes
        assert overtaken() == 0


async def _race(ca: TestCA, authorities: list[Authority], old: x509.Certificate, pauses: random.Random) -> str:
    one, two = authorities
    token = ca.token(str(old.serial_number), "/1.0/revoke")
    by_token = pauses.random() < 0.5
    new_key = csr("svc.example", key=generate("EC-P256")) if pauses.random() < 0.2 else None
    request = RenewRequest(certificate=old, csr=new_key)
    outcomes: tuple[Any, Any] = await asyncio.gather(
        after(pauses.uniform(-0.002, 0.004), renew(one, request)),
        after(
            pauses.uniform(-0.002, 0.004),
            revoke_by_token(two, revocation(old), token)
            if by_token
            else revoke_by_certificate(two, revocation(old), old),
        ),
        return_exceptions=True,
    )
    renewed, revoked = outcomes
    assert revoked is None
    assert isinstance(renewed, IssuedX509 | CertificateRevoked), renewed
    for authority in authorities:
        with pytest.raises(CertificateRevoked):
            await renew(authority, request)
    return "renewed before" if isinstance(renewed, IssuedX509) else "refused"


async def test_the_witness_would_have_seen_a_renewal_after_a_revocation(
    ca: TestCA, overtaken: Callable[[], int]
) -> None:
    async with started(ca, 1) as (authority,):
        assert overtaken() == 0
        old = await sign(authority, ca, "svc.example")
        new = (await renew(authority, RenewRequest(certificate=certificate_of(old)))).issuance
        await revoke_by_certificate(authority, revocation(certificate_of(old)), certificate_of(old))
        forged = dataclasses.replace(new, id=dataclasses.replace(new.id, serial_number=1))
        await authority.store.commit(Commit(issuances=(forged,)))
        assert overtaken() == 1


class Gate:
    """A policy that has no objection, and takes its time for renewals."""

    def __init__(self) -> None:
        self.reached, self.opened = asyncio.Event(), asyncio.Event()

    @hookimpl
    async def refuse_x509(self, request: object) -> str | None:
        if request is None:
            self.reached.set()
            await self.opened.wait()
        return None


@pytest.mark.parametrize("by_token", [False, True])
async def test_a_revocation_while_policies_ponder_a_renewal_refuses_it(ca: TestCA, by_token: bool) -> None:
    gate = Gate()
    async with started(ca, 1, gate=gate) as (authority,), started(ca, 1) as (elsewhere,):
        old = certificate_of(await sign(authority, ca, "svc.example"))
        token = renewtoken.make(ca.url, [old], KEY, not_before=ca.clock())
        renewing = renew_by_token(authority, token) if by_token else renew(authority, RenewRequest(certificate=old))
        task = asyncio.create_task(renewing)
        await gate.reached.wait()
        await revoke_by_certificate(elsewhere, revocation(old), old)
        gate.opened.set()
        with pytest.raises(CertificateRevoked):
            await task
        page = await authority.store.search(Query(now=ca.clock(), name="svc.example"))
        assert [row.issuance.replaces for row in page.rows] == [None]


def test_over_https_too_no_revoked_certificate_is_renewed(
    service: Service, make_client: Any, overtaken: Callable[[], int], recorded: Any
) -> None:
    client, pauses, outcomes = make_client(service), random.Random(4), Counter[int]()
    assert overtaken() == 0
    with connections(client, 20) as opened:
        for _ in range(25):
            certificate = client.sign(opened[0], f"{uuid4().hex}.example")
            with closing(client.connect(certificate)) as identified:
                other = next(each for each in opened if client.worker_of(each) != client.worker_of(identified))
                renewal = client.hold_back(identified, "/renew")
                end = client.hold_back(other, "/revoke", client.revocation(certificate))
                for request in pauses.sample([renewal, end], 2):
                    request.let_go()
                    time.sleep(pauses.uniform(0, 0.02))
                assert end.status() == 200
                outcomes[renewal.status()] += 1
            assert client.renewal_status(certificate) == 401
    assert set(outcomes) == {201, 401}, outcomes
    assert overtaken() == 0
    renewed = [row for rows in recorded(service.ca).values() for row in rows if row.issuance.replaces]
    assert len(renewed) == outcomes[201]


# Cancellation


class Dawdling:
    """The part behind it, except that it suspends before and after each asynchronous answer."""

    def __init__(self, part: Any) -> None:
        self._part = part

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._part, name)
        if not inspect.iscoroutinefunction(attribute):
            return attribute

        async def dawdling(*arguments: Any) -> Any:
            await asyncio.sleep(0)
            answer = await attribute(*arguments)
            await asyncio.sleep(0)
            return answer

        return dawdling


class Pensive:
    """A policy that has no objection, and suspends before it says so."""

    @hookimpl
    async def refuse_x509(self, tbs: object) -> str | None:
        await asyncio.sleep(0)
        return None


def dawdling(authority: Authority) -> Authority:
    """``authority``, each of whose parts suspends whenever it may."""
    store: Any = Dawdling(authority.store)
    entries = []
    for original in authority.registry.entries:
        entry = dataclasses.replace(original)
        entry.tokens, entry.renewals = Dawdling(original.tokens), Dawdling(original.renewals)
        entries.append(entry)
    return dataclasses.replace(
        authority,
        store=store,
        in_flight=InFlight(store),
        registry=Registry(tuple(entries)),
        issuers={
            name: dataclasses.replace(issuer, signer=Dawdling(issuer.signer))
            for name, issuer in authority.issuers.items()
        },
    )


class Interrupted(Awaitable[Any]):
    """Work whose task is cancelled when it suspends for the ``at``-th time, at once or ``later``, in seconds."""

    def __init__(self, work: Coroutine[Any, Any, Any], at: int, later: float) -> None:
        self._work, self._at, self._later = work, at, later
        self.suspensions = 0

    def __await__(self) -> Generator[Any, Any, Any]:
        steps, answer, error = self._work.__await__(), None, None
        while True:
            try:
                waited_for = steps.throw(error) if error else steps.send(answer)
            except StopIteration as done:
                return done.value
            self.suspensions += 1
            if self.suspensions == self._at:
                self._interrupt()
            answer = error = None
            try:
                answer = yield waited_for
            except BaseException as thrown:
                error = thrown

    def _interrupt(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        if self._later:
            asyncio.get_running_loop().call_later(self._later, task.cancel)
        else:
            task.cancel()


@dataclasses.dataclass
class Attempt:
    """Something to be asked for under one name, once or again with the same credential, and its traces on record."""

    ask: Callable[[Authority], Coroutine[Any, Any, Any]]
    done: Callable[[], Coroutine[Any, Any, int]]
    """How often it is on record as done."""
    again: tuple[type[Exception], ...]
    """What a second time is refused with; empty when it may be repeated."""


class Scene:
    """A CA with one certificate, and everything that can be asked of it."""

    def __init__(self, ca: TestCA, authority: Authority, old: x509.Certificate) -> None:
        self.ca, self.authority, self.old = ca, authority, old

    @classmethod
    async def set(cls, ca: TestCA, authority: Authority) -> "Scene":
        return cls(ca, authority, certificate_of(await sign(authority, ca, f"{uuid4().hex}.example")))

    def sign(self) -> Attempt:
        name = f"{uuid4().hex}.example"
        request, token = SignRequest(csr=csr(name, key=KEY)), self.ca.token(name)
        return Attempt(
            lambda authority: sign_token(authority, request, token), lambda: self._issued(name, None), (TokenReused,)
        )

    def renew(self) -> Attempt:
        request = RenewRequest(certificate=self.old)
        return Attempt(lambda authority: renew(authority, request), self._renewed, ())

    def rekey(self) -> Attempt:
        request = RenewRequest(certificate=self.old, csr=csr("svc.example"))
        return Attempt(lambda authority: renew(authority, request), self._renewed, ())

    def renew_by_token(self) -> Attempt:
        token = renewtoken.make(self.ca.url, [self.old], KEY, not_before=self.ca.clock())
        return Attempt(lambda authority: renew_by_token(authority, token), self._renewed, (TokenReused,))

    def revoke_by_token(self) -> Attempt:
        token = self.ca.token(str(self.old.serial_number), "/1.0/revoke")
        request = revocation(self.old)
        return Attempt(lambda authority: revoke_by_token(authority, request, token), self._revoked, (TokenReused,))

    def revoke_by_certificate(self) -> Attempt:
        request = revocation(self.old)
        return Attempt(
            lambda authority: revoke_by_certificate(authority, request, self.old), self._revoked, (AlreadyRevoked,)
        )

    async def _renewed(self) -> int:
        (name,) = self.old.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return await self._issued(str(name.value), self.old.serial_number)

    async def _issued(self, name: str, replaces: int | None) -> int:
        page = await self.authority.store.search(Query(now=self.ca.clock(), name=name))
        issuances = [row.issuance for row in page.rows]
        assert [await self.authority.store.find(issuance.id) for issuance in issuances] == issuances
        return len([one for one in issuances if (one.replaces and one.replaces.serial_number) == replaces])

    async def _revoked(self) -> int:
        id = self.authority.issuer.id_of(self.old.serial_number)
        return int(await self.authority.store.revocation(id) is not None)


VERBS = [
    Scene.sign, Scene.renew, Scene.rekey, Scene.renew_by_token, Scene.revoke_by_token, Scene.revoke_by_certificate,
]  # fmt: skip


@pytest.mark.parametrize("later", [0.0, 0.0005, 0.003])
@pytest.mark.parametrize("verb", VERBS)
async def test_whoever_is_cancelled_anywhere_leaves_everything_or_nothing(
    ca: TestCA, verb: Callable[[Scene], Attempt], later: float
) -> None:
    async with started(ca, 1, pensive=Pensive()) as (authority,):
        slow, at, interrupted = dawdling(authority), 0, True
        while interrupted:
            at += 1
            attempt = verb(await Scene.set(ca, authority))
            interrupted = await _interrupt(attempt, slow, at, later)
            await _settle(ca, authority)
            assert not slow.in_flight.held
            assert await attempt.done() in ((0, 1) if interrupted else (1,))
            await _try_again(attempt, authority)
        assert at > 5, "nothing was interrupted"
        assert await _settle(ca, slow)


@pytest.mark.parametrize("later", [0.0, 0.0005])
@pytest.mark.parametrize("verb", [Scene.sign, Scene.renew_by_token, Scene.revoke_by_token])
async def test_a_token_whose_request_is_cancelled_serves_once_however_soon_it_comes_again(
    ca: TestCA, verb: Callable[[Scene], Attempt], later: float
) -> None:
    async with started(ca, 2, pensive=Pensive()) as (authority, elsewhere):
        slow = dawdling(authority)
        for at in range(1, 16):
            attempt = verb(await Scene.set(ca, authority))
            await _interrupt(attempt, slow, at, later)
            again = [attempt.ask(each) for each in (slow, elsewhere) * 3]
            outcomes = await asyncio.gather(*again, return_exceptions=True)
            refused = [outcome for outcome in outcomes if isinstance(outcome, attempt.again)]
            assert len(refused) >= 5, outcomes
            assert await attempt.done() == 1


async def _interrupt(attempt: Attempt, authority: Authority, at: int, later: float) -> bool:
    """Whether it was cancelled at its ``at``-th suspension, or there was none."""
    work = Interrupted(attempt.ask(authority), at, later)
    task = asyncio.ensure_future(work)  # so that it is not this one that is cancelled
    try:
        await task
    except asyncio.CancelledError:
        return True
    assert await attempt.done() == 1
    return work.suspensions >= at


async def _settle(ca: TestCA, authority: Authority) -> IssuedX509:
    """The store lives, and has done whatever it was asked before."""
    return await sign(authority, ca, f"{uuid4().hex}.example")


async def _try_again(attempt: Attempt, authority: Authority) -> None:
    """What is done is not done twice with one credential; what is not, can be."""
    before = await attempt.done()
    if before and attempt.again:
        with pytest.raises(attempt.again):
            await attempt.ask(authority)
    else:
        await attempt.ask(authority)
    assert await attempt.done() == (1 if attempt.again else before + 1)
