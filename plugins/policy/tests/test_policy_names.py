"""Names are compared in one form, however they are spelled, and many rules say what few lines of plain Python say."""

import ipaddress
from collections.abc import Callable
from typing import Any

import idna
import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from mica_policy import canonical
from mica_policy.judging import NameRules, Ruleset
from mica_policy.presented import x509_order
from mica_policy.table import PolicyConfig, X509Lists, X509Rules

LABELS = st.sampled_from(["a", "b", "svc", "x1", "bücher", "straße", "xn--bcher-kva"])
DOMAINS = st.lists(LABELS, min_size=1, max_size=3).map(".".join)
RULES = st.one_of(DOMAINS, DOMAINS.map("*.{}".format))
ADDRESSES = st.one_of(
    st.integers(0, 7).map(lambda n: str(ipaddress.IPv4Address(0x0A000000 + n))),
    st.integers(0, 7).map(lambda n: str(ipaddress.IPv6Address((0x20010DB8 << 96) + n))),
)
LOCALS = st.sampled_from(["ann", "Ann", "bob.x"])
MAILBOXES = st.builds("{}@{}".format, LOCALS, DOMAINS)


@st.composite
def networks(draw: st.DrawFn) -> str:
    address = ipaddress.ip_address(draw(ADDRESSES))
    bits = draw(st.integers(address.max_prefixlen - 4, address.max_prefixlen))
    return str(ipaddress.ip_network((address, bits), strict=False))


@st.composite
def spelled(draw: st.DrawFn, domain: str) -> str:
    """The domain in another spelling: case, A-labels for U-labels, a dot at the end."""
    text = domain
    if not domain.isascii() and draw(st.booleans()):
        text = idna.encode(domain.removeprefix("*."), uts46=True).decode()
        text = f"*.{text}" if domain.startswith("*.") else text
    text = draw(
        st.sampled_from([text, text.upper() if "ß" not in text else text, text.title() if "ß" not in text else text])
    )
    return text + draw(st.sampled_from(["", "."]))


def rules(allow: dict[str, list[str]], deny: dict[str, list[str]], *, wildcards: bool = False) -> NameRules | None:
    """The rules as a table has them; None where it would have none."""
    sides = [
        X509Lists(**{k: tuple(v) for k, v in side.items() if v}) if any(side.values()) else None
        for side in (allow, deny)
    ]
    if sides == [None, None]:
        return None
    table = X509Rules(allow=sides[0], deny=sides[1], allow_wildcard_names=wildcards)
    return Ruleset.of(PolicyConfig(x509=table), "plugin.policy").x509


def passes(judge: NameRules, name: x509.GeneralName) -> bool:
    return judge.objections(x509_order((), [name])) == []


SIDES = st.fixed_dictionaries(
    {
        "dns": st.lists(RULES, max_size=4),
        "ip": st.lists(networks(), max_size=4),
        "email": st.lists(st.one_of(MAILBOXES, DOMAINS.map("@{}".format)), max_size=4),
        "uri": st.lists(RULES, max_size=4),
    }
)
NAMES = st.one_of(
    RULES.map(lambda text: ("dns", text)),
    ADDRESSES.map(lambda text: ("ip", text)),
    MAILBOXES.map(lambda text: ("email", text)),
    DOMAINS.map(lambda text: ("uri", text)),
)


def encoded(kind: str, text: str) -> x509.GeneralName:
    """The name as a certificate has it, made without our code."""
    if kind == "ip":
        return x509.IPAddress(ipaddress.ip_address(text))
    local, at, domain = text.rpartition("@")
    star = "*." if domain.startswith("*.") else ""
    ascii_ = star + idna.encode(domain.removeprefix("*."), uts46=True).decode()
    if kind == "dns":
        return x509.DNSName(ascii_)
    return (
        x509.RFC822Name(f"{local}{at}{ascii_}")
        if kind == "email"
        else x509.UniformResourceIdentifier(f"s://{ascii_}/x")
    )


def naive(kind: str, rule: str, text: str, *, denying: bool) -> bool:
    """Whether the rule speaks of the name, label by label, address by address."""
    if kind == "ip":
        return ipaddress.ip_address(text) in ipaddress.ip_network(rule)
    if kind == "email":
        if denying:
            rule, text = rule.lower(), text.lower()
        return text.rpartition("@")[0] in (
            rule.rpartition("@")[0],
            rule.rpartition("@")[0] or text.rpartition("@")[0],
        ) and (labels(rule.rpartition("@")[2]) == labels(text.rpartition("@")[2]))
    wanted, given_ = labels(rule), labels(text)
    if len(wanted) != len(given_) or wanted[1:] != given_[1:]:
        return False
    return wanted[0] in ("*", given_[0]) or (denying and given_[0] == "*")


