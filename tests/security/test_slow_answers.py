"""Whoever is asked may answer for ever, an octet at a time or as fast as it can: it costs what was set, no more."""

import asyncio
import gzip
import itertools
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from mica import Answer, Budget, Egress, MicaError, Unavailable, dialing
from mica.client import Client, Unreachable, tls
from mica.client.oauth.web import Web
from mica.testing.contexts import Clock, make_context
from mica.testing.openid import CLIENT_ID, DISCOVERY, KEYS, openid_provider
from mica.testing.webserver import Reply, web_server
from mica_oidc.config import OIDCConfig
from mica_oidc.provisioner import OIDCProvisioner

DOCS = Path(__file__).parents[2] / "docs"
#: Seconds that an answer may take here, and by when the test has surely noticed that it was given up.
LIMIT, LATE = 0.3, 5.0
assert dialing, "imported before anything is timed"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def drip(octets: bytes) -> Iterator[bytes]:
    """Now and then one more: whoever waits for the next octet alone waits for ever."""
    for _ in itertools.count():
        time.sleep(0.02)
        yield octets


#: Answers that never end: what comes first, and then again and again.
ENDLESS: dict[str, Callable[[], Iterable[bytes]]] = {
    "nothing": lambda: (),
    "a status line by and by": lambda: itertools.chain([b"HTTP/1.1 200 "], drip(b"O")),
    "a field by and by": lambda: itertools.chain([HEAD, b"X-Field: "], drip(b"x")),
    "100 Continue for ever": lambda: itertools.repeat(b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
    "a body by and by": lambda: itertools.chain([HEAD, b"Content-Length: 100000\r\n\r\n"], drip(b" ")),
    "a chunk's size by and by": lambda: itertools.chain([HEAD, b"Transfer-Encoding: chunked\r\n\r\n1;x="], drip(b"x")),
    "trailers for ever": lambda: itertools.chain(
        [HEAD, b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"], itertools.repeat(b"X: y\r\n" * 100)
    ),
}
endless = pytest.mark.parametrize("answer", ENDLESS.values(), ids=ENDLESS)


@dataclass(frozen=True, slots=True)
class Endless:
    """Who answers everybody so."""

    port: int
    roots: bytes

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"


@contextmanager
def answering(folder: Path, answer: Callable[[], Iterable[bytes]]) -> Iterator[Endless]:
    """A TLS server that sends what ``answer`` makes to whoever has asked, until they hang up."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with web_server(folder) as other:  # whose certificate it borrows
        context.load_cert_chain(folder / "server.crt", folder / "server.key")
        roots = other.roots.read_bytes()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):  # they have hung up
                caller, _ = listener.accept()
                with caller, context.wrap_socket(caller, server_side=True) as connection:
                    connection.recv(65536)
                    for piece in answer():
                        connection.sendall(piece)
                    connection.recv(1)

        thread = Thread(target=serve, daemon=True)
        thread.start()
        yield Endless(listener.getsockname()[1], roots)
        listener.shutdown(socket.SHUT_RDWR)  # on a slow machine perhaps nobody came
        thread.join(LATE)
        assert not thread.is_alive(), "nobody hung up"


@contextmanager
def given_up(error: type[Exception], words: str) -> Iterator[None]:
    """What is tried inside is given up in time, with an error that says why."""
    began = time.monotonic()
    with pytest.raises(error, match=words):
        yield
    assert time.monotonic() - began < LATE


@endless
async def test_the_server_gives_up_an_answer_without_an_end(
    tmp_path: Path, answer: Callable[[], Iterable[bytes]]
) -> None:
    with answering(tmp_path, answer) as place, given_up(Unavailable, f"{place.url}.*: "):
        await Egress().get(f"{place.url}/keys", roots=place.roots, budget=Budget(seconds=LIMIT))


@endless
def test_the_command_line_gives_up_an_answer_without_an_end(
    tmp_path: Path, answer: Callable[[], Iterable[bytes]]
) -> None:
    with answering(tmp_path, answer) as place, given_up(Unreachable, f"does not answer within {LIMIT} seconds"):
        Client(place.url, place.roots, timeout=LIMIT).health()


@pytest.mark.parametrize(
    "ask", [lambda web, url: web.read(url), lambda web, url: web.post(url, {})], ids=["get", "post"]
)
def test_a_sign_in_gives_up_a_provider_whose_answer_has_no_end(tmp_path: Path, ask: Callable[[Web, str], Any]) -> None:
    answer = ENDLESS["a field by and by"]
    with answering(tmp_path, answer) as place, given_up(Unreachable, f"does not answer within {LIMIT} seconds"):
        ask(Web(trust=tls.context(place.roots), timeout=LIMIT), f"{place.url}/token")


class Impatient(Egress):
    """The way out of a server, where whoever names no budget has a small one."""

    async def get(
        self, url: str, *, named: str = "", roots: bytes | None = None, budget: Budget | None = None
    ) -> Answer:
        small = Budget(octets=20_000, seconds=LIMIT)
        return await super().get(url, named=named, roots=roots, budget=budget or small)


def to_itself(path: str) -> Reply:
    return Reply(status=302, headers={"Location": path})


@pytest.mark.parametrize(
    ("reply", "rule"),
    [
        (lambda path: Reply(body=lambda: drip(b" ")), "no answer within"),
        (lambda path: Reply(body=lambda: itertools.repeat(b" " * 4096)), "longer than"),
        (
            lambda path: Reply(body=gzip.compress(bytes(10_000_000)), headers={"Content-Encoding": "gzip"}),
            "longer than",
        ),
        (to_itself, "redirects more than 3 times"),
    ],
    ids=["slow", "huge", "gzip bomb", "redirects"],
)
@pytest.mark.parametrize("path", [DISCOVERY, KEYS], ids=["discovery", "keys"])
async def test_a_provisioner_does_not_start_with_what_has_no_end_and_the_plugin_asks_within_the_budget(
    tmp_path: Path, clock: Clock, path: str, reply: Callable[[str], Reply], rule: str
) -> None:
    with openid_provider(tmp_path) as provider:
        provider.server.replies[path] = reply(path)
        config = OIDCConfig(
            name="corp", client_id=CLIENT_ID, configuration_endpoint=provider.issuer, roots=provider.server.roots
        )
        provisioner = OIDCProvisioner(config, make_context(clock, http=Impatient()))
        with given_up(MicaError, rule):
            async with asyncio.timeout(LATE):
                await provisioner.start()
        assert provider.server.asked(path) == (4 if reply is to_itself else 1)


def test_the_budgets_are_those_that_operators_read() -> None:
    budget = Budget()
    said = f"| an answer | {budget.octets // 1024} KiB, as sent and unpacked; four seconds; three redirects |"
    assert (budget.seconds, budget.redirects) == (4.0, 3)
    assert said in (DOCS / "production.md").read_text()
