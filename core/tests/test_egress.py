"""The way out leads where the operator said, or to public addresses, and costs what its budget allows."""

import asyncio
import gzip
import ipaddress
import itertools
import socket
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import httpcore
import pytest

from mica import Budget, Egress, Unavailable
from mica.egressrules import destination, is_public
from mica.testing.webserver import Reply, WebServer, web_server

#: Names that somebody other than the operator gives, and what their DNS says.
ZONE = {
    "public.example": ("93.184.215.14",),
    "rebound.example": ("127.0.0.1",),
    "half.example": ("93.184.215.14", "10.0.0.1"),
    "metadata.example": ("169.254.169.254",),
    "mapped.example": ("::ffff:127.0.0.1",),
    "nowhere.example": (),
}


class Router(httpcore.AsyncNetworkBackend):
    """A network on which every address is this machine; it notes which were dialled."""

    def __init__(self) -> None:
        self.dialled: list[str] = []
        self._real = httpcore.AnyIOBackend()

    async def connect_tcp(self, host: str, port: int, *rest: Any, **more: Any) -> httpcore.AsyncNetworkStream:
        self.dialled.append(host)
        return await self._real.connect_tcp("127.0.0.1", port, *rest, **more)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[WebServer]:
    with web_server(tmp_path, ("localhost", "127.0.0.1", *ZONE)) as server:
        server.replies["/good"] = Reply(body=b'{"a": 1}')
        yield server


@pytest.fixture
def router() -> Router:
    return Router()


@pytest.fixture
def egress(router: Router) -> Egress:
    async def resolve(host: str, port: int) -> tuple[str, ...]:
        return ZONE.get(host, ("127.0.0.1",))

    return Egress(resolve=resolve, network=router)


def roots(web: WebServer) -> bytes:
    return web.roots.read_bytes()


def to(location: str, status: int = 302) -> Reply:
    return Reply(status=status, headers={"Location": location})


async def test_the_operators_url_is_asked_at_any_address(web: WebServer) -> None:
    answer = await Egress().get(f"{web.url}/good", roots=roots(web))
    assert (answer.status, answer.json()) == (200, {"a": 1})
    ((_, fields),) = web.requests
    assert fields["host"] == f"localhost:{web.port}"
    assert "cookie" not in fields


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_on_the_operators_host_is_followed(web: WebServer, egress: Egress, status: int) -> None:
    web.replies["/old"] = to("/good#part", status)
    answer = await egress.get(f"{web.url}/old", roots=roots(web))
    assert (answer.url, answer.json()) == (f"{web.url}/good", {"a": 1})


async def test_a_redirect_to_a_public_address_is_followed_and_only_there(
    web: WebServer, egress: Egress, router: Router
) -> None:
    web.replies["/old"] = to(f"https://public.example:{web.port}/good")
    assert (await egress.get(f"{web.url}/old", roots=roots(web))).json() == {"a": 1}
    assert router.dialled == ["127.0.0.1", "93.184.215.14"]


HOSTILE = [
    "https://rebound.example:{port}/good",
    "https://half.example:{port}/good",
    "https://metadata.example:{port}/good",
    "https://mapped.example:{port}/good",
    "https://nowhere.example:{port}/good",
    "https://127.0.0.1:{port}/good",
    "https://0.0.0.0:{port}/good",
    "https://169.254.169.254/latest/meta-data/",
    "https://[::1]:{port}/good",
    "https://[::ffff:127.0.0.1]:{port}/good",
    "https://[::ffff:7f00:1]:{port}/good",
    "http://localhost:{port}/good",
    "http://public.example/good",
    "//rebound.example:{port}/good",
    "file:///etc/passwd",
    "gopher://localhost:{port}/",
    "ftp://localhost/",
    "data:application/json,{{}}",
    "https://user:password@localhost:{port}/good",
    "https://localhost:99999/good",
    "https://localhost:0/good",
    "https://a..b/good",
    "https://.localhost:{port}/good",
    f"https://{'a' * 64}.example/good",
    "https://[fe80::1%25eth0]:{port}/good",
    "https://local%68ost:{port}/good",
    "https://localhost;x:{port}/good",
    "https://localhost\\@rebound.example/good",
    "https://localhost.:{port}/good\t",
]


