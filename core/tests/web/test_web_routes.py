"""The HTTP API, as a client meets it: a real service, real TLS, other people's tools."""

import contextlib
import json
import re
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mica

GENERIC_401 = (
    "The request lacked necessary authorization to be completed. "
    "Please see the certificate authority logs for more info."
)
KEY = ec.generate_private_key(ec.SECP256R1())


@pytest.fixture(scope="module")
def service(launch: Any, make_folder: Any) -> Iterator[Any]:
    names = ("admin", *(f"team {number}" for number in range(24)))
    running = launch(make_folder(names=names, plugins=("stranger",)), workers=1).started()
    yield running
    assert running.stop() == 0


# What is public


@pytest.mark.parametrize("prefix", ["", "/1.0"])
def test_public_pages_answer_as_step_does(service: Any, prefix: str) -> None:
    root = service.folder.root.read_text()
    issuing = (service.folder.path / "intermediate.crt").read_text()
    expected: dict[str, tuple[int, Any]] = {
        "/health": (200, {"status": "ok"}),
        "/version": (200, {"version": mica.__version__}),
        f"/root/{service.folder.fingerprint}": (200, {"ca": root}),
        f"/root/{service.folder.fingerprint.upper()}": (200, {"ca": root}),
        "/roots": (201, {"crts": [root]}),
        "/federation": (201, {"crts": [root]}),
        "/intermediates": (201, {"crts": [issuing]}),
        "/provisioners/admin-kid/encrypted-key": (200, {"key": service.folder.jwe}),
    }
    for path, (status, body) in expected.items():
        answer = service.ask("GET", prefix + path)
        assert (answer.status, answer.json) == (status, body)
        assert answer.headers["content-type"] == "application/json"
        assert answer.body.endswith(b"}\n") and b'": ' not in answer.body
        head = service.ask("HEAD", prefix + path)
        assert (head.status, head.headers["content-length"], head.body) == (status, str(len(answer.body)), b"")
    for path, text in (("/roots.pem", root), ("/intermediates.pem", issuing)):
        answer = service.ask("GET", prefix + path)
        assert (answer.status, answer.body.decode()) == (200, text)
        assert answer.headers["content-type"] == "application/x-pem-file"


def test_a_root_is_found_by_a_fingerprint_with_dashes_and_else_not(service: Any) -> None:
    fingerprint = service.folder.fingerprint
    assert service.ask("GET", f"/root/{'-'.join(re.findall('..', fingerprint))}").status == 200
    answer = service.ask("GET", "/root/0A-b")
    assert (answer.status, answer.json["message"]) == (404, 'root certificate with fingerprint "0ab" was not found')


def test_an_unknown_encrypted_key_is_not_found(service: Any) -> None:
    answer = service.ask("GET", "/provisioners/nobody/encrypted-key")
    assert answer.status == 404 and answer.json["message"].startswith("The requested resource could not be found.")


@pytest.mark.parametrize(
    "path", ["/admin/admins", "/", "/health/", "/Health", "//health", "/%68ealth", "/1.0/1.0/sign"]
)
def test_what_is_not_there_is_plainly_not_found(service: Any, path: str) -> None:
    answer = service.ask("GET", path)
    assert (answer.status, answer.body) == (404, b"404 page not found\n")
    assert answer.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize(("method", "path", "allowed"), [("GET", "/sign", "POST"), ("PUT", "/roots", "GET, HEAD")])
def test_a_wrong_method_is_refused(service: Any, method: str, path: str, allowed: str) -> None:
    answer = service.ask(method, path)
    assert (answer.status, answer.body, answer.headers["allow"]) == (405, b"", allowed)


