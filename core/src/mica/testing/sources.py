"""What every source of tokens must do, on the client's side: a contract that a plugin's tests subclass.

class TestJWKTokens(TokenSourceContract):
    def build(self): return JWKTokenSource()
    def provisioner(self, context): return JWKProvisioner(config, context)
    def desk(self, directory): return PaperDesk(key_file=directory / "key.json")  # that holds the rightful key

Where somebody signs in, the desk is a ``SignInPaperDesk``; ``mica.testing.signins`` has a provider to sign in with.
"""

import logging
import os
import ssl
import stat
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar
from urllib.request import HTTPSHandler, ProxyHandler, build_opener

import pytest
import pytest_asyncio

from mica.client.errors import ClientError
from mica.client.oauth import Wishes
from mica.client.sources import TokenOrder, TokenSource
from mica.grants import Operation
from mica.logs import JSONFormatter
from mica.roles import Closeable, Context, Startable, TokenProvisioner
from mica.testing.contexts import URL, Clock, make_context
from mica.testing.verdicts import REFUSALS, verdict

_PATHS = {
    Operation.X509_SIGN: "/1.0/sign", Operation.X509_RENEW: "/1.0/renew", Operation.X509_REKEY: "/1.0/rekey",
    Operation.X509_REVOKE: "/1.0/revoke", Operation.SSH_SIGN: "/1.0/ssh/sign", Operation.SSH_RENEW: "/1.0/ssh/renew",
    Operation.SSH_REKEY: "/1.0/ssh/rekey", Operation.SSH_REVOKE: "/1.0/ssh/revoke",
}  # fmt: skip
_SSH = {"step": {"ssh": {"certType": "user", "keyID": "ann@harbour.example", "principals": ["ann"]}}}


@dataclass(kw_only=True)
class PaperDesk:
    """A desk with these files and passwords on it; it keeps what it was asked."""

    key_file: Path | None = None
    certificate_file: Path | None = None
    chain_files: tuple[Path, ...] = ()
    kept: str = ""
    """The provisioner's key as the CA keeps it, encrypted."""
    given: tuple[bytes, ...] = field(default=(), repr=False)
    asked: list[str] = field(default_factory=list)

    def read(self, path: Path) -> bytes:
        return path.read_bytes()

    def passwords(self, label: str) -> Iterator[bytes]:
        self.asked.append(label)
        yield from self.given

    def encrypted_key(self, kid: str) -> str:
        self.asked.append(kid)
        return self.kept


@dataclass(kw_only=True)
class SignInPaperDesk(PaperDesk):
    """One at which somebody sits who goes at once wherever a browser is to go."""

    wishes: Wishes
    has_display: bool = True

    def invite(self, sentences: str, url: str = "") -> None:
        self.asked.append(sentences)
        if url:
            roots = self.wishes.roots and self.wishes.roots.decode()
            trust = HTTPSHandler(context=ssl.create_default_context(cadata=roots))
            build_opener(ProxyHandler({}), trust).open(url, timeout=20).close()


