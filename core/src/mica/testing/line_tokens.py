"""The provisioner in a whole authority: hostile and arbitrary tokens, sent to the routes themselves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mica.grants import Operation
from mica.records import CertificateKind
from mica.testing.fuzzing import FUZZED, claims, texts
from mica.testing.line_requests import Reply, require_refused, require_served
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
            assert wrong == [], "hostile tokens were not refused: operation, what is wrong with it, route, answer"
            assert await _everything(line) == before, "a hostile token has left something on record"
            require_served(await line.ask(order), "a good token after all the hostile ones")

    @pytest.mark.asyncio
    async def test_a_token_of_another_key_is_refused(self, line: Line) -> None:
        for operation in self.ordered:
            order = await self.order(line, operation)
            require_refused(await line.ask(order, ott=order.maker.stranger().good()), "a token of another key")
            require_served(await line.ask(order), "a good token after a stranger's")

    @pytest.mark.asyncio
    @FUZZED
    @given(data=st.data(), raw=texts)
    async def test_arbitrary_text_as_a_token_is_refused(self, line: Line, data: st.DataObject, raw: str) -> None:
        order = await self.order(line, data.draw(st.sampled_from(self.ordered)))
        require_refused(await show(line, order.path, order, raw), f"{raw!r} as a token")

    @pytest.mark.asyncio
    @FUZZED
    @given(data=st.data())
    async def test_a_good_token_with_any_character_changed_is_refused(self, line: Line, data: st.DataObject) -> None:
        operation = data.draw(st.sampled_from(self.ordered))
        place, character = data.draw(st.integers(0, 10**6)), data.draw(st.characters())
        order = await self.order(line, operation)
        changed = with_character(order.token, place, character)
        require_refused(await show(line, order.path, order, changed), f"{changed}, of which a character was changed,")

    @pytest.mark.asyncio
    @FUZZED
    @given(data=st.data(), claims=claims)
    async def test_arbitrary_claims_are_served_or_refused_and_nothing_else(
        self, line: Line, data: st.DataObject, claims: dict[str, object]
    ) -> None:
        operation = data.draw(st.sampled_from(self.ordered))
        order = await self.order(line, operation)
        reply = await show(line, order.path, order, order.maker.token(**claims))
        assert reply.is_refused or reply.is_served, f"a token with {claims} must be served or refused; it got {reply}"


async def _everything(line: Line) -> list[bytes]:
    return [blob for kind in CertificateKind for blob in await issued(line.authority, kind)]
