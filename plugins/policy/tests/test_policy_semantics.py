"""What rules mean: deny wins, an allow list closes all that it does not name, and each kind of name has its own way."""

from collections.abc import Callable
from typing import Any

import pytest
from cryptography import x509

from mica_policy.presented import x509_order

Reasons = Callable[..., list[str]]

DNS = {"allow": {"dns": ["*.harbour.example", "gate.example"]}, "deny": {"dns": ["root.harbour.example"]}}


@pytest.mark.parametrize(
    ("table", "name", "allowed"),
    [
        (DNS, "svc.harbour.example", True),
        (DNS, "gate.example", True),
        (DNS, "SVC.Harbour.Example.", True),
        (DNS, "root.harbour.example", False),
        (DNS, "harbour.example", False),
        (DNS, "a.b.harbour.example", False),
        (DNS, "x.gate.example", False),
        (DNS, "evilharbour.example", False),
        (DNS, "10.0.0.1", False),
        (DNS, "ann@harbour.example", False),
        (DNS, "https://svc.harbour.example/", False),
        ({"deny": {"dns": ["*.bad.example"]}}, "x.bad.example", False),
        ({"deny": {"dns": ["*.bad.example"]}}, "bad.example", True),
        ({"deny": {"dns": ["*.bad.example"]}}, "10.0.0.1", True),
        ({"deny": {"dns": ["*.bad.example"]}}, "ann@x.bad.example", True),
        ({"allow": {"ip": ["10.0.0.0/8"]}, "deny": {"dns": ["bad.example"]}}, "good.example", False),
        ({"allow": {"ip": ["10.0.0.0/8"]}, "deny": {"dns": ["bad.example"]}}, "10.255.0.1", True),
        ({"allow": {"ip": ["10.0.0.0/8"]}, "deny": {"dns": ["bad.example"]}}, "11.0.0.1", False),
        ({"allow": {"ip": ["10.0.0.0/8", "10.1.0.0/16", "2001:db8::/32"]}}, "::ffff:10.9.9.9", True),
        ({"allow": {"ip": ["10.1.0.0/16", "10.0.0.0/8"]}}, "10.200.0.1", True),
        ({"allow": {"ip": ["::ffff:10.0.0.0/104"]}}, "10.9.9.9", True),
        ({"allow": {"ip": ["::/0"]}}, "10.9.9.9", False),
        ({"deny": {"ip": ["10.0.0.0/8"]}}, "::ffff:a09:909", False),
        ({"allow": {"ip": ["2001:DB8:0::/32"]}}, "2001:0db8:ffff::1", True),
        ({"allow": {"ip": ["2001:db8::1"]}}, "[2001:db8:0:0::1]", True),
        ({"allow": {"ip": ["0.0.0.0/0"]}}, "2001:db8::1", False),
        ({"allow": {"email": ["ann@Harbour.example"]}}, "ann@harbour.EXAMPLE", True),
        ({"allow": {"email": ["ann@harbour.example"]}}, "Ann@harbour.example", False),
        ({"allow": {"email": ["@harbour.example"]}}, "Ann@harbour.example", True),
        ({"deny": {"email": ["Ann@harbour.example"]}}, "aNN@harbour.example", False),
        ({"deny": {"email": ["ann@harbour.example"]}}, "anne@harbour.example", True),
        ({"allow": {"email": ["@harbour.example"]}}, "ann@sub.harbour.example", False),
        ({"allow": {"email": ["ann@bücher.example"]}}, "ann@xn--bcher-kva.example", True),
        ({"allow": {"dns": ["bücher.example"]}}, "XN--BCHER-KVA.example", True),
        ({"deny": {"dns": ["*.xn--bcher-kva.example"]}}, "a.BÜCHER.example", False),
        ({"allow": {"uri": ["*.harbour.example"]}}, "spiffe://web.Harbour.example/ns/a", True),
        ({"allow": {"uri": ["web.harbour.example"]}}, "https://ann:x@web.harbour.example.:8443/p?q#f", True),
        ({"allow": {"uri": ["web.harbour.example"]}}, "https://web.harbour.example@evil.example/", False),
        ({"allow": {"uri": ["web.harbour.example"]}}, "urn:uuid:web.harbour.example", False),
        ({"deny": {"uri": ["web.harbour.example"]}}, "urn:uuid:x", False),
        ({"deny": {"uri": ["web.harbour.example"]}}, "https://10.0.0.1/", False),
        ({"deny": {"uri": ["web.harbour.example"]}}, "https://[::1]/", False),
        ({"deny": {"uri": ["web.harbour.example"]}}, "https://0x7F000001/", False),
        ({"deny": {"dns": ["web.harbour.example"]}}, "127.0.0.0x1", False),
        ({"deny": {"uri": ["web.harbour.example"]}}, "https://w%65b.harbour.example/", False),
        ({"deny": {"uri": ["web.harbour.example"]}}, "https://other.example/", True),
        ({"deny": {"dns": ["web.harbour.example"]}}, "urn:uuid:x", True),
        ({"allow": {"uri": ["*.harbour.example"]}}, "https://*.harbour.example/", False),
    ],
    ids=str,
)
def test_a_name_passes_or_not(of_x509: Reasons, table: dict[str, Any], name: str, allowed: bool) -> None:
    assert (of_x509(table, name) == []) is allowed