def labels(domain: str) -> list[str]:
    return [label if label == "*" else idna.encode(label, uts46=True).decode() for label in domain.lower().split(".")]


def expected(allow: dict[str, list[str]], deny: dict[str, list[str]], kind: str, text: str, *, wildcards: bool) -> bool:
    if any(naive(kind, rule, text, denying=True) for rule in deny[kind]):
        return False
    if not allow[kind]:
        return not any(allow.values())
    if text.startswith("*."):
        return wildcards and any(labels(rule) == labels(text) for rule in allow[kind])
    return any(naive(kind, rule, text, denying=False) for rule in allow[kind])


@given(SIDES, SIDES, NAMES, st.booleans())
def test_many_rules_say_what_a_plain_reading_of_each_says(
    allow: dict[str, list[str]], deny: dict[str, list[str]], name: tuple[str, str], wildcards: bool
) -> None:
    judge = rules(allow, deny, wildcards=wildcards)
    if judge is not None:
        assert passes(judge, encoded(*name)) is expected(allow, deny, *name, wildcards=wildcards)


@given(SIDES, SIDES, SIDES, NAMES, st.booleans())
def test_a_further_rule_of_what_is_denied_never_allows(
    allow: dict[str, list[str]],
    deny: dict[str, list[str]],
    more: dict[str, list[str]],
    name: tuple[str, str],
    wild: bool,
) -> None:
    before = rules(allow, deny, wildcards=wild)
    after = rules(allow, {kind: deny[kind] + more[kind] for kind in deny}, wildcards=wild)
    if before is not None and after is not None:
        assert passes(before, encoded(*name)) or not passes(after, encoded(*name))


@given(SIDES, SIDES, NAMES)
def test_what_is_denied_is_denied_whatever_is_allowed(
    allow: dict[str, list[str]], deny: dict[str, list[str]], name: tuple[str, str]
) -> None:
    kind, text = name
    judge = rules({**allow, kind: [*allow[kind], text]}, {**deny, kind: [*deny[kind], text]}, wildcards=True)
    assert judge is not None
    assert not passes(judge, encoded(kind, text))


@given(st.data(), DOMAINS, RULES)
def test_a_verdict_does_not_depend_on_how_rule_or_name_are_spelled(data: st.DataObject, name: str, rule: str) -> None:
    other_name, other_rule = data.draw(spelled(name)), data.draw(spelled(rule))
    for side in ("allow", "deny"):
        verdicts = {
            canonical_passes({side: {"dns": [one]}}, text) for one in (rule, other_rule) for text in (name, other_name)
        }
        assert len(verdicts) == 1


def canonical_passes(table: dict[str, dict[str, list[str]]], text: str) -> bool:
    judge = rules(table.get("allow", {}), table.get("deny", {}))
    assert judge is not None
    (each,) = x509_order((text,), ())  # a common name may have any spelling
    return judge.objections([each]) == []


@given(ADDRESSES, networks())
def test_an_address_has_one_verdict_in_every_form(address: str, network: str) -> None:
    parsed = ipaddress.ip_address(address)
    forms = [parsed, ipaddress.ip_address(parsed.exploded)]
    if isinstance(parsed, ipaddress.IPv4Address):
        forms.append(ipaddress.IPv6Address((0xFFFF << 32) + int(parsed)))
    judge = rules({"ip": [network]}, {})
    assert judge is not None
    assert {passes(judge, x509.IPAddress(form)) for form in forms} == {parsed in ipaddress.ip_network(network)}


@pytest.mark.parametrize(
    "form",
    [canonical.dns, canonical.email, canonical.folded],
    ids=["dns", "email", "folded"],
)
@pytest.mark.parametrize("alphabet", ["any", "names"])
def test_what_is_canonical_stays_as_it_is(form: Callable[[str], str | None], alphabet: str) -> None:
    texts = st.text() if alphabet == "any" else st.one_of(RULES, MAILBOXES, st.text("aA.*@-ßİK⁵ \u0301", max_size=9))

    @given(texts)
    def holds(text: str) -> None:
        once = form(text)
        assert once is None or form(once) == once

    holds()


@given(st.ip_addresses())
def test_an_address_that_is_canonical_stays_as_it_is(address: Any) -> None:
    once = canonical.address(address)
    assert canonical.address(once) == once
