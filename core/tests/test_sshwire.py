"""SSH's encodings: the examples of RFC 4251 §5, and nothing but one error for whatever comes."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mica.sshwire import MAX_UINT64, MalformedSSH, Reader, mpint, string, text, time, uint32, uint64

METHODS = ("byte", "uint32", "uint64", "string", "text", "mpint", "time", "nested")


@pytest.mark.parametrize(
    ("value", "octets"),
    [(0, "00000000"), (0x9A378F9B2E332A7, "0000000809a378f9b2e332a7"), (0x80, "000000020080")],
)
def test_numbers_are_written_as_the_standard_shows(value: int, octets: str) -> None:
    assert mpint(value).hex() == octets
    assert Reader(bytes.fromhex(octets), "it").mpint("number") == value


@pytest.mark.parametrize(
    ("octets", "rule"),
    [
        ("00000002edcc", "must not be negative"),
        ("00000005ff21524111", "must not be negative"),
        ("000000020001", "in as few octets"),
        ("0000000100", "in as few octets"),
    ],
)
def test_negative_and_padded_numbers_are_refused(octets: str, rule: str) -> None:
    with pytest.raises(MalformedSSH, match=rule):
        Reader(bytes.fromhex(octets), "it").mpint("number")


@given(
    st.integers(0, 2**600),
    st.binary(max_size=300),
    st.text(st.characters(codec="utf-8", exclude_characters="\0")),
    st.data(),
)
def test_what_is_written_is_read_again(number: int, octets: bytes, words: str, data: st.DataObject) -> None:
    small, large = data.draw(st.integers(0, 2**32 - 1)), data.draw(st.integers(0, MAX_UINT64))
    reader = Reader(mpint(number) + string(octets) + text(words) + uint32(small) + uint64(large), "it")
    assert reader.mpint("a") == number
    assert reader.string("b") == octets
    assert reader.text("c") == words
    assert (reader.uint32("d"), reader.uint64("e")) == (small, large)
    reader.end()


@given(st.integers(0, 253402300799))
def test_times_are_seconds_since_1970(seconds: int) -> None:
    moment = datetime.fromtimestamp(seconds, UTC)
    assert time(moment, "it") == uint64(seconds)
    assert Reader(time(moment, "it"), "it").time("moment") == moment


@pytest.mark.parametrize("moment", [datetime(1969, 12, 31, tzinfo=UTC), datetime(2031, 1, 1, 0, 0, 0, 1, tzinfo=UTC)])
def test_times_that_have_no_encoding_are_refused(moment: datetime) -> None:
    with pytest.raises(MalformedSSH, match="it: must be whole seconds since 1970"):
        time(moment, "it")


def test_times_in_other_zones_are_the_same_moments() -> None:
    moment = datetime(2031, 3, 14, 9, 26, 53, tzinfo=UTC)
    assert time(moment.astimezone(timezone(timedelta(hours=9))), "it") == time(moment, "it")


def test_an_error_names_the_place_and_what_is_missing() -> None:
    with pytest.raises(MalformedSSH) as caught:
        Reader(uint32(9) + b"seven..", "certificate").nested("key_id")
    assert str(caught.value) == "certificate: key_id: ends too early at octet 11, 2 octets are missing"
    assert caught.value.place == "certificate: key_id"
    with pytest.raises(MalformedSSH, match="certificate: 7 octets too many at its end"):
        Reader(b"seven..", "certificate").end()


@pytest.mark.parametrize(("octets", "rule"), [(b"a\0b", "must not contain NUL"), (b"\xff", "must be UTF-8")])
def test_a_text_is_utf8_without_nul(octets: bytes, rule: str) -> None:
    with pytest.raises(MalformedSSH, match=f"it: name: {rule}"):
        Reader(string(octets), "it").text("name")


@given(st.binary(max_size=64), st.lists(st.sampled_from(METHODS), max_size=8))
def test_whatever_comes_reading_ends_within_the_octets(octets: bytes, methods: list[str]) -> None:
    reader = Reader(octets, "it")
    try:
        for method in methods:
            getattr(reader, method)("field")
    except MalformedSSH as error:
        assert str(error).startswith("it: field: ")
    assert reader.position <= len(octets)
