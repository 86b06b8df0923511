"""A path is found as it was sent, or not at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from mica.web.routing import Route, RoutingTable


async def endpoint(request: Request) -> Response:
    return PlainTextResponse(request.path_params.get("value", "found"))


TABLE = RoutingTable(
    [
        Route("GET", "/health", endpoint),
        Route("POST", "/sign", endpoint),
        Route("GET", "/root/{}", endpoint),
        Route("GET", "/provisioners", endpoint),
        Route("GET", "/provisioners/{}/encrypted-key", endpoint),
    ]
)


async def answer(path: bytes, method: str = "GET") -> Response:
    scope = {"type": "http", "method": method, "raw_path": path, "path": path.decode("latin-1"), "headers": []}
    return await TABLE.answer(Request(scope))


@pytest.mark.parametrize(
    "path", [b"/health", b"/1.0/health", b"/root/ab", b"/1.0/root/ab", b"/provisioners/k/encrypted-key"]
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_every_route_answers_with_and_without_a_version_and_to_head(path: bytes, method: str) -> None:
    assert (await answer(path, method)).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        b"/", b"", b"//health", b"/health/", b"/Health", b"/%68ealth", b"/./health", b"/1.0//health", b"/1.0/../health",
        b"/%2e/health", b"/2.0/health", b"/1.0/1.0/health", b"/root/", b"/root", b"/root//", b"/root/a/b", b"/root/%ff",
        b"/roo%74/ab", b"/provisioners//encrypted-key", b"/provisioners/encrypted-key",
        b"/provisioners/k/Encrypted-Key",        b"/admin/admins", b"/health;x", b"/health%00", b"/\xff", b"*",
    ],
)  # fmt: skip
async def test_every_other_spelling_is_not_found(path: bytes) -> None:
    response = await answer(path)
    assert (response.status_code, response.body) == (404, b"404 page not found\n")
    assert response.headers["content-type"].startswith("text/plain")


async def test_a_wrong_method_is_told_the_right_ones() -> None:
    response = await answer(b"/sign", "GET")
    assert (response.status_code, response.body, response.headers["allow"]) == (405, b"", "POST")
    response = await answer(b"/1.0/health", "POST")
    assert (response.status_code, response.headers["allow"]) == (405, "GET, HEAD")


async def test_the_open_segment_is_decoded_once() -> None:
    assert (await answer(b"/root/a%2541-%2f")).body == b"a%41-/"


@given(st.binary(max_size=40))
async def test_any_octets_are_a_path(path: bytes) -> None:
    assert (await answer(path)).status_code in (200, 404)
