"""Evil provisioners: whatever they say, whenever they say it, nobody gets more than they declared and granted."""

import asyncio
import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Any

import pytest
from cryptography import x509
from tests.security import evil
from tests.security.evil import CANARY, FAILURES, KEY, hang_and_agree, tried

from mica import (
    Context,
    Exactly,
    Grant,
    Issuance,
    OneTime,
    Operation,
    ProvisionerRef,
    Renew,
    Reusable,
    Revoke,
    RevokeAny,
    SignX509,
    Unavailable,
    UnverifiedToken,
    authorization,
    deadlines,
    hookimpl,
    kind,
    registry,
)
from mica.errors import ConfigError, Unauthorized
from mica.issuance import sign_token
from mica.records import CertificateKind
from mica.renewal import renew
from mica.requests import RenewRequest, SignRequest
from mica.testing.ca import TestCA, csr
from mica.testing.line_requests import send
from mica.testing.plugins import append, enable


@dataclass(frozen=True, slots=True, kw_only=True)
class EvilConfig:
    name: str


class Evil:
    """Grants what its tokens ask for, until it is told otherwise."""

    type = "Evil"
    operations: Any = frozenset({Operation.X509_SIGN})

    def __init__(self, config: EvilConfig, context: Context) -> None:
        self.name = config.name
        self.now = context.now

    def describe(self) -> Mapping[str, Any]:
        return {}

    def recognizes(self, token: UnverifiedToken) -> bool:
        return token.issuer == "evil"

    def authorize(self, token: UnverifiedToken, operation: Operation) -> Any:
        return self.answer(self.grant(token, operation))

    def authorize_renewal(self, issuance: Issuance, operation: Operation) -> Any:
        raise Unauthorized("not here")

    async def answer(self, grant: Grant) -> Any:
        return grant

    def grant(self, token: UnverifiedToken, operation: Operation) -> Grant:
        end: datetime = self.now() + timedelta(minutes=5)
        revoking = RevokeAny(kind=CertificateKind.X509)
        signing = SignX509(subject_common_name="svc.example", names=Exactly(names=(x509.DNSName("svc.example"),)))
        return Grant(
            provisioner=ProvisionerRef(name=self.name, type=self.type),
            operation=operation,
            subject="svc.example",
            spend=OneTime(id=token.id, until=end),
            expires_at=end,
            permits=(revoking if operation is Operation.X509_REVOKE else signing,),
        )


class Plugin:
    """Offers one provisioner as the kind ``evil``."""

    built: Any

    def __init__(self, make: Callable[..., Any] = Evil) -> None:
        self.make = make

    @hookimpl
    def register_provisioners(self) -> Any:
        return [kind("evil", EvilConfig, self._build)]

    def _build(self, config: EvilConfig, context: Context) -> Any:
        self.built = self.make(config, context)
        return self.built


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authorization, "DEADLINE", 0.05)
    monkeypatch.setattr(registry, "DEADLINE", 0.05)
    monkeypatch.setattr(deadlines, "GRACE", 0.05)


@pytest.fixture
def ca(ca: TestCA) -> TestCA:
    append(ca, '\n[[provisioners]]\ntype = "evil"\nname = "evil"\n')
    return ca


async def refused(ca: TestCA, make: Callable[..., Any], caplog: pytest.LogCaptureFixture, status: int = 401) -> None:
    """An order to the evil provisioner gives no certificate and a line that names it; others are served meanwhile."""
    async with tried(ca, evil=Plugin(make)) as trial:
        asked = asyncio.create_task(trial.sign(ca.token("svc.example", iss="evil")))
        await asyncio.sleep(0)
        assert (await trial.sign(name="other.example")).status == 201
        reply = await asked
        assert reply.status == status and CANARY not in reply.json["message"]
        assert evil.lines_of(caplog, "evil")
        assert await trial.on_record() == ["other.example"]


#: Grants of its own class: they are one thing when they are judged and may be another when they are used.
class TwoFacedGrant(Grant):
    @property
    def looks(self) -> int:
        return 2


class TwoFacedSpend(OneTime):
    @property
    def looks(self) -> int:
        return 2


