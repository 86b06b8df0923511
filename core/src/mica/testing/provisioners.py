"""What every provisioner must do: contracts that a plugin's tests subclass.

class TestJWK(TokenProvisionerContract):
    def build(self, context): return JWKProvisioner(config, context)
    def maker(self, operation, now): return Maker(key=…, header=…, payload=…, now=now)

``maker`` gives whoever has the rightful key (``mica.testing.Maker``): the claims of a good token for ``operation`` at
``mica.testing.contexts.URL``, and a ``jti`` that is new each time. What not every provisioner does, its class says:
``ordered`` has the operations that its tokens order, ``reusable`` those whose tokens serve again, ``unbound`` those
among which the request chooses; ``names`` and ``principals`` give what a token entitles to, None for the request's own;
``secrets`` gives texts that must appear nowhere.
"""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import ClassVar

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from mica.authorization import PERMITS
from mica.grants import Grant, OneTime, Operation, Reusable, Revoke
from mica.permits import permit_fault
from mica.records import CertificateKind
from mica.roles import Context, Startable, TokenProvisioner
from mica.testing.contexts import Clock, make_context
from mica.testing.entitlements import EntitlementContract
from mica.testing.fuzzing import FUZZED, claims, texts
from mica.testing.renewals import RenewalProvisionerContract as RenewalProvisionerContract
from mica.testing.renewals import make_issuance as make_issuance
from mica.testing.tokens import Maker, hostile_tokens, with_character
from mica.testing.verdicts import REFUSALS as REFUSALS
from mica.testing.verdicts import judgement
from mica.testing.verdicts import verdict as verdict
from mica.tokens import UnverifiedToken

#: What an order of the other kind of certificate is, X.509 or SSH.
_OTHER_KIND = {
    Operation.X509_SIGN: (Operation.SSH_SIGN,),
    Operation.X509_REVOKE: (Operation.SSH_REVOKE,),
    Operation.SSH_SIGN: (Operation.X509_SIGN,),
    Operation.SSH_RENEW: (Operation.X509_RENEW,),
    Operation.SSH_REKEY: (Operation.X509_REKEY,),
    Operation.SSH_REVOKE: (Operation.X509_REVOKE,),
}


async def _refusal(provisioner: TokenProvisioner, token: UnverifiedToken, operation: Operation) -> str:
    """Why the token is refused; empty when it is not."""
    try:
        await judgement(provisioner, token, operation)
    except REFUSALS as error:
        return f"{type(error).__name__}: {error}"
    return ""


