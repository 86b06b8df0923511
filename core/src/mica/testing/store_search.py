"""What a store must list: what a plain loop over everything on record would, newest first."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import product
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from mica.errors import MalformedRequest
from mica.records import CertificateKind, Commit, Found, Issuance, ProvisionerRef, Query, Revocation, Status
from mica.roles import Store
from mica.testing.records import NOW, make_id, make_issuance, make_order, make_revocation
from mica.testing.store_place import Placed

_NAMES = ("a.example", "b.example", "A.example", "a.example'", "a%", "")
_PROVISIONERS = tuple(
    ProvisionerRef(name=name, type="JWK", credential_id=kid) for name in ("one", "two") for kid in ("k1", "k2")
)
_HOURS = (-1, 0, 1)
_MOMENTS = st.sampled_from(_HOURS).map(lambda hours: NOW + timedelta(hours=hours))
# Few at a time: many together seldom select anything.
_conditions: dict[str, st.SearchStrategy[Any]] = {
    "kind": st.sampled_from(CertificateKind),
    "issuers": st.lists(st.sampled_from((b"\x01" * 32, b"\x02" * 32, b"\x03" * 32)), max_size=3).map(tuple),
    "name": st.sampled_from(_NAMES),
    "subject": st.sampled_from(_NAMES),
    "provisioner": st.sampled_from(("one", "two", "three")),
    "status": st.sampled_from(Status),
    "expires_before": _MOMENTS,
    "expires_after": _MOMENTS,
}
_queries = st.builds(
    lambda now, limit, conditions: Query(now=now, limit=limit, **conditions),
    now=_MOMENTS,
    limit=st.integers(1, 30),
    conditions=st.lists(st.sampled_from(sorted(_conditions)), unique=True, max_size=3).flatmap(
        lambda names: st.fixed_dictionaries({name: _conditions[name] for name in names})
    ),
)


def matches(found: Found, query: Query) -> bool:
    """Whether the query asks for it. The validity period includes its last moment (RFC 5280 §4.1.2.5)."""
    issuance = found.issuance
    expired = Status.EXPIRED if issuance.not_after < query.now else Status.VALID
    return (
        query.kind in (None, issuance.id.kind)
        and (not query.issuers or issuance.id.issuer in query.issuers)
        and (query.name is None or query.name in issuance.names)
        and query.subject in (None, issuance.subject)
        and query.provisioner in (None, issuance.provisioner.name)
        and query.serial_number in (None, issuance.id.serial_number)
        and query.status in (None, expired if found.revocation is None else Status.REVOKED)
        and (query.expires_before is None or issuance.not_after < query.expires_before)
        and (query.expires_after is None or issuance.not_after > query.expires_after)
    )


def population(random: Random) -> list[Found]:
    """A certificate for each combination of kind, provisioner, end and fate, in any order, with names as they fall."""
    found = []
    for kind, provisioner, hours, revoked in product(CertificateKind, _PROVISIONERS, _HOURS, (False, True)):
        issuance = make_issuance(
            id=make_id(kind, bytes([random.randint(1, 2)]) * 32),
            provisioner=provisioner,
            not_after=NOW + timedelta(hours=hours),
            subject=random.choice(_NAMES),
            names=tuple(random.choices(_NAMES, k=random.randint(0, 3))),
        )
        found.append(Found(issuance=issuance, revocation=make_revocation(issuance.id) if revoked else None))
    random.shuffle(found)
    return found


async def every_page(store: Store, query: Query) -> list[Found]:
    """What all pages have, one after the other; each is full, or the last."""
    rows: list[Found] = []
    cursors = {""}
    while True:
        page = await store.search(query)
        rows += page.rows
        if not page.next_cursor:
            return rows
        assert len(page.rows) == query.limit, "a page is not full, and not the last"
        assert page.next_cursor not in cursors, "the pages go in a circle"
        cursors.add(page.next_cursor)
        query = replace(query, cursor=page.next_cursor)


class SearchContract(Placed):
    """Every condition selects what it says, and pages lose nothing."""

    # Without shrinking, which would take minutes to say little more.
    @settings(
        max_examples=6,
        deadline=None,
        phases=(Phase.explicit, Phase.reuse, Phase.generate),
        suppress_health_check=[HealthCheck.differing_executors],  # one plugin may have several stores to try
    )
    @given(random=st.randoms(use_true_random=False), queries=st.lists(_queries, min_size=30, max_size=60))
    def test_a_search_finds_what_a_plain_loop_finds(self, random: Random, queries: Sequence[Query]) -> None:
        asyncio.run(self._compare(population(random), queries))

    async def _compare(self, model: Sequence[Found], queries: Sequence[Query]) -> None:
        with TemporaryDirectory() as directory:
            async with self.open_store(Path(directory)) as store:
                for found in reversed(model):  # the newest stands first
                    revocations = () if found.revocation is None else (found.revocation,)
                    await store.commit(Commit(issuances=(found.issuance,), revocations=revocations))
                serials = [Query(now=NOW, serial_number=found.issuance.id.serial_number) for found in model[:3]]
                for query in [*queries, *serials]:
                    expected = [found for found in model if matches(found, query)]
                    assert await every_page(store, query) == expected, f"newest first, for {query}"

    @pytest.mark.parametrize("status", [None, Status.VALID])
    @pytest.mark.asyncio
    async def test_pages_have_no_gaps_or_repetitions_while_certificates_are_issued(
        self, tmp_path: Path, status: Status | None
    ) -> None:
        before = [make_issuance() for _ in range(50)]
        async with self.open_store(tmp_path) as store:
            for issuance in before:
                await store.commit(Commit(issuances=(issuance,)))
            listed: list[Issuance] = []
            cursor = ""
            while cursor or not listed:
                page = await store.search(Query(now=NOW, status=status, limit=7, cursor=cursor))
                listed += [found.issuance for found in page.rows]
                assert len(listed) <= len(before), "a page has a certificate a second time, or one issued since"
                cursor = page.next_cursor
                await asyncio.gather(*(store.commit(make_order()) for _ in range(10)))
            assert listed == before[::-1], (
                "pages must have each certificate once; a cursor is a place, not a number of rows"
            )

    @pytest.mark.asyncio
    async def test_a_revocation_shows_in_the_next_search(self, tmp_path: Path) -> None:
        issuance = make_issuance()
        revocation: Revocation = make_revocation(issuance.id)
        async with self.open_store(tmp_path) as store:
            await store.commit(Commit(revocations=(revocation,)))  # before the certificate is on record, even
            await store.commit(Commit(issuances=(issuance,)))
            found = (Found(issuance=issuance, revocation=revocation),)
            assert (await store.search(Query(now=NOW, status=Status.REVOKED))).rows == found
            assert (await store.search(Query(now=NOW, status=Status.VALID))).rows == ()

    @pytest.mark.asyncio
    async def test_two_issuers_may_have_one_serial_number(self, tmp_path: Path) -> None:
        one = make_issuance(id=make_id(issuer=b"\x01" * 32))
        two_id = type(one.id)(kind=CertificateKind.SSH, issuer=b"\x02" * 32, serial_number=one.id.serial_number)
        two = make_issuance(id=two_id)
        query = Query(now=NOW, serial_number=one.id.serial_number, limit=1)
        async with self.open_store(tmp_path) as store:
            await store.commit(Commit(issuances=(one, two)))
            assert [found.issuance for found in await every_page(store, query)] in ([one, two], [two, one])

    @pytest.mark.parametrize("cursor", ["nonsense!", "' OR 1=1 --", "\x00", "-1", "x" * 10_000, "\ud800", "٣"])
    @pytest.mark.asyncio
    async def test_a_cursor_that_no_page_gave_is_refused(self, tmp_path: Path, cursor: str) -> None:
        async with self.open_store(tmp_path) as store:
            await store.commit(make_order())
            with pytest.raises(MalformedRequest):
                await store.search(Query(now=NOW, cursor=cursor))
