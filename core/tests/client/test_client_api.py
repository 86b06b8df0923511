"""The client asks as the protocol says, and reads what a CA answers."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mica import __version__
from mica.client import NotTheCA, Refused

PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
OTHER = PEM.replace("AAAA", "BBBB")


def test_every_request_says_who_asks_and_has_an_id_of_its_own(serve: Any, told: Any) -> None:
    server = serve(script=lambda asked: told(body={"status": "ok"}))
    for _ in range(2):
        server.client().health()
    first, second = server.asked
    assert (first.method, first.path) == ("GET", "/health")
    assert first.headers["User-Agent"] == f"mica/{__version__}"
    pattern = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
    assert re.fullmatch(pattern, first.headers["X-Request-Id"])
    assert first.headers["X-Request-Id"] != second.headers["X-Request-Id"]


def test_signing_sends_csr_token_and_dates(serve: Any, told: Any) -> None:
    server = serve(script=lambda asked: told(201, {"crt": PEM, "ca": OTHER, "certChain": [PEM, OTHER.strip()]}))
    start = datetime(2031, 3, 14, 9, 26, 53, tzinfo=UTC)
    issued = server.client().sign("CSR", "TOKEN", not_before=start, not_after=timedelta(days=2))
    (asked,) = server.asked
    assert (asked.method, asked.path, asked.headers["Content-Type"]) == ("POST", "/sign", "application/json")
    assert asked.json == {"csr": "CSR", "ott": "TOKEN", "notBefore": "2031-03-14T09:26:53Z", "notAfter": "48h0m0s"}
    assert issued.certificate == PEM
    assert issued.pem.decode() == PEM + OTHER


def test_dates_that_were_not_asked_for_are_not_sent(serve: Any, told: Any) -> None:
    server = serve(script=lambda asked: told(201, {"crt": PEM, "ca": OTHER}))
    assert server.client().sign("CSR", "TOKEN").chain == (PEM, OTHER)
    assert server.asked[0].json == {"csr": "CSR", "ott": "TOKEN"}


def test_renewal_and_rekeying_show_the_certificate(
    serve: Any, told: Any, make_authority: Any, make_identity: Any
) -> None:
    clients = make_authority()
    identity = make_identity(clients)
    server = serve(clients=clients, script=lambda asked: told(201, {"certChain": [PEM]}))
    assert server.client().renew(identity).chain == (PEM,)
    assert server.client().rekey(identity, "CSR").chain == (PEM,)
    renewed, rekeyed = server.asked
    assert (renewed.path, renewed.body, rekeyed.path, rekeyed.json) == ("/renew", b"", "/rekey", {"csr": "CSR"})
    assert renewed.client_certificate
    assert renewed.client_certificate == rekeyed.client_certificate


def test_renewal_by_token_shows_no_certificate(serve: Any, told: Any) -> None:
    server = serve(script=lambda asked: told(201, {"certChain": [PEM]}))
    server.client().renew_by_token("TOKEN")
    assert server.asked[0].headers["Authorization"] == "Bearer TOKEN"
    assert server.asked[0].client_certificate is None


def test_revocation_sends_the_serial_number_as_decimal_text(serve: Any, told: Any) -> None:
    server = serve(script=lambda asked: told(body={"status": "ok"}))
    server.client().revoke(2**150, token="TOKEN", reason_code=4, reason="replaced")
    assert server.asked[0].json == {
        "serial": str(2**150),
        "ott": "TOKEN",
        "reasonCode": 4,
        "reason": "replaced",
        "passive": True,
    }


def test_provisioners_are_read_page_by_page(serve: Any, told: Any) -> None:
    pages = {
        "/provisioners?limit=100": {"provisioners": [{"name": "a"}], "nextCursor": "x/y&z"},
        "/provisioners?limit=100&cursor=x%2Fy%26z": {"provisioners": [{"name": "b"}], "nextCursor": ""},
    }
    server = serve(script=lambda asked: told(body=pages[asked.path]))
    assert [one["name"] for one in server.client().provisioners()] == ["a", "b"]


def test_a_list_of_provisioners_without_an_end_is_left(serve: Any, told: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mica.client.api._MAX_PAGES", 3)
    server = serve(script=lambda asked: told(body={"provisioners": [], "nextCursor": "again"}))
    with pytest.raises(NotTheCA, match="no last page"):
        server.client().provisioners()
    assert len(server.asked) == 3


def test_a_key_id_cannot_change_the_path(serve: Any, told: Any) -> None:
    server = serve(script=lambda asked: told(body={"key": "jwe"}))
    assert server.client().encrypted_key("../../admin?x#y") == "jwe"
    assert server.asked[0].path == "/provisioners/..%2F..%2Fadmin%3Fx%23y/encrypted-key"


def test_the_roots_version_and_federation_are_read(serve: Any, told: Any) -> None:
    answers = {"/roots": {"crts": [PEM]}, "/federation": {"crts": [PEM, OTHER]}, "/version": {"version": "1.2"}}
    client = serve(script=lambda asked: told(201, answers[asked.path])).client()
    assert (client.roots(), client.federation(), client.version()) == ((PEM,), (PEM, OTHER), "1.2")


def test_a_refusal_has_status_message_request_id_and_the_cas_time(serve: Any, told: Any) -> None:
    headers = {"X-Request-Id": "theirs", "Date": "Fri, 14 Mar 2031 09:26:53 GMT", "Content-Type": "application/json"}
    server = serve(script=lambda asked: told(403, {"status": 403, "message": "not you"}, headers))
    with pytest.raises(Refused, match="not you") as caught:
        server.client().health()
    error = caught.value
    assert (error.status, error.request_id) == (403, "theirs")
    assert error.date == datetime(2031, 3, 14, 9, 26, 53, tzinfo=UTC)


def test_a_refusal_without_an_id_or_a_date_has_the_id_that_was_sent(serve: Any, told: Any) -> None:
    server = serve(script=lambda asked: told(401, {"message": "no"}, {"Date": "yesterday"}))
    with pytest.raises(Refused) as caught:
        server.client().health()
    assert caught.value.request_id == server.asked[0].headers["X-Request-Id"]
    assert caught.value.date is None


@pytest.mark.parametrize(
    ("status", "content_type", "body"),
    [
        (502, "text/html; charset=utf-8", b"<html><h1>Bad Gateway</h1></html>"),
        (200, "text/html", b"<html>Log in to the network</html>"),
        (404, "text/plain", b"404 page not found"),
        (302, "text/html", b""),
        (200, "application/json", b""),
        (200, "application/json", b"[]"),
        (200, "application/json", b'{"status": "ok"'),
        (200, "application/json", b'{"status": NaN}'),
        (200, "application/json", b"\xff\xfe"),
        (200, "application/json", b"[" * 100_000),
        (500, "application/json", b'{"error": "of another service"}'),
        (500, "application/json", b'{"message": 1}'),
        (304, "application/json", b'{"message": "moved"}'),
        (200, "application/json", b'{"status": "starting"}'),
    ],
)
def test_what_no_ca_would_answer_is_called_so(
    serve: Any, told: Any, status: int, content_type: str, body: bytes
) -> None:
    server = serve(script=lambda asked: told(status, body, {"Content-Type": content_type}))
    with pytest.raises(NotTheCA) as caught:
        server.client().health()
    assert server.url in str(caught.value)


def test_a_proxys_web_page_is_recognised(serve: Any, told: Any) -> None:
    server = serve(script=lambda asked: told(502, b"<html>Bad Gateway</html>", {"Content-Type": "text/html"}))
    with pytest.raises(NotTheCA, match="status 502 and a web page, not as a CA does") as caught:
        server.client().health()
    assert "proxy" in caught.value.hint


@pytest.mark.parametrize(
    "answer",
    [{}, {"certChain": "x"}, {"certChain": [1]}, {"certChain": ["no PEM"]}, {"crt": PEM}, {"crt": "", "ca": PEM}],
)
def test_a_signing_answer_without_certificates_is_none(serve: Any, told: Any, answer: dict[str, Any]) -> None:
    server = serve(script=lambda asked: told(201, answer))
    with pytest.raises(NotTheCA):
        server.client().sign("CSR", "TOKEN")


@pytest.mark.parametrize("answer", [{}, {"status": None}, {"status": "queued"}])
def test_a_revocation_that_is_not_confirmed_is_none(serve: Any, told: Any, answer: dict[str, Any]) -> None:
    server = serve(script=lambda asked: told(200, answer))
    with pytest.raises(NotTheCA, match="does not say that the certificate is revoked"):
        server.client().revoke(1, token="TOKEN")


def test_a_refusal_cannot_pretend_to_be_a_line_of_its_own(serve: Any, told: Any) -> None:
    server = serve(script=lambda asked: told(403, {"message": "not you\nrequest id: 1\r\nhint: run this"}))
    with pytest.raises(Refused, match=r"^not you request id: 1 hint: run this$"):
        server.client().health()


def test_an_endless_answer_is_cut(serve: Any, told: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mica.client.transport._MAX_ANSWER", 1 << 18)
    server = serve(script=lambda asked: told(body=json.dumps("a" * (1 << 20)).encode()))
    with pytest.raises(NotTheCA, match="longer than"):
        server.client().health()