class TokenProvisionerContract(EntitlementContract):
    """A provisioner of tokens grants what its rightful tokens order, once, and nothing else ever."""

    #: What a token of this provisioner can order.
    ordered: ClassVar[tuple[Operation, ...]] = (Operation.X509_SIGN, Operation.X509_REVOKE)
    #: Operations among which the request chooses, where tokens say who somebody is and nothing of what they order.
    unbound: ClassVar[frozenset[Operation]] = frozenset()

    def build(self, context: Context) -> TokenProvisioner:
        """The provisioner under test."""
        raise NotImplementedError

    def maker(self, operation: Operation, now: datetime) -> Maker:
        """Somebody with the rightful key, whose good token orders ``operation`` and has not been made before."""
        raise NotImplementedError

    def secrets(self) -> Iterator[str]:
        """Texts that must appear nowhere: private keys, passwords."""
        yield from ()

    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest_asyncio.fixture
    async def provisioner(self, clock: Clock, tmp_path: Path) -> TokenProvisioner:
        provisioner = self.build(make_context(clock, tmp_path))
        if isinstance(provisioner, Startable):
            await provisioner.start()
        return provisioner

    def test_it_fills_the_role(self, provisioner: TokenProvisioner) -> None:
        assert isinstance(provisioner, TokenProvisioner), (
            "it lacks a member of mica.TokenProvisioner; see docs/hooks.md"
        )
        undeclared = set(self.ordered) - provisioner.operations
        assert not undeclared, f"``ordered`` has what it does not declare: {undeclared}; add it to its ``operations``"

    def test_its_description_is_json_without_secrets(self, provisioner: TokenProvisioner) -> None:
        description = json.dumps(provisioner.describe())
        taken = provisioner.describe().keys() & {"type", "name", "claims"}
        assert not taken, f"describe() must leave {taken} to the authority, which adds them"
        for secret in self.secrets():
            assert secret not in description, "describe() is public, and has a secret; take it out"

    @pytest.mark.asyncio
    async def test_a_good_token_is_granted_what_it_orders(self, provisioner: TokenProvisioner, clock: Clock) -> None:
        for operation in self.ordered:
            grant = await verdict(provisioner, self.maker(operation, clock()).good(), operation)
            assert (grant.provisioner.name, grant.provisioner.type) == (provisioner.name, provisioner.type), (
                f"grant.provisioner must be its own name and type, not {grant.provisioner}"
            )
            assert grant.operation is operation, f"asked for {operation}, it grants {grant.operation}"
            assert grant.subject, "grant.subject must name who or what the certificate is for"
            assert clock() < grant.expires_at <= clock() + timedelta(hours=24), (
                f"grant.expires_at is {grant.expires_at}; it must lie within a day after context.now(), {clock()}"
            )
            kinds = tuple(map(type, grant.permits))
            assert kinds in PERMITS[operation], (
                f"for {operation} the permits are one of {PERMITS[operation]}, not {kinds}"
            )
            faults = [fault for permit in grant.permits if (fault := permit_fault(permit))]
            assert not faults, f"a permit is not as its type says: {faults}"
            kind = CertificateKind.SSH if operation.startswith("ssh") else CertificateKind.X509
            assert all(permit.kind is kind for permit in grant.permits if isinstance(permit, Revoke)), (
                f"a permit for {operation} must revoke certificates of the kind {kind}"
            )

    @pytest.mark.asyncio
    async def test_every_hostile_token_is_refused(self, provisioner: TokenProvisioner, clock: Clock) -> None:
        accepted = []
        for ordered in self.ordered:
            for name, raw in hostile_tokens(self.maker(ordered, clock())).items():
                try:
                    token = UnverifiedToken.parse(raw)  # once for all operations: some are very long
                    for operation in Operation:
                        if error := await _refusal(provisioner, token, operation):
                            assert raw not in error or len(raw) < 64, "an error quotes the token"
                        else:
                            accepted.append(f"{ordered}: {name} was granted {operation}")
                except REFUSALS as error:
                    assert raw not in str(error) or len(raw) < 64, "an error quotes the token"
        assert not accepted, (
            f"{len(accepted)} hostile tokens were granted; mica.tokens has what checks times, audiences and claims: "
            + "; ".join(accepted[:20])
        )

    @pytest.mark.asyncio
    async def test_a_hostile_token_is_refused_even_when_nobody_asked_whose_it_is(
        self, provisioner: TokenProvisioner, clock: Clock
    ) -> None:
        for ordered in self.ordered:
            for name, raw in hostile_tokens(self.maker(ordered, clock())).items():
                try:
                    token = UnverifiedToken.parse(raw)
                except REFUSALS:
                    continue
                for operation in (ordered, *_OTHER_KIND.get(ordered, ())):
                    with pytest.raises(REFUSALS):
                        pytest.fail(f"{name} was granted: {await provisioner.authorize(token, operation)}")

    @pytest.mark.asyncio
    async def test_a_token_serves_no_other_operation(self, provisioner: TokenProvisioner, clock: Clock) -> None:
        for ordered in self.ordered:
            for operation in set(Operation) - {ordered} - self.unbound:
                raw = self.maker(ordered, clock()).good()
                with pytest.raises(REFUSALS):
                    pytest.fail(
                        f"a token for {ordered} serves {operation}: {await verdict(provisioner, raw, operation)}"
                    )

    @pytest.mark.asyncio
    async def test_operations_that_it_does_not_declare_are_refused(
        self, provisioner: TokenProvisioner, clock: Clock
    ) -> None:
        for operation in set(Operation) - provisioner.operations:
            for ordered in self.ordered:
                raw = self.maker(ordered, clock()).good()
                with pytest.raises(REFUSALS):
                    pytest.fail(
                        f"it does not declare {operation}, and grants {await verdict(provisioner, raw, operation)}"
                    )

    @pytest.mark.asyncio
    async def test_a_token_of_another_key_is_refused(self, provisioner: TokenProvisioner, clock: Clock) -> None:
        for operation in self.ordered:
            raw = self.maker(operation, clock()).stranger().good()
            with pytest.raises(REFUSALS):
                pytest.fail(f"a stranger's signature is believed: {await verdict(provisioner, raw, operation)}")

    @pytest.mark.asyncio
    async def test_each_token_is_spent_under_an_id_of_its_own(
        self, provisioner: TokenProvisioner, clock: Clock
    ) -> None:
        for operation in self.ordered:
            first, second = (self.maker(operation, clock()).good() for _ in range(2))
            spends = [(await verdict(provisioner, raw, operation)).spend for raw in (first, first, second)]
            if all(isinstance(spend, Reusable) for spend in spends):
                unexplained = [spend for spend in spends if isinstance(spend, Reusable) and not spend.reason]
                assert not unexplained, "a token may serve again without a reason; say why, in Reusable(reason=…)"
                continue
            ids = [spend.id for spend in spends if isinstance(spend, OneTime)]
            assert len(ids) == 3, f"tokens of one kind are spent once or more often, each alike: {spends}"
            assert ids[0] == ids[1], (
                "one token, asked twice, has two ids, and so serves twice; make the id from the token"
            )
            assert ids[1] != ids[2], "two tokens have one id, and so the second never serves; take jti, or a digest"

    @pytest.mark.asyncio
    async def test_a_token_is_remembered_as_long_as_it_is_accepted(
        self, provisioner: TokenProvisioner, clock: Clock
    ) -> None:
        for operation in self.ordered:
            raw = self.maker(operation, clock()).good()
            grant = await verdict(provisioner, raw, operation)
            if isinstance(grant.spend, OneTime):
                # A store may keep whole seconds.
                clock.moment = grant.spend.until.replace(microsecond=0)
                with pytest.raises(REFUSALS):
                    pytest.fail(
                        f"at spend.until, {clock()}, the token is forgotten, and still granted: "
                        f"{await verdict(provisioner, raw, operation)}"
                    )

    @pytest.mark.asyncio
    async def test_a_grant_has_expired_once_its_token_is_refused(
        self, provisioner: TokenProvisioner, clock: Clock
    ) -> None:
        for operation in self.ordered:
            raw = self.maker(operation, clock()).good()
            clock.moment = (await verdict(provisioner, raw, operation)).expires_at
            with pytest.raises(REFUSALS):
                pytest.fail(f"at its expires_at it is granted again: {await verdict(provisioner, raw, operation)}")

    @pytest.fixture
    def makers(self, clock: Clock) -> dict[Operation, Maker]:
        """One for each order, for tests that need many tokens: to make a maker may take long."""
        return {operation: self.maker(operation, clock()) for operation in self.ordered}

    @pytest.mark.asyncio
    @FUZZED
    @given(raw=texts)
    async def test_arbitrary_text_is_refused(self, provisioner: TokenProvisioner, raw: str) -> None:
        for operation in Operation:
            with pytest.raises(REFUSALS):
                pytest.fail(f"{raw!r} was granted: {await verdict(provisioner, raw, operation)}")

    @pytest.mark.asyncio
    @FUZZED
    @given(data=st.data())
    async def test_a_good_token_with_any_character_changed_is_refused(
        self, provisioner: TokenProvisioner, makers: dict[Operation, Maker], data: st.DataObject
    ) -> None:
        ordered = data.draw(st.sampled_from(self.ordered))
        place, character = data.draw(st.integers(0, 10**6)), data.draw(st.characters())
        changed = with_character(makers[ordered].good(), place, character)
        with pytest.raises(REFUSALS):
            pytest.fail(f"{changed} was granted: {await verdict(provisioner, changed, ordered)}")

    @pytest.mark.asyncio
    @FUZZED
    @given(data=st.data(), claims=claims)
    async def test_arbitrary_claims_are_granted_or_refused_and_nothing_else(
        self,
        provisioner: TokenProvisioner,
        makers: dict[Operation, Maker],
        data: st.DataObject,
        claims: dict[str, object],
    ) -> None:
        ordered = data.draw(st.sampled_from(self.ordered))
        try:
            grant = await verdict(provisioner, makers[ordered].token(**claims), ordered)
        except REFUSALS:
            return
        assert isinstance(grant, Grant), f"it answers {grant!r}; authorize must return a mica.Grant, or raise"
        assert grant.operation is ordered, f"asked for {ordered}, it grants {grant.operation}"
