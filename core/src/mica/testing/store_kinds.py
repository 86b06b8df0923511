"""What a store must tell apart: X.509 and SSH, and the keys of an SSH CA. Their serial numbers never meet."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mica.errors import AlreadyRevoked, CertificateRevoked, Conflict
from mica.records import CertificateId, CertificateKind, Commit, Found, Query, Status
from mica.roles import Store
from mica.testing.records import NOW, make_issuance, make_order, make_revocation
from mica.testing.store_place import Placed, attempt

_USER_CA, _HOST_CA = b"\x0a" * 32, b"\x0b" * 32
_LAST_MOMENT = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
#: SSH has 64 bits for a serial number, without a sign (PROTOCOL.certkeys); the ends of what is shorter inside.
_SSH_SERIALS = (1, 127, 128, 255, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1)


def _namesakes(serial_number: int) -> list[CertificateId]:
    """Four certificates with one serial number: of X.509 and SSH under one digest, and under two."""
    return [
        CertificateId(kind=kind, issuer=issuer, serial_number=serial_number)
        for kind in CertificateKind
        for issuer in (_USER_CA, _HOST_CA)
    ]


async def _listed(store: Store, query: Query) -> list[CertificateId]:
    """What a search finds, in the order of ``_namesakes``."""
    found = (await store.search(query)).rows
    return sorted((row.issuance.id for row in found), key=lambda id: (id.kind == CertificateKind.SSH, id.issuer))


class KindContract(Placed):
    """A serial number says nothing without its kind and its issuer."""

    @pytest.mark.parametrize("serial_number", _SSH_SERIALS)
    @pytest.mark.asyncio
    async def test_a_serial_number_of_ssh_is_kept_to_the_last_bit(self, tmp_path: Path, serial_number: int) -> None:
        ids = _namesakes(serial_number)
        issuances = [make_issuance(id=id) for id in ids]
        async with self.open_store(tmp_path) as store:
            await store.commit(Commit(issuances=tuple(issuances)))
        async with self.open_store(tmp_path) as store:
            assert [await store.find(id) for id in ids] == issuances
            assert await _listed(store, Query(now=NOW, serial_number=serial_number)) == ids
            beside = replace(ids[0], serial_number=serial_number - 1 or 2**64)
            assert await store.find(beside) is None

    @pytest.mark.asyncio
    async def test_a_serial_number_is_taken_within_its_kind_and_issuer_alone(self, tmp_path: Path) -> None:
        ids = _namesakes(2**64 - 1)
        async with self.open_store(tmp_path) as store:
            for id in ids:
                await store.commit(make_order(issuances=(make_issuance(id=id),)))
            for id in ids:
                with pytest.raises(Conflict):
                    await store.commit(make_order(issuances=(make_issuance(id=id),)))

    @pytest.mark.parametrize("number", range(4))
    @pytest.mark.asyncio
    async def test_a_revocation_ends_one_of_the_namesakes(self, tmp_path: Path, number: int) -> None:
        ids = _namesakes(2**63)
        others = [id for id in ids if id != ids[number]]
        async with self.open_store(tmp_path) as store:
            await store.commit(Commit(issuances=tuple(make_issuance(id=id) for id in ids)))
            await store.commit(Commit(revocations=(make_revocation(ids[number]),)))
            assert [await store.revocation(id) is None for id in ids] == [id in others for id in ids]
            assert await _listed(store, Query(now=NOW, status=Status.REVOKED)) == [ids[number]]
            assert await _listed(store, Query(now=NOW, status=Status.VALID)) == others
            with pytest.raises(AlreadyRevoked):
                await store.commit(Commit(revocations=(make_revocation(ids[number]),)))
            await store.commit(Commit(revocations=tuple(map(make_revocation, others))))

    @pytest.mark.parametrize("number", range(4))
    @pytest.mark.asyncio
    async def test_a_renewal_is_refused_for_the_revocation_of_its_own_certificate_alone(
        self, tmp_path: Path, number: int
    ) -> None:
        ids = _namesakes(1)
        async with self.open_store(tmp_path) as store:
            await store.commit(Commit(revocations=(make_revocation(ids[number]),)))
            orders = [make_order(unless_revoked=(id,)) for id in ids]
            answers = await asyncio.gather(*(attempt(store, order) for order in orders))
            assert [isinstance(answer, CertificateRevoked) for answer in answers] == [id == ids[number] for id in ids]
            everything = make_order(unless_revoked=tuple(ids))
            with pytest.raises(CertificateRevoked):
                await store.commit(everything)

    @pytest.mark.asyncio
    async def test_a_renewal_continues_the_certificate_of_its_own_kind(self, tmp_path: Path) -> None:
        ids = _namesakes(7)
        renewals = [make_issuance(id=replace(id, serial_number=8), replaces=id) for id in ids]
        async with self.open_store(tmp_path) as store:
            await store.commit(Commit(issuances=tuple(renewals)))
            assert [await store.find(renewal.id) for renewal in renewals] == renewals

    @pytest.mark.asyncio
    async def test_a_search_keeps_kinds_and_issuers_apart(self, tmp_path: Path) -> None:
        ids = _namesakes(42)
        shared = {"subject": "web.example", "names": ("web.example", "web")}
        async with self.open_store(tmp_path) as store:
            await store.commit(Commit(issuances=tuple(make_issuance(id=id, **shared) for id in ids)))
            for asked in ({}, {"name": "web"}, {"subject": "web.example"}, {"status": Status.VALID}):
                query = Query(now=NOW, **asked)
                assert await _listed(store, query) == ids
                for kind, half in zip(CertificateKind, (ids[:2], ids[2:]), strict=True):
                    assert await _listed(store, replace(query, kind=kind)) == half
                    assert await _listed(store, replace(query, kind=kind, issuers=(_USER_CA,))) == half[:1]
                    assert await _listed(store, replace(query, kind=kind, issuers=(_HOST_CA, _USER_CA))) == half
                assert await _listed(store, replace(query, issuers=(_HOST_CA, b"\xff" * 32))) == [ids[1], ids[3]]
                assert await _listed(store, replace(query, issuers=(b"\xff" * 32, b""))) == []

    @pytest.mark.asyncio
    async def test_the_newest_certificate_of_a_name_is_the_first_of_several_issuers(self, tmp_path: Path) -> None:
        issuances = [
            make_issuance(id=replace(id, serial_number=number), subject="web.example", names=("web.example",))
            for number in range(1, 6)
            for id in _namesakes(0)
        ]
        query = Query(now=NOW, kind=CertificateKind.SSH, issuers=(_USER_CA, _HOST_CA), name="web.example", limit=1)
        async with self.open_store(tmp_path) as store:
            for issuance in issuances:
                await store.commit(Commit(issuances=(issuance,)))
                rows = (await store.search(query)).rows
                assert issuance.id.kind is not CertificateKind.SSH or rows == (Found(issuance=issuance),)

    @pytest.mark.asyncio
    async def test_a_certificate_to_the_end_of_the_year_9999_is_like_any_other(self, tmp_path: Path) -> None:
        issuances = [make_issuance(id=id, not_after=_LAST_MOMENT) for id in _namesakes(9)]
        async with self.open_store(tmp_path) as store:
            await store.commit(Commit(issuances=tuple(issuances)))
            assert [await store.find(issuance.id) for issuance in issuances] == issuances
            for query in (
                Query(now=_LAST_MOMENT, status=Status.VALID),
                Query(now=NOW, expires_after=_LAST_MOMENT - timedelta(seconds=1)),
                Query(now=NOW, expires_before=datetime.max.replace(tzinfo=UTC)),
            ):
                assert len((await store.search(query)).rows) == len(issuances)
            assert (await store.search(Query(now=_LAST_MOMENT, status=Status.EXPIRED))).rows == ()
