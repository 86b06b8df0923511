"""Rules give names for claims: exactly those that the operator wrote down, and never more than one for one value."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mica import Exactly, Operation, SignSSH, SignX509, Unauthorized, names
from mica.structuring import structure
from mica.testing.contexts import Clock, make_context
from mica.testing.makers import ABSENT, Maker
from mica.testing.openid import OpenIDProvider, openid_provider
from mica.testing.provisioners import verdict
from mica_oidc.config import OIDCConfig, faults
from mica_oidc.mapping import MapRule, apply, rule_faults
from mica_oidc.provisioner import OIDCProvisioner

SUB = {"sub": ("repo:harbour/web:ref:refs/heads/main",)}

#: As https://token.actions.githubusercontent.com makes them, less what nobody looks at.
GITHUB = {
    "sub": "repo:harbour/web:ref:refs/heads/main",
    "jti": "example-id",
    "ref": "refs/heads/main",
    "repository": "harbour/web",
    "repository_owner": "harbour",
    "repository_visibility": "private",
    "environment": "production",
    "workflow": "deploy",
    "event_name": "push",
    "ref_type": "branch",
    "job_workflow_ref": "harbour/web/.github/workflows/deploy.yml@refs/heads/main",
    "email": ABSENT,
    "email_verified": ABSENT,
    "nonce": ABSENT,
}
#: As the API server makes them for a pod's projected volume.
KUBERNETES = {
    "sub": "system:serviceaccount:billing:invoices",
    "jti": "4711",
    "kubernetes.io": {
        "namespace": "billing",
        "pod": {"name": "invoices-7d9f", "uid": "5e0c"},
        "serviceaccount": {"name": "invoices", "uid": "8f2a"},
    },
    "email": ABSENT,
    "email_verified": ABSENT,
    "nonce": ABSENT,
}


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenIDProvider]:
    with openid_provider(tmp_path_factory.mktemp("provider")) as running:
        yield running


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def started(provider: OpenIDProvider, clock: Clock, rules: list[dict[str, Any]]) -> OIDCProvisioner:
    table = {
        "name": "ci", "client_id": "https://ca.example", "configuration_endpoint": provider.issuer,
        "roots": str(provider.server.roots), "map": rules,
    }  # fmt: skip
    provisioner = OIDCProvisioner(structure(OIDCConfig, table, "provisioners[0]"), make_context(clock))
    await provisioner.start()
    return provisioner


def made(provider: OpenIDProvider, clock: Clock, claims: dict[str, Any], **more: Any) -> str:
    maker: Maker = provider.maker(clock())
    return maker.token(**{"aud": "https://ca.example", **claims, **more})


async def test_the_recipe_for_github_actions(provider: OpenIDProvider, clock: Clock) -> None:
    rule = {
        "when": {"repository": ["harbour/web"], "ref": ["refs/heads/main"], "environment": ["production"]},
        "principals": ["deploy"],
        "dns": ["web.harbour.example"],
    }
    ci = await started(provider, clock, [rule])
    (x509_permit,) = (await verdict(ci, made(provider, clock, GITHUB), Operation.X509_SIGN)).permits
    assert isinstance(x509_permit, SignX509)
    uri = names.uri(f"{provider.issuer}#{GITHUB['sub']}")
    assert x509_permit.names == Exactly(names=(names.dns("web.harbour.example"), uri))
    ssh_permit, *_ = (await verdict(ci, made(provider, clock, GITHUB), Operation.SSH_SIGN)).permits
    assert isinstance(ssh_permit, SignSSH)
    assert (ssh_permit.key_id, ssh_permit.principals) == (GITHUB["sub"], Exactly(names=("deploy",)))
    for other in (
        {"repository": "evil/web"},
        {"ref": "refs/heads/main2"},
        {"ref": "refs/pull/1/merge"},
        {"environment": ABSENT},
        {"repository": ["harbour", "web"]},
        {"repository": {"harbour/web": True}},
        {"repository": "Harbour/web"},
    ):
        for operation in (Operation.X509_SIGN, Operation.SSH_SIGN):
            with pytest.raises(Unauthorized, match="no rule of map"):
                await verdict(ci, made(provider, clock, GITHUB, **other), operation)


async def test_the_recipe_for_kubernetes(provider: OpenIDProvider, clock: Clock) -> None:
    rules: list[dict[str, Any]] = [
        {"when": {"sub": [KUBERNETES["sub"]]}, "dns": ["invoices.billing.svc.cluster.local"]},
        {"when": {"iss": [provider.issuer]}, "claim": "sub", "to": "uri", "prefix": "spiffe://harbour.example/"},
    ]
    cluster = await started(provider, clock, rules)
    (permit,) = (await verdict(cluster, made(provider, clock, KUBERNETES), Operation.X509_SIGN)).permits
    assert isinstance(permit, SignX509)
    assert set(permit.names.names) == {  # type: ignore[union-attr]
        names.dns("invoices.billing.svc.cluster.local"),
        names.uri("spiffe://harbour.example/system:serviceaccount:billing:invoices"),
        names.uri(f"{provider.issuer}#{KUBERNETES['sub']}"),
    }
    with pytest.raises(Unauthorized, match="SSH principal"):
        await verdict(cluster, made(provider, clock, KUBERNETES), Operation.SSH_SIGN)
    with pytest.raises(Unauthorized, match="cannot become a name"):
        await verdict(cluster, made(provider, clock, KUBERNETES, sub="a/../admin"), Operation.X509_SIGN)


async def test_what_rules_give_comes_beside_what_an_address_gives(provider: OpenIDProvider, clock: Clock) -> None:
    rule = {"when": {"groups": ["dba", "ops"]}, "principals": ["postgres", "ann"]}
    ci = await started(provider, clock, [rule])
    raw = made(provider, clock, {"groups": ["staff", "dba"], "email": "ann@harbour.example"})
    permit, *more = (await verdict(ci, raw, Operation.SSH_SIGN)).permits
    assert isinstance(permit, SignSSH)
    assert permit.principals == Exactly(names=("ann", "ann@harbour.example", "postgres"))
    assert more == []


@pytest.mark.parametrize(
    ("to", "affixes", "value", "name"),
    [
        ("principal", {}, "deploy", "deploy"),
        ("principal", {"prefix": "ci-", "suffix": "@harbour"}, "web", "ci-web@harbour"),
        ("dns", {}, "Web.Harbour.example", "web.harbour.example"),
        ("dns", {"suffix": ".ci.example"}, "web-1", "web-1.ci.example"),
        ("email", {}, "ann@harbour.example", "ann@harbour.example"),
        ("uri", {"prefix": "spiffe://h.example/ci/"}, "harbour/web", "spiffe://h.example/ci/harbour/web"),
        ("uri", {"prefix": "urn:ci:"}, "web", "urn:ci:web"),
    ],
)
def test_a_plain_value_is_copied(to: Any, affixes: dict[str, str], value: str, name: str) -> None:
    rule = MapRule(when=SUB, claim="x", to=to, **affixes)
    assert rule_faults(rule) == []
    for claim in (value, [value]):
        mapped = apply((rule,), {"sub": SUB["sub"][0], "x": claim})
        assert [*mapped.principals, *map(names.text, mapped.names)] == [name]
    assert not apply((rule,), {"sub": SUB["sub"][0]})
    assert not apply((rule,), {"x": value})


_HOSTILE = (
    "", " ", "a b", "deploy,root", "deploy\nroot", "a\x00", "*", "a*", "?", "a\tb", "a;b", "a|b", "$(id)", "{{x}}",
    "..", "../x", "a/../b", "/a", "a//b", "a/", "\u202eroot", "a\\b", "a%2fb", "-oProxyCommand", "a?b", "a#b", "'", '"',
    "é",
)  # fmt: skip


@pytest.mark.parametrize("value", _HOSTILE, ids=ascii)
@pytest.mark.parametrize(
    "rule",
    [
        MapRule(when=SUB, claim="x", to="principal"),
        MapRule(when=SUB, claim="x", to="principal", prefix="ci-"),
        MapRule(when=SUB, claim="x", to="dns", suffix=".ci.example"),
        MapRule(when=SUB, claim="x", to="uri", prefix="spiffe://h.example/ci/"),
        MapRule(when=SUB, claim="x", to="email"),
    ],
    ids=["principal", "prefixed principal", "dns", "uri", "email"],
)
def test_a_value_that_could_be_more_than_one_plain_name_refuses_the_token(rule: MapRule, value: str) -> None:
    for claim in (value, ["plain", value]):
        with pytest.raises(Unauthorized, match="cannot become a name"):
            apply((rule,), {"sub": SUB["sub"][0], "x": claim})


@pytest.mark.parametrize(
    ("rule", "value"),
    [
        (MapRule(when=SUB, claim="x", to="dns"), "*.harbour.example"),
        (MapRule(when=SUB, claim="x", to="dns", suffix=".ci.example"), "evil.sub"),
        (MapRule(when=SUB, claim="x", to="dns"), "10.0.0.1"),
        (MapRule(when=SUB, claim="x", to="dns"), "2130706433"),
        (MapRule(when=SUB, claim="x", to="email"), "ann@*.example"),
        (MapRule(when=SUB, claim="x", to="principal"), 1),
        (MapRule(when=SUB, claim="x", to="principal"), {"deploy": True}),
        (MapRule(when=SUB, claim="x", to="principal"), ["deploy", 1]),
        (MapRule(when=SUB, claim="x", to="principal"), ["deploy"] * 65),
        (MapRule(when=SUB, claim="x", to="principal"), "x" * 256),
    ],
)
def test_a_value_that_is_no_name_of_its_kind_refuses_the_token(rule: MapRule, value: object) -> None:
    with pytest.raises(Unauthorized, match="cannot become a name"):
        apply((rule,), {"sub": SUB["sub"][0], "x": value})


@pytest.mark.parametrize(
    ("rule", "field"),
    [
        (MapRule(principals=("deploy",)), "when"),
        (MapRule(claim="sub", to="principal"), "when"),
        (MapRule(when={"sub": ()}, principals=("deploy",)), "when.sub"),
        (MapRule(when=SUB), "principals"),
        (MapRule(when=SUB, claim="sub"), "claim"),
        (MapRule(when=SUB, to="dns"), "claim"),
        (MapRule(when=SUB, principals=("deploy,root",)), "principals"),
        (MapRule(when=SUB, principals=("*",)), "principals"),
        (MapRule(when=SUB, dns=("a b",)), "dns"),
        (MapRule(when=SUB, emails=("ann",)), "emails"),
        (MapRule(when=SUB, uris=("nowhere",)), "uris"),
        (MapRule(when=SUB, claim="x", to="dns", prefix="web-"), "prefix"),
        (MapRule(when=SUB, claim="x", to="dns", suffix="harbour.example"), "suffix"),
        (MapRule(when=SUB, claim="x", to="email", suffix="@harbour.example"), "suffix"),
        (MapRule(when=SUB, claim="x", to="uri"), "prefix"),
        (MapRule(when=SUB, claim="x", to="uri", prefix="https://"), "prefix"),
        (MapRule(when=SUB, claim="x", to="uri", prefix="https://harbour.example"), "prefix"),
        (MapRule(when=SUB, claim="x", to="uri", prefix="https://harbour.example:"), "prefix"),
        (MapRule(when=SUB, claim="x", to="uri", prefix="https://harbour.example/a?b=/"), "prefix"),
        (MapRule(when=SUB, claim="x", to="principal", prefix="a,"), "prefix"),
    ],
)
def test_a_rule_that_could_give_more_than_it_says_is_a_mistake(rule: MapRule, field: str) -> None:
    assert field in [fault.partition(":")[0] for fault in rule_faults(rule)]


def test_the_table_of_the_readme_is_a_good_one() -> None:
    text = (Path(__file__).parents[1] / "README.md").read_text()
    (block,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    (table,) = tomllib.loads(block)["provisioners"]
    assert table.pop("type") == "oidc"
    assert faults(structure(OIDCConfig, table, "provisioners[0]")) == []