@pytest.mark.parametrize("location", HOSTILE)
async def test_a_redirect_elsewhere_is_refused_before_anything_is_asked_there(
    web: WebServer, egress: Egress, location: str
) -> None:
    web.replies["/old"] = to(location.format(port=web.port))
    with pytest.raises(Unavailable):
        await egress.get(f"{web.url}/old", roots=roots(web))
    assert [path for path, _ in web.requests] == ["/old"]


@pytest.mark.parametrize("location", [*HOSTILE, "https:///good", "/good", "", "https://localhost/\u00e9"])
async def test_a_url_that_was_found_is_judged_like_a_redirect(web: WebServer, egress: Egress, location: str) -> None:
    with pytest.raises(Unavailable):
        await egress.get(location.format(port=web.port), named=f"{web.url}/doc", roots=roots(web))
    assert web.requests == []


async def test_a_name_is_resolved_once_for_each_connection(web: WebServer, router: Router) -> None:
    answers = itertools.chain([("93.184.215.14",)], itertools.repeat(("127.0.0.1",)))

    async def rebinding(host: str, port: int) -> tuple[str, ...]:
        return ("127.0.0.1",) if host == "localhost" else next(answers)

    egress = Egress(resolve=rebinding, network=router)
    url = f"https://public.example:{web.port}/good"
    assert (await egress.get(url, named=web.url, roots=roots(web))).json() == {"a": 1}
    assert router.dialled == ["93.184.215.14"]
    with pytest.raises(Unavailable, match="not a public address"):
        await egress.get(url, named=web.url, roots=roots(web))


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.215.14", True), ("2606:4700::1111", True), ("64:ff9b::5db8:d70e", True), ("127.0.0.1", False),
        ("10.1.2.3", False), ("172.16.0.1", False), ("192.168.1.1", False), ("169.254.169.254", False),
        ("100.64.0.1", False), ("0.0.0.0", False), ("255.255.255.255", False), ("224.0.0.1", False),
        ("240.0.0.1", False), ("192.0.2.1", False), ("198.18.0.1", False), ("::", False), ("::1", False),
        ("::127.0.0.1", False), ("::ffff:93.184.215.14", False), ("::ffff:10.0.0.1", False), ("fe80::1", False),
        ("fec0::1", False), ("fd00:ec2::254", False), ("ff02::1", False), ("2001:db8::1", False),
        ("2002:7f00:1::", False), ("2001:0:7f00:1::", False), ("64:ff9b::7f00:1", False), ("64:ff9b::a9fe:a9fe", False),
        ("64:ff9b:1::1", False), ("192.0.0.192", False), ("192.88.99.1", False), ("168.63.129.16", False),
        ("100.100.100.200", False), ("fd00:ec2::254", False), ("3fff::1", False),
    ],
)  # fmt: skip
def test_which_addresses_are_public(address: str, public: bool) -> None:
    assert is_public(ipaddress.ip_address(address)) is public


@pytest.mark.parametrize("octal", ["0x7f.1", "2130706433", "127.1", "0177.0.0.1"])
async def test_an_address_in_disguise_is_judged_by_what_it_is(web: WebServer, octal: str) -> None:
    with pytest.raises(Unavailable):
        await Egress().get(f"https://{octal}:{web.port}/good", named=web.url, roots=roots(web))
    assert web.requests == []


async def test_plain_http_is_for_the_operators_own_machine_alone(tmp_path: Path, egress: Egress) -> None:
    with web_server(tmp_path, tls=False) as plain:
        plain.replies["/good"] = Reply(body=b"1")
        assert (await egress.get(f"{plain.url}/good")).json() == 1
        with pytest.raises(Unavailable, match="https"):
            await egress.get(f"{plain.url}/good", named="https://localhost/")
        with pytest.raises(Unavailable, match="not this machine"):
            await egress.get(f"http://public.example:{plain.port}/good")
        assert plain.asked("/good") == 1