def test_health_says_whether_the_store_can_write(service: Any) -> None:
    with contextlib.closing(sqlite3.connect(service.folder.path / "db" / "mica.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        service.wait(lambda: service.ask("GET", "/health").status == 503)
        answer = service.ask("GET", "/health")
        assert answer.json["status"] == 503 and "mica.db" not in answer.json["message"]
        assert any("mica.db" in line.get("error", "") or "store" in line.get("error", "") for line in service.lines())
    service.wait(lambda: service.ask("GET", "/health").status == 200)


# Provisioners


def test_provisioners_come_in_pages_that_miss_and_repeat_none(service: Any) -> None:
    for query, size in (
        ("", 20),
        ("?limit=100", 25),
        ("?limit=7", 7),
        ("?limit=0", 20),
        ("?limit=-1", 20),
        ("?limit=", 20),
    ):
        names, cursor = [], ""
        while True:
            page = service.ask("GET", f"/provisioners{query or '?'}&cursor={cursor}").json
            assert len(page["provisioners"]) <= size
            names += [provisioner["name"] for provisioner in page["provisioners"]]
            cursor = page["nextCursor"]
            if not cursor:
                break
            assert not cursor.startswith("0")
        assert names == list(service.folder.names)


def test_a_provisioner_shows_its_public_half(service: Any) -> None:
    provisioner = service.ask("GET", "/provisioners?limit=1").json["provisioners"][0]
    assert (provisioner["type"], provisioner["name"], provisioner["encryptedKey"]) == (
        "JWK",
        "admin",
        service.folder.jwe,
    )
    assert provisioner["key"]["kid"] == "admin-kid" and "d" not in provisioner["key"]


@pytest.mark.parametrize("limit", ["x", "1.5", "1_0", "0x10", "%C2%B2"])
def test_a_limit_that_is_no_integer_is_refused(service: Any, limit: str) -> None:
    answer = service.ask("GET", f"/provisioners?limit={limit}")
    assert answer.status == 400 and "is not an integer." in answer.json["message"]


@pytest.mark.parametrize("cursor", ["zzz", "f" * 40, "0" * 400, "%00", "%ff"])
def test_any_cursor_is_a_place(service: Any, cursor: str) -> None:
    assert service.ask("GET", f"/provisioners?cursor={cursor}").status == 200


# Certificates


@pytest.mark.parametrize("path", ["/sign", "/1.0/sign"])
def test_a_token_is_exchanged_for_a_chain_that_openssl_verifies(service: Any, path: str, tmp_path: Path) -> None:
    answer = service.ask("POST", path, service.folder.request("svc.example", notAfter="1h"))
    assert answer.status == 201
    assert list(answer.json) == ["crt", "ca", "certChain", "tlsOptions"]
    assert answer.json["certChain"] == [answer.json["crt"], answer.json["ca"]]
    assert answer.json["tlsOptions"]["minVersion"] == 1.2 and answer.json["tlsOptions"]["renegotiation"] is False
    (tmp_path / "leaf").write_text(answer.json["crt"])
    (tmp_path / "issuer").write_text(answer.json["ca"])
    command = ["openssl", "verify", "-x509_strict", "-CAfile", str(service.folder.root), "-untrusted", "issuer", "leaf"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).stdout == b"leaf: OK\n"


def test_the_pem_in_an_answer_is_what_pyca_writes(service: Any) -> None:
    text = service.ask("POST", "/sign", service.folder.request("svc.example")).json["crt"]
    from cryptography.hazmat.primitives.serialization import Encoding

    assert x509.load_pem_x509_certificate(text.encode()).public_bytes(Encoding.PEM).decode() == text


@pytest.mark.parametrize(
    ("change", "status", "message"),
    [
        ({"csr": ""}, 400, "missing csr."),
        ({"csr": None}, 400, "missing csr."),
        ({"ott": ""}, 400, "missing ott."),
        ({"csr": 1}, 400, "error decoding json: csr must be a string."),
        ({"csr": "-----BEGIN X-----"}, 400, None),
        ({"notAfter": "tomorrow"}, 400, None),
        ({"notAfter": 5}, 400, "error decoding json: notAfter must be a string."),
        ({"ott": "a.b.c"}, 401, GENERIC_401),
        ({"ott": "x" * 100_000}, 401, GENERIC_401),
        ({"notAfter": "1000h"}, 403, None),
    ],
)
def test_a_bad_order_is_refused(service: Any, change: dict[str, Any], status: int, message: str | None) -> None:
    answer = service.ask("POST", "/sign", service.folder.request("svc.example", **change))
    assert (answer.status, answer.json["status"]) == (status, status)
    prefix = {
        400: "The request could not be completed: ",
        403: "The request was forbidden by the certificate authority: ",
    }
    assert answer.json["message"].startswith(prefix.get(status, ""))
    if message:
        assert answer.json["message"] == prefix.get(status, "") + message


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b'{"csr":"a","csr":"b"}', b"[" * 5000])
@pytest.mark.parametrize("path", ["/sign", "/revoke"])
def test_a_body_that_is_no_object_is_refused(service: Any, path: str, body: bytes) -> None:
    answer = service.ask("POST", path, body)
    assert answer.status == 400 and "error decoding json" in answer.json["message"]