@pytest.mark.parametrize(
    ("table", "name", "allowed"),
    [
        ({"deny": {"dns": ["other.example"]}}, "*.harbour.example", True),
        ({"allow": {"dns": ["*.harbour.example"]}}, "*.harbour.example", False),
        ({"allow": {"dns": ["*.harbour.example"]}, "allow_wildcard_names": True}, "*.harbour.example", True),
        ({"allow": {"dns": ["a.harbour.example"]}, "allow_wildcard_names": True}, "*.harbour.example", False),
        ({"allow": {"dns": ["*.example"]}, "allow_wildcard_names": True}, "*.harbour.example", False),
        ({"deny": {"dns": ["*.harbour.example"]}}, "*.harbour.example", False),
        ({"deny": {"dns": ["root.harbour.example"]}}, "*.harbour.example", False),
        ({"deny": {"dns": ["a.root.harbour.example"]}}, "*.harbour.example", True),
        (
            {"allow": {"dns": ["*.h.example"]}, "deny": {"dns": ["r.h.example"]}, "allow_wildcard_names": True},
            "*.h.example",
            False,
        ),
    ],
    ids=str,
)
def test_a_wildcard_needs_its_own_rule_and_falls_with_each_name_that_it_is_good_for(
    of_x509: Reasons, table: dict[str, Any], name: str, allowed: bool
) -> None:
    assert (of_x509(table, name) == []) is allowed


@pytest.mark.parametrize(
    ("table", "cn", "allowed"),
    [
        ({"allow": {"cn": ["Alice  Smith"]}}, "alice smith", True),
        ({"allow": {"cn": ["ALICE Smith"]}}, "Alice Smithson", False),
        ({"deny": {"cn": ["root"]}}, "ROOT", False),
        ({"deny": {"cn": ["Große Straße"]}}, "GROSSE  STRASSE", False),
        ({"deny": {"cn": ["root"]}}, "ｒｏｏｔ", False),
        ({"deny": {"cn": ["root"]}}, "ro\u200bot", False),
        ({"deny": {"cn": ["root"]}}, "root\ufe0f", False),
        ({"deny": {"cn": ["root"]}}, "r\u3164oot", False),
        ({"deny": {"cn": ["root"]}}, "root\0", False),
        ({"deny": {"cn": ["root"]}}, "groot", True),
        ({"allow": {"dns": ["*.example"]}}, "svc.example", True),
        ({"allow": {"dns": ["*.example"]}}, "Alice Smith", False),
        ({"deny": {"dns": ["svc.example"]}}, " SVC.example. ", False),
        ({"deny": {"dns": ["svc.example"]}}, "svc.example\0", False),
        ({"deny": {"dns": ["svc.example"]}}, "\u200esvc.example", False),
        ({"deny": {"dns": ["svc.example"]}}, "Alice Smith", True),
        ({"deny": {"ip": ["10.0.0.0/8"]}}, "10.1.2.3", False),
        ({"deny": {"email": ["@example"]}}, "ann@example", False),
        ({"allow": {"cn": ["svc.example"]}, "deny": {"dns": ["svc.example"]}}, "svc.example", True),
        ({"allow": {"cn": ["Alice"], "dns": ["svc.example"]}}, "svc.example", True),
        ({"allow": {"dns": ["svc.example"]}, "deny": {"cn": ["svc.example"]}}, "svc.example", False),
        ({"allow": {"ip": ["10.0.0.1"]}}, "", True),
    ],
    ids=str,
)
def test_a_common_name_is_looked_for_in_cn_first_and_then_judged_as_what_it_means(
    of_x509: Reasons, table: dict[str, Any], cn: str, allowed: bool
) -> None:
    assert (of_x509(table, cn=cn) == []) is allowed