async def test_redirects_end(web: WebServer, egress: Egress) -> None:
    web.replies["/loop"] = to("/loop")
    with pytest.raises(Unavailable, match="redirects more than 3 times"):
        await egress.get(f"{web.url}/loop", roots=roots(web))
    assert web.asked("/loop") == 4


def endless() -> Iterable[bytes]:
    return itertools.repeat(b" " * 65536)


def dripping() -> Iterator[bytes]:
    while True:
        time.sleep(0.05)
        yield b" "


@pytest.mark.parametrize(
    ("reply", "rule"),
    [
        (Reply(body=endless), "longer than 1000 octets"),
        (Reply(body=b"1" * 1001), "longer than 1000 octets"),
        (Reply(body=gzip.compress(bytes(50_000_000)), headers={"Content-Encoding": "gzip"}), "longer than"),
        (Reply(body=gzip.compress(b"1")[:-4], headers={"Content-Encoding": "gzip"}), "ends too soon"),
        (Reply(body=b"no gzip", headers={"Content-Encoding": "gzip"}), "is not gzip"),
        (Reply(body=b"1", headers={"Content-Encoding": "br"}), "which was not asked for"),
        (Reply(body=b"1", headers={"Content-Encoding": "gzip, gzip"}), "which was not asked for"),
        (Reply(body=dripping), "no answer within"),
        (Reply(pause=5.0), "no answer within"),
        (Reply(body=b"1", headers={"X": "x" * 200_000}), "https://localhost"),
        (Reply(body=b"1", headers={"Content-Length": "5000"}), "https://localhost"),
        (Reply(body=b"1", headers={"Content-Length": "nonsense"}), "https://localhost"),
    ],
    ids=[
        "endless", "one octet too many", "gzip bomb", "half a gzip", "no gzip", "another coding", "two codings",
        "dripping", "silent", "huge header", "cut short", "nonsense",
    ],
)  # fmt: skip
async def test_an_answer_beyond_its_budget_is_given_up(web: WebServer, egress: Egress, reply: Reply, rule: str) -> None:
    web.replies["/bad"] = reply
    began = time.monotonic()
    with pytest.raises(Unavailable, match=rule):
        await egress.get(f"{web.url}/bad", roots=roots(web), budget=Budget(octets=1000, seconds=1.0))
    assert time.monotonic() - began < 3


async def test_gzip_within_the_budget_is_unpacked(web: WebServer, egress: Egress) -> None:
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/jwk-set+json; charset=utf-8"}
    web.replies["/packed"] = Reply(body=gzip.compress(b'{"keys": []}'), headers=headers)
    assert (await egress.get(f"{web.url}/packed", roots=roots(web))).json() == {"keys": []}


@pytest.mark.parametrize(
    "reply",
    [
        Reply(status=500, body=b"{}"),
        Reply(status=204),
        Reply(body=b"{}", headers={"Content-Type": "text/html"}),
        Reply(body=b"{}", headers={}),
        Reply(body=b"<html>"),
        Reply(body=b'{"a": 1, "a": 2}'),
        Reply(body=b"[" * 5000),
        Reply(body=b"\xff\xfe{}"),
        Reply(body=b"NaN"),
    ],
    ids=["500", "204", "HTML", "no type", "not JSON", "duplicate", "deep", "UTF-16", "NaN"],
)
async def test_what_is_not_json_is_said_to_be_none(web: WebServer, egress: Egress, reply: Reply) -> None:
    web.replies["/x"] = reply
    answer = await egress.get(f"{web.url}/x", roots=roots(web))
    with pytest.raises(Unavailable, match=f"^{web.url}/x: "):
        answer.json()