class Nowhere(tzinfo):
    def utcoffset(self, moment: datetime | None) -> None:
        return None

    dst = tzname = utcoffset


class Whenever:
    def __lt__(self, other: object) -> bool:
        return False


class Exiting(dict[str, str]):
    def items(self) -> Any:
        raise SystemExit(CANARY)


class Untold(Exception):
    """One that was never told."""

    def __str__(self) -> str:
        raise RuntimeError(CANARY)

    __repr__ = __str__


class Unfinished(Unauthorized):
    """Its author forgot ``super().__init__``."""

    def __init__(self, token: str) -> None:
        self.token = token

    def __str__(self) -> str:
        return f"{self.reason}"  # type: ignore[attr-defined]


def permitting(grant: Grant, **members: Any) -> Grant:
    (permit,) = grant.permits
    return dataclasses.replace(grant, permits=(dataclasses.replace(permit, **members),))


def own_kind(grant: Grant, kind_: type[Any]) -> Any:
    return kind_(**{field.name: getattr(grant, field.name) for field in dataclasses.fields(grant)})


GRANTS: dict[str, Callable[[Grant], Any]] = {
    "of its own class": lambda grant: own_kind(grant, TwoFacedGrant),
    "with a spend of its own class": lambda grant: dataclasses.replace(
        grant, spend=own_kind(grant.spend, TwoFacedSpend)  # type: ignore[arg-type]
    ),
    "twice": lambda grant: [grant, grant],
    "of another provisioner": lambda grant: dataclasses.replace(
        grant, provisioner=ProvisionerRef(name="admin", type="JWK")
    ),
    "for another operation": lambda grant: dataclasses.replace(grant, operation=Operation.SSH_SIGN),
    "with a text for its end": lambda grant: dataclasses.replace(grant, expires_at="tomorrow"),  # type: ignore[arg-type]
    "whose zone has no offset": lambda grant: dataclasses.replace(
        grant, expires_at=grant.expires_at.replace(tzinfo=Nowhere())
    ),
    "spent until whenever": lambda grant: dataclasses.replace(grant, spend=OneTime(id="x", until=Whenever())),  # type: ignore[arg-type]
    "with evidence that ends the process": lambda grant: dataclasses.replace(grant, evidence=Exiting()),
    "with claims without an end": lambda grant: dataclasses.replace(
        grant, claims=(loop := {}, loop.update(loop=loop))[0]  # type: ignore[var-annotated]
    ),
    "whose rule is what one likes": lambda grant: permitting(grant, names=evil.Posing(Exactly)),
    "whose names are one text": lambda grant: permitting(grant, common_names="svc"),
    "whose end is a number": lambda grant: permitting(grant, not_after=7),
}  # fmt: skip


