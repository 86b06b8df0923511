"""From a token to a grant that is believed: whatever a provisioner does but that is a refusal."""

import asyncio
import dataclasses
import types
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509

from mica import (
    Context,
    Exactly,
    Grant,
    Kind,
    OneTime,
    Operation,
    Provisioner,
    ProvisionerRef,
    Refused,
    Renew,
    Reusable,
    Revoke,
    SignX509,
    Unauthorized,
    UnverifiedToken,
    hookimpl,
    kind,
    registry,
)
from mica.authority import Authority
from mica.errors import TokenReused
from mica.issuance import sign_token
from mica.records import CertificateKind, Query
from mica.requests import SignRequest
from mica.testing.ca import TestCA, csr

Change = Callable[[Grant], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class OddConfig:
    name: str


class Odd:
    """A provisioner that recognises tokens of its own name and answers with what a test makes of a good grant."""

    type = "ODD"
    operations = frozenset({Operation.X509_SIGN})

    def __init__(self, config: OddConfig, context: Context, change: Change) -> None:
        self.name = config.name
        self.context = context
        self.change = change

    def describe(self) -> dict[str, Any]:
        return {}

    def recognizes(self, token: UnverifiedToken) -> bool:
        return token.issuer == self.name

    async def authorize(self, token: UnverifiedToken, operation: Operation) -> Grant:
        end = self.context.now() + timedelta(minutes=5)
        names = Exactly(names=(x509.DNSName("svc.example"),))
        answer = self.change(
            Grant(
                provisioner=ProvisionerRef(name=self.name, type=self.type),
                operation=operation,
                subject="svc.example",
                spend=OneTime(id=token.id, until=end),
                expires_at=end,
                permits=(SignX509(subject_common_name="svc.example", names=names),),
                claims={"roles": ["a", "b"], "nested": {"k": [1]}},
            )
        )
        if asyncio.iscoroutine(answer):
            answer = await answer
        return answer  # type: ignore[no-any-return]


def plugin(change: Change, cls: type[Odd] = Odd) -> types.ModuleType:
    """A plugin that offers the odd provisioner."""

    def register_provisioners() -> list[Kind[Provisioner]]:
        return [kind("odd", OddConfig, lambda config, context: cls(config, context, change))]

    module = types.ModuleType("odd")
    module.register_provisioners = hookimpl(register_provisioners)  # type: ignore[attr-defined]
    return module


def authority_of(ca: TestCA, change: Change, cls: type[Odd] = Odd) -> Authority:
    path = ca.directory / "ca.toml"
    path.write_text(path.read_text() + '\n[[provisioners]]\ntype = "odd"\nname = "odd"\n')
    return ca.authority({"odd": plugin(change, cls)})


async def outcome(ca: TestCA, change: Change, cls: type[Odd] = Odd, **claims: Any) -> Exception | None:
    """What a request with a token of the odd provisioner ends with; nothing is on record when it is refused."""
    authority = authority_of(ca, change, cls)
    await authority.start()
    try:
        await sign_token(authority, SignRequest(csr=csr("svc.example")), ca.token("x", iss="odd", **claims))
    except Exception as error:
        assert (await authority.store.search(Query(now=ca.clock()))).rows == ()
        return error
    finally:
        await authority.aclose()
    return None


def changed(**members: Any) -> Change:
    return lambda grant: dataclasses.replace(grant, **members)


async def test_a_good_grant_is_believed(ca: TestCA) -> None:
    assert await outcome(ca, lambda grant: grant) is None


LATER = timedelta(days=30)


@pytest.mark.parametrize(
    "change",
    [
        lambda grant: None,
        lambda grant: True,
        lambda grant: "granted",
        lambda grant: dataclasses.asdict(grant),
        changed(provisioner=ProvisionerRef(name="admin", type="JWK")),
        changed(provisioner=ProvisionerRef(name="mica", type="mica")),
        changed(provisioner="odd"),
        changed(operation=Operation.X509_REVOKE),
        changed(operation="x509-sign-nearly"),
        changed(subject=""),
        changed(subject=None),
        changed(spend=None),
        changed(spend=Reusable(reason="")),
        lambda grant: dataclasses.replace(grant, spend=OneTime(id="", until=grant.expires_at)),
        lambda grant: dataclasses.replace(grant, spend=OneTime(id="x", until=grant.expires_at - LATER)),
        lambda grant: dataclasses.replace(grant, expires_at=grant.expires_at - LATER),
        lambda grant: dataclasses.replace(grant, expires_at=grant.expires_at + LATER),
        lambda grant: dataclasses.replace(grant, expires_at=grant.expires_at.replace(tzinfo=None)),
        changed(expires_at=None),
        changed(permits=()),
        lambda grant: dataclasses.replace(grant, permits=grant.permits * 2),
        changed(permits=(Revoke(kind=CertificateKind.X509, serial_numbers=(1,)),)),
        changed(permits=(Renew(certificate=None),)),  # type: ignore[arg-type]
        changed(permits=("everything",)),
    ],
)
async def test_an_answer_that_is_not_a_grant_for_this_is_a_refusal(ca: TestCA, change: Change) -> None:
    assert isinstance(await outcome(ca, change), Unauthorized)


async def test_a_provisioner_that_crashes_refuses(ca: TestCA, caplog: pytest.LogCaptureFixture) -> None:
    assert isinstance(await outcome(ca, lambda grant: 1 / 0), Unauthorized)
    assert "provisioner odd failed; refused" in caplog.text


async def test_a_provisioner_that_hangs_refuses(ca: TestCA, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mica.authorization.DEADLINE", 0.05)
    assert isinstance(await outcome(ca, lambda grant: asyncio.sleep(60)), Unauthorized)


async def test_an_operation_that_is_not_declared_is_not_even_asked_for(ca: TestCA) -> None:
    class Undeclared(Odd):
        operations = frozenset()

    assert isinstance(await outcome(ca, lambda grant: grant, Undeclared), Unauthorized)


@pytest.mark.parametrize("answer", [None, 1, "yes", [True], 1 / 3])
async def test_recognition_must_be_the_truth_itself(ca: TestCA, answer: object) -> None:
    class Vague(Odd):
        def recognizes(self, token: UnverifiedToken) -> bool:
            return answer  # type: ignore[return-value]

    assert isinstance(await outcome(ca, lambda grant: grant, Vague), Unauthorized)


async def test_a_token_that_two_provisioners_claim_is_refused(ca: TestCA) -> None:
    class Greedy(Odd):
        def recognizes(self, token: UnverifiedToken) -> bool:
            return True

    authority = authority_of(ca, lambda grant: grant, Greedy)
    await authority.start()
    with pytest.raises(Unauthorized, match="several provisioners claim the token: admin, odd"):
        await sign_token(authority, SignRequest(csr=csr("svc.example")), ca.token("svc.example"))
    await authority.aclose()


async def test_a_provisioner_that_cannot_recognise_harms_nobody_else(ca: TestCA) -> None:
    class Broken(Odd):
        def recognizes(self, token: UnverifiedToken) -> bool:
            raise RuntimeError("oops")

    authority = authority_of(ca, lambda grant: grant, Broken)
    await authority.start()
    await sign_token(authority, SignRequest(csr=csr("svc.example")), ca.token("svc.example"))
    await authority.aclose()


async def test_what_a_provisioner_keeps_of_its_grant_changes_nothing(ca: TestCA) -> None:
    kept: list[Any] = []

    def keep(grant: Grant) -> Grant:
        kept.append(grant.claims)
        return grant

    def refuse_x509(grant: Grant) -> str | None:
        kept[0]["roles"].append("root")
        assert grant.claims["roles"] == ("a", "b")
        with pytest.raises(TypeError):
            grant.claims["roles"] = ()  # type: ignore[index]
        return None

    module = plugin(keep)
    module.refuse_x509 = hookimpl(refuse_x509)  # type: ignore[attr-defined]
    path = ca.directory / "ca.toml"
    path.write_text(path.read_text() + '\n[[provisioners]]\ntype = "odd"\nname = "odd"\n')
    authority = ca.authority({"odd": module})
    await authority.start()
    await sign_token(authority, SignRequest(csr=csr("svc.example")), ca.token("x", iss="odd"))
    await authority.aclose()


async def test_a_grant_for_a_ca_certificate_is_refused(ca: TestCA) -> None:
    def ca_please(grant: Grant) -> Grant:
        (permit,) = grant.permits
        return dataclasses.replace(grant, permits=(dataclasses.replace(permit, ca=True),))

    assert isinstance(await outcome(ca, ca_please), Refused)


async def test_a_signer_that_does_not_exist_is_refused(ca: TestCA) -> None:
    def elsewhere(grant: Grant) -> Grant:
        (permit,) = grant.permits
        return dataclasses.replace(grant, permits=(dataclasses.replace(permit, signer="other"),))

    assert isinstance(await outcome(ca, elsewhere), Refused)


async def test_a_provisioner_that_cannot_start_is_listed_refuses_and_recovers(
    ca: TestCA, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = []

    class Late(Odd):
        async def start(self) -> None:
            attempts.append(1)
            if len(attempts) < 3:
                raise ConnectionError("the identity provider does not answer")

    monkeypatch.setattr(registry, "FIRST_RETRY", 0.01)
    authority = authority_of(ca, lambda grant: grant, Late)
    await authority.start()
    entry = authority.registry.named("odd")
    assert entry is not None
    assert entry.describe()["state"] == "Uninitialized"
    assert "does not answer" in entry.describe()["stateReason"]
    request = SignRequest(csr=csr("svc.example"))
    with pytest.raises(Unauthorized) as refused:
        await sign_token(authority, request, ca.token("x", iss="odd"))
    assert refused.value.public == 'provisioner "odd" is disabled due to an initialization error'
    while not entry.ready:
        await asyncio.sleep(0.01)
    assert "state" not in entry.describe()
    await sign_token(authority, request, ca.token("x", iss="odd"))
    await authority.aclose()


async def test_of_concurrent_uses_of_a_token_one_succeeds_and_a_reusable_one_always(ca: TestCA) -> None:
    authority = authority_of(ca, changed(spend=Reusable(reason="the credential is long-lived")))
    await authority.start()
    request = SignRequest(csr=csr("svc.example"))
    once, often = ca.token("svc.example"), ca.token("x", iss="odd")
    results = await asyncio.gather(*(sign_token(authority, request, once) for _ in range(50)), return_exceptions=True)
    assert sum(isinstance(result, TokenReused) for result in results) == 49
    await asyncio.gather(*(sign_token(authority, request, often) for _ in range(5)))
    await authority.aclose()
