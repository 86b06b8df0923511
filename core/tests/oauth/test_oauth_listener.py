"""The listener takes one answer, from the browser that was sent, and turns everything else away; curl is everybody."""

import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mica.client.oauth import NotSignedIn
from mica.client.oauth.callback import Callback
from mica.client.oauth.landing import Address, Landing
from mica.client.oauth.listener import Listener, listening

Curl = Callable[..., "subprocess.CompletedProcess[str]"]
ISSUER = "https://id.example"


@dataclass
class Waiting:
    """A listener that waits for the state ``s3cret``."""

    url: str
    listener: Listener
    callback: Callback

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])


@pytest.fixture
def waiting() -> Iterator[Waiting]:
    with listening(Landing.parse("")) as listener:
        callback = Callback(hosts=listener.hosts, state="s3cret", issuer=ISSUER, names_itself=False)
        listener.serve(callback)
        yield Waiting(listener.redirect_uri, listener, callback)


def status(done: "subprocess.CompletedProcess[str]") -> int:
    return int(done.stdout.rpartition("\n")[2])


def test_the_right_answer_is_taken_and_the_window_may_be_closed(waiting: Waiting, curl: Curl) -> None:
    page = curl("-D", "-", f"{waiting.url}/?state=s3cret&code=c0de")
    assert status(page) == 200
    assert "This window may be closed." in page.stdout
    assert "Cache-Control: no-store" in page.stdout
    assert "default-src 'none'" in page.stdout
    assert "Python" not in page.stdout
    assert waiting.callback.wait(5) == "c0de"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/favicon.ico", 404), ("/callback?state=s3cret&code=x", 404),
        ("/", 400), ("/?state=other&code=x", 400), ("/?code=x", 400), ("/?state=s3cre&code=x", 400),
        ("/?state=S3CRET&code=x", 400), ("/?state=s3cret&state=s3cret&code=x", 400),
        ("/?state=s3cret&code=x&code=y", 400), ("/?state=%C3%A9&code=x", 400), ("/?state=&code=x", 400),
        ("/?state=s3cret&code=x" + "&a=b" * 40, 400),
    ],
)  # fmt: skip
def test_a_request_that_is_no_answer_ends_nothing(waiting: Waiting, curl: Curl, path: str, expected: int) -> None:
    assert status(curl("--path-as-is", f"{waiting.url}{path}")) == expected
    assert status(curl(f"{waiting.url}/?state=s3cret&code=right")) == 200
    assert waiting.callback.wait(5) == "right"


@pytest.mark.parametrize("method", ["POST", "HEAD", "OPTIONS", "PUT", "BREW"])
def test_another_method_than_get_ends_nothing(waiting: Waiting, method: str) -> None:
    with socket.create_connection(("127.0.0.1", waiting.port), timeout=5) as stranger:
        request = f"{method} /?state=s3cret&code=x HTTP/1.1\r\nHost: 127.0.0.1:{waiting.port}\r\n\r\n"
        stranger.sendall(request.encode())
        assert b" 501 " in stranger.recv(100)
    with pytest.raises(NotSignedIn, match="nobody signed in"):
        waiting.callback.wait(0.01)


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1", "127.0.0.1.evil.example", ""])
def test_a_name_that_was_made_to_resolve_here_learns_and_ends_nothing(waiting: Waiting, curl: Curl, host: str) -> None:
    assert status(curl("-H", f"Host: {host}", f"{waiting.url}/?state=s3cret&code=x")) == 421
    with pytest.raises(NotSignedIn, match="nobody signed in"):
        waiting.callback.wait(0.01)


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "LOCALHOST"])
def test_the_names_of_this_machine_are_this_machine(waiting: Waiting, curl: Curl, name: str) -> None:
    url = f"http://{name}:{waiting.port}/?state=s3cret&code=c0de"
    assert status(curl("--resolve", f"localhost:{waiting.port}:127.0.0.1", url)) == 200
    assert waiting.callback.wait(5) == "c0de"


def test_a_second_tab_is_told_that_it_is_over_and_changes_nothing(waiting: Waiting, curl: Curl) -> None:
    assert status(curl(f"{waiting.url}/?state=s3cret&code=first")) == 200
    second = curl(f"{waiting.url}/?state=s3cret&code=second")
    assert status(second) == 410
    assert "is over" in second.stdout
    assert waiting.callback.wait(5) == "first"


def test_the_providers_no_is_shown_without_its_markup(waiting: Waiting, curl: Curl) -> None:
    page = curl(f"{waiting.url}/?state=s3cret&error=access_denied&error_description=%3Cscript%3Eno%3C/script%3E")
    assert status(page) == 400
    assert "<script>" not in page.stdout
    assert "&lt;script&gt;no" in page.stdout
    with pytest.raises(NotSignedIn, match="the identity provider refused: access_denied: <script>no"):
        waiting.callback.wait(5)