def test_a_body_is_read_as_leniently_as_step_reads_it(service: Any) -> None:
    order = service.folder.request("svc.example")
    body = (
        json.dumps({"CSR": order["csr"], "Ott": order["ott"], "more": [1], "notBefore": None}).encode() + b" trailing"
    )
    assert service.ask("POST", "/sign", body).status == 201


def test_a_body_over_one_mebibyte_is_refused(service: Any) -> None:
    answer = service.ask("POST", "/sign", b" " * (1024 * 1024 + 1))
    assert (answer.status, answer.headers["connection"]) == (413, "close")


def test_a_policy_is_heard_and_its_failure_is_a_refusal(service: Any) -> None:
    for name, reason in (("forbidden.example", r"forbidden\nby policy"), ("raise.example", "")):
        answer = service.ask("POST", "/sign", service.folder.request(name))
        assert answer.status == 403 and reason in answer.body.decode()
        assert "own secret" not in answer.body.decode()


# Renewal


def renew(service: Any, *arguments: str, path: str = "/renew") -> tuple[int, Any]:
    command = ["curl", "-sS", "--cacert", str(service.folder.root), "-X", "POST", "-w", "\n%{http_code}", *arguments]
    run = subprocess.run([*command, f"https://localhost:{service.port}{path}"], capture_output=True, check=True)
    body, _, status = run.stdout.rpartition(b"\n")
    return int(status), json.loads(body)


@pytest.mark.parametrize("path", ["/renew", "/1.0/renew", "/re-sign"])
@pytest.mark.parametrize("tls", [["--tls-max", "1.2"], ["--tlsv1.3"]])
def test_curl_renews_with_its_certificate(service: Any, tmp_path: Path, path: str, tls: list[str]) -> None:
    identity = str(service.issue("svc.example", tmp_path))
    status, answer = renew(service, *tls, "--cert", identity, "--key", identity, path=path)
    assert status == 201
    old, new = (x509.load_pem_x509_certificate(pem) for pem in (Path(identity).read_bytes(), answer["crt"].encode()))
    assert old.public_key() == new.public_key() and old.serial_number != new.serial_number


def test_who_shows_no_certificate_renews_nothing(service: Any, tmp_path: Path) -> None:
    identity = service.issue("svc.example", tmp_path)
    forged = {
        "X-SSL-Client-Cert": identity.read_text().replace("\n", " "),
        "X-Forwarded-Client-Cert": "Cert=x",
        "X-Forwarded-For": "127.0.0.1",
    }
    for path in ("/renew", "/rekey"):
        answer = service.ask("POST", path, b"", headers=forged)
        expected = "The request could not be completed: missing client certificate."
        assert (answer.status, answer.json["message"]) == (400, expected)


@pytest.mark.parametrize("header", ["Bearer x", "bearer a.b.c", "Bearer " + "x" * 9000])
def test_a_false_renew_token_is_refused(service: Any, header: str) -> None:
    assert service.ask("POST", "/renew", headers={"Authorization": header}).status == 401


