"""Hostile bodies at every route below ``/ssh``: each is refused, or earns what was granted; never a 500."""

import base64
import json
import random
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from http.client import HTTPSConnection
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.security.sshorders import public

from mica.client import sshpoptoken
from mica.clock import system_clock
from mica.keyfiles import generate
from mica.sshcert import SSHCertificate
from mica.sshkeys import SK_ED25519, SSHPublicKey
from mica.sshwire import mpint, string, text
from mica.testing.ca import TestCA
from mica.testing.exchange import Answer, ask
from mica.testing.service import Service, free_port, served

NAME = "web.example"
KEY = generate("EC-P256")
BLOB = public(KEY).blob
ORDERS = ("/ssh/sign", "/sign-ssh", "/ssh/renew", "/ssh/rekey", "/ssh/revoke")
PUBLIC = ("/ssh/config", "/ssh/config/user", "/ssh/check-host", "/ssh/bastion")
LISTS = ("/ssh/roots", "/ssh/federation", "/ssh/hosts", "/ssh/get-hosts", "/ssh/krl")
_BOUNDED = settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A CA of one worker; whatever the tests of this module did, it is the same process in the end, and well."""
    with served(TestCA.found(tmp_path_factory.mktemp("ca"), port=free_port(), ssh=True), workers=1) as running:
        workers = running.workers()
        yield running
        assert ask(running, "GET", "/health").status == 200
        assert running.workers() == workers
        log = running.log.read_text()
        assert "Traceback" not in log and "nobody foresaw" not in log


@pytest.fixture(scope="module")
def connection(service: Service) -> Iterator[HTTPSConnection]:
    with closing(service.connect()) as connection:
        yield connection


def send(connection: HTTPSConnection, path: str, body: object, method: str = "POST") -> Answer:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    connection.request(method, path, data)
    response = connection.getresponse()
    return Answer(response.status, response.headers, response.read())


def token(service: Service, cert_type: str = "host") -> str:
    service.ca.clock.moment = system_clock()
    return service.ca.ssh_token(NAME, cert_type, [NAME])


def encoded(blob: bytes) -> str:
    return base64.b64encode(blob).decode()


# Bodies


MALFORMED: dict[str, bytes] = {
    "nothing": b"", "blanks": b" \n", "null": b"null", "an array": b"[]", "a number": b"7", "text": b'"ott"',
    "an open object": b"{", "an open string": b'{"ott":"', "a deep array": b"[" * 100_000,
    "a deep object": b'{"ott":' * 50_000, "deep members": b'{"data":' + b'{"a":' * 5000 + b"1" + b"}" * 5001,
    "a member twice": b'{"ott":"a","ott":"b","publicKey":"x","serial":"1","type":"host","hostname":"a","hostname":"b"}',
    "a member twice but for case": b'{"ott":"a","OTT":"b","type":"host","TYPE":"user","hostname":"a","HostName":"b"}',
    "a huge number": b'{"reasonCode":' + b"9" * 10_000 + b',"data":' + b"9" * 5000 + b"}",
    "NaN": b'{"ott":NaN,"data":Infinity}',
    "lone surrogates": b'{"ott":"\\ud800","type":"\\udfff","hostname":"\\ud800"}',
    "octets that are no UTF-8": b'{"ott":"\xff\xfe","hostname":"\xff"}', "UTF-16": '{"ott":"x"}'.encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf{}", "NULs": b"\0" * 1000, "many members": b"{"
    + b",".join(b'"m%d":1' % number for number in range(50_000)) + b"}",
    "wrong types": b'{"publicKey":[],"ott":{},"serial":7,"type":[],"data":[],"hostname":{},"principal":7}',
    "1 MB in one member": b'{"publicKey":"' + b"A" * 1_000_000 + b'","ott":"x","type":"' + b"h" * 20_000 + b'"}',
}  # fmt: skip


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_body_is_a_bad_request(service: Service, case: str) -> None:
    with closing(service.connect()) as connection:
        for path in (*ORDERS, *PUBLIC):
            begin = time.monotonic()
            answer = send(connection, path, MALFORMED[case])
            # A configuration is for anybody: what is empty asks for the usual one, and lacks what that needs.
            assert answer.status in (400, 401, 403), (path, answer)
            assert time.monotonic() - begin < 5


@pytest.mark.parametrize("path", [*ORDERS, *PUBLIC])
def test_a_body_that_is_too_large_is_refused_and_ends_the_connection(service: Service, path: str) -> None:
    answer = ask(service, "POST", path, b" " * (1024 * 1024 + 1))
    assert (answer.status, answer.headers["connection"]) == (413, "close")


WRONG: Mapping[str, tuple[Any, ...]] = {
    "publicKey": (7, True, [], {}, [""], "!", "AAAA", " ", "é", "AAAA====", encoded(BLOB)[:-4], encoded(BLOB) + "\n"),
    "ott": (7, True, [], {}, ["x"], "x", "a.b", "a.b.c", "a.b.c.d", "x" * 20_000, "\x00", "\ud800", "é.é.é"),
    "certType": (7, True, [], {}, "User", "both", "user,host", "\x00", "\ud800", "x" * 100_000),
    "principals": (7, True, {}, "root", [7], [[]], [{}], [""], ["a", None], ["\ud800"], ["x" * 100_000], ["a,b"],
                   ["a"] * 100_000),
    "validAfter": (7, True, [], {}, "soon", "NaN", "1e9h", "99999999999h", "0001-01-01T00:00:00Z", "1h" * 5000, "٣h"),
    "validBefore": (7, True, [], {}, "soon", "-1h", "9999-12-31T23:59:59Z", "99999999999h", "2031-02-30T00:00:00Z"),
    "addUserPublicKey": (7, True, [], {}, "!", "AAAA", encoded(BLOB)[:-4], encoded(BLOB * 2)),
}  # fmt: skip


@pytest.mark.parametrize("member", WRONG)
def test_a_member_that_is_wrong_is_refused_and_burns_nothing(
    connection: HTTPSConnection, service: Service, member: str
) -> None:
    good = {"publicKey": encoded(BLOB), "ott": token(service, "user")}
    for value in WRONG[member]:
        answer = send(connection, "/ssh/sign", good | {member: value})
        assert answer.status in (400, 401, 403), (value, answer)
    assert send(connection, "/ssh/sign", good).status == 201


WRONG_REVOCATIONS: Mapping[str, tuple[Any, ...]] = {
    "serial": (7, True, [], {}, "", "0", "-1", "1.5", "0x10", "1e3", " 1", str(2**64), "9" * 50_000, "٣", "\0",
               "\ud800", "1\n"),
    "keyID": (7, [], {}, "both", "\ud800", "x" * 100_000, "\0", "%"),
    "reasonCode": (-1, 11, 2**63, 10**30, 1.5, "1", True, [], {}),
    "passive": (None, False, "true", 1, []),
    "reason": (7, [], {}),
}  # fmt: skip
CHANGES: list[dict[str, Any]] = [
    {member: value} for member, values in WRONG_REVOCATIONS.items() for value in values
] + [{"serial": None, "keyID": value} for value in WRONG_REVOCATIONS["keyID"]]


@pytest.mark.parametrize("change", CHANGES, ids=lambda value: ascii(value)[:50])
def test_a_wrong_revocation_is_refused(connection: HTTPSConnection, service: Service, change: dict[str, Any]) -> None:
    serial = str(random.getrandbits(60) + 1)
    service.ca.clock.moment = system_clock()
    ott = service.ca.token(serial, "/1.0/ssh/revoke")
    good = {"serial": serial, "passive": True, "ott": ott}
    answer = send(connection, "/ssh/revoke", good | change)
    assert answer.status in (400, 401, 403, 501), answer
    assert send(connection, "/ssh/revoke", good).status == 200, "the refused request burnt the token"


@pytest.mark.parametrize(
    "reason", ["\x00\x1b[2J\r\n", "\ud800", "é" * 100_000, ""], ids=lambda value: ascii(value)[:30]
)
def test_any_text_is_a_reason_or_is_refused(connection: HTTPSConnection, service: Service, reason: str) -> None:
    serial = str(random.getrandbits(60) + 1)
    service.ca.clock.moment = system_clock()
    ott = service.ca.token(serial, "/1.0/ssh/revoke")
    body = {"serial": serial, "passive": True, "ott": ott, "reason": reason}
    assert send(connection, "/ssh/revoke", body).status in (200, 400)


# Keys


def rsa_blob(modulus: int, exponent: int = 65537) -> bytes:
    return text("ssh-rsa") + mpint(exponent) + mpint(modulus)


def negative_rsa_blob() -> bytes:
    return text("ssh-rsa") + string(b"\x01\x00\x01") + string(b"\x80" + bytes(255))


def strange_keys(certificate: SSHCertificate) -> dict[str, bytes]:
    """What is no key, no key that SSH has, or none that anybody should trust."""
    point = public(KEY).fields
    numbers = rsa.generate_private_key(65537, 2048).public_key().public_numbers()
    uncompressed = KEY.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    compressed = KEY.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    name = "ecdsa-sha2-nistp256"
    ed = public(generate("Ed25519")).blob
    p384 = public(generate("EC-P384"))
    astray = uncompressed[:-1] + bytes([uncompressed[-1] ^ 1])
    return {
        "an octet": b"\0", "zeros": bytes(100), "a length of 4 GiB": b"\xff" * 4 + BLOB[4:], "cut short": BLOB[:-1],
        "an octet too many": BLOB + b"\0", "twice": BLOB * 2, "half": BLOB[:40], "the type alone": text(name),
        "1 MB": text("ssh-rsa") + mpint(65537) + string(b"\1" * 700_000),
        "500 kB behind a key": BLOB + bytes(500_000),
        "a certificate": certificate.blob,
        "a certificate with the type of a key": text(name) + certificate.blob[4 + certificate.blob[3] :],
        "DSA": text("ssh-dss") + mpint(2**1023 + 1) + mpint(2**159 + 1) + mpint(2) + mpint(4),
        "an unknown type": text("ssh-xmss@openssh.com") + string(b"x" * 64),
        "a type of 500 kB": text("ssh-" + "x" * 500_000),
        "a type that is no UTF-8": string(b"\xff\xfe") + point,
        "a type with a NUL": string(b"ssh-ed25519\0") + ed[15:],
        "a type in capitals": text("SSH-ED25519") + ed[15:],
        "no type": string(b"") + point,
        "a point not on the curve": text(name) + text("nistp256") + string(astray),
        "a compressed point": text(name) + text("nistp256") + string(compressed),
        "a point at infinity": text(name) + text("nistp256") + string(b"\0"),
        "a point at the origin": text(name) + text("nistp256") + string(b"\4" + bytes(64)),
        "no point": text(name) + text("nistp256") + string(b""),
        "another curve's name": text(name) + text("nistp384") + string(uncompressed),
        "another curve's point": text(name) + p384.fields,
        "secp256k1": text("ecdsa-sha2-1.3.132.0.10") + text("1.3.132.0.10") + string(uncompressed),
        "Ed25519 of 31 octets": text("ssh-ed25519") + string(bytes(31)),
        "Ed25519 of 33 octets": text("ssh-ed25519") + string(bytes(33)),
        "a security key without an application": text(SK_ED25519) + ed[15:],
        "a security key's application with a NUL": text(SK_ED25519) + ed[15:] + string(b"ssh:\0x"),
        "RSA-1024": SSHPublicKey.of(rsa.generate_private_key(65537, 1024).public_key()).blob,
        "RSA-2047": rsa_blob(numbers.n >> 1 | 1), "RSA with e = 1": rsa_blob(numbers.n, 1),
        "RSA with e = 3": rsa_blob(numbers.n, 3), "RSA with e = 0": rsa_blob(numbers.n, 0),
        "RSA with an even e": rsa_blob(numbers.n, 65538), "RSA with a huge e": rsa_blob(numbers.n, numbers.n - 2),
        "RSA with an even modulus": rsa_blob(numbers.n - 1), "RSA with modulus 0": rsa_blob(0),
        "RSA with a small factor": rsa_blob(3 * (numbers.n // 3 | 1)), "RSA of 16384 bits": rsa_blob(1 << 16383 | 1),
        "RSA of 100,000 bits": rsa_blob(1 << 99_999 | 1), "RSA with a negative modulus": negative_rsa_blob(),
        "RSA with a zero in front": text("ssh-rsa") + string(b"\0\1\0\1") + mpint(numbers.n),
        "X.509's encoding": KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "PEM": KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "a line of authorized_keys": KEY.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
    }  # fmt: skip


def issue(service: Service) -> SSHCertificate:
    answer = ask(service, "POST", "/ssh/sign", {"publicKey": encoded(BLOB), "ott": token(service)})
    assert answer.status == 201, answer
    return SSHCertificate.decode(base64.b64decode(answer.json["crt"]))


def held(service: Service, certificate: SSHCertificate, path: str) -> str:
    serial = str(certificate.tbs.serial)
    return sshpoptoken.make(f"{service.ca.url}/1.0{path}", "sshpop", certificate, KEY, serial, system_clock())


def test_no_weak_or_strange_key_is_certified_wherever_a_key_is_taken(service: Service) -> None:
    certificate, wrong, slow = issue(service), [], []
    signing, rekeying = token(service, "user"), held(service, certificate, "/ssh/rekey")
    with closing(service.connect()) as connection:
        for name, blob in strange_keys(certificate).items():
            begin = time.monotonic()
            answers = [
                send(connection, "/ssh/sign", {"publicKey": encoded(blob), "ott": signing}),
                send(
                    connection,
                    "/ssh/sign",
                    {"publicKey": encoded(BLOB), "addUserPublicKey": encoded(blob)[:700_000], "ott": signing},
                ),
                send(connection, "/ssh/rekey", {"publicKey": encoded(blob), "ott": rekeying}),
            ]
            # The user's name is none of an account, so that no second certificate is made, and its key not looked at
            # but for its form; and that must be one.
            if not {answer.status for answer in answers} <= {400, 403}:
                wrong.append((name, answers))
            if time.monotonic() - begin > 5:
                slow.append(name)
        assert (wrong, slow) == ([], [])
        # Nothing of all this has burnt a token.
        other = encoded(public(generate("Ed25519")).blob)
        assert send(connection, "/ssh/sign", {"publicKey": encoded(BLOB), "ott": signing}).status == 201
        assert send(connection, "/ssh/rekey", {"publicKey": other, "ott": rekeying}).status == 201


@_BOUNDED
@given(place=st.integers(0, 10**6), change=st.integers(1, 255))
def test_a_key_with_any_octet_changed_is_refused_or_certified_as_it_was_sent(
    connection: HTTPSConnection, service: Service, place: int, change: int
) -> None:
    blob = bytearray(public(generate("Ed25519")).blob)
    blob[place % len(blob)] ^= change
    answer = send(connection, "/ssh/sign", {"publicKey": encoded(bytes(blob)), "ott": token(service)})
    assert answer.status in (201, 400, 403), answer
    if answer.status == 201:
        certificate = SSHCertificate.decode(base64.b64decode(answer.json["crt"]))
        assert certificate.tbs.public_key.blob == bytes(blob)


# Anything at all


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)
_members = st.dictionaries(
    st.sampled_from([
        "publicKey", "ott", "certType", "keyID", "principals", "validAfter", "validBefore", "addUserPublicKey",
        "serial", "passive", "reason", "reasonCode", "type", "data", "principal", "token", "hostname", "user", "TYPE",
    ]),
    _json,
)  # fmt: skip
_bodies = st.one_of(
    st.binary(max_size=300),
    st.text(max_size=100).map(lambda value: value.encode(errors="replace")),
    _members.map(lambda members: json.dumps(members).encode()),
)


@_BOUNDED
@given(body=_bodies)
@example(body=b'{"publicKey":"x","ott":"y","serial":"1","passive":true}')
def test_any_octets_at_all_order_nothing(connection: HTTPSConnection, body: bytes) -> None:
    for path in ORDERS:
        assert 400 <= send(connection, path, body).status < 500 or b"passive" not in body, path


_texts = st.text(max_size=60) | st.sampled_from(
    ["\ud800", "\0", "a\nb", "a\x1b[2J", "${x}", "{{.x}}", "`id`", "$(id)", "../..", "/", "x" * 5000, "%s%n", "'\"\\"]
)


@_BOUNDED
@given(
    type_=st.sampled_from(["", "user", "host", "User", "both", "\0"]) | st.text(max_size=9),
    data=st.dictionaries(
        st.sampled_from(["StepPath", "User", "Context", "Command", "GOOS", "StepSSH", "Certificate", "Key", "CA", "x"])
        | st.text(max_size=9),
        _texts,
        max_size=8,
    ),
)
@example(type_="user", data={"StepPath": "/home/x\nProxyCommand evil"})
@example(type_="user", data={"StepPath": '/home/x" %h; id #', "Command": "a b"})
@example(type_="host", data={"Certificate": "a\nPermitRootLogin yes", "Key": "b"})
def test_a_configuration_is_for_anybody_and_has_no_line_that_anybody_adds(
    connection: HTTPSConnection, type_: str, data: dict[str, str]
) -> None:
    try:
        answer = send(connection, "/ssh/config", {"type": type_, "data": data})
    except UnicodeEncodeError:
        return
    assert answer.status in (200, 400), answer
    if answer.status == 200:
        for template in next(iter(answer.json.values())):
            shown = base64.b64decode(template["content"]).decode()
            assert not any(ord(character) < 32 and character not in "\n\t" for character in shown)
            lines = shown.split("\n")
            for value in data.values():
                assert not any(line == value.strip() for line in lines if len(value.strip()) > 2), (value, shown)


@_BOUNDED
@given(principal=_texts, hostname=_texts, type_=st.sampled_from(["host", "user", ""]))
@example(principal="WEB.EXAMPLE", hostname="\ud800", type_="host")
@example(principal="%", hostname="x", type_="host")
@example(principal="web.exampl_", hostname="x", type_="host")
@example(principal="' OR 1=1 --", hostname="x", type_="host")
def test_anybody_may_ask_for_hosts_and_learns_of_no_other(
    connection: HTTPSConnection, principal: str, hostname: str, type_: str
) -> None:
    answer = send(connection, "/ssh/check-host", {"type": type_, "principal": principal, "token": hostname})
    assert answer.status in (200, 400), answer
    if answer.status == 200:
        assert answer.json == {"exists": principal.lower() == NAME}
    answer = send(connection, "/ssh/bastion", {"user": principal, "hostname": hostname})
    assert answer.status in (200, 400), answer
    if answer.status == 200:
        assert answer.json == {"hostname": hostname}


@pytest.mark.parametrize("path", LISTS)
def test_lists_look_at_no_body_no_query_and_no_credential(service: Service, path: str) -> None:
    plain = ask(service, "GET", path)
    assert plain.status == 200
    headers = {"Authorization": "Bearer x", "X-Forwarded-For": "192.0.2.1", "If-None-Match": "x" * 4000}
    for target, body in ((f"{path}?cursor=%ff&limit=-1", None), (path, b"{"), (path, b"\xff" * 1000)):
        answer = ask(service, "GET", target, body, headers=headers)
        assert answer.status == 200
        if path != "/ssh/krl":  # which tells when it was made
            assert answer.body == plain.body


PATHS = [
    "//ssh/sign", "/ssh//sign", "/ssh/sign/", "/ssh/./sign", "/ssh/x/../sign", "/ssh/%73ign", "/ssh%2fsign",
    "/SSH/sign", "/ssh/Sign", "/ssh/sign%00", "/ssh/sign;x", "/1.0//ssh/sign", "/1.0/1.0/ssh/sign", "/2.0/ssh/sign",
    "/ssh", "/ssh/", "/1.0/ssh/", "/ssh/signn", "/sshsign", "/ssh/sign.json", "/ssh\\sign", "/sign-ssh/",
    "/ssh/config/", "/ssh/config/a/b", "/ssh/config//", "/renew-ssh",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_a_path_that_resembles_one_is_not_it(service: Service, path: str) -> None:
    body = {"publicKey": encoded(BLOB), "ott": token(service)}
    assert ask(service, "POST", path, body).status in (400, 404)


def test_after_all_this_the_ca_still_issues(service: Service) -> None:
    certificate = issue(service)
    certificate.check_signature()
    assert isinstance(certificate.tbs.public_key.key, ec.EllipticCurvePublicKey)
    ott = held(service, certificate, "/ssh/renew")
    assert ask(service, "POST", "/ssh/renew", {"ott": ott}).status == 201
