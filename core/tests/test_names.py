"""Names have one form each: what differs in form alone is equal, what is hostile is refused, nothing else happens."""

import ipaddress
import string

import pytest
from cryptography import x509
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from mica import names
from mica.errors import MalformedRequest

_LABELS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
_HOSTS = (
    st.lists(_LABELS, min_size=1, max_size=5).map(".".join).filter(lambda host: not host.replace(".", "").isdigit())
)
_ADDRESSES = st.ip_addresses().map(str)
#: Text with what breaks parsers: delimiters, controls, other scripts, lone surrogates.
_HOSTILE = st.text(
    st.one_of(
        st.sampled_from(".-_*@:/?#[]%, \t\r\n\x00\\'\"<>()xn‑。．ßıİK\u200b\u202e\ud800"),
        st.sampled_from(string.ascii_letters + string.digits),
        st.characters(),
    ),
    max_size=60,
)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("svc.example", x509.DNSName("svc.example")),
        ("SVC.Example.", x509.DNSName("svc.example")),
        ("localhost", x509.DNSName("localhost")),
        ("*.example", x509.DNSName("*.example")),
        ("my_service", x509.DNSName("my_service")),
        ("bücher.example", x509.DNSName("xn--bcher-kva.example")),
        ("BÜCHER.example", x509.DNSName("xn--bcher-kva.example")),
        ("10.20.0.7", x509.IPAddress(ipaddress.ip_address("10.20.0.7"))),
        ("::1", x509.IPAddress(ipaddress.ip_address("::1"))),
        ("[2001:DB8::1]", x509.IPAddress(ipaddress.ip_address("2001:db8::1"))),
        ("Ops@Harbour.Example", x509.RFC822Name("Ops@harbour.example")),
        ("spiffe://Trust.Example/Workload", x509.UniformResourceIdentifier("spiffe://trust.example/Workload")),
        ("HTTPS://user@Svc.Example:8443/A?B#C", x509.UniformResourceIdentifier("https://user@svc.example:8443/A?B#C")),
        ("urn:uuid:F81D4FAE", x509.UniformResourceIdentifier("urn:uuid:F81D4FAE")),
        ("svc.example:8080", x509.UniformResourceIdentifier("svc.example:8080")),
    ],
)
def test_text_is_taken_for_what_it_looks_like(text: str, name: x509.GeneralName) -> None:
    assert names.classify(text) == name


@pytest.mark.parametrize(
    "text",
    [
        "", ".", "..", "a..b", ".example", "-a.example", "a-.example", "a b", "a,b", "a\x00.example", "a\tb",
        "*", "*.", "a.*", "*.*.example", "a*.example", "*a.example", "**.example", "a.example..", "x" * 64,
        "a." * 127 + "toolong", "a.example\n",
        "a@b@c.example", "@example", "a@", "a@*.example@", "a\n@example", "1.2.3.4/24", "[::1",
        "fe80::1%eth0", "[fe80::1%1]", '"a b"@a.example', "a..b@a.example", "x" * 65 + "@a.example", "a(b)@example",
        "https://", "https://[::1", "https://a b/", "https:", "https://host:99999/",
        "https://good.example\\@evil.example/", "https:///path", "\u202eelpmaxe", "a\u200bb.example\u0000",
        "\ud800", "a。b@\ud800", "%", "a%2eb", "a/b", "a\\b", "<script>", "xn--", "xn--\u00e4",
    ],
)  # fmt: skip
def test_hostile_text_is_no_name(text: str) -> None:
    with pytest.raises(MalformedRequest):
        names.classify(text)


@settings(max_examples=1000)
@given(_HOSTILE)
@example("a" * 1000)
@example("mailto:" + "a" * 10000)
@example('"a b"@example.com')
@example("a,b@example.com")
@example("a<b>@example.com")
@example("a(b)@example.com")
@example("https://[v1.x]/")
@example("https://[::1%25eth0]/")
@example("http://[1.2.3.4]/")
@example("http://ẞ.example/")
@example("İ.example")
@example("a.\u0300b")
def test_whatever_is_read_is_canonical_or_refused(text: str) -> None:
    try:
        name = names.classify(text)
    except MalformedRequest as error:
        assert len(str(error)) < 2 * len(repr(text)) + 400
        return
    assert names.canonical(name) == name
    assert type(name) in names.KINDS
    shown = names.text(name)
    assert shown.isascii()
    assert not any(ord(character) <= 32 or ord(character) == 127 for character in shown)