def test_rekey_gives_the_new_key_the_old_names(service: Any, tmp_path: Path, make_csr: Any) -> None:
    identity = service.issue("svc.example", tmp_path)
    answer = service.ask("POST", "/rekey", {"csr": make_csr("", KEY)}, identity=identity)
    assert answer.status == 201
    new = x509.load_pem_x509_certificate(answer.json["crt"].encode())
    assert new.public_key() == KEY.public_key()
    names = new.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["svc.example"]
    assert service.ask("POST", "/rekey", {}, identity=identity).json["message"].endswith(" missing csr.")


# Revocation


def serial_of(identity: Path) -> int:
    return x509.load_pem_x509_certificate(identity.read_bytes()).serial_number


def test_a_revoked_certificate_is_not_renewed_and_not_revoked_twice(service: Any, tmp_path: Path) -> None:
    identity = service.issue("svc.example", tmp_path)
    serial = str(serial_of(identity))
    order = {"serial": serial, "passive": True, "reasonCode": 1, "reason": "lost"}
    answer = service.ask("POST", "/revoke", {**order, "ott": service.folder.token(serial, path="/1.0/revoke")})
    assert (answer.status, answer.json) == (200, {"status": "ok"})
    assert service.ask("POST", "/renew", identity=identity).json == {"status": 401, "message": GENERIC_401}
    again = service.ask("POST", "/revoke", {**order, "ott": service.folder.token(serial, path="/1.0/revoke")})
    expected = f"The request could not be completed: certificate with serial number '{serial}' is already revoked."
    assert (again.status, again.json["message"]) == (400, expected)


@pytest.mark.parametrize("base", ["{}", "{:#x}", "0X{:x}", "{:#o}", "{:#b}"])
def test_a_certificate_revokes_itself_by_its_number_in_any_base(service: Any, tmp_path: Path, base: str) -> None:
    identity = service.issue("svc.example", tmp_path)
    order = {"serial": base.format(serial_of(identity)), "passive": True}
    assert service.ask("POST", "/revoke", order, identity=identity).status == 200
    assert service.ask("POST", "/renew", identity=identity).status == 401


@pytest.mark.parametrize(
    ("order", "status", "message"),
    [
        ({}, 400, "missing serial."),
        ({"serial": "x"}, 400, "'x' is not a valid serial number - use a base 10 representation or a base 16"),
        ({"serial": "010"}, 400, "'010' is not a valid serial number"),
        ({"serial": "-1"}, 400, "'-1' is not a valid serial number"),
        ({"serial": "1_0"}, 400, "'1_0' is not a valid serial number"),
        ({"serial": "\u0661"}, 400, "'\u0661' is not a valid serial number"),
        ({"serial": "9" * 5000}, 400, "is not a valid serial number"),
        ({"serial": "1", "reasonCode": 11}, 400, "reasonCode out of bounds."),
        ({"serial": "1", "reasonCode": -1}, 400, "reasonCode out of bounds."),
        ({"serial": "1", "reasonCode": 10**30}, 400, "reasonCode out of bounds."),
        ({"serial": "1", "reasonCode": "1"}, 400, "error decoding json: reasonCode must be an integer."),
        ({"serial": "1"}, 501, "The requested method is not implemented by the certificate authority."),
        ({"serial": "1", "passive": True}, 400, "missing ott or client certificate."),
        ({"serial": "1", "passive": True, "ott": "x.y.z"}, 401, GENERIC_401),
    ],
)
def test_a_bad_revocation_is_refused(service: Any, order: Any, status: int, message: str) -> None:
    answer = service.ask("POST", "/revoke", order)
    assert answer.status == status and message in answer.json["message"]


