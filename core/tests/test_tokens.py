"""Tokens that nobody has vouched for, and the JSON in them."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mica.audiences import Audiences
from mica.errors import MalformedRequest, Unauthorized
from mica.grants import Operation
from mica.tokens import MAX_JSON_DEPTH, UnverifiedToken, decode_base64url, decode_json

NOW = datetime(2031, 3, 14, 9, 26, 53, tzinfo=UTC)
OURS = Audiences.of("https://ca.example:8443", "127.0.0.1:9000", ["ca.example", "10.0.0.1", "::1"])


def token(payload: Any, header: Any = None) -> UnverifiedToken:
    parts = [json.dumps(header or {"alg": "ES256"}), json.dumps(payload), "signature"]
    return UnverifiedToken.parse(".".join(base64.urlsafe_b64encode(p.encode()).rstrip(b"=").decode() for p in parts))


@given(st.text() | st.binary().map(lambda octets: octets.decode("latin-1")))
def test_arbitrary_text_is_refused_as_a_token_and_never_anything_else(text: str) -> None:
    try:
        UnverifiedToken.parse(text)
    except Unauthorized:
        return
    assert text.count(".") == 2


@given(st.binary())
def test_arbitrary_octets_are_json_or_malformed(octets: bytes) -> None:
    try:
        value = decode_json(octets)
    except MalformedRequest:
        return
    assert json.loads(octets) == value


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda c: st.lists(c) | st.dictionaries(st.text(), c)
    )
)
def test_what_is_json_is_read_as_json(value: Any) -> None:
    text = json.dumps(value)
    if text.count("[") + text.count("{") <= MAX_JSON_DEPTH:
        assert decode_json(text) == value


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1,"a":2}', '{"a":{"b":1,"b":1}}', "NaN", "[Infinity]", "-Infinity", "[" * 33 + "]" * 33, '"\\ud800"',
        "[" * 100_000, "9" * 5000, "", "{", "\ufeff{}",
    ],
)  # fmt: skip
def test_json_that_means_trouble_is_malformed(text: str) -> None:
    with pytest.raises(MalformedRequest):
        decode_json(text)


def test_brackets_inside_strings_do_not_nest() -> None:
    assert decode_json(json.dumps("[" * 100)) == "[" * 100


@given(st.binary(min_size=1))
def test_base64url_has_one_spelling(octets: bytes) -> None:
    text = base64.urlsafe_b64encode(octets).rstrip(b"=").decode()
    assert decode_base64url(text) == octets
    for other in (text + "=", " " + text, text + "\n"):
        with pytest.raises(MalformedRequest):
            decode_base64url(other)


@pytest.mark.parametrize(
    ("claims", "fault"),
    [
        ({}, "no exp"),
        ({"exp": -1}, "not a time"),
        ({"exp": "300"}, "not a time"),
        ({"exp": True}, "not a time"),
        ({"exp": 1e30}, "not a time"),
        ({"exp": NOW.timestamp() - 61}, "expired"),
        ({"exp": NOW.timestamp() + 25 * 3600}, "ahead"),
        ({"exp": NOW.timestamp() + 300, "nbf": NOW.timestamp() + 61}, "not valid yet"),
        ({"exp": NOW.timestamp() + 300, "iat": NOW.timestamp() + 61}, "issued in the future"),
        ({"exp": NOW.timestamp() + 300, "iat": [1]}, "not a time"),
    ],
)
def test_time_claims_are_judged(claims: dict[str, Any], fault: str) -> None:
    with pytest.raises(Unauthorized, match=fault):
        token(claims).expiry(NOW)


def test_a_minute_of_leeway_is_given() -> None:
    moment = NOW.timestamp()
    assert token({"exp": moment - 59, "nbf": moment + 59, "iat": moment + 59}).expiry(NOW) == NOW - timedelta(
        seconds=59
    )


@pytest.mark.parametrize(
    ("audience", "operation"),
    [
        ("https://ca.example:8443/1.0/sign", Operation.X509_SIGN),
        ("https://ca.example/sign", Operation.X509_SIGN),
        ("https://CA.example:9000/1.0/renew", Operation.X509_RENEW),
        ("https://[::1]:8443/1.0/revoke", Operation.X509_REVOKE),
        ("https://ca.example/1.0/ssh/sign", Operation.SSH_SIGN),
        ("https://ca.example/ssh/renew", Operation.SSH_RENEW),
        ("https://ca.example:8443/1.0/ssh/rekey", Operation.SSH_REKEY),
        ("https://ca.example/ssh/revoke", Operation.SSH_REVOKE),
        (["https://elsewhere.example/sign", "https://10.0.0.1:8443/sign"], Operation.X509_SIGN),
    ],
)
def test_an_audience_of_ours_selects_its_operation(audience: Any, operation: Operation) -> None:
    assert OURS.operation(token({"aud": audience})) is operation


@pytest.mark.parametrize(
    "audience",
    [
        None, "", [], 7, [7], {}, "step-certificate-authority", "https://ca.example:1/sign", "http://ca.example/sign",
        "https://ca.example/1.0/ssh", "https://ca.example/sign/", "https://ca.example//sign",
        "https://ca.example/1.0/1.0/sign", "https://ca.example/sign?x", "https://ca.example/sign#x5c/edge",
        "https://user@ca.example/sign", "https://ca.example.evil.example/sign", "https://evil.example/sign",
        "https://ca.example\t/sign", " https://ca.example/sign", "https://ca.example:port/sign", "//ca.example/sign",
        ["https://ca.example/sign", "https://ca.example/revoke"],
    ],
)  # fmt: skip
def test_any_other_audience_selects_nothing(audience: Any) -> None:
    with pytest.raises(Unauthorized):
        OURS.operation(token({"aud": audience}))


def test_a_fragment_must_be_the_one_that_is_asked_for() -> None:
    there = token({"aud": "https://ca.example/sign#x5c/edge"})
    assert OURS.operation(there, fragment="x5c/edge") is Operation.X509_SIGN
    with pytest.raises(Unauthorized):
        OURS.operation(there, fragment="x5c/other")
