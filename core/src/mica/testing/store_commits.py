"""What a store must do with one commit: everything, or nothing and say why."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mica.errors import AlreadyRevoked, CertificateRevoked, Conflict, MalformedRequest, MicaError, TokenReused
from mica.records import CertificateId, CertificateKind, Commit, Issuance, ProvisionerRef, Query
from mica.testing.records import ADMIN, NOW, make_id, make_issuance, make_order, make_revocation, make_token
from mica.testing.store_place import Placed, attempt, is_whole

ODD_TEXTS = ("", "'; DROP TABLE certificates; --", '"', "a\x00b", "a\nb", "näme\u202e", "😀", "%_*", "x" * 5000)
SERIAL_NUMBERS = (0, 1, 127, 128, 2**63 - 1, 2**63, 2**64 - 1, 2**127, 2**159 - 1, 2**159 + 1)


def _issuances() -> dict[str, Issuance]:
    issuer = b"\x07" * 32
    serials = {
        f"serial number {number}": make_issuance(
            id=CertificateId(kind=CertificateKind.X509, issuer=issuer, serial_number=number)
        )
        for number in SERIAL_NUMBERS
    }
    texts = {
        f"text {text[:12]!r}": make_issuance(
            subject=text,
            names=(text, f"{text}.example"),
            provisioner=ProvisionerRef(name=text, type=text, credential_id=text),
            request_id=text,
        )
        for text in ODD_TEXTS
    }
    return {
        "renewal": make_issuance(replaces=make_id(issuer=issuer)),
        "SSH": make_issuance(id=make_id(CertificateKind.SSH)),
        "no names": make_issuance(names=()),
        "subject not among the names": make_issuance(subject="someone", names=("a.example", "b.example")),
        "names in their order, one twice": make_issuance(names=("b.example", "a.example", "b.example")),
        "for ever (RFC 5280 §4.1.2.5)": make_issuance(not_after=datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
        "large": make_issuance(certificate=bytes(100_000)),
        **serials,
        **texts,
    }


class CommitContract(Placed):
    """A commit is done wholly or not at all."""

    @pytest.mark.parametrize("issuance", [pytest.param(value, id=name) for name, value in _issuances().items()])
    @pytest.mark.asyncio
    async def test_a_certificate_is_found_as_it_was_recorded(self, tmp_path: Path, issuance: Issuance) -> None:
        async with self.open_store(tmp_path) as store:
            await store.commit(Commit(issuances=(issuance,)))
            assert await store.find(issuance.id) == issuance, (
                "a certificate must be found as it was recorded, member by member"
            )
            page = await store.search(Query(now=NOW))
            assert [found.issuance for found in page.rows] == [issuance], "a search without conditions must find it"

    @pytest.mark.asyncio
    async def test_what_is_not_on_record_is_not_found(self, tmp_path: Path) -> None:
        issuance, token = make_issuance(), make_token()
        other_kind = CertificateId(
            kind=CertificateKind.SSH, issuer=issuance.id.issuer, serial_number=issuance.id.serial_number
        )
        other_issuer = CertificateId(
            kind=CertificateKind.X509, issuer=b"\x02" * 32, serial_number=issuance.id.serial_number
        )
        async with self.open_store(tmp_path) as store:
            await store.commit(Commit(issuances=(issuance,), spends=(token,)))
            for id in (other_kind, other_issuer, make_id()):
                assert await store.find(id) is None
                assert await store.revocation(id) is None
            assert not await store.is_spent(make_token())
            assert not await store.is_spent(make_token(provisioner="another", id=token.id))

    @pytest.mark.asyncio
    async def test_a_revocation_needs_no_certificate_on_record(self, tmp_path: Path) -> None:
        revocation = make_revocation(make_id(), reason="it's lost \x00 😀", reason_code=10)
        async with self.open_store(tmp_path) as store:
            await store.commit(Commit(revocations=(revocation,)))
            assert await store.revocation(revocation.id) == revocation, (
                "what is not on record can be revoked, and is found"
            )
            assert await store.find(revocation.id) is None, "a revocation puts no certificate on record"

    @pytest.mark.asyncio
    async def test_serial_numbers_are_of_one_issuer_and_one_kind(self, tmp_path: Path) -> None:
        serial_number = make_id().serial_number
        ids = [
            CertificateId(kind=kind, issuer=issuer, serial_number=serial_number)
            for kind in CertificateKind
            for issuer in (b"\x01" * 32, b"\x02" * 32)
        ]
        issuances = [make_issuance(id=id) for id in ids]
        async with self.open_store(tmp_path) as store:
            await store.commit(Commit(issuances=tuple(issuances), revocations=(make_revocation(ids[0]),)))
            assert [await store.find(id) for id in ids] == issuances
            assert [await store.revocation(id) is not None for id in ids] == [True, False, False, False]

    @pytest.mark.asyncio
    async def test_a_spent_token_is_spent_whenever_it_is_said_to_end(self, tmp_path: Path) -> None:
        token = make_token()
        later = make_token(id=token.id, until=token.until + timedelta(hours=1))
        async with self.open_store(tmp_path) as store:
            await store.commit(make_order(spends=(token,)))
            assert await store.is_spent(later), "a token is known by provisioner and id, whatever its until is"
            with pytest.raises(TokenReused):
                await store.commit(make_order(spends=(later,)))

    @pytest.mark.parametrize("expected", [TokenReused, CertificateRevoked, AlreadyRevoked, Conflict])
    @pytest.mark.asyncio
    async def test_one_part_that_cannot_be_leaves_nothing_of_the_others(
        self, tmp_path: Path, expected: type[MicaError]
    ) -> None:
        taken, revoked, spent = make_issuance(), make_revocation(make_id()), make_token()
        good = Commit(
            issuances=(make_issuance(), make_issuance()),
            revocations=(make_revocation(make_id()),),
            spends=(make_token(), make_token()),
            unless_revoked=(make_id(),),
        )
        bad = {
            TokenReused: Commit(issuances=good.issuances, revocations=good.revocations, spends=(*good.spends, spent)),
            CertificateRevoked: Commit(
                issuances=good.issuances,
                revocations=good.revocations,
                spends=good.spends,
                unless_revoked=(make_id(), revoked.id),
            ),
            AlreadyRevoked: Commit(
                issuances=good.issuances,
                revocations=(*good.revocations, make_revocation(revoked.id, reason="again")),
                spends=good.spends,
            ),
            Conflict: Commit(
                issuances=(*good.issuances, make_issuance(id=taken.id)),
                revocations=good.revocations,
                spends=good.spends,
            ),
        }[expected]
        async with self.open_store(tmp_path) as store:
            await store.commit(Commit(issuances=(taken,), revocations=(revoked,), spends=(spent,)))
            answer = await attempt(store, bad)
            assert type(answer) is expected, (
                f"one part of a commit cannot be: raise mica.{expected.__name__}, not {answer!r}"
            )
            assert not await is_whole(store, good), "a commit that was refused is on record; do all of it or nothing"
            assert await store.find(taken.id) == taken
            assert await store.revocation(revoked.id) == revoked
            await store.commit(good)
            assert await is_whole(store, good)

    @pytest.mark.asyncio
    async def test_a_token_twice_in_one_commit_is_refused(self, tmp_path: Path) -> None:
        token = make_token()
        async with self.open_store(tmp_path) as store:
            with pytest.raises(TokenReused):
                await store.commit(make_order(spends=(token, token)))
            assert not await store.is_spent(token)

    @pytest.mark.asyncio
    async def test_a_certificate_may_be_revoked_by_the_commit_that_needs_it_unrevoked(self, tmp_path: Path) -> None:
        old = make_id()
        renewal = make_order(unless_revoked=(old,), revocations=(make_revocation(old),))
        async with self.open_store(tmp_path) as store:
            await store.commit(renewal)
            assert await is_whole(store, renewal)

    @pytest.mark.asyncio
    async def test_half_a_character_is_refused_and_harms_nobody(self, tmp_path: Path) -> None:
        """What UTF-8 cannot say. A store that keeps it as it is may do so."""
        bad = Commit(revocations=(make_revocation(make_id(), reason="\ud800"),), spends=(make_token(),))
        good = make_order()
        async with self.open_store(tmp_path) as store:
            answer = await attempt(store, bad)
            assert answer is None or type(answer) is MalformedRequest, f"raise MalformedRequest, not {answer!r}"
            await store.commit(good)
            assert await is_whole(store, good)
            assert await is_whole(store, bad) is (answer is None), (
                "what was refused is on record, or what was not is not"
            )
            with suppress(MalformedRequest):
                assert not await store.is_spent(make_token(id="\udfff"))
            with suppress(MalformedRequest):
                assert (await store.search(Query(now=NOW, name="\udfff"))).rows == ()

    @pytest.mark.asyncio
    async def test_an_empty_commit_is_done(self, tmp_path: Path) -> None:
        async with self.open_store(tmp_path) as store:
            await store.commit(Commit())
            await store.commit(Commit(unless_revoked=(make_id(),)))

    @pytest.mark.asyncio
    async def test_who_vouched_is_kept_with_each_credential(self, tmp_path: Path) -> None:
        refs = [ADMIN, ProvisionerRef(name="admin", type="OIDC"), ProvisionerRef(name="admin", type="JWK")]
        issuances = [make_issuance(provisioner=ref) for ref in refs]
        async with self.open_store(tmp_path) as store:
            for issuance in issuances:
                await store.commit(Commit(issuances=(issuance,)))
            assert [await store.find(issuance.id) for issuance in issuances] == issuances
