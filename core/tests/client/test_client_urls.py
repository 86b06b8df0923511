"""What people write as the URL of a CA has one meaning, or none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mica.client import normalize
from mica.client.urls import host_and_port


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("ca.example", "https://ca.example"),
        ("https://ca.example", "https://ca.example"),
        ("https://ca.example:8443/", "https://ca.example:8443"),
        ("CA.Example:8443", "https://ca.example:8443"),
        ("https://ca.example:8443/1.0/sign?x=1#y", "https://ca.example:8443"),
        (" ca.example\n", "https://ca.example"),
        ("10.0.0.1:443", "https://10.0.0.1:443"),
        ("::1", "https://[::1]"),
        ("[::1]", "https://[::1]"),
        ("[::1]:8443", "https://[::1]:8443"),
        ("https://[2001:DB8::1]:8443", "https://[2001:db8::1]:8443"),
    ],
)
def test_what_people_write_becomes_one_form(written: str, meant: str) -> None:
    assert normalize(written) == meant


@pytest.mark.parametrize(
    "written",
    ["", " ", "http://ca.example", "ftp://ca.example", "https://", "https://:8443",
     "https://a@ca.example", "ca.example:x", "ca.example:99999", "ca.example:0", "https://ca .example", "https://ca\texample",
     "https://[::1", "file:///etc/passwd"],
)  # fmt: skip
def test_what_is_no_url_of_a_ca_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match=r"https|URL"):
        normalize(written)


@given(st.text())
def test_any_text_is_normalised_once_and_for_all_or_refused(text: str) -> None:
    try:
        url = normalize(text)
    except ValueError:
        return
    assert normalize(url) == url
    assert url.startswith("https://")


def test_a_url_leads_to_a_host_and_a_port() -> None:
    assert host_and_port("https://[::1]:8443") == ("::1", 8443)
    assert host_and_port("https://ca.example") == ("ca.example", 443)
