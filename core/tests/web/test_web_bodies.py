"""Bodies are read as leniently as step's servers read them, and no more."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mica.errors import MalformedRequest
from mica.web.bodies import Body

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


def test_names_match_whatever_their_case() -> None:
    assert Body.decode(b'{"CSR":"x","reasoncode":3}').text("csr") == "x"
    assert Body.decode(b'{"CSR":"x","reasoncode":3}').integer("reasonCode") == 3


def test_unknown_members_and_trailing_garbage_are_ignored() -> None:
    assert Body.decode(b' {"csr":"x","y":[1]} }} garbage').text("csr") == "x"


def test_null_is_the_zero_value() -> None:
    for body in (Body.decode(b'{"a":null}'), Body.decode(b"null"), Body.decode(b"{}")):
        assert (body.text("a"), body.integer("a"), body.flag("a")) == ("", 0, False)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b'"text"',
        b"{",
        b'{"a":NaN}',
        b'{"a":"\\ud800"}',
        b"\xff",
        b'{"a":1,"a":2}',
        b'{"csr":"x","CSR":"y"}',
        b"[" * 100_000,
        b'{"a":' * 33 + b"1" + b"}" * 33,
    ],
)
def test_what_is_no_plain_object_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedRequest, match="error decoding json"):
        Body.decode(data)


@pytest.mark.parametrize("value", ["1", '"1"', "true", "[]", "{}", "1.0"])
def test_wrong_types_are_refused_by_name(value: str) -> None:
    body = Body.decode(f'{{"a":{value}}}'.encode())
    for read, zero in ((body.text, '"'), (body.integer, "1"), (body.flag, "true")):
        if not (value == zero or (zero == '"' and value.startswith('"'))):
            with pytest.raises(MalformedRequest, match="error decoding json: a must be"):
                read("a")


def test_arrays_and_objects_of_strings_keep_their_order_and_null_is_an_empty_string() -> None:
    body = Body.decode(b'{"Principals":["b","a",null],"data":{"B":"1","a":null},"empty":null}')
    assert body.strings("principals") == ("b", "a", "")
    assert list(body.dictionary("data").items()) == [("B", "1"), ("a", "")]
    assert body.strings("empty") == body.strings("absent") == ()
    assert body.dictionary("empty") == body.dictionary("absent") == {}


@pytest.mark.parametrize("value", ['"text"', "1", "true", "[1]", "[[]]", "[{}]", '{"a":1}', '{"a":["b"]}', '{"a":{}}'])
def test_arrays_and_objects_of_anything_else_are_refused_by_name(value: str) -> None:
    body = Body.decode(f'{{"a":{value}}}'.encode())
    for read in (body.strings, body.dictionary):
        with pytest.raises(MalformedRequest, match="error decoding json: a must be an (array|object) of strings"):
            read("a")


def test_a_missing_member_is_named() -> None:
    with pytest.raises(MalformedRequest, match=r"^missing ott$"):
        Body.decode(b'{"ott":""}').required("ott")


@given(st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
def test_any_octets_are_read_or_refused(data: bytes) -> None:
    try:
        body = Body.decode(data)
        body.text("csr"), body.integer("reasonCode"), body.flag("passive")
        body.strings("principals"), body.dictionary("data")
    except MalformedRequest:
        pass