@given(_HOSTILE.map(lambda text: text.encode("ascii", "ignore").decode()))
def test_the_canonical_form_of_foreign_names_is_canonical(text: str) -> None:
    for kind in (x509.DNSName, x509.RFC822Name, x509.UniformResourceIdentifier):
        try:
            name = kind._init_without_validation(text)
            once = names.canonical(name)
        except MalformedRequest:
            continue
        assert names.canonical(once) == once


@given(_HOSTS, st.integers(0, 1 << 128))
def test_case_and_the_trailing_dot_make_no_difference(host: str, mask: int) -> None:
    mixed = "".join(letter.upper() if mask >> index & 1 else letter for index, letter in enumerate(host))
    assert names.dns(host) == names.dns(mixed) == names.dns(mixed + ".") == x509.DNSName(host)
    assert names.email(f"Ops@{mixed}") == names.email(f"Ops@{host}")
    assert names.uri(f"HTTPS://{mixed}/Path") == names.uri(f"https://{host}/Path")


@given(_HOSTS)
def test_the_local_part_and_the_path_keep_their_case(host: str) -> None:
    assert names.email(f"Ops@{host}") != names.email(f"ops@{host}")
    assert names.uri(f"https://{host}/Path") != names.uri(f"https://{host}/path")


@given(_HOSTS, _HOSTS)
def test_names_that_only_begin_or_end_alike_are_different(first: str, second: str) -> None:
    assume(first != second)
    assert names.dns(first) != names.dns(second)
    assert names.dns(f"{first}.{second}") not in (names.dns(first), names.dns(second))


@pytest.mark.parametrize(
    ("unicode", "ascii_"),
    [
        ("faß.example", "xn--fa-hia.example"),
        ("例え.テスト", "xn--r8jz45g.xn--zckzah"),
        ("пример.example", "xn--e1afmkfd.example"),
        ("*.bücher.example", "*.xn--bcher-kva.example"),
        ("ｓｖｃ.example", "svc.example"),
        ("svc。example", "svc.example"),
    ],
)
def test_names_in_other_scripts_become_a_labels(unicode: str, ascii_: str) -> None:
    assert names.dns(unicode) == names.dns(ascii_) == x509.DNSName(ascii_)


@given(_ADDRESSES)
def test_every_spelling_of_an_address_is_the_same_address(text: str) -> None:
    address = ipaddress.ip_address(text)
    assert names.classify(text) == names.classify(address.exploded) == names.classify(f"[{text}]")


@pytest.mark.parametrize(
    "name",
    [
        x509.IPAddress(ipaddress.ip_network("10.0.0.0/8")),
        x509.RegisteredID(x509.ObjectIdentifier("1.2.3")),
        x509.OtherName(x509.ObjectIdentifier("1.2.3"), b"\x05\x00"),
        x509.DirectoryName(x509.Name([])),
    ],
)
def test_kinds_that_are_never_issued_are_refused_but_can_be_shown(name: x509.GeneralName) -> None:
    with pytest.raises(MalformedRequest):
        names.canonical(name)
    assert isinstance(names.text(name), str)


@pytest.mark.parametrize("address", ["10.0.0.1", "10.0.0.1.", "255.255.255.255"])
def test_an_address_is_no_dns_name(address: str) -> None:
    with pytest.raises(MalformedRequest, match="is an IP address, not a DNS name"):
        names.canonical(x509.DNSName(address))
    with pytest.raises(MalformedRequest, match="is an IP address"):
        names.canonical(x509.RFC822Name(f"a@{address}"))


def test_kinds_that_are_never_issued_are_listed_last() -> None:
    never = x509.RegisteredID(x509.ObjectIdentifier("1.2.3"))
    dns, uri = x509.DNSName("a.example"), x509.UniformResourceIdentifier("urn:a:b")
    assert names.ordered([never, uri, dns]) == (dns, uri, never)


def test_names_are_listed_by_kind_and_once() -> None:
    given_names = [
        names.classify(text) for text in ("urn:a:b", "b.example", "a@example", "10.0.0.1", "A.example", "b.example.")
    ]
    assert [names.text(name) for name in names.ordered(given_names)] == [
        "b.example", "a.example", "10.0.0.1", "a@example", "urn:a:b",
    ]  # fmt: skip