class TokenSourceContract:
    """A source makes tokens that its own provisioner accepts for exactly what was ordered, and gives nothing away."""

    #: What its tokens can order.
    ordered: ClassVar[tuple[Operation, ...]] = (Operation.X509_SIGN, Operation.X509_REVOKE)
    #: Operations among which the request chooses, where tokens say who somebody is and nothing of what they order.
    unbound: ClassVar[frozenset[Operation]] = frozenset()
    #: Who that is: whom the grants of unbound tokens name, whatever was ordered.
    bearer: ClassVar[str] = ""

    def build(self) -> TokenSource:
        """The source under test."""
        raise NotImplementedError

    def provisioner(self, context: Context) -> TokenProvisioner:
        """The plugin's own provisioner, for which the tokens are."""
        raise NotImplementedError

    def desk(self, directory: Path) -> Any:
        """A desk on which there is all that it takes; its files lie in ``directory``."""
        raise NotImplementedError

    def bare_desk(self) -> Any:
        """A desk on which there is nothing: no flag was given."""
        return PaperDesk()

    def order(self, operation: Operation, clock: Clock) -> TokenOrder:
        """An order for this operation, good for five minutes."""
        subjects = {Operation.X509_SIGN: "svc.example", Operation.SSH_SIGN: "ann@harbour.example"}
        return TokenOrder(
            operation=operation,
            subject=subjects.get(operation, "4711"),
            sans=("svc.example", "10.0.0.1") if operation is Operation.X509_SIGN else (),
            audience=URL + _PATHS[operation],
            issued_at=clock(),
            not_before=clock(),
            not_after=clock() + timedelta(minutes=5),
            extra=_SSH if operation is Operation.SSH_SIGN else {},
        )

    def secrets(self) -> Iterator[str]:
        """Texts that must appear nowhere: private keys, passwords. Asked when the tokens have been made."""
        yield from ()

    @pytest.fixture
    def source_clock(self) -> Clock:
        return Clock()

    @pytest_asyncio.fixture
    async def believer(self, source_clock: Clock, tmp_path: Path) -> AsyncIterator[TokenProvisioner]:
        provisioner = self.provisioner(make_context(source_clock, tmp_path))
        if isinstance(provisioner, Startable):
            await provisioner.start()
        yield provisioner
        if isinstance(provisioner, Closeable):
            await provisioner.aclose()

    @pytest.fixture
    def listed(self, believer: TokenProvisioner) -> Mapping[str, Any]:
        """The provisioner's entry in the CA's list."""
        return {"type": believer.type, "name": believer.name, **believer.describe()}

    @pytest.mark.asyncio
    async def test_a_token_is_accepted_for_what_was_ordered_and_for_nothing_else(
        self, believer: TokenProvisioner, listed: Mapping[str, Any], source_clock: Clock, tmp_path: Path
    ) -> None:
        made: dict[Operation, str] = {}
        for operation in self.ordered:
            order = self.order(operation, source_clock)
            made[operation] = raw = self.build().token(order, listed, self.desk(tmp_path))
            grant = await verdict(believer, raw, operation)
            subject = self.bearer if operation in self.unbound else order.subject
            assert grant.subject == subject, f"{subject} was ordered, {grant.subject} is granted"
            for other in set(Operation) - {operation} - self.unbound:
                with pytest.raises(REFUSALS):
                    pytest.fail(f"a token for {operation} serves {other}: {await verdict(believer, raw, other)}")
        source_clock.advance(timedelta(minutes=10))
        for operation, raw in made.items():
            with pytest.raises(REFUSALS):
                pytest.fail(f"it outlives its order: {await verdict(believer, raw, operation)}")

    @pytest.mark.asyncio
    async def test_a_confirmed_request_is_named_in_the_grant(
        self, believer: TokenProvisioner, listed: Mapping[str, Any], source_clock: Clock, tmp_path: Path
    ) -> None:
        if Operation.X509_SIGN in {*self.ordered} - self.unbound:
            order = replace(self.order(Operation.X509_SIGN, source_clock), confirmation=bytes(range(32)))
            raw = self.build().token(order, listed, self.desk(tmp_path))
            (permit,) = (await verdict(believer, raw, Operation.X509_SIGN)).permits
            assert getattr(permit, "confirmation", None) == order.confirmation, (
                "order.confirmation must be in the token"
            )

    def test_there_is_a_token_for_each_order(
        self, listed: Mapping[str, Any], source_clock: Clock, tmp_path: Path
    ) -> None:
        source = self.build()
        for operation in self.ordered:
            order = self.order(operation, source_clock)
            tokens = {source.token(order, listed, self.desk(tmp_path)) for _ in range(2)}
            assert len(tokens) == 2, "a token is made twice; each needs a jti of its own"

    def test_what_it_cannot_order_it_says_plainly(
        self, listed: Mapping[str, Any], source_clock: Clock, tmp_path: Path
    ) -> None:
        for operation in self.ordered:
            with pytest.raises(ClientError) as caught:
                pytest.fail(self.build().token(self.order(operation, source_clock), listed, self.bare_desk()))
            assert str(caught.value), "an error must say what is missing"

    def test_it_shows_no_secret_and_leaves_nothing_behind(
        self,
        listed: Mapping[str, Any],
        source_clock: Clock,
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        desk, environment = self.desk(tmp_path), dict(os.environ)
        before = {path for path in tmp_path.rglob("*") if path.is_file()}
        with caplog.at_level(logging.DEBUG):
            told = [self.build().token(self.order(operation, source_clock), listed, desk) for operation in self.ordered]
        told += [*capfd.readouterr(), *map(JSONFormatter().format, caplog.records), repr(desk.asked)]
        for secret in self.secrets():
            assert not any(secret in text for text in told), "a secret is shown; it must not leave the source"
        assert dict(os.environ) == environment, "it changes the environment; others can read it"
        for path in {path for path in tmp_path.rglob("*") if path.is_file()} - before:
            assert not path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO), (
                f"{path} can be read by others; make it 0600"
            )
