"""Evil signers, stores, key backends, extensions, routes: no certificate, a line with their name, a CA that lives."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from tests.security import evil
from tests.security.evil import CANARY, ERRORS, FAILURES, tried

from mica import Context, Route, deadlines, hookimpl, issuance, kind, lifecycle, punctuality
from mica.errors import ConfigError, Unavailable
from mica.testing.ca import TestCA
from mica.testing.line_requests import send
from mica.testing.plugins import enable
from mica.web import pluginroutes
from mica_storage_sqlite import SQLiteConfig, SQLiteStore
from mica_x509signer.signer import X509KeySigner, X509SignerConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Nothing:
    """An empty table."""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(issuance, "SIGNING_DEADLINE", 0.05)
    monkeypatch.setattr(lifecycle, "CLOSING_DEADLINE", 0.05)
    monkeypatch.setattr(pluginroutes, "DEADLINE", 0.05)
    monkeypatch.setattr(deadlines, "GRACE", 0.05)


def edit(ca: TestCA, old: str, new: str) -> None:
    """``ca.toml`` says ``new`` where it said ``old``."""
    file = ca.directory / "ca.toml"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))


# Signers


class Signer(X509KeySigner):
    """Signs as ``x509signer`` does, until it is told to do something else."""

    act: evil.Act | None = None

    def sign(self, tbs: bytes) -> Any:
        return self.act(tbs) if self.act else super().sign(tbs)


class SignerPlugin:
    """Offers it as the kind ``evil``."""

    signer: Any

    def __init__(self, cls: type[Any] = Signer) -> None:
        self.cls = cls

    @hookimpl
    def register_x509_signers(self) -> Any:
        return [kind("evil", X509SignerConfig, self._build)]

    def _build(self, config: X509SignerConfig, context: Any) -> Any:
        self.signer = self.cls(config, context)
        return self.signer


SIGNERS: dict[str, evil.Act] = {
    **FAILURES,
    "gives None": evil.raising_later(StopIteration()),
    "gives text": lambda tbs: _give("signature"),
    "gives nothing to wait for": lambda tbs: b"signature",
    "gives no octets": lambda tbs: _give(b""),
    "gives a number": lambda tbs: _give(64),
}


async def _give(answer: Any) -> Any:
    return answer


@pytest.mark.parametrize("case", SIGNERS)
async def test_of_a_signer_that_gives_no_signature_comes_no_certificate_and_no_token_is_burnt(
    ca: TestCA, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    edit(ca, 'type = "x509signer"', 'type = "evil"')
    plugin, token = SignerPlugin(), ca.token("svc.example")
    async with tried(ca, evil=plugin) as trial:
        plugin.signer.act = SIGNERS[case]
        reply = await trial.sign(token)
        assert reply.status == 503 and CANARY not in reply.json["message"]
        assert evil.lines_of(caplog, "signers.x509")
        assert await trial.on_record() == []
        plugin.signer.act = None
        assert (await trial.sign(token)).status == 201


class Octets(bytes):
    """Octets that say something else whenever they are asked."""

    def __radd__(self, other: bytes) -> bytes:
        return b"anything"

    def __len__(self) -> int:
        return 0


async def test_what_a_signer_gives_counts_for_its_octets_and_what_it_is_for_what_it_was_when_built(ca: TestCA) -> None:
    edit(ca, 'type = "x509signer"', 'type = "evil"')
    plugin = SignerPlugin()
    async with tried(ca, evil=plugin) as trial:
        signer = plugin.signer

        async def sign(tbs: bytes) -> Octets:
            return Octets(await X509KeySigner.sign(signer, tbs))

        signer.act, signer.algorithm, signer.chain = sign, b"", ()
        reply = await trial.sign()
        assert reply.status == 201
        leaf = x509.load_pem_x509_certificate(reply.json["crt"].encode())
        leaf.verify_directly_issued_by(trial.authority.issuer.certificate)


# Stores


class Store(SQLiteStore):
    """Keeps what it is told, until it is told to do something else at one of its methods."""

    method = ""
    act: evil.Act | None = None

    def __getattribute__(self, name: str) -> Any:
        act = super().__getattribute__("act")
        return act if act and name == super().__getattribute__("method") else super().__getattribute__(name)


class StorePlugin:
    """Offers it as the kind ``evil``."""

    store: Any

    @hookimpl
    def register_stores(self) -> Any:
        return [kind("evil", SQLiteConfig, self._build)]

    def _build(self, config: SQLiteConfig, context: Context) -> Any:
        self.store = Store(config, context)
        return self.store


STORES = [case for case in FAILURES if "hangs" not in case]  # those hang for nobody but who needs the store


@pytest.mark.parametrize("case", STORES)
@pytest.mark.parametrize("method", ["commit", "is_spent"])
async def test_of_a_store_that_fails_comes_no_certificate_and_no_token_is_burnt(
    ca: TestCA, method: str, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    edit(ca, 'type = "storage_sqlite"', 'type = "evil"')
    plugin, token = StorePlugin(), ca.token("svc.example")
    async with tried(ca, evil=plugin) as trial:
        plugin.store.method, plugin.store.act = method, FAILURES[case]
        reply = await trial.sign(token)
        assert reply.status in (500, 503) and CANARY.encode() not in reply.body
        assert evil.lines_of(caplog)
        assert (await send(trial.app, "GET", "/roots")).status == 201
        plugin.store.act = None
        assert await trial.on_record() == []
        assert (await trial.sign(token)).status == 201


async def test_of_a_store_that_hangs_comes_503_no_certificate_and_no_second_try_of_the_token(
    ca: TestCA, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(ca, 'type = "storage_sqlite"', 'type = "evil"')
    plugin, token, landed = StorePlugin(), ca.token("svc.example"), []

    async def late(commit: Any) -> None:
        landed.append(asyncio.create_task(SQLiteStore.commit(plugin.store, commit)))
        await evil.hang()

    async with tried(ca, evil=plugin) as trial:
        plugin.store.method, plugin.store.act = "commit", late
        with monkeypatch.context() as impatient:
            impatient.setattr(punctuality, "DEADLINE", 0.05)
            reply = await trial.sign(token)
        assert (reply.status, "crt" in reply.json) == (503, False)
        assert evil.lines_of(caplog, "the store did not answer commit in time")
        plugin.store.act = None
        assert (await trial.sign(token)).status == 401
        assert not trial.authority.in_flight.held
        await asyncio.gather(*landed)
        assert await trial.on_record() == ["svc.example"]
        ca.clock.moment += timedelta(days=1)
        assert (await trial.sign()).status == 201
        assert not trial.authority.in_flight.undecided, "what nobody can use any more is remembered"


@pytest.mark.parametrize("act", [evil.hang, evil.hang_on], ids=lambda act: act.__name__)
async def test_a_store_that_hangs_before_the_commit_leaves_the_token(
    ca: TestCA, act: evil.Act, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(ca, 'type = "storage_sqlite"', 'type = "evil"')
    plugin, token = StorePlugin(), ca.token("svc.example")
    async with tried(ca, evil=plugin) as trial:
        plugin.store.method, plugin.store.act = "is_spent", act
        with monkeypatch.context() as impatient:
            impatient.setattr(punctuality, "DEADLINE", 0.05)
            assert (await trial.sign(token)).status == 503
        plugin.store.act = None
        assert (await trial.sign(token)).status == 201


@pytest.mark.parametrize("answer", [None, 0, "", evil.hang], ids=lambda answer: type(answer).__name__)
async def test_a_store_that_does_not_say_whether_a_token_is_spent_is_not_believed(
    ca: TestCA, answer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    edit(ca, 'type = "storage_sqlite"', 'type = "evil"')
    plugin = StorePlugin()
    async with tried(ca, evil=plugin) as trial:
        plugin.store.method, plugin.store.act = "is_spent", lambda _: _give(answer)
        assert (await trial.sign()).status == 503
        assert evil.lines_of(caplog, "the store answered is_spent with")
        plugin.store.act = None
        assert await trial.on_record() == []


# Offers


OFFERS = ("provisioners", "key_backends", "x509_signers", "ssh_signers", "stores", "extensions")


def offering(hook: str, offer: Callable[[], Any]) -> Any:
    """A plugin whose registration hook ``hook`` gives what ``offer`` does."""
    name = f"register_{hook}"
    namespace: dict[str, Any] = {}
    exec(f"def {name}(self):\n    return offer()", {"offer": offer}, namespace)  # hooks are plain functions
    return type("Plugin", (), {name: hookimpl(namespace[name])})()


@pytest.mark.parametrize("case", ERRORS)
@pytest.mark.parametrize("hook", OFFERS)
def test_a_registration_that_raises_stops_the_start_and_is_named(ca: TestCA, hook: str, case: str) -> None:
    enable(ca, "evil")
    with pytest.raises(ConfigError, match=f"plugin evil: register_{hook} failed"):
        ca.authority({"evil": offering(hook, evil.raising(_interrupting(ERRORS[case])))})


def _interrupting(error: BaseException) -> BaseException:
    # Outside of the event loop it is taken for the operator's Ctrl-C, as it should be.
    return SystemExit(1) if isinstance(error, KeyboardInterrupt) else error


KINDS: dict[str, Any] = {
    "none": None, "text": "evil", "a class": Nothing, "a kind of a kind": [[kind("evil", Nothing, Signer)]],
    "another's name": kind("x509signer", Nothing, Signer), "nearly its own": kind("evils", Nothing, Signer),
    "a table that can be changed": kind("evil", dataclass(type("Open", (), {})), Signer),
    "no table": kind("evil", dict, Signer),
}  # fmt: skip


@pytest.mark.parametrize("case", KINDS)
@pytest.mark.parametrize("hook", OFFERS)
def test_a_kind_that_is_no_plain_kind_of_its_own_stops_the_start_and_is_named(ca: TestCA, hook: str, case: str) -> None:
    enable(ca, "evil")
    with pytest.raises(ConfigError, match="plugin evil: "):
        ca.authority({"evil": offering(hook, lambda: KINDS[case])})


@pytest.mark.parametrize("hook", OFFERS)
def test_a_kind_that_is_offered_twice_stops_the_start(ca: TestCA, hook: str) -> None:
    enable(ca, "evil")
    with pytest.raises(ConfigError, match="the kind evil is offered twice"):
        ca.authority({"evil": offering(hook, lambda: [kind("evil", Nothing, lambda config, context: None)] * 2)})


@dataclass(frozen=True)
class Anything:
    """Settings that any kind's table can be read into."""

    name: str = ""
    path: str = ""
    key: Any = None


