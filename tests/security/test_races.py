"""Whoever is quick gains nothing: one token, one certificate; once revoked, not renewed; nothing by halves."""

import asyncio
import base64
import dataclasses
import inspect
import random
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, closing, contextmanager
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from tests.security.sshorders import held, host, public, recorded_id
from tests.security.sshorders import order as ssh_order

from mica import hookimpl
from mica.authority import Authority
from mica.client import renewtoken
from mica.errors import AlreadyRevoked, CertificateRevoked, NotFound, TokenReused
from mica.issuance import IssuedX509, sign_token
from mica.keyfiles import generate
from mica.records import CertificateKind, Commit, Query, Status
from mica.renewal import renew, renew_by_token
from mica.requests import RenewRequest, RevokeRequest, SignRequest, SSHRenewRequest, SSHRevokeRequest
from mica.revocation import revoke_by_certificate, revoke_by_token
from mica.spends import InFlight
from mica.sshcert import SSHCertificate
from mica.sshissuance import IssuedSSH, sign_ssh_token
from mica.sshrenewal import renew_ssh
from mica.sshrevocation import revoke_ssh
from mica.testing.ca import TestCA, csr
from mica.testing.line_races import Interrupted, Pensive, dawdling
from mica.testing.service import Service, free_port

KEY = generate("EC-P256")


@pytest.fixture
def ca(tmp_path: Path) -> TestCA:
    """A CA with SSH."""
    return TestCA.found(tmp_path / "ca", port=free_port(), ssh=True)


@contextmanager
def connections(client: Any, number: int) -> Iterator[list[HTTPSConnection]]:
    """So many connections, of which each worker has a good part."""
    with ExitStack() as stack:
        yield [stack.enter_context(closing(connection)) for connection in client.connect_to_both(number)]


# One token


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


def ssh_body(ca: TestCA, account: str, token: str = "") -> dict[str, Any]:
    """The body of ``/ssh/sign`` for a user, and for the making of the account."""
    return {
        "publicKey": base64.b64encode(public(KEY).blob).decode(),
        "addUserPublicKey": base64.b64encode(public(generate("Ed25519")).blob).decode(),
        "ott": token or ca.ssh_token(account, "user", [account]),
    }


def test_200_uses_of_one_ssh_token_at_two_workers_give_the_two_certificates_that_belong_together(
    service: Service, make_client: Any, recorded: Any
) -> None:
    client = make_client(service)
    with connections(client, 200) as opened:
        for number in range(3):
            order = ssh_body(service.ca, f"account{number}")
            requests = [client.hold_back(connection, "/ssh/sign", order) for connection in opened]
            for request in requests:
                request.let_go()
            assert Counter(request.status() for request in requests) == {201: 1, 401: 199}
    found = recorded(service.ca)
    assert [len(found[f"account{number}"]) for number in range(3)] == [1] * 3
    made = sorted(row.issuance.subject for row in found["provisioner"])
    assert made == [f"account{number}-provisioner" for number in range(3)]


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


async def test_ssh_renewal_and_revocation_raced_never_leave_a_revoked_certificate_renewed(
    ca: TestCA, overtaken: Callable[[], int]
) -> None:
    async with started(ca, 2) as authorities:
        assert overtaken() == 0
        pauses, outcomes = random.Random(34), Counter[str]()
        for _ in range(12):
            issued = await asyncio.gather(*(host(ca, authorities[0], KEY, f"{uuid4().hex}.example") for _ in range(20)))
            races = [_ssh_race(ca, pauses.sample(authorities, 2), one, pauses) for one in issued]
            outcomes.update(await asyncio.gather(*races))
        assert outcomes.total() == 240 and min(outcomes["renewed before"], outcomes["refused"]) > 10, outcomes
        assert overtaken() == 0


async def _ssh_race(ca: TestCA, authorities: list[Authority], old: SSHCertificate, pauses: random.Random) -> str:
    one, two = authorities
    rekeying, serial = pauses.random() < 0.3, old.tbs.serial
    wish = SSHRenewRequest(public_key=public(generate("EC-P256")) if rekeying else None)
    path = "/ssh/rekey" if rekeying else "/ssh/renew"
    key_id = old.tbs.key_id
    ways = {
        "holder": (SSHRevokeRequest(serial_number=serial), held(ca, old, KEY, "/ssh/revoke")),
        "serial": (SSHRevokeRequest(serial_number=serial), ca.token(str(serial), "/ssh/revoke")),
        "key id": (
            SSHRevokeRequest(key_id=key_id), ca.token(key_id, "/ssh/revoke", step={"ssh": {"keyID": key_id}})
        ),
    }  # fmt: skip
    way = pauses.choice(list(ways))
    outcomes: tuple[Any, Any] = await asyncio.gather(
        after(pauses.uniform(-0.002, 0.004), renew_ssh(one, wish, held(ca, old, KEY, path))),
        after(pauses.uniform(-0.002, 0.004), revoke_ssh(two, *ways[way])),
        return_exceptions=True,
    )
    renewed, revoked = outcomes
    assert revoked is None
    assert isinstance(renewed, IssuedSSH | CertificateRevoked), renewed
    for authority in authorities:
        with pytest.raises(CertificateRevoked):
            await renew_ssh(authority, wish, held(ca, old, KEY, path))
        if way == "key id":  # and what came of it in the meantime
            live = Query(now=ca.clock(), kind=CertificateKind.SSH, subject=key_id, status=Status.VALID)
            assert (await authority.store.search(live)).rows == ()
    return "renewed before" if isinstance(renewed, IssuedSSH) else "refused"