def test_every_name_is_judged_and_every_reason_names_rule_name_and_place(of_x509: Reasons) -> None:
    table = {"allow": {"dns": ["*.example"]}, "deny": {"dns": ["BAD.example"], "ip": ["10.0.0.0/8"]}}
    assert of_x509(
        table, "good.example", "bad.example", "a.b.example", "*.example", "10.1.1.1", "a@b.example", cn="X"
    ) == [
        "common name X is allowed by no rule (plugin.policy.x509.allow.dns)",
        'DNS name bad.example is denied by "BAD.example" (plugin.policy.x509.deny.dns)',
        "DNS name a.b.example is allowed by no rule (plugin.policy.x509.allow.dns)",
        'DNS name *.example is denied by "BAD.example" (plugin.policy.x509.deny.dns)',
        'IP address 10.1.1.1 is denied by "10.0.0.0/8" (plugin.policy.x509.deny.ip)',
        "e-mail address a@b.example is allowed by no rule (plugin.policy.x509.allow has no email)",
    ]


def test_a_common_name_that_is_among_the_names_is_told_once(of_x509: Reasons) -> None:
    assert len(of_x509({"deny": {"dns": ["bad.example"]}}, "bad.example", cn="bad.example")) == 1


OTHERS = (
    x509.OtherName(x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3"), b"\x0c\x04root"),
    x509.DirectoryName(x509.Name([])),
    x509.RegisteredID(x509.ObjectIdentifier("1.2.3.4")),
)


@pytest.mark.parametrize("name", OTHERS, ids=lambda name: type(name).__name__)
@pytest.mark.parametrize("side", ["allow", "deny"])
def test_a_name_of_a_kind_that_no_rule_can_speak_of_is_refused_by_any_rule(
    rules_of: Callable[..., Any], name: x509.GeneralName, side: str
) -> None:
    (reason,) = rules_of({side: {"dns": ["svc.example"]}}).objections(x509_order((), [name]))
    assert reason.endswith("is refused: no rule can speak of it (plugin.policy.x509)")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (x509.DNSName("10.0.0.1"), "dns"),
        (x509.DNSName("sp ace.example"), "dns"),
        (x509.DNSName("a..example"), "dns"),
        (x509.DNSName("*.*.example"), "dns"),
        (x509.RFC822Name("no-address"), "email"),
        (x509.RFC822Name('"a b"@host.example'), "email"),
        (x509.RFC822Name("a@10.0.0.1"), "email"),
    ],
    ids=str,
)
@pytest.mark.parametrize("side", ["allow", "deny"])
def test_a_name_that_cannot_be_compared_passes_no_rule_of_its_kind(
    rules_of: Callable[..., Any], name: x509.GeneralName, kind: str, side: str
) -> None:
    rule = {"dns": "svc.example", "email": "ann@svc.example"}[kind]
    (reason,) = rules_of({side: {kind: [rule]}}).objections(x509_order((), [name]))
    assert "cannot be compared with the rules" in reason


