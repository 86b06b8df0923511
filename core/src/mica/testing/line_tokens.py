"""The provisioner in a whole authority: hostile and arbitrary tokens, sent to the routes themselves."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mica.grants import Operation
from mica.records import CertificateKind
from mica.testing.line_requests import Reply
from mica.testing.line_routes import show
from mica.testing.line_scene import PATHS, Line, LineScene, issued
from mica.testing.tokens import hostile_tokens, with_character

_OTHER_KIND = {
    Operation.X509_SIGN: Operation.SSH_SIGN,
    Operation.X509_REVOKE: Operation.SSH_REVOKE,
    Operation.SSH_SIGN: Operation.X509_SIGN,
    Operation.SSH_RENEW: Operation.SSH_REKEY,
    Operation.SSH_REKEY: Operation.SSH_RENEW,
    Operation.SSH_REVOKE: Operation.X509_REVOKE,
}
_fuzzed = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
)
_Json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)
_Segments = st.from_regex(r"([A-Za-z0-9_-]{0,60}\.){2}[A-Za-z0-9_-]{0,60}")
_Claims = st.dictionaries(
    st.sampled_from(["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "sans", "cnf", "step", "x"]), _Json
)


class TokensOfTheLine(LineScene):
    """Whatever is sent as a token, the answer is a refusal, and nothing is on record."""

    @pytest.mark.asyncio
    async def test_every_hostile_token_is_refused_at_its_route_and_at_others(self, line: Line) -> None:
        wrong: list[tuple[Operation, str, str, Reply]] = []
        for operation in self.ordered:
            order = await self.order(line, operation)
            before = await _everything(line)
            for name, raw in hostile_tokens(order.maker).items():
                for path in (order.path, PATHS[_OTHER_KIND[operation]], "/renew"):
                    reply = await show(line, path, order, raw)
                    if not reply.is_refused:
                        wrong.append((operation, name, path, reply))
            assert wrong == []
            assert await _everything(line) == before
            assert (await line.ask(order)).is_served

    @pytest.mark.asyncio
    async def test_a_token_of_another_key_is_refused(self, line: Line) -> None:
        for operation in self.ordered:
            order = await self.order(line, operation)
            assert (await line.ask(order, ott=order.maker.stranger().good())).is_refused
            assert (await line.ask(order)).is_served

    @pytest.mark.asyncio
    @_fuzzed
    @given(
        data=st.data(),
        raw=st.one_of(st.text(max_size=400), st.from_regex(r"([A-Za-z0-9_-]{0,60}\.){2}[A-Za-z0-9_-]{0,60}")),
    )
    async def test_arbitrary_text_as_a_token_is_refused(self, line: Line, data: st.DataObject, raw: str) -> None:
        order = await self.order(line, data.draw(st.sampled_from(self.ordered)))
        reply = await show(line, order.path, order, raw)
        assert reply.is_refused, reply

    @pytest.mark.asyncio
    @_fuzzed
    @given(data=st.data())
    async def test_a_good_token_with_any_character_changed_is_refused(self, line: Line, data: st.DataObject) -> None:
        operation = data.draw(st.sampled_from(self.ordered))
        place, character = data.draw(st.integers(0, 10**6)), data.draw(st.characters())
        order = await self.order(line, operation)
        reply = await show(line, order.path, order, with_character(order.token, place, character))
        assert reply.is_refused, reply

    @pytest.mark.asyncio
    @_fuzzed
    @given(data=st.data(), claims=_Claims)
    async def test_arbitrary_claims_are_served_or_refused_and_nothing_else(
        self, line: Line, data: st.DataObject, claims: dict[str, object]
    ) -> None:
        operation = data.draw(st.sampled_from(self.ordered))
        order = await self.order(line, operation)
        reply = await show(line, order.path, order, order.maker.token(**claims))
        assert reply.is_refused or reply.is_served, reply


async def _everything(line: Line) -> list[bytes]:
    return [blob for kind in CertificateKind for blob in await issued(line.authority, kind)]