def test_a_certificate_does_not_revoke_another(service: Any, tmp_path: Path) -> None:
    mine, other = service.issue("mine.example", tmp_path), service.issue("other.example", tmp_path)
    order = {"serial": str(serial_of(other)), "passive": True}
    assert service.ask("POST", "/revoke", order, identity=mine).status == 403
    assert service.ask("POST", "/renew", identity=other).status == 201


# Request ids and the log


def test_every_answer_has_an_id(service: Any) -> None:
    for method, path in (("GET", "/health"), ("GET", "/nowhere"), ("PUT", "/sign"), ("POST", "/sign")):
        assert UUID(service.ask(method, path).headers["x-request-id"]).version == 4


@pytest.mark.parametrize("header", ["X-Request-Id", "X-Smallstep-Id"])
def test_a_plain_id_of_the_client_is_kept_and_any_other_is_not(service: Any, header: str) -> None:
    plain = "abc.DEF_1-2:3"
    assert service.ask("GET", "/health", headers={header: plain}).headers["x-request-id"] == plain
    for odd in ("", "a b", 'a"b', "a\tb", "x" * 129, "é"):
        answer = service.ask("GET", "/health", headers={header: odd})
        assert UUID(answer.headers["x-request-id"]).version == 4


def test_the_log_tells_who_got_what_and_why_not_and_no_secret(service: Any) -> None:
    order = service.folder.request("logged.example")
    good = service.ask("POST", "/sign", order, headers={"X-Request-Id": "good-1"})
    reused = service.ask("POST", "/sign", order, headers={"X-Request-Id": "bad-1"})
    assert (good.status, reused.status) == (201, 401)
    service.wait(lambda: "bad-1" in service.log.read_text())
    lines = {line.get("request-id"): line for line in service.lines("request")}
    serial = x509.load_pem_x509_certificate(good.json["crt"].encode()).serial_number
    assert lines["good-1"]["status"] == 201 and lines["good-1"]["serial"] == str(serial)
    assert (lines["good-1"]["provisioner"], lines["good-1"]["names"]) == ("admin", ["logged.example"])
    assert lines["bad-1"]["level"] == "warning" and lines["bad-1"]["error"]
    text = service.log.read_text()
    assert order["ott"] not in text and order["ott"].rpartition(".")[2] not in text
    assert "PRIVATE KEY" not in text and "Traceback" not in text


def test_hostile_text_stays_in_its_line_of_the_log(service: Any) -> None:
    identifier = {"X-Request-Id": "hostile"}
    service.ask("GET", "/a%0a%1b[31m%00%E2%80%AE", headers=identifier)
    service.ask("GET", "/root/%0d%0alevel=error", headers=identifier)
    service.wait(lambda: len([line for line in service.lines() if line.get("request-id") == "hostile"]) == 2)
    assert not [line for line in service.lines() if "raw" in line]
    assert "\x1b" not in service.log.read_text()


# Anything


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    method=st.sampled_from(["GET", "POST", "HEAD", "DELETE"]),
    path=st.sampled_from(
        ["/sign", "/renew", "/rekey", "/revoke", "/provisioners", "/root/x", "/provisioners/x/encrypted-key"]
    )
    | st.text("/%.aZ0é"[:6], max_size=30).map("/".__add__),
    body=st.binary(max_size=200)
    | st.dictionaries(
        st.sampled_from(["csr", "ott", "serial", "passive", "reasonCode", "notAfter"]),
        st.none() | st.booleans() | st.integers() | st.text(max_size=30) | st.lists(st.integers(), max_size=2),
    ).map(lambda value: json.dumps(value).encode()),
)
def test_no_request_is_answered_with_a_failure_of_ours(service: Any, method: str, path: str, body: bytes) -> None:
    answer = service.ask(method, path, body)
    assert answer.status < 500 or answer.status == 501
    assert answer.headers["x-request-id"]


def test_nothing_unforeseen_happened(service: Any) -> None:
    """Last in this file: no request above met an exception that nobody meant."""
    assert not [line for line in service.lines() if "please report" in line["message"] or "raw" in line]