async def test_the_end_of_a_key_id_is_the_end_of_what_was_renewed_while_it_was_looked_for(ca: TestCA) -> None:
    """Of a stolen key no certificate remains, however busily the thief renews it."""

    class Renewing:
        """The store; before the revocation of a certificate is written, the thief renews it once more."""

        def __init__(self, authority: Authority) -> None:
            self._authority, self._store, self.renewals = authority, authority.store, 0

        def __getattr__(self, name: str) -> Any:
            return getattr(self._store, name)

        async def commit(self, commit: Commit) -> None:
            if commit.revocations and self.renewals < 4:
                found = await self._store.find(commit.revocations[0].id)
                assert found is not None
                old = SSHCertificate.decode(found.certificate)
                await renew_ssh(self._authority, SSHRenewRequest(), held(ca, old, KEY, "/ssh/renew"))
                self.renewals += 1
            await self._store.commit(commit)

    async with started(ca, 1) as (authority,):
        await host(ca, authority, KEY)
        await host(ca, authority, KEY)
        store: Any = Renewing(authority)
        busy = dataclasses.replace(authority, store=store, in_flight=InFlight(store))
        request = SSHRevokeRequest(key_id="web.example")
        token = ca.token("web.example", "/ssh/revoke", step={"ssh": {"keyID": "web.example"}})
        await revoke_ssh(busy, request, token)
        assert store.renewals == 4
        live = Query(now=ca.clock(), kind=CertificateKind.SSH, status=Status.VALID)
        assert (await authority.store.search(live)).rows == ()
        with pytest.raises(TokenReused):
            await revoke_ssh(authority, request, token)


class Gate:
    """A policy that has no objection, and takes its time for renewals."""

    def __init__(self) -> None:
        self.reached, self.opened = asyncio.Event(), asyncio.Event()

    @hookimpl
    async def refuse_x509(self, request: object) -> str | None:
        await self._wait(request)
        return None

    @hookimpl
    async def refuse_ssh(self, request: object) -> str | None:
        await self._wait(request)
        return None

    async def _wait(self, request: object) -> None:
        if request is None:
            self.reached.set()
            await self.opened.wait()


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


@pytest.mark.parametrize("path", ["/ssh/renew", "/ssh/rekey"])
async def test_a_revocation_while_policies_ponder_an_ssh_renewal_refuses_it(ca: TestCA, path: str) -> None:
    gate = Gate()
    async with started(ca, 1, gate=gate) as (authority,), started(ca, 1) as (elsewhere,):
        old = await host(ca, authority, KEY)
        wish = SSHRenewRequest(public_key=public(generate("Ed25519")) if path == "/ssh/rekey" else None)
        token = held(ca, old, KEY, path)
        task = asyncio.create_task(renew_ssh(authority, wish, token))
        await gate.reached.wait()
        request = SSHRevokeRequest(serial_number=old.tbs.serial)
        await revoke_ssh(elsewhere, request, held(ca, old, KEY, "/ssh/revoke"))
        gate.opened.set()
        with pytest.raises(CertificateRevoked):
            await task
        page = await authority.store.search(Query(now=ca.clock(), kind=CertificateKind.SSH))
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


@dataclasses.dataclass
class Attempt:
    """Something to be asked for under one name, once or again with the same credential, and its traces on record."""

    ask: Callable[[Authority], Coroutine[Any, Any, Any]]
    done: Callable[[], Coroutine[Any, Any, int]]
    """How often it is on record as done."""
    again: tuple[type[Exception], ...]
    """What a second time is refused with; empty when it may be repeated."""


class Scene:
    """A CA with one certificate, and what can be asked of it; what a provisioner's tokens order, its suite asks."""

    def __init__(self, ca: TestCA, authority: Authority, old: x509.Certificate) -> None:
        self.ca, self.authority, self.old = ca, authority, old

    @classmethod
    async def set(cls, ca: TestCA, authority: Authority) -> "Scene":
        return cls(ca, authority, certificate_of(await sign(authority, ca, f"{uuid4().hex}.example")))

    def renew(self) -> Attempt:
        request = RenewRequest(certificate=self.old)
        return Attempt(lambda authority: renew(authority, request), self._renewed, ())

    def rekey(self) -> Attempt:
        request = RenewRequest(certificate=self.old, csr=csr("svc.example"))
        return Attempt(lambda authority: renew(authority, request), self._renewed, ())

    def renew_by_token(self) -> Attempt:
        token = renewtoken.make(self.ca.url, [self.old], KEY, not_before=self.ca.clock())
        return Attempt(lambda authority: renew_by_token(authority, token), self._renewed, (TokenReused,))

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


