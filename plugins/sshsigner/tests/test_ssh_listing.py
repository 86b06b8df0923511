"""Lists of hosts and of what is revoked are whole however long they are, fresh, and made for one request at a time."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mica import CertificateId, CertificateKind, Commit, Issuance, Services, Unsupported
from mica.authority import Authority
from mica.krl import KRL
from mica.sshcert import CertType
from mica.testing.ca import TestCA
from mica.testing.records import make_issuance, make_revocation
from mica_sshsigner.directory import host_names, kept_hosts
from mica_sshsigner.keeping import SHARE, Kept
from mica_sshsigner.revocations import make_list

MANY = 2300  # more than two pages


@pytest.fixture
async def authority(tmp_path: Path) -> AsyncIterator[Authority]:
    authority = TestCA.found(tmp_path, ssh=True).authority()
    await authority.start()
    yield authority
    await authority.aclose()


def digest(authority: Authority, cert_type: CertType) -> bytes:
    assert authority.ssh is not None
    return authority.ssh.key(cert_type).digest


def issuance(authority: Authority, number: int, name: str) -> Issuance:
    id = CertificateId(kind=CertificateKind.SSH, issuer=digest(authority, CertType.HOST), serial_number=number)
    now = authority.now()
    return make_issuance(id=id, names=(name,), not_before=now, not_after=now + timedelta(days=1), issued_at=now)


async def test_every_host_is_listed_once_however_many_there_are(authority: Authority) -> None:
    issuances = tuple(issuance(authority, n + 1, f"h{n % (MANY - 100):05}.example") for n in range(MANY))
    await authority.store.commit(Commit(issuances=issuances))
    names = await host_names(Services(authority), (digest(authority, CertType.HOST),))
    assert names == tuple(f"h{n:05}.example" for n in range(MANY - 100))


async def test_a_ca_without_a_host_key_lists_nobody_elses_certificates(authority: Authority) -> None:
    await authority.store.commit(Commit(issuances=(issuance(authority, 1, "web.example"),)))
    assert await host_names(Services(authority), ()) == ()
    assert b'"hostname":"web.example"' in await kept_hosts(Services(authority)).get()


async def test_every_revocation_is_listed_however_many_there_are(authority: Authority) -> None:
    step = 2**64 // MANY
    ids = [
        CertificateId(kind=CertificateKind.SSH, issuer=digest(authority, cert_type), serial_number=1 + n * step)
        for cert_type in CertType
        for n in range(MANY)
    ]
    await authority.store.commit(Commit(revocations=tuple(map(make_revocation, ids))))
    krl = KRL.decode((await make_list(Services(authority))).octets)
    found = {
        (section.signature_key.digest, serial)
        for section in krl.certificates
        if section.signature_key is not None
        for part in section.serials
        for serial in part
    }
    assert found == {(id.issuer, id.serial_number) for id in ids}


async def test_a_number_that_no_certificate_can_have_does_not_spoil_the_list(authority: Authority) -> None:
    issuer = digest(authority, CertType.USER)
    ids = [
        CertificateId(kind=CertificateKind.SSH, issuer=issuer, serial_number=serial)
        for serial in (0, 7, 2**64 - 1, 2**64)
    ]
    await authority.store.commit(Commit(revocations=tuple(map(make_revocation, ids))))
    krl = KRL.decode((await make_list(Services(authority))).octets)
    assert [section.serials for section in krl.certificates] == [(range(7, 8), range(2**64 - 1, 2**64))]


async def test_two_lists_of_the_same_have_one_tag_and_two_versions(tmp_path: Path) -> None:
    ca = TestCA.found(tmp_path, ssh=True)
    authority = ca.authority()
    await authority.start()
    first = await make_list(Services(authority))
    ca.clock.advance(timedelta(seconds=1))
    second = await make_list(Services(authority))
    await authority.aclose()
    assert first.etag == second.etag
    assert KRL.decode(second.octets).version > KRL.decode(first.octets).version


async def test_a_store_that_cannot_list_revocations_has_no_list(authority: Authority) -> None:
    class Forgetful:
        """Everything of a store but that."""

        search = authority.store.search

    forgetful: Any = Forgetful()
    with pytest.raises(Unsupported, match="cannot list what is revoked"):
        await make_list(Services(replace(authority, store=forgetful)))


class Work:
    """Something that takes a second of ``clock``, and counts how often it is done."""

    def __init__(self) -> None:
        self.time, self.done, self.failing = 0.0, 0, False
        self.released = asyncio.Event()
        self.released.set()

    def clock(self) -> float:
        return self.time

    async def make(self) -> int:
        await self.released.wait()
        self.time += 1
        if self.failing:
            raise OSError("the store is away")
        self.done += 1
        return self.done


async def test_an_answer_stands_for_a_multiple_of_what_it_cost() -> None:
    work = Work()
    kept = Kept(work.make, work.clock)
    assert (await kept.get(), await kept.get()) == (1, 1)
    work.time += SHARE - 0.5
    assert await kept.get() == 1
    work.time += 0.5
    assert await kept.get() == 2


async def test_many_who_ask_at_once_cause_one_piece_of_work() -> None:
    work = Work()
    kept = Kept(work.make, work.clock)
    assert await asyncio.gather(*(kept.get() for _ in range(20))) == [1] * 20


async def test_who_goes_away_does_not_take_the_answer_along() -> None:
    work = Work()
    kept = Kept(work.make, work.clock)
    work.released.clear()
    first, second = asyncio.create_task(kept.get()), asyncio.create_task(kept.get())
    await asyncio.sleep(0)
    first.cancel()
    work.released.set()
    assert await second == 1


async def test_what_has_changed_meanwhile_is_not_kept() -> None:
    work = Work()
    kept = Kept(work.make, work.clock)
    work.released.clear()
    early = asyncio.create_task(kept.get())
    await asyncio.sleep(0)
    kept.forget()
    work.released.set()
    assert (await early, await kept.get(), await kept.get()) == (1, 2, 2)


async def test_what_is_costly_stands_whatever_changes() -> None:
    work = Work()
    kept = Kept(work.make, work.clock, costly=0.5)
    work.released.clear()
    early = asyncio.create_task(kept.get())
    await asyncio.sleep(0)
    kept.forget()
    work.released.set()
    assert (await early, await kept.get()) == (1, 1)
    kept.forget()
    assert await kept.get() == 1
    work.time += SHARE
    assert await kept.get() == 2


async def test_a_failure_is_not_kept() -> None:
    work = Work()
    kept = Kept(work.make, work.clock)
    work.failing = True
    with pytest.raises(OSError, match="away"):
        await kept.get()
    work.failing = False
    assert await kept.get() == 1
