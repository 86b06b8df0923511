"""What a store must do that can tell all that is revoked (``RevocationLister``): a contract of its own.

class TestMyStore(StoreContract, RevocationListContract): ...
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from mica.errors import MalformedRequest, Unavailable
from mica.records import CertificateId, CertificateKind, Commit, ProvisionerRef, Revocation
from mica.roles import RevocationLister, Store
from mica.testing.records import make_id, make_issuance, make_revocation
from mica.testing.store_place import Placed

_ISSUERS = (b"\x01" * 32, b"\x02" * 32)
#: RFC 5280 §4.1.2.2: at most 20 octets. Octets, their first bits and their number are not the order of numbers.
_MOST_SERIAL = 2**159 - 1
_EDGES = (0, 1, 2, 127, 128, 129, 255, 256, 257, 2**15, 2**16, 2**63 - 1, 2**63, 2**64 - 1, 2**64, 2**127, _MOST_SERIAL)
_serials = st.sampled_from(_EDGES) | st.integers(0, 300) | st.integers(0, _MOST_SERIAL)
_ids = st.builds(
    CertificateId, kind=st.sampled_from(CertificateKind), issuer=st.sampled_from(_ISSUERS), serial_number=_serials
)


def _lister(store: Store) -> RevocationLister:
    assert isinstance(store, RevocationLister), "the store has no method revocations"
    return store


def _id(serial_number: int, kind: CertificateKind = CertificateKind.SSH, issuer: bytes = _ISSUERS[0]) -> CertificateId:
    return CertificateId(kind=kind, issuer=issuer, serial_number=serial_number)


def _numbers(revocations: Sequence[Revocation]) -> list[int]:
    return [revocation.id.serial_number for revocation in revocations]


async def _page_of_numbers(store: Store, after: int) -> list[int]:
    return _numbers(await _lister(store).revocations(CertificateKind.SSH, _ISSUERS[0], after=after, limit=7))


async def _revoke(store: Store, ids: Sequence[CertificateId]) -> None:
    await store.commit(Commit(revocations=tuple(map(make_revocation, ids))))


async def _every_page(
    store: Store, kind: CertificateKind, issuer: bytes, limit: int, after: int = -1
) -> list[Revocation]:
    """What all pages have, one after the other; each but the last is full."""
    found: list[Revocation] = []
    while page := await _lister(store).revocations(kind, issuer, after=after, limit=limit):
        assert len(page) <= limit
        found += page
        after = page[-1].id.serial_number
        if len(page) < limit:
            rest = await _lister(store).revocations(kind, issuer, after=after, limit=1)
            assert rest == (), "a page is not full, and not the last"
    return found


class RevocationListContract(Placed):
    """Whoever makes a revocation list of what the store tells has left nobody out."""

    @pytest.mark.asyncio
    async def test_a_list_is_in_the_order_of_the_numbers(self, tmp_path: Path) -> None:
        numbers = list(_EDGES)
        Random(4).shuffle(numbers)
        async with self.open_store(tmp_path) as store:
            for number in numbers:
                await _revoke(store, [_id(number, CertificateKind.X509)])
            listed = await _lister(store).revocations(CertificateKind.X509, _ISSUERS[0])
        assert _numbers(listed) == sorted(numbers)

    @pytest.mark.asyncio
    async def test_a_list_has_each_revocation_whole_on_record_or_not(self, tmp_path: Path) -> None:
        issuance = make_issuance(id=_id(2**64 - 1))
        host = ProvisionerRef(name="sshpop", type="SSHPOP", credential_id="\x00 😀")
        revocations = (
            make_revocation(_id(1), reason_code=0, reason=""),
            make_revocation(
                _id(2), reason="it's lost \x00 😀", reason_code=10, provisioner=host, request_id="x" * 5000
            ),
            make_revocation(issuance.id),
        )
        async with self.open_store(tmp_path) as store:
            await store.commit(Commit(issuances=(issuance, make_issuance(id=_id(3)))))
            await store.commit(Commit(revocations=revocations))
            assert await _lister(store).revocations(CertificateKind.SSH, _ISSUERS[0]) == revocations

    @pytest.mark.asyncio
    async def test_kinds_and_issuers_have_their_own_lists(self, tmp_path: Path) -> None:
        ids = {(kind, issuer): _id(7, kind, issuer) for kind in CertificateKind for issuer in _ISSUERS}
        async with self.open_store(tmp_path) as store:
            for number, (of, id) in enumerate(ids.items()):
                await _revoke(store, [id, _id(100 + number, *of)])
            for number, of in enumerate(ids):
                assert _numbers(await _lister(store).revocations(*of)) == [7, 100 + number]
            assert await _lister(store).revocations(CertificateKind.SSH, b"\x03" * 32) == ()
            assert await _lister(store).revocations(CertificateKind.SSH, b"") == ()

    @pytest.mark.asyncio
    async def test_a_store_without_revocations_lists_none(self, tmp_path: Path) -> None:
        async with self.open_store(tmp_path) as store:
            assert await _lister(store).revocations(CertificateKind.SSH, _ISSUERS[0]) == ()
            await store.commit(Commit(issuances=(make_issuance(id=_id(1)),)))
            assert await _lister(store).revocations(CertificateKind.SSH, _ISSUERS[0]) == ()

    @pytest.mark.asyncio
    async def test_a_list_is_the_same_after_a_restart_and_in_another_process(self, tmp_path: Path) -> None:
        async with self.open_store(tmp_path) as store, self.open_store(tmp_path) as other:
            await _revoke(store, [_id(300), _id(2)])
            assert _numbers(await _lister(other).revocations(CertificateKind.SSH, _ISSUERS[0])) == [2, 300]
        async with self.open_store(tmp_path) as store:
            await _revoke(store, [_id(128)])
            assert _numbers(await _lister(store).revocations(CertificateKind.SSH, _ISSUERS[0])) == [2, 128, 300]

    @pytest.mark.asyncio
    async def test_a_list_without_a_limit_of_its_own_has_a_thousand(self, tmp_path: Path) -> None:
        async with self.open_store(tmp_path) as store:
            await _revoke(store, [_id(number) for number in range(1, 1203)])
            page = await _lister(store).revocations(CertificateKind.SSH, _ISSUERS[0])
            assert _numbers(page) == list(range(1, 1001))
            # Who asks for all gets all: a list that is cut short unnoticed forgets revocations.
            for limit in (1202, 10_000, 2**63, 10**30):
                page = await _lister(store).revocations(CertificateKind.SSH, _ISSUERS[0], limit=limit)
                assert _numbers(page) == list(range(1, 1203))

    @pytest.mark.parametrize(
        ("after", "left"), [(-(10**30), 4), (-1, 4), (0, 3), (127, 3), (128, 2), (2**64 - 1, 0), (10**60, 0)]
    )
    @pytest.mark.asyncio
    async def test_a_list_begins_beyond_the_number_that_is_given(self, tmp_path: Path, after: int, left: int) -> None:
        async with self.open_store(tmp_path) as store:
            await _revoke(store, [_id(number) for number in (0, 128, 2**63, 2**64 - 1)])
            assert len(await _lister(store).revocations(CertificateKind.SSH, _ISSUERS[0], after=after)) == left

    @pytest.mark.parametrize("limit", [0, -1, -(10**30)])
    @pytest.mark.asyncio
    async def test_a_limit_that_leaves_nothing_is_refused(self, tmp_path: Path, limit: int) -> None:
        async with self.open_store(tmp_path) as store:
            await _revoke(store, [_id(1)])
            with pytest.raises(MalformedRequest, match="limit"):
                await _lister(store).revocations(CertificateKind.SSH, _ISSUERS[0], limit=limit)

    @pytest.mark.asyncio
    async def test_a_closed_store_lists_nothing_and_says_so(self, tmp_path: Path) -> None:
        async with self.open_store(tmp_path) as store:
            await _revoke(store, [_id(1)])
            await store.aclose()
            with pytest.raises(Unavailable):
                await _lister(store).revocations(CertificateKind.SSH, _ISSUERS[0])

    @pytest.mark.asyncio
    async def test_pages_have_no_gaps_or_repetitions_while_others_revoke(self, tmp_path: Path) -> None:
        random = Random(10)
        numbers = list({random.getrandbits(64) for _ in range(400)})
        before, meanwhile = sorted(numbers[:100]), numbers[100:]
        async with self.open_store(tmp_path) as store, self.open_store(tmp_path) as other:
            await _revoke(store, [_id(number) for number in before])
            listed: list[int] = []
            page = [-1]
            while page:
                others = [_revoke(random.choice((store, other)), [_id(meanwhile.pop())]) for _ in meanwhile[:5]]
                page, _ = await asyncio.gather(_page_of_numbers(store, after=page[-1]), asyncio.gather(*others))
                listed += page
        assert listed == sorted(set(listed))
        assert set(before) <= set(listed) <= set(numbers)

    @pytest.mark.asyncio
    async def test_a_revocation_is_in_every_list_that_is_begun_after_it(self, tmp_path: Path) -> None:
        async with self.open_store(tmp_path) as store:
            for _ in range(20):
                id = make_id(issuer=_ISSUERS[0])
                await _revoke(store, [id])
                page = await _lister(store).revocations(id.kind, id.issuer, after=id.serial_number - 1, limit=1)
                assert _numbers(page) == [id.serial_number]

    # Without shrinking, which would take minutes to say little more.
    @settings(
        max_examples=15,
        deadline=None,
        phases=(Phase.explicit, Phase.reuse, Phase.generate),
        suppress_health_check=[HealthCheck.differing_executors],  # one plugin may have several stores to try
    )
    @given(
        batches=st.lists(st.lists(_ids, unique=True, max_size=40), min_size=1, max_size=4),
        after=st.just(-1) | _serials,
        limit=st.integers(1, 9),
    )
    def test_a_list_has_what_a_plain_dict_has(
        self, batches: Sequence[Sequence[CertificateId]], after: int, limit: int
    ) -> None:
        asyncio.run(self._compare_with_dict(batches, after, limit))

    async def _compare_with_dict(self, batches: Sequence[Sequence[CertificateId]], after: int, limit: int) -> None:
        model: dict[CertificateId, Revocation] = {}
        with TemporaryDirectory() as directory:
            for batch in batches:
                async with self.open_store(Path(directory)) as store:
                    fresh = [make_revocation(id, reason=f"{len(model)}") for id in batch if id not in model]
                    await store.commit(Commit(revocations=tuple(fresh)))
                    model |= {revocation.id: revocation for revocation in fresh}
                    for kind in CertificateKind:
                        for issuer in _ISSUERS:
                            listed = await _every_page(store, kind, issuer, limit, after)
                            assert listed == _of(model, kind, issuer, after)


def _of(model: dict[CertificateId, Revocation], kind: CertificateKind, issuer: bytes, after: int) -> list[Revocation]:
    matching = (
        revocation
        for id, revocation in model.items()
        if (id.kind, id.issuer) == (kind, issuer) and id.serial_number > after
    )
    return sorted(matching, key=lambda revocation: revocation.id.serial_number)
