"""The DER that is written here is what pyca reads, and hostile DER is refused and nothing worse."""

import subprocess
from datetime import UTC, datetime

import pytest
from cryptography import x509
from hypothesis import example, given
from hypothesis import strategies as st

from mica import der
from mica.errors import MalformedRequest

_LENGTHS = st.sampled_from([127, 128, 255, 256, 65535, 65536])
_CONTENTS = st.one_of(st.binary(max_size=300), _LENGTHS.map(bytes))


def tree() -> st.SearchStrategy[bytes]:
    """Well-formed elements, nested."""
    leaf = st.builds(der.tlv, st.sampled_from([der.OCTET_STRING, der.INTEGER, 0x82, der.UTF8_STRING]), _CONTENTS)
    return st.recursive(leaf, lambda inner: st.lists(inner, max_size=4).map(lambda parts: der.sequence(*parts)))


@given(st.lists(tree(), max_size=5))
def test_elements_side_by_side_come_apart_as_they_were_joined(parts: list[bytes]) -> None:
    assert [whole for _, _, whole in der.elements(b"".join(parts))] == parts
    assert der.children(der.sequence(*parts)) == parts


@given(tag=st.sampled_from([0x02, 0x04, 0x30, 0x82, 0xA3]), contents=_CONTENTS)
def test_an_element_keeps_its_tag_and_contents(tag: int, contents: bytes) -> None:
    ((found_tag, found, whole),) = der.elements(der.tlv(tag, contents))
    assert (found_tag, found) == (tag, contents)
    assert whole == der.tlv(tag, contents)


@given(st.binary(max_size=200))
@example(b"\x30")
@example(b"\x30\x80\x00\x00")  # the indefinite length is BER (X.690 §10.1)
@example(b"\x30\x81")
@example(b"\x30\x84\xff\xff\xff\xff")
@example(b"\x30\x85\x00\x00\x00\x00\x01\x00")
@example(b"\x30\xff" + b"\xff" * 127)
@example(b"\x1f\x85\x65\x01\x00")
def test_arbitrary_octets_are_read_whole_or_refused(data: bytes) -> None:
    try:
        assert b"".join(whole for _, _, whole in der.elements(data)) == data
        der.children(data)
    except MalformedRequest:
        pass


@given(st.binary(min_size=1, max_size=120), st.integers(min_value=0))
def test_an_element_that_is_cut_off_is_refused(contents: bytes, cut: int) -> None:
    element = der.sequence(der.tlv(der.OCTET_STRING, contents))
    with pytest.raises(MalformedRequest):
        der.children(element[: cut % len(element)])


@pytest.mark.parametrize(
    "data",
    [
        b"\x04\x81\x01x",  # one octet needs no long form
        b"\x04\x81\x7f" + b"x" * 127,
        b"\x04\x82\x00\x81" + b"x" * 129,  # a leading zero
        b"\x04\x84\x00\x00\x00\x80" + b"x" * 128,
        b"\x04\x80",
    ],
)
def test_a_length_that_is_not_the_shortest_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedRequest):
        list(der.elements(data))


def test_a_tag_of_several_octets_is_refused_rather_than_misread() -> None:
    with pytest.raises(MalformedRequest):
        list(der.elements(b"\x3f\x81\x01\x00"))


@pytest.mark.parametrize("data", [b"", b"\x04\x01x", b"\x30\x00\x30\x00", b"\x30\x01\x04"])
def test_only_one_constructed_element_has_children(data: bytes) -> None:
    with pytest.raises(MalformedRequest):
        der.children(data)


@given(st.integers(min_value=0, max_value=1 << 300))
@example(0)
@example(127)
@example(128)
@example(255)
@example(256)
def test_an_integer_is_positive_and_the_shortest(value: int) -> None:
    ((tag, contents, _),) = der.elements(der.integer(value))
    assert tag == der.INTEGER
    assert int.from_bytes(contents, "big", signed=True) == value
    assert len(contents) == 1 or contents[0] or contents[1] & 0x80  # X.690 §8.3.2


@given(
    first=st.integers(0, 2), second=st.integers(0, 39), rest=st.lists(st.integers(0, 1 << 40), min_size=1, max_size=10)
)
@example(first=2, second=999, rest=[3])
@example(first=2, second=16, rest=[840, 1, 101, 3, 4, 1, 42])
def test_object_identifiers_are_encoded_as_pyca_encodes_them(first: int, second: int, rest: list[int]) -> None:
    dotted = ".".join(map(str, (first, second, *rest)))
    usage = x509.ExtendedKeyUsage([x509.ObjectIdentifier(dotted)])
    assert usage.public_bytes() == der.sequence(der.oid(dotted))


@given(st.binary(max_size=100))
def test_bit_strings_have_no_unused_bits(octets: bytes) -> None:
    assert der.bit_string(octets) == der.tlv(der.BIT_STRING, b"\x00" + octets)


@pytest.mark.parametrize(
    ("moment", "encoded"),
    [
        (datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC), b"\x17\x0d491231235959Z"),
        (datetime(2050, 1, 1, tzinfo=UTC), b"\x18\x0f20500101000000Z"),
        (datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC), b"\x18\x0f99991231235959Z"),
        (datetime(1950, 1, 1, tzinfo=UTC), b"\x17\x0d500101000000Z"),
        (datetime(2031, 3, 14, 9, 26, 53, 999999, tzinfo=UTC), b"\x17\x0d310314092653Z"),
    ],
)
def test_times_are_written_as_rfc_5280_has_them(moment: datetime, encoded: bytes) -> None:
    assert der.time(moment) == encoded


def test_openssl_reads_what_is_written() -> None:
    data = der.sequence(
        der.integer(1 << 70), der.oid("1.2.840.113549.1.1.11"), der.tlv(der.NULL, b""), der.bit_string(b"x" * 200)
    )
    shown = subprocess.run(
        ["openssl", "asn1parse", "-inform", "DER"], input=data, check=True, capture_output=True
    ).stdout.decode()
    for expected in ("INTEGER           :400000000000000000", "sha256WithRSAEncryption", "NULL", "BIT STRING"):
        assert expected in shown