def test_an_answer_without_a_code_is_no_sign_in(waiting: Waiting, curl: Curl) -> None:
    assert status(curl(f"{waiting.url}/?state=s3cret")) == 400
    with pytest.raises(NotSignedIn, match="has no code"):
        waiting.callback.wait(5)


def test_another_providers_answer_is_refused(waiting: Waiting, curl: Curl) -> None:
    curl(f"{waiting.url}/?state=s3cret&code=x&iss=https://evil.example")
    with pytest.raises(NotSignedIn, match=r"is not by https://id\.example: its iss is 'https://evil\.example'"):
        waiting.callback.wait(5)


def test_a_provider_that_says_its_name_always_must_say_it(curl: Curl) -> None:
    with listening(Landing.parse("")) as listener:
        callback = Callback(hosts=listener.hosts, state="s", issuer=ISSUER, names_itself=True)
        listener.serve(callback)
        curl(f"{listener.redirect_uri}/?state=s&code=x")
        with pytest.raises(NotSignedIn, match="is not by"):
            callback.wait(5)


@pytest.mark.parametrize("sent", [b"", b"GET /", b"\x16\x03\x01\x02\x00\x01\x00", b"\r\n" * 100, b"A" * 70000])
def test_port_scanners_and_slow_clients_keep_nobody_out(waiting: Waiting, curl: Curl, sent: bytes) -> None:
    strangers = [socket.create_connection(("127.0.0.1", waiting.port), timeout=5) for _ in range(40)]
    try:
        for stranger in strangers:
            try:
                stranger.sendall(sent)
            except OSError:
                continue  # it was the oldest, or was answered already
        assert status(curl(f"{waiting.url}/?state=s3cret&code=c0de")) == 200
        assert waiting.callback.wait(5) == "c0de"
    finally:
        for stranger in strangers:
            stranger.close()


def test_strangers_leave_no_trace_on_the_terminal(
    waiting: Waiting, curl: Curl, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.create_connection(("127.0.0.1", waiting.port)) as stranger:
        stranger.sendall(b"GET /?state=s3cret HTTP/9.9\r\n\r\n")
        assert b"HTTP Version Not Supported" in stranger.recv(1000)
    curl(f"{waiting.url}/nothing")
    assert capfd.readouterr() == ("", "")


def test_the_time_is_limited_and_what_came_instead_is_told(waiting: Waiting, curl: Curl) -> None:
    curl(f"{waiting.url}/?state=other&code=x")
    with pytest.raises(
        NotSignedIn, match=r"nobody signed in within 0\.005 minutes; requests that were no answer to this sign-in: 1"
    ):
        waiting.callback.wait(0.3)


def test_many_answers_at_once_are_one(waiting: Waiting, curl: Curl) -> None:
    pages: list[int] = []
    tabs = [
        threading.Thread(target=lambda n=n: pages.append(status(curl(f"{waiting.url}/?state=s3cret&code=c{n}"))))
        for n in range(8)
    ]
    for tab in tabs:
        tab.start()
    for tab in tabs:
        tab.join()
    assert sorted(pages) == [200] + [410] * 7
    assert waiting.callback.wait(5) in {f"c{n}" for n in range(8)}


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        (":0", "http://127.0.0.1:"), ("127.0.0.1:0", "http://127.0.0.1:"), ("localhost:0", "http://localhost:"),
        ("127.8.9.10:0", "http://127.8.9.10:"), ("[::1]:0", "http://[::1]:"),
    ],
)  # fmt: skip
def test_a_listen_address_is_the_providers_redirect_uri(text: str, uri: str) -> None:
    with listening(Landing.parse(text)) as listener:
        assert listener.redirect_uri.startswith(uri)
        assert not listener.redirect_uri.endswith((":0", "/"))


@pytest.mark.parametrize(
    "text",
    ["0.0.0.0:0", "[::]:0", "192.0.2.1:80", "id.example:80", "127.0.0.1", ":", "10000", "127.0.0.1:99999", "a@[::1]:1",
     "127.0.0.1:1/x", "[::1:1"],
)  # fmt: skip
def test_whatever_is_not_this_machine_alone_is_not_listened_at(text: str) -> None:
    with pytest.raises(NotSignedIn, match="is no address to await a browser at"):
        Address.parse(text)


def test_an_address_that_another_has_is_told(waiting: Waiting) -> None:
    address, expected = Address.parse(f":{waiting.port}"), f"127.0.0.1:{waiting.port}: cannot be listened at"
    with pytest.raises(NotSignedIn, match=expected), listening(Landing(address=address)):
        pytest.fail("two listen at one address")


def test_it_listens_on_loopback_alone(waiting: Waiting) -> None:
    local = f"0100007F:{waiting.port:04X}"  # 127.0.0.1, as the kernel writes it
    sockets = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    assert [row[1] for row in sockets if row[3] == "0A" and row[1].endswith(f":{waiting.port:04X}")] == [local]
