"""A store against the plain model, step by step, in steps that nobody thought of."""

import asyncio
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from mica.records import CertificateId, CertificateKind, Commit, Query, Status
from mica.roles import Store
from mica.testing.records import NOW, make_issuance, make_revocation, make_token
from mica.testing.store_model import Answer, Model
from mica.testing.store_place import Placed, attempt
from mica.testing.store_search import every_page, matches

_KINDS = (CertificateKind.X509, CertificateKind.SSH)
#: Few, so that commits meet each other.
_IDS = tuple(
    CertificateId(kind=kind, issuer=issuer, serial_number=serial_number)
    for kind in _KINDS
    for issuer in (b"\x01" * 32, b"\x02" * 32)
    for serial_number in (1, 2)
)
_TOKENS = tuple(
    make_token(id=f"token {number}", until=NOW + timedelta(minutes=minute)) for number in range(4) for minute in (1, 3)
)
_ids = st.sampled_from(_IDS)


def _commit(issued: Sequence[CertificateId], revoked: Sequence[CertificateId], **members: Any) -> Commit:
    """Each time another certificate, so that one that takes the place of another is seen."""
    return Commit(
        issuances=tuple(make_issuance(id=id) for id in issued),
        revocations=tuple(map(make_revocation, revoked)),
        **members,
    )


# At most one certificate: in which order two of one commit are listed is nobody's business.
_commits = st.builds(
    _commit,
    issued=st.lists(_ids, max_size=1),
    revoked=st.lists(_ids, max_size=2),
    spends=st.lists(st.sampled_from(_TOKENS), max_size=2).map(tuple),
    unless_revoked=st.lists(_ids, max_size=2).map(tuple),
)
_queries = st.builds(
    Query,
    now=st.just(NOW),
    kind=st.sampled_from((None, *_KINDS)),
    status=st.sampled_from((None, Status.VALID, Status.REVOKED)),
    limit=st.integers(1, 5),
)

Open = Callable[[Path], AbstractAsyncContextManager[Store]]


class StoreMachine(RuleBasedStateMachine):
    """Two openings of one place, as of two processes, and the model of what is there.

    No rule waits for the state to be of some kind: what commits at one time come to is another time something else,
    and hypothesis refuses steps whose choice is not repeatable.
    """

    open_store: Open

    def __init__(self) -> None:
        super().__init__()
        self._directory = TemporaryDirectory()
        self._runner = asyncio.Runner()
        self._model = Model()
        self._stores: list[Store] = []
        self._run(self._open())

    def _run(self, work: Any) -> Any:
        return self._runner.run(work)

    async def _open(self) -> None:
        self._opened = AsyncExitStack()
        place = Path(self._directory.name)
        self._stores = [await self._opened.enter_async_context(self.open_store(place)) for _ in range(2)]

    @rule(which=st.integers(0, 1), commit=_commits)
    def commit(self, which: int, commit: Commit) -> None:
        """One commit is answered as the model answers it."""
        answer = self._run(_answer(self._stores[which], commit))
        assert answer in self._model.refusals(commit)
        if answer is None:
            self._model.do(commit)

    @rule(commits=st.lists(st.tuples(st.integers(0, 1), _commits), min_size=2, max_size=5))
    def commit_at_once(self, commits: Sequence[tuple[int, Commit]]) -> None:
        """Commits at one time are answered, and listed, as in some order one after the other (linearizability)."""

        async def all_at_once() -> list[Answer]:
            return await asyncio.gather(*(_answer(self._stores[which], commit) for which, commit in commits))

        answers = self._run(all_at_once())
        listed = self._run(every_page(self._stores[0], Query(now=NOW)))
        answered = [(commit, answer) for (_, commit), answer in zip(commits, answers, strict=True)]
        orders = (after for after in self._model.orders(answered) if after.listed() == listed)
        after = next(orders, None)
        assert after is not None, f"in no order would these be the answers: {answers}"
        self._model = after

    @rule(minutes=st.sampled_from((0, 1, 2, 4)), seconds=st.sampled_from((0, 1)), which=st.integers(0, 1))
    def prune(self, minutes: int, seconds: int, which: int) -> None:
        """As many tokens are forgotten as have ended; the clock may go back."""
        now = NOW + timedelta(minutes=minutes, seconds=seconds)
        assert self._run(self._stores[which].prune(now)) == self._model.prune(now)

    @rule(which=st.integers(0, 1), query=_queries)
    def search(self, which: int, query: Query) -> None:
        """A search finds what a plain loop finds, in the same order."""
        found = self._run(every_page(self._stores[which], query))
        assert found == [row for row in self._model.listed() if matches(row, query)]

    @rule()
    def reopen(self) -> None:
        """The store is closed and opened again."""
        self._run(self._opened.aclose())
        self._run(self._open())
        self._compare()

    def teardown(self) -> None:
        """Everything is as in the model; nothing is left open."""
        try:
            if sys.exc_info()[0] is None:  # what a step found is not to be hidden
                self._compare()
        finally:
            self._run(self._opened.aclose())
            self._runner.close()
            self._directory.cleanup()

    def _compare(self) -> None:
        for store in self._stores:
            for id in _IDS:
                assert self._run(store.find(id)) == self._model.issuances.get(id)
                assert self._run(store.revocation(id)) == self._model.revocations.get(id)
            for token in _TOKENS:
                assert self._run(store.is_spent(token)) == self._model.is_spent(token)
                later = replace(token, until=NOW + timedelta(hours=1))
                assert self._run(store.is_spent(later)) == self._model.is_spent(later)


async def _answer(store: Store, commit: Commit) -> Answer:
    error = await attempt(store, commit)
    return None if error is None else type(error)


class ModelContract(Placed):
    """Whatever is done with a store, in whichever order, it answers as a plain one does."""

    def test_it_answers_as_the_plain_model_does(self) -> None:
        machine = type("Machine", (StoreMachine,), {"open_store": staticmethod(self.open_store)})
        # Without shrinking, which would take minutes: the steps are few enough to read.
        phases = (Phase.explicit, Phase.reuse, Phase.generate)
        usual = settings(
            max_examples=15,
            stateful_step_count=12,
            deadline=None,
            phases=phases,
            suppress_health_check=list(HealthCheck),
        )
        run_state_machine_as_test(machine, settings=usual)