@pytest.mark.parametrize("case", GRANTS)
async def test_an_answer_that_is_not_one_plain_grant_is_refused(
    ca: TestCA, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Lying(Evil):
        async def answer(self, grant: Grant) -> Any:
            return GRANTS[case](grant)

    await refused(ca, Lying, caplog)


@pytest.mark.parametrize("case", FAILURES)
async def test_a_provisioner_that_gives_no_answer_refuses_and_is_named(
    ca: TestCA, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing(Evil):
        def authorize(self, token: UnverifiedToken, operation: Operation) -> Any:
            return FAILURES[case]()

    await refused(ca, Failing, caplog)


UNTOLD: dict[str, BaseException] = {
    "what cannot be told": Untold(),
    "a refusal without its parts": Unfinished("token"),
    "a refusal that is told to nobody": Unauthorized(CANARY, public=Untold()),  # type: ignore[arg-type]
    "an unavailability that cannot be told": type("Away", (Unavailable, Untold), {})(),
}


@pytest.mark.parametrize("case", UNTOLD)
async def test_what_cannot_even_be_said_is_a_refusal_like_any_other(
    ca: TestCA, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Mumbling(Evil):
        def authorize(self, token: UnverifiedToken, operation: Operation) -> Any:
            raise UNTOLD[case]

    async with tried(ca, evil=Plugin(Mumbling)) as trial:
        reply = await trial.sign(ca.token("svc.example", iss="evil"))
        assert reply.status == (503 if "unavailability" in case else 401)
        assert CANARY not in reply.json["message"]
        assert evil.lines_of(caplog)
        assert await trial.on_record() == []


async def test_one_that_cannot_start_and_cannot_say_why_stops_nobody(
    ca: TestCA, caplog: pytest.LogCaptureFixture
) -> None:
    class Mumbling(Evil):
        async def start(self) -> None:
            raise Untold

    async with tried(ca, evil=Plugin(Mumbling)) as trial:
        assert (await trial.sign(ca.token("svc.example", iss="evil"))).status == 401
        assert (await trial.sign()).status == 201
    assert evil.lines_of(caplog, "provisioner evil is not ready")


async def test_one_that_cannot_judge_now_is_asked_again_later(ca: TestCA, caplog: pytest.LogCaptureFixture) -> None:
    class Away(Evil):
        operations = frozenset({Operation.X509_SIGN, Operation.X509_RENEW})
        is_away = True

        async def answer(self, grant: Grant) -> Any:
            if self.is_away:
                raise Unavailable(CANARY)
            return grant

        def authorize_renewal(self, issuance: Issuance, operation: Operation) -> Any:
            grant = self.grant(UnverifiedToken.parse(token), operation)
            return self.answer(
                dataclasses.replace(grant, permits=(Renew(certificate=issuance),), spend=Reusable(reason="held"))
            )

    plugin, token = Plugin(Away), ca.token("svc.example", iss="evil")
    async with tried(ca, evil=plugin) as trial:
        reply = await trial.sign(token)
        assert reply.status == 503 and CANARY not in reply.json["message"]
        assert evil.lines_of(caplog, "provisioner evil cannot judge now")
        plugin.built.is_away = False
        reply = await trial.sign(token)
        assert reply.status == 201, "the token was burnt"
        leaf = x509.load_pem_x509_certificate(reply.json["crt"].encode())
        plugin.built.is_away = True
        with pytest.raises(Unavailable, match="provisioner evil"):
            await renew(trial.authority, RenewRequest(certificate=leaf))
        plugin.built.is_away = False
        assert await renew(trial.authority, RenewRequest(certificate=leaf))


class Loose(str):
    """A text that any other equals, and no place finds again."""

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return id(self)


class Shifting(list[Any]):
    """A list that has something else in it when it is read again."""

    def __iter__(self) -> Any:
        names = [*list.__iter__(self)]
        self[:] = [x509.DNSName("root.example")]
        return iter(names)


async def test_texts_and_lists_of_its_own_kind_count_once_for_what_is_in_them(ca: TestCA) -> None:
    class Loosely(Evil):
        async def answer(self, grant: Grant) -> Any:
            name = x509.DNSName(Loose("svc.example"))
            return permitting(
                dataclasses.replace(
                    grant, subject=Loose("svc.example"), spend=OneTime(id=Loose("one"), until=grant.expires_at)
                ),
                subject_common_name=Loose("svc.example"),
                names=Exactly(names=Shifting([name])),  # type: ignore[arg-type]
            )

    async with tried(ca, evil=Plugin(Loosely)) as trial:
        token = ca.token("svc.example", iss="evil")
        assert (await trial.sign(token, name="other.example")).status == 403
        reply = await trial.sign(token)
        assert reply.status == 201
        assert (await trial.sign(token)).status == 401, "the token served twice"
        leaf = x509.load_pem_x509_certificate(reply.json["crt"].encode())
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert [*names] == [x509.DNSName("svc.example")]
        assert await trial.on_record() == ["svc.example"]


@pytest.mark.parametrize("number", [True, "1", 1.0], ids=repr)
async def test_a_serial_number_that_is_none_ends_nothing(ca: TestCA, number: Any) -> None:
    class Counting(Evil):
        operations = frozenset({Operation.X509_REVOKE})

        async def answer(self, grant: Grant) -> Any:
            revoke = Revoke(kind=CertificateKind.X509, serial_numbers=(number,))
            return dataclasses.replace(grant, permits=(revoke,))

    async with tried(ca, evil=Plugin(Counting)) as trial:
        body = OTHERS["/revoke"](ca.token("1", "/revoke", iss="evil"))
        assert (await send(trial.app, "POST", "/revoke", body)).status == 401


async def test_a_recognition_that_has_to_be_awaited_is_none_and_the_log_says_so(
    ca: TestCA, caplog: pytest.LogCaptureFixture
) -> None:
    class Modern(Evil):
        def recognizes(self, token: UnverifiedToken) -> Any:
            return asyncio.get_running_loop().create_future()

    await refused(ca, Modern, caplog)
    assert "answered recognizes with" in caplog.text


async def test_a_grant_that_comes_after_the_deadline_is_none(ca: TestCA, caplog: pytest.LogCaptureFixture) -> None:
    class Late(Evil):
        async def answer(self, grant: Grant) -> Any:
            await hang_and_agree()
            return grant

    await refused(ca, Late, caplog)


@pytest.mark.parametrize("case", [case for case in evil.ERRORS if "Stop" not in case])
async def test_a_provisioner_that_cannot_recognise_recognises_nothing_and_is_named(
    ca: TestCA, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Blind(Evil):
        def recognizes(self, token: UnverifiedToken) -> bool:
            raise evil.ERRORS[case]

    await refused(ca, Blind, caplog)


async def test_what_it_keeps_of_its_grant_is_of_no_use(ca: TestCA) -> None:
    kept: list[Grant] = []

    class Keeping(Evil):
        async def answer(self, grant: Grant) -> Any:
            kept.append(grant)
            return grant

    class Later:
        @hookimpl
        def refuse_x509(self, grant: Grant) -> None:
            (mine,) = kept
            object.__setattr__(mine, "subject", "root")
            object.__setattr__(mine.spend, "id", "another")
            object.__setattr__(mine.permits[0], "subject_common_name", "root")
            object.__setattr__(mine.provisioner, "name", "admin")

    async with tried(ca, evil=Plugin(Keeping), later=Later()) as trial:
        token = ca.token("svc.example", iss="evil")
        assert (await trial.sign(token)).status == 201
        kept.clear()
        assert (await trial.sign(token)).status == 401, "the token was spent under another id"
        assert await trial.on_record() == ["svc.example"]


# Declarations

OTHERS = {
    "/revoke": lambda ott: {"serial": "1", "passive": True, "ott": ott},
    "/ssh/sign": lambda ott: {"publicKey": evil.blob(KEY), "ott": ott},
}  # fmt: skip


async def test_what_it_did_not_declare_when_it_was_built_it_cannot_grant_later(ca: TestCA) -> None:
    plugin = Plugin()
    async with tried(ca, evil=plugin) as trial:
        plugin.built.operations = frozenset(Operation)
        for path, body in OTHERS.items():
            reply = await send(trial.app, "POST", path, body(ca.token("1", path, iss="evil")))
            assert reply.status in (401, 501), path
        issued = await sign_token(trial.authority, SignRequest(csr=csr("svc.example")), ca.token("x", iss="evil"))
        leaf = x509.load_der_x509_certificate(issued.certificate)
        with pytest.raises(Unauthorized, match="does not serve x509-renew"):
            await renew(trial.authority, RenewRequest(certificate=leaf))


async def test_one_that_declares_everything_is_believed_only_what_fits_the_operation(ca: TestCA) -> None:
    class Greedy(Evil):
        operations = frozenset(Operation)

        def authorize_renewal(self, issuance: Issuance, operation: Operation) -> Any:
            other = dataclasses.replace(issuance, subject="root")
            return self.answer(
                dataclasses.replace(
                    self.grant(UnverifiedToken.parse(token), operation), permits=(Renew(certificate=other),)
                )
            )

    token = ca.token("x", iss="evil")
    async with tried(ca, evil=Plugin(Greedy)) as trial:
        reply = await send(trial.app, "POST", "/ssh/sign", OTHERS["/ssh/sign"](ca.token("x", iss="evil")))
        assert reply.status in (401, 501)
        issued = await sign_token(trial.authority, SignRequest(csr=csr("svc.example")), token)
        leaf = x509.load_der_x509_certificate(issued.certificate)
        with pytest.raises(Unauthorized, match="evil granted something else than this renewal"):
            await renew(trial.authority, RenewRequest(certificate=leaf))
        assert await trial.on_record() == ["svc.example"]


@pytest.mark.parametrize("operations", [None, "x509-sign", ["x509-sign"], frozenset({"x509-sign"}), {1}, 7], ids=str)
def test_a_declaration_that_is_no_set_of_operations_stops_the_start(ca: TestCA, operations: Any) -> None:
    class Vague(Evil):
        pass

    Vague.operations = operations
    enable(ca, "evil")
    with pytest.raises(ConfigError, match=r"provisioners\[1\].*operations"):
        ca.authority({"evil": Plugin(Vague)})


@pytest.mark.parametrize(
    "member", [{"type": None}, {"type": ""}, {"public_keys": [b"key"]}, {"public_keys": 7}], ids=str
)
def test_what_it_says_of_itself_must_be_of_the_right_kind(ca: TestCA, member: dict[str, Any]) -> None:
    enable(ca, "evil")
    with pytest.raises(ConfigError, match=r"provisioners\[1\]"):
        ca.authority({"evil": Plugin(type("Odd", (Evil,), member))})


# Names


@pytest.mark.parametrize("name", ["admin", "mica", "other", "", None, 7, "evil\n"], ids=str)
def test_a_provisioner_is_called_as_its_table_says(ca: TestCA, name: Any) -> None:
    class Renamed(Evil):
        def __init__(self, config: EvilConfig, context: Context) -> None:
            super().__init__(config, context)
            self.name = name

    enable(ca, "evil")
    with pytest.raises(ConfigError, match=r'provisioners\[1\].* must be "evil"'):
        ca.authority({"evil": Plugin(Renamed)})


async def test_a_provisioner_that_takes_anothers_name_later_is_not_believed(ca: TestCA) -> None:
    plugin = Plugin()
    async with tried(ca, evil=plugin) as trial:
        plugin.built.name, plugin.built.type = "admin", "JWK"
        assert (await trial.sign(ca.token("svc.example", iss="evil"))).status == 401
        assert await trial.on_record() == []
        listed = (await send(trial.app, "GET", "/provisioners")).json["provisioners"]
        assert [(each["type"], each["name"]) for each in listed] == [("JWK", "admin"), ("Evil", "evil")]


DESCRIPTIONS: dict[str, Callable[[], Any]] = {
    "another's": lambda: {"type": "JWK", "name": "admin", "key": {"kid": "theirs"}},
    "no mapping": lambda: 7,
    "no JSON": lambda: {"key": object()},
    "no number": lambda: {"ratio": float("nan")},
    "no end": lambda: (loop := {}, loop.update(loop=loop))[0],
    "RuntimeError": evil.raising(RuntimeError(CANARY)),
    "SystemExit": evil.raising(SystemExit(0)),
    "KeyboardInterrupt": evil.raising(KeyboardInterrupt()),
}


@pytest.mark.parametrize("case", DESCRIPTIONS)
async def test_a_description_takes_nobodys_name_and_spoils_no_list(ca: TestCA, case: str) -> None:
    class Boasting(Evil):
        def describe(self) -> Any:
            return DESCRIPTIONS[case]()

    async with tried(ca, evil=Plugin(Boasting)) as trial:
        reply = await send(trial.app, "GET", "/provisioners")
        assert reply.status == 200 and CANARY.encode() not in reply.body
        names = [(each["type"], each["name"]) for each in reply.json["provisioners"]]
        assert names == [("JWK", "admin"), ("Evil", "evil")]


# Start and end


@pytest.mark.parametrize("case", FAILURES)
async def test_one_that_cannot_start_or_end_refuses_is_listed_and_stops_nobody(
    ca: TestCA, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Unready(Evil):
        def start(self) -> Any:
            return FAILURES[case]()

        def aclose(self) -> Any:
            return FAILURES[case]()

    async with tried(ca, evil=Plugin(Unready)) as trial:
        listed = (await send(trial.app, "GET", "/provisioners")).json["provisioners"]
        assert listed[1]["state"] == "Uninitialized"
        assert (await trial.sign(ca.token("svc.example", iss="evil"))).status == 401
        assert (await trial.sign()).status == 201
    assert evil.lines_of(caplog, "provisioner evil is not ready")
    assert evil.lines_of(caplog, "provisioner evil failed to close")