USERS = {"user": {"allow": {"principal": ["ann", "deploy"], "email": ["@example"]}, "deny": {"principal": ["Root"]}}}


@pytest.mark.parametrize(
    ("table", "kind", "principals", "allowed"),
    [
        (USERS, "user", ("ann", "ann@EXAMPLE"), True),
        (USERS, "user", ("Ann",), False),
        (USERS, "user", ("ann", "bob"), False),
        (USERS, "user", ("ann@other.example",), False),
        (USERS, "host", ("gate.example",), False),
        ({"user": {"allow": {"principal": ["*"]}, "deny": {"principal": ["Root"]}}}, "user", ("anybody",), True),
        ({"user": {"allow": {"principal": ["*"]}, "deny": {"principal": ["Root"]}}}, "user", ("rOOT",), False),
        ({"user": {"allow": {"principal": ["*"]}}}, "user", ("ann@example",), False),
        ({"user": {"allow": {"email": ["ann@example"]}}}, "user", ("ann",), False),
        ({"user": {"deny": {"principal": ["root"]}}}, "user", ("ann", "ann@example"), True),
        ({"user": {"deny": {"principal": ["*"]}}}, "user", ("ann",), False),
        ({"user": {"deny": {"principal": ["root"]}}}, "user", ("10.0.0.1",), False),
        ({"user": {"deny": {"principal": ["root"]}}}, "user", ("urn:x",), False),
        ({"user": {"deny": {"email": ["@example"]}}}, "user", ("ann@exa mple",), False),
        ({"host": {"allow": {"dns": ["*.example"], "ip": ["10.0.0.0/8"]}}}, "host", ("gate.example", "10.1.1.1"), True),
        ({"host": {"allow": {"dns": ["*.example"]}}}, "host", ("a.gate.example",), False),
        ({"host": {"allow": {"dns": ["*.example"]}}}, "host", ("10.1.1.1",), False),
        ({"host": {"allow": {"dns": ["*.example"]}}}, "host", ("ann@gate.example",), False),
        ({"host": {"allow": {"dns": ["*.example"], "principal": ["Build_1"]}}}, "host", ("build_1",), True),
        ({"host": {"allow": {"dns": ["*.example"], "principal": ["build_1"]}}}, "host", ("build_2",), False),
        ({"host": {"deny": {"principal": ["gate.example"]}}}, "host", ("GATE.example",), False),
        ({"host": {"deny": {"principal": ["gate.example"]}}}, "host", ("gate.example.",), False),
        ({"host": {"deny": {"dns": ["gate.example"]}}}, "host", ("GATE.example.",), False),
        ({"host": {"allow": {"principal": ["*"]}, "deny": {"dns": ["a.example"]}}}, "host", ("a.example",), False),
        ({"host": {"allow": {"principal": ["*"]}, "deny": {"ip": ["10.0.0.0/8"]}}}, "host", ("10.1.1.1",), False),
        ({"host": {"allow": {"principal": ["*"]}, "deny": {"dns": ["a.example"]}}}, "host", ("b.example",), True),
        ({"user": {"deny": {"email": ["root@example"]}}}, "user", ("Root@example",), False),
        ({"host": {"deny": {"dns": ["gate.example"]}}}, "host", ("other.example", "10.0.0.1"), True),
        ({"host": {"deny": {"dns": ["gate.example"]}}}, "host", ("https://other.example/",), False),
        ({"host": {"allow": {"dns": ["gate.example"]}}}, "user", ("ann",), False),
    ],
    ids=str,
)
def test_principals_pass_or_not(
    of_ssh: Reasons, table: dict[str, Any], kind: str, principals: tuple[str, ...], allowed: bool
) -> None:
    assert (of_ssh(table, kind, *principals) == []) is allowed


def test_where_one_kind_of_ssh_certificate_has_rules_the_other_is_refused_with_a_reason(of_ssh: Reasons) -> None:
    assert of_ssh(USERS, "host", "gate.example") == [
        "an SSH certificate for a host is allowed by no rule (plugin.policy.ssh has user, and no host)"
    ]
