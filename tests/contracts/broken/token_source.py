"""Broken copies of the JWK token source: tokens for something else, tokens twice, and secrets where others see them."""

import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar

import pytest

from mica.client import Desk, TokenOrder
from mica_jwk.client import JWKTokenSource
from mica_jwk.contracts import TestTokensByKeyFile


class Broken(TestTokensByKeyFile):
    """The suite of the plugin, turned on another source."""

    Source: ClassVar[type[JWKTokenSource]]

    def build(self) -> JWKTokenSource:
        return self.Source()


Listed = Mapping[str, Any]


@pytest.mark.caught(
    by="test_a_token_is_accepted_for_what_was_ordered_and_for_nothing_else", because="Unauthorized|is granted"
)
class TestOrdersSomethingElse(Broken):
    """Whatever is ordered, the token is for signing."""

    class Source(JWKTokenSource):
        def token(self, order: TokenOrder, provisioner: Listed, desk: Desk) -> str:
            audience = order.audience.rpartition("/1.0/")[0] + "/1.0/sign"
            return super().token(replace(order, audience=audience), provisioner, desk)


@pytest.mark.caught(
    by="test_a_token_is_accepted_for_what_was_ordered_and_for_nothing_else", because="was ordered, .* is granted"
)
class TestOrdersForSomebodyElse(Broken):
    """The subject of the token is not the one that was ordered."""

    class Source(JWKTokenSource):
        def token(self, order: TokenOrder, provisioner: Listed, desk: Desk) -> str:
            return super().token(replace(order, subject="evil.example"), provisioner, desk)


@pytest.mark.caught(
    by="test_a_token_is_accepted_for_what_was_ordered_and_for_nothing_else", because="it outlives its order"
)
class TestTokensLastForHours(Broken):
    """How long a token is to be good is not looked at."""

    class Source(JWKTokenSource):
        def token(self, order: TokenOrder, provisioner: Listed, desk: Desk) -> str:
            return super().token(replace(order, not_after=order.not_before + timedelta(hours=8)), provisioner, desk)


@pytest.mark.caught(by="test_a_confirmed_request_is_named_in_the_grant", because="must be in the token")
class TestForgetsWhichRequestIsConfirmed(Broken):
    """The token for one CSR is made for any (threat 5)."""

    class Source(JWKTokenSource):
        def token(self, order: TokenOrder, provisioner: Listed, desk: Desk) -> str:
            return super().token(replace(order, confirmation=None), provisioner, desk)


@pytest.mark.caught(by="test_there_is_a_token_for_each_order", because="made twice")
class TestGivesOutOneTokenAgainAndAgain(Broken):
    """A token is kept, and given to the next who orders the same."""

    class Source(JWKTokenSource):
        kept: str = ""

        def token(self, order: TokenOrder, provisioner: Listed, desk: Desk) -> str:
            self.kept = self.kept or super().token(order, provisioner, desk)
            return self.kept


@pytest.mark.caught(by="test_what_it_cannot_order_it_says_plainly", because="Error")
class TestStumblesWithoutAKey(Broken):
    """Without a key it ends in an error of Python's."""

    class Source(JWKTokenSource):
        def token(self, order: TokenOrder, provisioner: Listed, desk: Desk) -> str:
            if desk.key_file is None:
                raise TypeError("expected str, bytes or os.PathLike object, not NoneType")
            return super().token(order, provisioner, desk)


@pytest.mark.caught(by="test_it_shows_no_secret_and_leaves_nothing_behind", because="a secret is shown")
class TestShowsTheKey(Broken):
    """What it is doing is shown with the private key (threat 27)."""

    class Source(JWKTokenSource):
        def token(self, order: TokenOrder, provisioner: Listed, desk: Desk) -> str:
            if desk.key_file is not None:
                sys.stderr.write(f"signing with {desk.key_file.read_text()}\n")
            return super().token(order, provisioner, desk)


@pytest.mark.caught(by="test_it_shows_no_secret_and_leaves_nothing_behind", because="changes the environment")
class TestPutsTheKeyIntoTheEnvironment(Broken):
    """The key is put where every program that is started next can read it."""

    class Source(JWKTokenSource):
        def token(self, order: TokenOrder, provisioner: Listed, desk: Desk) -> str:
            if desk.key_file is not None:
                os.environ["MICA_KEY"] = desk.key_file.read_text()
            return super().token(order, provisioner, desk)


@pytest.mark.caught(by="test_it_shows_no_secret_and_leaves_nothing_behind", because="can be read by others")
class TestLeavesTheKeyBehind(Broken):
    """A copy of the key is left beside it, for everyone to read (threat 28)."""

    class Source(JWKTokenSource):
        def token(self, order: TokenOrder, provisioner: Listed, desk: Desk) -> str:
            if desk.key_file is not None:
                copy = desk.key_file.with_suffix(".copy")
                copy.write_text(desk.key_file.read_text())
                copy.chmod(0o644)
            return super().token(order, provisioner, desk)