def build(ca: TestCA, hook: str, old: str, constructor: Any) -> None:
    """An authority of which the part that ``hook`` offers is built so, in the place of ``old``, if of any."""
    if old:
        edit(ca, old, 'type = "evil"')
    enable(ca, "evil")
    ca.authority({"evil": offering(hook, lambda: [kind("evil", Anything, constructor)])})


@pytest.mark.parametrize("case", [case for case in ERRORS if case != "KeyboardInterrupt"])
@pytest.mark.parametrize(
    ("hook", "old", "place"),
    [
        ("x509_signers", 'type = "x509signer"', "signers.x509"),
        ("stores", 'type = "storage_sqlite"', "store"),
        ("provisioners", 'type = "jwk"', r"provisioners\[0\]"),
        ("extensions", "", r"plugin\.evil"),
        ("key_backends", "", r"keys\.evil"),
    ],
)
def test_a_part_that_cannot_be_built_stops_the_start_and_is_named(
    ca: TestCA, hook: str, old: str, place: str, case: str
) -> None:
    with pytest.raises(ConfigError, match=place):
        build(ca, hook, old, evil.raising(ERRORS[case]))


@pytest.mark.parametrize(
    ("hook", "old", "fault"),
    [
        ("x509_signers", 'type = "x509signer"', r"signers\.x509: .*NoneType.* lacks .*sign"),
        ("stores", 'type = "storage_sqlite"', "store: .*NoneType.* lacks .*commit"),
        ("provisioners", 'type = "jwk"', r"provisioners\[0\]: .*NoneType.* lacks .*operations"),
        ("key_backends", "", r"keys\.evil: .*NoneType.* lacks .*load"),
        ("extensions", "", r"plugin\.evil: plugin evil: implements no hook"),
    ],
)
def test_a_constructor_that_forgets_to_return_stops_the_start_and_is_named(
    ca: TestCA, hook: str, old: str, fault: str
) -> None:
    with pytest.raises(ConfigError, match=fault):
        build(ca, hook, old, lambda config, context: None)


