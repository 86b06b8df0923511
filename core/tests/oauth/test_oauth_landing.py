"""The provider may know the listener by another URL; the browser may go on; nothing else comes of it."""

import socket
import subprocess
from collections.abc import Callable

import pytest

from mica.client.oauth import NotSignedIn
from mica.client.oauth.callback import Callback
from mica.client.oauth.landing import Landing
from mica.client.oauth.listener import Listener, listening

Curl = Callable[..., "subprocess.CompletedProcess[str]"]
ISSUER = "https://id.example"


def callback(listener: Listener, onward: str = "") -> Callback:
    made = Callback(
        hosts=listener.hosts, path=listener.path, state="s3cret", issuer=ISSUER, names_itself=False, onward=onward
    )
    listener.serve(made)
    return made


def status(done: "subprocess.CompletedProcess[str]") -> int:
    return int(done.stdout.rpartition("\n")[2])


@pytest.mark.parametrize(
    ("url", "host", "path"),
    [
        ("http://localhost/callback", "localhost", "/callback"), ("http://127.0.0.1/a/b", "127.0.0.1", "/a/b"),
        ("http://[::1]/cb", "[::1]", "/cb"), ("http://localhost:/cb", "localhost", "/cb"),
    ],
)  # fmt: skip
def test_a_url_without_a_port_takes_any_and_its_path_alone_is_answered(
    curl: Curl, url: str, host: str, path: str
) -> None:
    with listening(Landing.parse("", url)) as listener:
        waiting, told = callback(listener), f"http://{host}:{listener.port}"
        assert listener.redirect_uri == f"{told}{path}"
        assert status(curl("-g", f"{told}/?state=s3cret&code=x")) == 404
        assert status(curl("-g", f"{told}{path}?state=s3cret&code=right")) == 200
        assert waiting.wait(5) == "right"


def test_what_came_to_another_path_is_told_when_nothing_else_came(curl: Curl) -> None:
    with listening(Landing.parse("", "http://localhost/callback")) as listener:
        waiting = callback(listener)
        curl(f"http://localhost:{listener.port}/?state=s3cret&code=x")
        curl(f"http://localhost:{listener.port}/favicon.ico")
        with pytest.raises(NotSignedIn, match="requests that were no answer to this sign-in: 1"):
            waiting.wait(0.1)


def test_a_url_with_a_port_is_listened_at_and_told_as_it_is() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with listening(Landing.parse("", f"http://localhost:{port}/callback")) as listener:
        assert (listener.port, listener.redirect_uri) == (port, f"http://localhost:{port}/callback")


def test_what_stands_before_the_listener_passes_on_to_it(curl: Curl) -> None:
    with listening(Landing.parse("127.0.0.1:0", "https://Dev.example/callback")) as listener:
        waiting = callback(listener)
        assert listener.redirect_uri == "https://Dev.example/callback"
        target = f"http://127.0.0.1:{listener.port}/callback?state=s3cret&code=c0de"
        assert status(curl("-H", "Host: evil.example", target)) == 421
        assert status(curl("-H", "Host: dev.example", target)) == 200
        assert waiting.wait(5) == "c0de"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://id.example/cb", "is no URL at which"), ("http://192.0.2.1:80/", "is no URL at which"),
        ("http://0.0.0.0/", "is no URL at which"), ("http://localhost/?a=b", "is no URL at which"),
        ("http://localhost/#a", "is no URL at which"), ("localhost:1", "is no URL at which"),
        ("file:///etc/passwd", "is no URL at which"), ("http://a@localhost/", "is no URL at which"),
        ("http://localhost:99999/", "is no URL at which"), ("http://localhost.evil.example/", "is no URL at which"),
        ("https://dev.example/cb", "is served by another program"),
    ],
)  # fmt: skip
def test_a_url_that_leads_elsewhere_is_refused(url: str, message: str) -> None:
    with pytest.raises(NotSignedIn, match=message):
        Landing.parse("", url)


@pytest.mark.parametrize("text", ["127.0.0.1:1?a", "127.0.0.1:1#a", ":1?", "localhost:1/"])
def test_an_address_is_a_host_and_a_port_alone(text: str) -> None:
    with pytest.raises(NotSignedIn, match="is no address to await a browser at"):
        Landing.parse(text)


def test_the_browser_goes_on_without_the_code_when_somebody_signed_in(curl: Curl) -> None:
    with listening(Landing.parse("")) as listener:
        waiting = callback(listener, onward="https://harbour.example/welcome")
        page = curl("-D", "-", f"{listener.redirect_uri}/?state=s3cret&code=c0de")
        assert status(page) == 303
        assert "Location: https://harbour.example/welcome\n" in page.stdout.replace("\r", "")
        assert "Referrer-Policy: no-referrer" in page.stdout
        assert "c0de" not in page.stdout
        assert waiting.wait(5) == "c0de"


def test_the_browser_stays_where_the_no_is_shown(curl: Curl) -> None:
    with listening(Landing.parse("")) as listener:
        callback(listener, onward="https://harbour.example/welcome")
        page = curl("-D", "-", f"{listener.redirect_uri}/?state=s3cret&error=access_denied")
        assert status(page) == 400
        assert "Location" not in page.stdout


def test_a_no_is_one_line_so_that_none_of_it_passes_for_the_commands_own(curl: Curl) -> None:
    with listening(Landing.parse("")) as listener:
        waiting = callback(listener)
        curl(f"{listener.redirect_uri}/?state=s3cret&error=server_error&error_description=x%0Ahint:%20run%20this")
        with pytest.raises(NotSignedIn) as caught:
            waiting.wait(5)
        assert str(caught.value) == "the identity provider refused: server_error: x hint: run this"


@pytest.mark.parametrize(
    "target", ["http://[/?state=s3cret", "*", "http://127.0.0.1/?state=s3cret&code=x", "/%3Fstate=s3cret"]
)
def test_a_target_that_is_no_path_is_answered_and_ends_nothing(target: str) -> None:
    with listening(Landing.parse("")) as listener:
        callback(listener)
        with socket.create_connection(("127.0.0.1", listener.port), timeout=5) as stranger:
            stranger.sendall(f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{listener.port}\r\n\r\n".encode())
            assert b" 404 " in stranger.recv(100)
