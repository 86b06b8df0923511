"""What plugins serve beside the core: below a first segment of their own, and nowhere else."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from mica import Route, Services, hookimpl
from mica.errors import ConfigError
from mica.testing.ca import TestCA
from mica.web.app import create_app


async def endpoint(_: Request) -> Response:
    return PlainTextResponse("here")


class Serving:
    """A plugin with these routes."""

    def __init__(self, *routes: object) -> None:
        self._routes = routes

    @hookimpl
    def routes(self, services: Services) -> Iterable[Any]:
        assert services.url.startswith("https://localhost:")
        return self._routes


async def ask(app: Any, method: str, path: str) -> tuple[int, bytes]:
    scope = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(), "headers": [], "query_string": b"",
    }  # fmt: skip
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent[0]["status"], sent[1]["body"]


async def test_a_plugins_route_answers_with_and_without_a_version(ca: TestCA) -> None:
    app = create_app(ca.authority({"clock": Serving(Route("GET", "/clock/now", endpoint))}))
    for path in ("/clock/now", "/1.0/clock/now"):
        assert await ask(app, "GET", path) == (200, b"here")
    assert (await ask(app, "POST", "/clock/now"))[0] == 405


@pytest.mark.parametrize("path", ["/sign", "/sign/more", "/provisioners/x", "/root/{}", "/1.0/clock", "/ssh/roots"])
async def test_no_plugin_shares_a_segment_with_another_or_with_the_core(ca: TestCA, path: str) -> None:
    plugins = {"first": Serving(Route("GET", "/ssh/first", endpoint)), "second": Serving(Route("GET", path, endpoint))}
    with pytest.raises(ConfigError, match="plugin second: .* is below what (the core|first) serves"):
        create_app(ca.authority(plugins))


@pytest.mark.parametrize(
    "route",
    [
        "/clock",
        None,
        Route("GET", "clock", endpoint),
        Route("GET", "/", endpoint),
        Route("GET", "/{}", endpoint),
        Route("GET", "/clock//now", endpoint),
        Route("GET", "/clock/../sign", endpoint),
        Route("GET", "/clock/{}/{}", endpoint),
        Route("GET", "/clock/%2e", endpoint),
        Route("get", "/clock", endpoint),
        Route("TRACE", "/clock", endpoint),
    ],
)
async def test_a_route_that_cannot_be_served_is_refused_by_name(ca: TestCA, route: object) -> None:
    with pytest.raises(ConfigError, match="plugin clock: "):
        create_app(ca.authority({"clock": Serving(route)}))


async def test_a_route_that_is_there_twice_is_refused(ca: TestCA) -> None:
    twice = [Route("GET", "/clock", endpoint), Route("GET", "/clock", endpoint)]
    with pytest.raises(ConfigError, match="plugin clock: GET /clock is there twice"):
        create_app(ca.authority({"clock": Serving(*twice)}))


async def test_a_plugin_that_fails_to_say_what_it_serves_is_named(ca: TestCA) -> None:
    class Failing:
        @hookimpl
        def routes(self, services: Services) -> Iterable[Route]:
            raise RuntimeError("no clock")

    with pytest.raises(ConfigError, match="plugin clock: routes failed: RuntimeError"):
        create_app(ca.authority({"clock": Failing()}))


@pytest.mark.parametrize("path", ["/ssh/roots", "/ssh/federation", "/ssh/hosts", "/ssh/get-hosts", "/ssh/krl"])
async def test_an_authority_without_ssh_says_so_when_asked(tmp_path: Path, path: str) -> None:
    status, body = await ask(create_app(TestCA.found(tmp_path).authority()), "GET", path)
    assert (status, body[:14]) == (404, b'{"status":404,')


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        *((path, 501) for path in ("/ssh/sign", "/sign-ssh", "/ssh/renew", "/ssh/rekey", "/ssh/revoke")),
        *((path, 404) for path in ("/ssh/config", "/ssh/config/user", "/ssh/check-host", "/ssh/bastion")),
    ],
)
async def test_an_authority_without_ssh_says_so_when_ordered(tmp_path: Path, path: str, expected: int) -> None:
    status, body = await ask(create_app(TestCA.found(tmp_path).authority()), "POST", path)
    assert status == expected
    assert body.startswith(b'{"status":%d,"message":"The request' % expected)


async def test_a_plugin_may_serve_what_an_authority_without_ssh_would_only_refuse(ca: TestCA) -> None:
    app = create_app(ca.authority({"clock": Serving(Route("POST", "/sign-ssh", endpoint))}))
    assert await ask(app, "POST", "/sign-ssh") == (200, b"here")
    assert (await ask(app, "POST", "/ssh/sign"))[0] == 501
