"""What nobody thought of: text that is no token, and claims of every JSON type; and how much of it is tried."""

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

#: For tests that draw. They share their fixtures among examples, and one plugin may have several subclasses of a suite.
FUZZED = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
)
#: No token, though some have its shape.
texts: st.SearchStrategy[str] = st.one_of(
    st.text(max_size=400), st.from_regex(r"([A-Za-z0-9_-]{0,60}\.){2}[A-Za-z0-9_-]{0,60}")
)
_json: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)
#: Claims that mean something, with values that mean nothing.
claims: st.SearchStrategy[dict[str, Any]] = st.dictionaries(
    st.sampled_from(["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "sans", "cnf", "step", "x"]), _json
)