@pytest.mark.parametrize("case", FAILURES)
async def test_an_extension_that_cannot_end_is_named_and_the_store_is_closed_all_the_same(
    ca: TestCA, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Endless:
        @hookimpl
        def notify(self, event: Any) -> None: ...

        def aclose(self) -> Any:
            return FAILURES[case]()

    edit(ca, 'type = "storage_sqlite"', 'type = "evil"')
    plugin = StorePlugin()
    offers = offering("extensions", lambda: [kind("endless", Nothing, lambda config, context: Endless())])
    async with tried(ca, evil=plugin, endless=offers) as trial:
        assert (await trial.sign()).status == 201
    assert evil.lines_of(caplog, "Endless failed to close")
    with pytest.raises(Unavailable, match="is not open"):
        await plugin.store.probe()


@pytest.mark.parametrize("case", ERRORS)
async def test_an_extension_that_cannot_start_stops_the_start_and_is_named(ca: TestCA, case: str) -> None:
    class Unready:
        start = staticmethod(evil.raising_later(ERRORS[case]))

        @hookimpl
        def notify(self, event: Any) -> None: ...

    offers = offering("extensions", lambda: [kind("evil", Nothing, lambda config, context: Unready())])
    with pytest.raises(Unavailable, match=r"Unready could not be started"):
        async with tried(ca, evil=offers):
            pytest.fail("it has started")


def test_a_second_key_backend_for_a_scheme_stops_the_start(ca: TestCA) -> None:
    class Shadow:
        scheme, blocking = "file", False

        def __init__(self, config: Nothing, context: Any) -> None: ...

        def load(self, uri: str) -> Any:
            raise AssertionError("it must never be asked")

    enable(ca, "evil")
    with pytest.raises(ConfigError, match="another key backend serves the scheme file:"):
        ca.authority({"evil": offering("key_backends", lambda: [kind("evil", Nothing, Shadow)])})


@pytest.mark.parametrize("key", [None, b"key", "key", 7, object()], ids=lambda key: type(key).__name__)
def test_a_key_backend_that_gives_no_key_stops_the_start(ca: TestCA, key: Any) -> None:
    class Keyless:
        scheme, blocking = "evil", False

        def __init__(self, config: Nothing, context: Any) -> None: ...

        def load(self, uri: str) -> Any:
            return key

    edit(ca, 'key = "file:secrets/intermediate_ca_key"', 'key = "evil:x"')
    enable(ca, "evil")
    with pytest.raises(ConfigError, match=r"signers\.x509"):
        ca.authority({"evil": offering("key_backends", lambda: [kind("evil", Nothing, Keyless)])})


# Routes


@pytest.mark.parametrize("case", [*FAILURES, "answers nothing", "answers text"])
async def test_a_route_that_gives_no_answer_harms_nobody_and_shows_nothing(
    ca: TestCA, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    answers: dict[str, evil.Act] = {"answers nothing": lambda _: _give(None), "answers text": lambda _: _give("yes")}

    class Plugin:
        @hookimpl
        def routes(self, services: Any) -> Any:
            return [Route("GET", "/evil/{}", (FAILURES | answers)[case])]

    async with tried(ca, evil=Plugin()) as trial:
        reply = await send(trial.app, "GET", "/evil/x")
        assert reply.status == (503 if "hangs" in case else 500)
        assert CANARY.encode() not in reply.body and b"Traceback" not in reply.body
        assert evil.lines_of(caplog, "plugin evil", "GET /evil/{}")
        assert (await trial.sign()).status == 201
