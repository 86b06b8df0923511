"""Rules are read once, at the start, and every one that cannot be is told with its place and what to write."""

from collections.abc import Callable
from typing import Any

import pytest

from mica import ConfigError
from mica.structuring import structure
from mica.testing.ca import TestCA
from mica.testing.plugins import add_jwk_provisioner, append, enable
from mica_policy.table import PolicyConfig


def faults_of(table: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        structure(PolicyConfig, table, "plugin.policy")
    return list(caught.value.faults)


@pytest.mark.parametrize(
    ("kind", "rule", "remedy"),
    [
        ("dns", "*.*.example", '"*.example"'),
        ("dns", "foo.*", '"*.example"'),
        ("dns", "*", '"*.example"'),
        ("dns", "*.", '"*.example"'),
        ("dns", "fo*.example", '"*.example"'),
        ("dns", ".example", '"*.example"'),
        ("dns", "10.0.0.1", "put it into ip"),
        ("dns", "1.2.3.4.5", '"svc.example" or'),
        ("dns", "https://svc.example", "host alone"),
        ("dns", "a..example", '"svc.example" or'),
        ("dns", " svc.example", "leave them out"),
        ("dns", "sp ace.example", '"svc.example" or'),
        ("dns", "", "leave it out"),
        ("uri", "https://svc.example", "host alone"),
        ("ip", "10.0.0.1/8", "'10.0.0.0/8' or '10.0.0.1'"),
        ("ip", "2001:db8::1/32", "'2001:db8::/32' or '2001:db8::1'"),
        ("ip", "10.0.0.0/255.0.0.0", "number of its leading bits"),
        ("ip", "10.0.0.0/33", "more leading bits"),
        ("ip", "10.0.0", '"10.0.0.0/8"'),
        ("ip", "fe80::1%eth0", '"10.0.0.0/8"'),
        ("ip", "svc.example", '"10.0.0.0/8"'),
        ("email", "example", '"@example"'),
        ("email", "@*.example", '"@example"'),
        ("email", "a b@example", '"ann@example"'),
        ("cn", "*", "name the common names"),
    ],
    ids=str,
)
def test_a_rule_that_says_nothing_is_a_fault_at_its_place(kind: str, rule: str, remedy: str) -> None:
    good = {"dns": "a.example", "uri": "a.example", "ip": "::1", "email": "@b.example", "cn": "A"}[kind]
    (fault,) = faults_of({"x509": {"allow": {"dns": ["good.example"]}, "deny": {kind: [good, rule]}}})
    assert fault.startswith(f"plugin.policy.x509.deny.{kind}[1]: {rule!r} ")
    assert remedy in fault


@pytest.mark.parametrize(
    ("kind", "lists", "fault"),
    [
        ("user", {"principal": ["ann@example"]}, "ssh.user.allow.principal[0]: 'ann@example' has an @"),
        ("user", {"principal": ["a,b"]}, "ssh.user.allow.principal[0]: 'a,b' must be one plain name"),
        ("user", {"principal": ["an*"]}, "ssh.user.allow.principal[0]: 'an*' must be one plain name"),
        ("user", {"dns": ["a.example"]}, 'ssh.user.allow: extra field "dns"; known: email, principal'),
        ("host", {"email": ["a@example"]}, 'ssh.host.allow: extra field "email"; known: dns, ip, principal'),
        ("host", {"ip": ["x"]}, "ssh.host.allow.ip[0]: 'x' is not an IP address"),
    ],
    ids=str,
)
def test_a_rule_for_principals_is_a_fault_too(kind: str, lists: dict[str, Any], fault: str) -> None:
    assert faults_of({"ssh": {kind: {"allow": lists}}})[0].startswith(f"plugin.policy.{fault}")


@pytest.mark.parametrize(
    ("table", "fault"),
    [
        ({"x509": {}}, "plugin.policy.x509: must hold allow or deny; or leave it out"),
        ({"x509": {"allow": {}}}, "plugin.policy.x509.allow: must hold a list of rules: cn, dns, ip, email, uri;"),
        ({"x509": {"allow": {"dns": []}}}, "plugin.policy.x509.allow.dns: must hold at least one rule;"),
        ({"ssh": {}}, "plugin.policy.ssh: must hold user or host; or leave it out"),
        ({"x509": {"allow": {"dns": "a.example"}}}, "plugin.policy.x509.allow.dns: must be an array, not a string"),
        ({"x509": {"allow": {"domain": ["a"]}}}, 'plugin.policy.x509.allow: extra field "domain"; known: cn, dns'),
        ({"mode": "log"}, 'plugin.policy.mode: must be one of "enforce", "shadow", not "log"'),
        ({"renewals": 1}, "plugin.policy.renewals: must be true or false, not an integer"),
    ],
    ids=str,
)
def test_a_table_that_says_nothing_is_a_fault(table: dict[str, Any], fault: str) -> None:
    assert faults_of(table)[0].startswith(fault)


def test_every_fault_of_authority_and_provisioners_is_told_at_once(found: Callable[..., TestCA]) -> None:
    ca = found('[plugin.policy]\nx509 = { allow = { dns = ["foo.*", "*.*.x"], ip = ["10.0.0.1/8"] } }')
    add_jwk_provisioner(ca, "ci")
    append(ca, 'policy = { x509 = { deny = { email = ["x"] } } }\n')
    with pytest.raises(ConfigError) as caught:
        ca.authority()
    assert [fault.partition(": ")[0] for fault in caught.value.faults] == [
        "provisioners[1].policy.x509.deny.email[0]",
        "plugin.policy.x509.allow.dns[0]",
        "plugin.policy.x509.allow.dns[1]",
        "plugin.policy.x509.allow.ip[0]",
    ]


def test_a_policy_without_any_rule_says_so_in_the_log(
    caplog: pytest.LogCaptureFixture, found: Callable[..., TestCA]
) -> None:
    ca = found("")
    ca.authority()
    assert "the plugin policy is enabled and has no rules: it refuses nothing" in caplog.text
    add_jwk_provisioner(ca, "ci")
    append(ca, 'policy = { x509 = { deny = { dns = ["x.example"] } } }\n')
    caplog.clear()
    ca.authority()
    assert "no rules" not in caplog.text


def test_without_the_plugin_a_policy_stops_the_start(ca_without: TestCA) -> None:
    with pytest.raises(ConfigError, match="plugin.policy: no enabled plugin offers it"):
        ca_without.authority()
    enable(ca_without, "policy")
    assert ca_without.authority()


@pytest.fixture
def ca_without(tmp_path: Any) -> TestCA:
    return TestCA.found(tmp_path, more='\n[plugin.policy]\nx509 = { deny = { dns = ["x.example"] } }\n')