async def test_a_server_without_a_certificate_that_is_trusted_is_not_asked(web: WebServer, egress: Egress) -> None:
    with pytest.raises(Unavailable, match="(?i)certificate"):
        await egress.get(f"{web.url}/good")
    with pytest.raises(Unavailable, match="(?i)certificate|hostname"):
        await egress.get(f"https://other.example:{web.port}/good", roots=roots(web))
    for unreadable in (b"nonsense", b"", b" \n"):  # of nothing, the standard library makes the system's roots
        with pytest.raises(Unavailable, match="roots cannot be read"):
            await egress.get(f"{web.url}/good", roots=unreadable)
    assert web.requests == []


async def test_a_resolver_that_chokes_on_a_name_is_no_crash(web: WebServer) -> None:
    async def resolve(host: str, port: int) -> tuple[str, ...]:
        raise UnicodeError("label empty or too long")

    with pytest.raises(Unavailable, match="cannot be resolved"):
        await Egress(resolve=resolve).get(f"{web.url}/good")


async def test_an_address_that_says_nothing_does_not_use_up_the_time_of_the_next(
    web: WebServer, router: Router
) -> None:
    with socket.create_server(("127.0.0.2", 0), backlog=0) as silent, socket.socket() as first, socket.socket() as more:
        for caller in (first, more):  # its queue is full: who calls now hears nothing
            caller.setblocking(False)
            caller.connect_ex(silent.getsockname())
        deaf = silent.getsockname()[1]

        class Half(httpcore.AsyncNetworkBackend):
            """127.0.0.2 is the silent server, whatever the port; everything else is as it is."""

            real = httpcore.AnyIOBackend()

            async def connect_tcp(self, host: str, port: int, *rest: Any, **more: Any) -> httpcore.AsyncNetworkStream:
                return await self.real.connect_tcp(host, deaf if host == "127.0.0.2" else port, *rest, **more)

        async def resolve(host: str, port: int) -> tuple[str, ...]:
            return ("127.0.0.2", "127.0.0.1")

        egress = Egress(resolve=resolve, network=Half())
        assert (await egress.get(f"{web.url}/good", roots=roots(web))).status == 200


async def test_a_field_that_comes_twice_is_one_list(egress: Egress) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = b"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nCACHE-control: max-age=9\r\nContent-Length: 0\r\n\r\n"
        writer.write(head)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        answered = await egress.get(f"http://localhost:{port}/")
    assert answered.headers["cache-control"] == "no-store, max-age=9"


async def test_the_environment_names_no_proxy(web: WebServer, egress: Egress, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert (await egress.get(f"{web.url}/good", roots=roots(web))).json() == {"a": 1}


async def test_nothing_is_remembered_between_two_requests(web: WebServer, egress: Egress) -> None:
    web.replies["/good"] = Reply(body=b"1", headers={"Set-Cookie": "a=b", "Content-Type": "application/json"})
    for _ in range(2):
        await egress.get(f"{web.url}/good", roots=roots(web))
    assert [fields.get("cookie") for _, fields in web.requests] == [None, None]


async def test_a_closed_port_and_an_unknown_name_are_unavailable() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(Unavailable, match=str(port)):
        await Egress().get(f"https://127.0.0.1:{port}/")

    async def unknown(host: str, port: int) -> tuple[str, ...]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with pytest.raises(Unavailable, match="cannot be resolved"):
        await Egress(resolve=unknown).get("https://idp.example/")


async def test_whoever_gives_up_ends_the_connection(web: WebServer, egress: Egress) -> None:
    web.replies["/slow"] = Reply(pause=1.0)
    task = asyncio.create_task(egress.get(f"{web.url}/slow", roots=roots(web)))
    while not web.requests:
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(
    ("url", "host", "target", "authority"),
    [
        ("https://IdP.example", "idp.example", "/", "idp.example"),
        ("https://idp.example:8443/a?b=c#d", "idp.example", "/a?b=c", "idp.example:8443"),
        ("https://[2001:DB8::1]/a", "2001:db8::1", "/a", "[2001:db8::1]"),
    ],
)
def test_a_url_is_taken_apart_once(url: str, host: str, target: str, authority: str) -> None:
    found = destination(url)
    assert (found.host, found.target, found.authority) == (host, target, authority)
