"""What the routes of every plugin must do: a contract that a plugin's tests subclass.

class TestRoutes(RoutesContract):
    name, plugin = "sshsigner", mica_sshsigner
    ssh = True                      # the authority has SSH
"""

import json
import logging
from collections.abc import AsyncIterator, Iterator
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Any, ClassVar

import pytest
import pytest_asyncio

from mica.authority import Authority
from mica.logs import JSONFormatter
from mica.records import CertificateKind, Query
from mica.testing.asgi import Heard, ask
from mica.testing.ca import TestCA
from mica.testing.heartbeat import LONGEST, standstill
from mica.testing.plugins import enable
from mica.testing.suspensions import cancelled_at_every_await
from mica.web.app import Application, create_app
from mica.web.bodies import MAX_BODY_BYTES
from mica.web.routing import Route

_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "get", "X" * 300)
#: What stands where the route's path has ``{}``, as it is sent.
_VALUES = (
    b"x", b"%00", b"%0a", b"..", b"%2e%2e", b"%2e%2e%2fetc%2fpasswd", b"%ff", b"%", b"%zz", b"a" * 8000, b"*",
    b"%e2%80%a8", b"'%20or%201=1--", b"%7b%7b7*7%7d%7d", b"-1", b"0", b"9" * 400, b"1e999", b"%c3%bc", b"%3cscript%3e",
)  # fmt: skip
_QUERIES = (b"limit=-1", b"limit=" + b"9" * 400, b"cursor=%00", b"%", b"a=b&" * 500, b"=", b"limit=1&limit=2", b"x[]=1")
_BODIES = {
    "nothing": b"", "no JSON": b"\xff\xfe", "null": b"null", "a number": b"1e999", "text": b'"x"', "a list": b"[]",
    "an empty object": b"{}", "NaN": b'{"a":NaN}', "deep": b"[" * 100_000, "deep objects": b'{"a":' * 5000,
    "half": b'{"ott":', "twice": b'{"ott":"a","OTT":"b"}', "lone surrogates": b'{"ott":"\\ud800","type":"\\ud800"}',
    "huge numbers": b'{"serial":' + b"9" * 5000 + b"}", "a form": b"ott=x&type=user", "XML": b"<!DOCTYPE a>",
}  # fmt: skip
_MEMBERS = (
    "ott",
    "publicKey",
    "type",
    "serial",
    "principals",
    "keyID",
    "csr",
    "otp",
    "certType",
    "data",
    "name",
    "token",
)
_MEMBER_VALUES: tuple[Any, ...] = (None, 0, True, [], {}, [None], "", "x" * 70_000, "\0", "\u2028", [[]], -1, 1.5)
#: What a proxy may say, and nobody believes.
_SPOOFED = {
    "X-Forwarded-For": "10.0.0.1", "X-Forwarded-Proto": "http", "X-Forwarded-Host": "evil.example", "X-Real-IP": "::1",
    "Forwarded": "for=10.0.0.1", "X-SSL-Client-Cert": "MIIB", "X-SSL-Client-Verify": "SUCCESS",
    "X-SSL-Client-S-DN": "CN=root", "X-Client-Cert": "MIIB", "X-Forwarded-Client-Cert": "Hash=00",
    "X-Original-URL": "/admin", "X-Rewrite-URL": "/admin", "X-HTTP-Method-Override": "DELETE",
}  # fmt: skip
_FOUL = (b"Traceback", b'File "/', b"site-packages", b"Error(", b"<module>", b" object at 0x")