class SSHScene:
    """A CA with the certificate of one host, and what can be asked of it."""

    def __init__(self, ca: TestCA, authority: Authority, old: SSHCertificate) -> None:
        self.ca, self.authority, self.old = ca, authority, old

    @classmethod
    async def set(cls, ca: TestCA, authority: Authority) -> "SSHScene":
        return cls(ca, authority, await host(ca, authority, KEY, f"{uuid4().hex}.example"))

    def sign_with_account(self) -> Attempt:
        account = f"u{uuid4().hex[:20]}"
        request = ssh_order(KEY, add_user_public_key=public(generate("Ed25519")))
        token = self.ca.ssh_token(account, "user", [account])

        async def done() -> int:
            """Both certificates are on record, or neither."""
            both = [await self._count(key_id) for key_id in (account, f"{account}-provisioner")]
            assert both in ([0, 0], [1, 1])
            return both[0]

        return Attempt(lambda authority: sign_ssh_token(authority, request, token), done, (TokenReused,))

    def revoke_ssh_by_key_id(self) -> Attempt:
        key_id = self.old.tbs.key_id
        token = self.ca.token(key_id, "/ssh/revoke", step={"ssh": {"keyID": key_id}})
        # What was cancelled may be on record between the look at the token and the search: then nothing is left.
        return self._revocation(SSHRevokeRequest(key_id=key_id), token, NotFound)

    def _revocation(self, request: SSHRevokeRequest, token: str, *again: type[Exception]) -> Attempt:
        async def done() -> int:
            return int(await self.authority.store.revocation(recorded_id(self.old)) is not None)

        return Attempt(lambda authority: revoke_ssh(authority, request, token), done, (TokenReused, *again))

    async def _count(self, key_id: str) -> int:
        query = Query(now=self.ca.clock(), kind=CertificateKind.SSH, subject=key_id)
        issuances = [row.issuance for row in (await self.authority.store.search(query)).rows]
        assert [await self.authority.store.find(issuance.id) for issuance in issuances] == issuances
        return len(issuances)


VERBS: list[tuple[Any, Callable[[Any], Attempt]]] = [
    (scene, verb) for scene in (Scene, SSHScene) for name, verb in vars(scene).items()
    if inspect.isfunction(verb) and not name.startswith("_")
]  # fmt: skip
#: Those that spend a token, and may wait before they do.
BY_TOKEN = [
    (Scene, Scene.renew_by_token),
    (SSHScene, SSHScene.sign_with_account), (SSHScene, SSHScene.revoke_ssh_by_key_id),
]  # fmt: skip


@pytest.mark.parametrize("later", [0.0, 0.0005, 0.003])
@pytest.mark.parametrize(("scene", "verb"), VERBS)
async def test_whoever_is_cancelled_anywhere_leaves_everything_or_nothing(
    ca: TestCA, scene: Any, verb: Callable[[Any], Attempt], later: float
) -> None:
    async with started(ca, 1, pensive=Pensive()) as (authority,):

        async def begin() -> Attempt:
            return verb(await scene.set(ca, authority))

        await _cancel_anywhere(ca, authority, begin, later)


async def _cancel_anywhere(
    ca: TestCA, authority: Authority, begin: Callable[[], Awaitable[Attempt]], later: float
) -> None:
    """What ``begin`` makes is cancelled at its first suspension, then another at its second … until none is left."""
    slow, at, interrupted = dawdling(authority), 0, True
    while interrupted:
        at += 1
        attempt = await begin()
        interrupted = await _interrupt(attempt, slow, at, later)
        await _settle(ca, authority)
        assert not slow.in_flight.held
        assert await attempt.done() in ((0, 1) if interrupted else (1,))
        await _try_again(attempt, authority)
    assert at > 5, "nothing was interrupted"
    assert await _settle(ca, slow)


@pytest.mark.parametrize("later", [0.0, 0.0005])
@pytest.mark.parametrize(("scene", "verb"), BY_TOKEN)
async def test_a_token_whose_request_is_cancelled_serves_once_however_soon_it_comes_again(
    ca: TestCA, scene: Any, verb: Callable[[Any], Attempt], later: float
) -> None:
    async with started(ca, 2, pensive=Pensive()) as (authority, elsewhere):

        async def begin() -> Attempt:
            return verb(await scene.set(ca, authority))

        await _cancel_and_come_again(authority, elsewhere, begin, later)


async def _cancel_and_come_again(
    authority: Authority, elsewhere: Authority, begin: Callable[[], Awaitable[Attempt]], later: float
) -> None:
    """Whatever ``begin`` makes is on record once, though it comes again at both while the first is being cancelled."""
    slow = dawdling(authority)
    for at in range(1, 16):
        attempt = await begin()
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
