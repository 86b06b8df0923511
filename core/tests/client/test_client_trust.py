"""The client talks to the CA that it trusts, and tells apart why it cannot."""

import hashlib
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from mica.client import Client, Identity, IdentityRejected, KeyProblem, NotTheCA, Unreachable, Untrusted

NOW, DAY = datetime.now(UTC), timedelta(days=1)


@contextmanager
def listening(answer: bytes | None = b"") -> Iterator[int]:
    """A port where somebody answers ``answer`` and closes; None: never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        done = threading.Event()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                if answer is None:
                    done.wait(10)
                else:
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        done.set()
        thread.join()


def flaw(client: Client) -> str:
    with pytest.raises(Untrusted) as caught:
        client.health()
    assert caught.value.hint
    return caught.value.flaw


def test_another_root_is_told(serve: Any, make_authority: Any) -> None:
    server = serve()
    assert flaw(Client(server.url, make_authority().pem)) == "wrong-root"
    assert server.asked == []


def test_another_host_is_told(serve: Any, make_authority: Any) -> None:
    authority = make_authority()
    server = serve(authority, leaf=authority.leaf(address="127.0.0.9"))
    assert flaw(server.client()) == "wrong-host"


def test_an_expired_server_certificate_is_told_from_one_that_is_not_valid_yet(serve: Any, make_authority: Any) -> None:
    authority = make_authority()
    expired = serve(authority, leaf=authority.leaf(begin=NOW - 2 * DAY, end=NOW - DAY))
    assert flaw(expired.client()) == "expired"
    early = serve(authority, leaf=authority.leaf(begin=NOW + DAY, end=NOW + 2 * DAY))
    assert flaw(early.client()) == "not-yet-valid"


def test_ipv6_is_spoken(serve: Any, told: Any) -> None:
    server = serve(host="::1", script=lambda asked: told(body={"status": "ok"}))
    server.client().health()
    assert server.asked[0].headers["Host"] == f"[::1]:{server.port}"


def test_a_refused_connection_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(Unreachable, match="connection refused") as caught:
        Client(f"127.0.0.1:{port}", None).health()
    assert not isinstance(caught.value, Untrusted)


def test_a_name_that_does_not_resolve_is_told() -> None:
    with pytest.raises(Unreachable, match=r"the name nosuch\.invalid cannot be resolved"):
        Client("nosuch.invalid", None).health()


def test_silence_is_left_after_the_time_limit() -> None:
    with listening(None) as port:
        start = time.monotonic()
        with pytest.raises(Unreachable, match=r"does not answer within 0\.5 seconds"):
            Client(f"127.0.0.1:{port}", None, timeout=0.5).health()
        assert time.monotonic() - start < 5


def test_an_answer_that_drips_is_left_after_the_time_limit(serve: Any, told: Any) -> None:
    def script(asked: Any) -> Any:
        time.sleep(0.3)
        return told(body={"status": "ok"})

    with pytest.raises(Unreachable, match="does not answer within"):
        serve(script=script).client(timeout=0.1).health()


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH_9.9\r\n"])
def test_a_server_without_tls_is_told(answer: bytes) -> None:
    with listening(answer) as port, pytest.raises(NotTheCA, match="does not speak TLS"):
        Client(f"127.0.0.1:{port}", None).health()


def test_a_connection_that_is_closed_is_told() -> None:
    with listening(b"") as port, pytest.raises(Unreachable, match=r"closed|TLS failed"):
        Client(f"127.0.0.1:{port}", None).health()


def test_an_answer_cut_short_is_none(serve: Any, told: Any) -> None:
    server = serve(script=lambda asked: told(body=b"{}", headers={"Content-Length": "100"}))
    with pytest.raises(Unreachable):
        server.client().health()


def test_a_root_is_fetched_from_a_stranger_and_proved_by_its_fingerprint(serve: Any, told: Any) -> None:
    server = serve()
    pem = server.authority.pem.decode()
    server.script = lambda asked: told(body={"ca": pem})
    wanted = hashlib.sha256(server.authority.certificate.public_bytes(Encoding.DER)).hexdigest()
    spelt = "-".join(wanted[i : i + 8] for i in range(0, 64, 8)).upper()
    assert Client(server.url).root(spelt) == pem
    assert server.asked[0].path == f"/root/{wanted}"


@pytest.mark.parametrize("answer", [{"ca": "no PEM"}, {"ca": ""}, {}])
def test_something_else_than_a_root_is_told(serve: Any, told: Any, answer: Any) -> None:
    server = serve(script=lambda asked: told(body=answer))
    with pytest.raises(NotTheCA):
        Client(server.url).root("ab" * 32)


def test_what_stands_beside_the_proved_root_is_not_trusted(serve: Any, told: Any, make_authority: Any) -> None:
    server = serve()
    pem, stranger = server.authority.pem.decode(), make_authority().pem.decode()
    wanted = hashlib.sha256(server.authority.certificate.public_bytes(Encoding.DER)).hexdigest()
    for answer in (pem + stranger, f"\x1b[2J{pem}{stranger}", pem + "trailing"):
        server.script = lambda asked, answer=answer: told(body={"ca": answer})
        assert Client(server.url).root(wanted) == pem


def test_another_root_than_the_one_asked_for_is_refused(serve: Any, told: Any, make_authority: Any) -> None:
    stranger = make_authority()
    server = serve(script=lambda asked: told(body={"ca": stranger.pem.decode()}))
    with pytest.raises(NotTheCA, match="sends another root certificate") as caught:
        Client(server.url).root("ab" * 32)
    assert "do not trust it" in caught.value.hint


def test_a_root_that_is_no_pem_is_told() -> None:
    with pytest.raises(Unreachable, match="not PEM"):
        Client("127.0.0.1:1", b"nonsense").health()


def test_a_client_certificate_that_the_ca_does_not_know_is_told(
    serve: Any, make_authority: Any, make_identity: Any
) -> None:
    server = serve(clients=make_authority())
    with pytest.raises((IdentityRejected, Unreachable), match=r"certificate|closed|eof") as caught:
        server.client().renew(make_identity(make_authority()))
    assert not isinstance(caught.value, Untrusted)


def test_a_certificate_and_a_key_that_do_not_fit_are_told(make_authority: Any, make_identity: Any) -> None:
    one, other = (make_identity(make_authority()) for _ in range(2))
    with pytest.raises(KeyProblem, match="do not belong together"):
        Client("127.0.0.1:1", None).renew(Identity(certificates=one.certificates, key=other.key))


def test_a_private_key_leaves_no_file_and_no_descriptor_behind(
    serve: Any, told: Any, make_authority: Any, make_identity: Any
) -> None:
    clients = make_authority()
    server = serve(clients=clients, script=lambda asked: told(201, {"certChain": [clients.pem.decode()]}))
    client, identity = server.client(), make_identity(clients)
    client.renew(identity)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        client.renew(identity)
    assert len(os.listdir("/proc/self/fd")) <= before + 1
    assert "PRIVATE" not in repr(identity)


def test_a_key_goes_through_a_private_file_where_there_is_no_memory_file(
    serve: Any, told: Any, make_authority: Any, make_identity: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "memfd_create", raising=False)
    clients = make_authority()
    server = serve(clients=clients, script=lambda asked: told(201, {"certChain": [clients.pem.decode()]}))
    server.client().renew(make_identity(clients))
    assert server.asked[0].client_certificate


def test_old_tls_is_not_spoken(serve: Any) -> None:
    from mica.client import tls

    for context in (tls.context(None), tls.unverified_context()):
        assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_a_proxy_is_used_when_the_environment_names_one(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with listening(b"HTTP/1.1 403 Forbidden\r\n\r\n") as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        with pytest.raises(Unreachable, match="403"):
            Client("https://ca.example", None).health()


def test_a_proxy_is_not_used_for_what_the_environment_excepts(
    serve: Any, told: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(script=lambda asked: told(body={"status": "ok"}))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server.client().health()


def test_the_client_imports_neither_cryptography_nor_anything_of_the_server() -> None:
    code = (
        "import sys, mica.client; "
        "print([m for m in ('cryptography', 'asyncio', 'pluggy', 'starlette', 'cattrs', 'httpx') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