class RoutesContract:
    """A route gives every stranger a proper answer: nothing without a credential, no secret, no stack trace, no 500."""

    #: The plugin's name in ``ca.toml``.
    name: ClassVar[str]
    #: The plugin: its module, or an object like it.
    plugin: ClassVar[Any]
    #: Whether the authority has SSH.
    ssh: ClassVar[bool] = False

    def configure(self, ca: TestCA) -> None:
        """``ca.toml`` and its folder have what the plugin needs."""

    def secrets(self, ca: TestCA) -> Iterator[str]:
        """Texts that must appear nowhere, besides the CA's private keys."""
        yield from ()

    @pytest.fixture
    def routes_ca(self, tmp_path: Path) -> TestCA:
        ca = TestCA.found(tmp_path, ssh=self.ssh)
        if f'"{self.name}"' not in (ca.directory / "ca.toml").read_text():
            enable(ca, self.name)
        self.configure(ca)
        return ca

    @pytest_asyncio.fixture
    async def serving(self, routes_ca: TestCA) -> AsyncIterator[Authority]:
        authority = routes_ca.authority({self.name: self.plugin})
        await authority.start()
        yield authority
        await authority.aclose()

    @pytest.fixture
    def app(self, serving: Authority) -> Application:
        return create_app(serving)

    @pytest.fixture
    def paths(self, serving: Authority) -> list[tuple[str, bytes]]:
        """Method and path of each route, with a plain value where the path is open."""
        return [(route.method, route.path.replace("{}", "x").encode()) for route in self._routes(serving)]

    def _routes(self, authority: Authority) -> list[Route]:
        from mica.services import Services

        routes = [route for _, route in authority.hooks.routes(Services(authority)) if isinstance(route, Route)]
        assert routes, "it serves nothing; routes(services) must give mica.Route objects"
        return routes

    @pytest.fixture(autouse=True)
    def clean(self, routes_ca: TestCA, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
        """Whatever a test asks: no secret and no raw control character is in the log, no failure nobody foresaw."""
        caplog.set_level(logging.DEBUG)
        yield
        lines = [JSONFormatter().format(record) for record in caplog.get_records("call")]
        assert not [line for line in lines if not line.isprintable()], "a raw control character is in the log"
        self._require_clean("\n".join(lines).encode(), routes_ca, "the log")

    def _require_clean(self, octets: bytes, ca: TestCA, place: str) -> None:
        for secret in self.secrets(ca):
            assert secret.encode() not in octets, f"a secret stands in {place}; take it out"
        for file in (ca.directory / "secrets").iterdir():
            lines = [line for line in file.read_bytes().splitlines() if len(line) > 40]
            assert not [line for line in lines if line in octets], f"{file.name} stands in {place}; take it out"

    def _judge(self, heard: Heard | None, ca: TestCA, asked: str) -> Heard:
        """The answer is one that strangers may get."""
        assert heard is not None, f"{asked} got no answer"
        assert heard.status < 500 or heard.status in (501, 503), (
            f"{asked} got {heard.status}; raise a MicaError instead"
        )
        assert not [foul for foul in _FOUL if foul in heard.body], f"{asked} shows the program's inside: {heard.body!r}"
        self._require_clean(heard.body + repr(heard.headers).encode(), ca, f"the answer to {asked}")
        if heard.headers.get("content-type", "").startswith("application/json"):
            json.loads(heard.body or b"null")
        return heard

    @pytest.mark.asyncio
    async def test_every_path_is_answered_properly_whatever_the_method(
        self, app: Application, paths: list[tuple[str, bytes]], routes_ca: TestCA
    ) -> None:
        for _, path in paths:
            for method in _METHODS:
                heard = self._judge(await ask(app, method, path), routes_ca, f"{method[:9]} {path!r}")
                served = {served for served, other in paths if other == path}
                if method not in served | ({"HEAD"} if "GET" in served else set()):
                    assert heard.status == 405, f"{method} {path!r} is not served and got {heard.status}"

    @pytest.mark.asyncio
    async def test_strange_values_and_queries_are_answered_properly(
        self, app: Application, serving: Authority, routes_ca: TestCA
    ) -> None:
        for route in self._routes(serving):
            values = _VALUES if "{}" in route.path else (b"x",)
            paths = [route.path.encode().replace(b"{}", value) for value in values]
            paths += [paths[0] + b"?" + query for query in _QUERIES]
            for path in paths:
                self._judge(await ask(app, route.method, path), routes_ca, f"{route.method} {path[:200]!r}")

    @pytest.mark.asyncio
    async def test_nearly_its_paths_are_not_its_paths(
        self, app: Application, paths: list[tuple[str, bytes]], routes_ca: TestCA
    ) -> None:
        for method, path in paths:
            quoted = path[:1] + f"%{path[1]:02x}".encode() + path[2:]
            ways = (b"/" + path, path + b"/", path + b"/./", b"/." + path, quoted, path.upper(), b"/1.0/1.0" + path)
            for other in ways:
                if other not in [known for _, known in paths]:
                    heard = self._judge(await ask(app, method, other), routes_ca, f"{method} {other!r}")
                    assert heard.status in (404, 405), f"{method} {other!r} got {heard.status}; it must not be found"

    @pytest.mark.asyncio
    async def test_strange_bodies_are_answered_properly_and_nothing_is_done_without_a_credential(
        self, app: Application, paths: list[tuple[str, bytes]], routes_ca: TestCA, serving: Authority
    ) -> None:
        bodies = dict(_BODIES)
        for number, value in enumerate(_MEMBER_VALUES):
            bodies |= {f"{name}: value {number}": json.dumps({name: value}).encode() for name in _MEMBERS}
            bodies[f"all: value {number}"] = json.dumps(dict.fromkeys(_MEMBERS, value)).encode()
        for method, path in paths:
            for label, body in bodies.items():
                self._judge(await ask(app, method, path, [body]), routes_ca, f"{method} {path!r} with {label}")
        for kind in CertificateKind:
            page = await serving.store.search(Query(now=serving.now(), kind=kind))
            assert page.rows == (), "something was issued to somebody without a credential"

    @pytest.mark.asyncio
    async def test_no_body_is_read_beyond_the_limit(
        self, app: Application, paths: list[tuple[str, bytes]], routes_ca: TestCA
    ) -> None:
        for method, path in paths:
            heard = await ask(app, method, path, repeat(b" " * 65_536, 1000))
            heard = self._judge(heard, routes_ca, f"{method} {path!r} with 65 MB")
            assert heard.read <= MAX_BODY_BYTES + 65_536, (
                f"{method} {path!r} reads {heard.read} octets; use decode_body"
            )

    @pytest.mark.asyncio
    async def test_whoever_hangs_up_or_is_cut_off_spoils_nothing(
        self, app: Application, paths: list[tuple[str, bytes]], routes_ca: TestCA
    ) -> None:
        for method, path in paths:
            before = self._judge(await ask(app, method, path, [b"{}"]), routes_ca, f"{method} {path!r}")
            await ask(app, method, path, [b'{"ott":'], hangs_up=True)
            again = partial(_ask_again, app, method, path)
            async for _ in cancelled_at_every_await(again):
                after = self._judge(await ask(app, method, path, [b"{}"]), routes_ca, f"{method} {path!r}")
                assert after.status == before.status, f"{method} {path!r} answers otherwise after a cancellation"

    @pytest.mark.asyncio
    async def test_what_a_proxy_might_say_changes_nothing(
        self, app: Application, paths: list[tuple[str, bytes]], routes_ca: TestCA
    ) -> None:
        for method, path in paths:
            plain, spoofed = [await ask(app, method, path, [b"{}"], headers) for headers in (None, _SPOOFED)]
            assert plain and spoofed and (plain.status, plain.body) == (spoofed.status, spoofed.body), (
                f"{method} {path!r} believes a header of {', '.join(_SPOOFED)}; anybody can send them"
            )

    @pytest.mark.asyncio
    async def test_it_holds_nobody_up(self, app: Application, paths: list[tuple[str, bytes]]) -> None:
        for method, path in paths:
            for body in (b"{}", _BODIES["deep"], _BODIES["huge numbers"]):
                shortest = await standstill(partial(ask, app, method, path, [body]))
                assert shortest < LONGEST, f"the CA stands still for {shortest:.2f} s at {method} {path!r}; await it"


async def _ask_again(app: Application, method: str, path: bytes, _: int) -> Heard | None:
    return await ask(app, method, path, [b"{}"])
