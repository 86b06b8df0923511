"""Hostile requests: whatever is sent, the answer is a refusal or what was granted; never a 500, and the CA lives on."""

import base64
import dataclasses
import hashlib
import json
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from datetime import timedelta
from http.client import HTTPSConnection
from itertools import product
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AttributeOID, ExtendedKeyUsageOID, ExtensionOID, NameOID
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.security import administration

from mica import der
from mica.clock import system_clock
from mica.errors import Refused
from mica.issuance import sign_token
from mica.names import classify
from mica.pkix import tbs_parts
from mica.records import Commit
from mica.renewal import renew
from mica.requests import RenewRequest, SignRequest
from mica.testing.ca import TestCA, csr, csr_pem
from mica.testing.csr_contents import NAME, OWN, REQUESTED, SUBJECTS, twofold
from mica.testing.csrs import KEY, bad_signatures, handmade, request_pem, spki, unusual_keys, weak_keys
from mica.testing.exchange import Answer, Credential, ask, keep, obtain, order, token
from mica.testing.service import Service, free_port, served
from mica.testing.tokens import Maker, hostile_tokens

#: Hostile for a second only: the contract suite, whose clock stands still, has them.
AT_THE_EDGE = {"nbf in 61 seconds", "iat in 61 seconds"}
_BOUNDED = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A CA of one worker; whatever the tests of this module did, it is the same process in the end, and well."""
    with served(TestCA.found(tmp_path_factory.mktemp("ca"), port=free_port()), workers=1) as running:
        workers = running.workers()
        yield running
        assert ask(running, "GET", "/health").status == 200
        assert running.workers() == workers
        log = running.log.read_text()
        assert "Traceback" not in log and "nobody foresaw" not in log


@pytest.fixture(scope="module")
def credential(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Credential:
    return obtain(service, tmp_path_factory.mktemp("credential"), NAME)


@pytest.fixture(scope="module")
def connection(service: Service) -> Iterator[HTTPSConnection]:
    """One connection for many requests, for those that end it no sooner than any."""
    with closing(service.connect()) as connection:
        yield connection


def send(
    connection: HTTPSConnection,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    connection.request(method, path, body, dict(headers or {}))
    response = connection.getresponse()
    return Answer(response.status, response.headers, response.read())


def extensions_of(certificate: x509.Certificate) -> dict[str, bytes]:
    return {extension.oid.dotted_string: extension.value.public_bytes() for extension in certificate.extensions}


def check_issued(answer: Answer, spki: bytes, *, common_name: str = NAME, names: Sequence[str] = (NAME,)) -> None:
    """The certificate is the one that the token orders, whatever the CSR said besides."""
    leaf = x509.load_pem_x509_certificate(answer.json["crt"].encode())
    assert [(attribute.oid, attribute.value) for attribute in leaf.subject] == [(NameOID.COMMON_NAME, common_name)]
    found = leaf.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME)
    assert list(found.value) == [classify(name) for name in names]  # type: ignore[call-overload]
    assert extensions_of(leaf).keys() == {
        "2.5.29.14", "2.5.29.15", "2.5.29.17", "2.5.29.35", "2.5.29.37", "1.3.6.1.4.1.37476.9000.64.1"
    }  # fmt: skip
    usage = leaf.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical and not usage.value.key_cert_sign and not usage.value.crl_sign
    usages = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(usages) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    assert der.children(leaf.tbs_certificate_bytes)[6] == spki


# Hostile tokens


def test_hostile_renew_tokens_are_refused(
    connection: HTTPSConnection, service: Service, credential: Credential
) -> None:
    """The corpus again, signed by the certificate's key, with its header: what is wrong with them is all that is."""
    ca, now = service.ca, system_clock()
    seconds = int(now.timestamp())
    chain = [base64.b64encode(one.public_bytes(Encoding.DER)).decode() for one in credential.chain]
    payload = {
        "iss": "step-ca-client/1.0", "sub": NAME, "aud": f"{ca.url}/renew", "iat": seconds, "nbf": seconds,
        "exp": seconds + 300,
    }  # fmt: skip
    header = {"alg": "ES256", "typ": "JWT", "x5cInsecure": chain}
    maker = Maker(key=credential.private_key, header=header, payload=payload, now=now)
    wrong = []
    for name, raw in hostile_tokens(maker).items():
        # Blanks around a value are no part of it (RFC 9110 §5.5).
        if name in AT_THE_EDGE or not (raw.isascii() and raw.isprintable() and len(raw) < 12000) or raw != raw.strip():
            continue
        answer = send(connection, "POST", "/renew", headers={"Authorization": f"Bearer {raw}"})
        if answer.status not in (400, 401, 403):
            wrong.append((name, answer))
    assert wrong == []
    chains: list[Any] = [
        None,
        [],
        "x",
        chain[0],
        [1],
        [None],
        ["!"],
        ["AAAA"],
        [[chain[0]]],
        chain * 9,
        chain[::-1],
        {},
    ]
    for value in chains:
        raw = maker.token({"x5cInsecure": value})
        assert send(connection, "POST", "/renew", headers={"Authorization": f"Bearer {raw}"}).status in (401, 431), (
            value
        )
    assert send(connection, "POST", "/renew", headers={"Authorization": f"Bearer {maker.good()}"}).status == 201


def forged_certificate(**parts: bytes) -> bytes:
    """A certificate of these parts, octet by octet, under a signature of no worth."""
    algorithm = der.sequence(der.oid("1.2.840.10045.4.3.2"))
    extension = der.sequence(der.oid("2.5.29.17"), der.tlv(der.OCTET_STRING, b"\x30\x00"))
    usual = {
        "version": b"\xa0\x03\x02\x01\x02",
        "serial": der.integer(77),
        "algorithm": algorithm,
        "issuer": common_name(b"somebody"),
        "validity": der.sequence(der.tlv(0x17, b"250101000000Z"), der.tlv(0x18, b"20600101000000Z")),
        "subject": common_name(b"svc.example"),
        "key": spki(KEY.public_key()),
        "extensions": der.tlv(0xA3, der.sequence(extension)),
    }
    if "twice" in parts:
        usual["extensions"] = der.tlv(0xA3, der.sequence(extension, extension))
    known = {name: parts.get(name, value) for name, value in usual.items()}
    return der.sequence(der.sequence(*known.values()), algorithm, der.bit_string(b"no signature"))


def common_name(octets: bytes, tag: int = der.UTF8_STRING) -> bytes:
    return der.sequence(der.tlv(der.SET, der.sequence(der.oid("2.5.4.3"), der.tlv(tag, octets))))


FORGED: dict[str, dict[str, bytes]] = {
    "nothing unusual": {},
    "version 9": {"version": b"\xa0\x03\x02\x01\x09"},
    "version 1": {"version": b"", "extensions": b""},
    "no extensions": {"extensions": b""},
    "an extension twice": {"twice": b""},
    "a negative serial number": {"serial": b"\x02\x01\xff"},
    "a serial number of zero": {"serial": b"\x02\x01\x00"},
    "a serial number of 200 octets": {"serial": der.tlv(0x02, b"\x01" * 200)},
    "a subject that is no UTF-8": {"subject": common_name(b"\xff\xfe")},
    "a subject that is half a BMPString": {"subject": common_name(b"abc", 0x1E)},
    "a subject that is a lone surrogate": {"subject": common_name(b"\xd8\x00", 0x1E)},
    "a subject that is a number": {"subject": common_name(b"\x01", 0x02)},
    "an empty subject": {"subject": b"\x30\x00"},
    "two common names": {"subject": der.sequence(common_name(b"svc.example")[2:], common_name(b"x")[2:])},
    "a validity that is no time": {"validity": der.sequence(der.tlv(0x17, b"999999999999Z"), der.tlv(0x17, b"x"))},
    "a key that is none": {"key": der.sequence(der.sequence(der.oid("1.2.3.4.5")), der.bit_string(b"x"))},
    "another's issuer": {"issuer": common_name(b"Evil CA")},
    "an issuer that is no UTF-8": {"issuer": common_name(b"\xff")},
    "extensions that are none": {"extensions": der.tlv(0xA3, b"\x30\x03\x02\x01\x01")},
}


@pytest.mark.parametrize("case", FORGED)
def test_a_renew_token_for_a_certificate_of_ones_own_making_is_refused(service: Service, case: str) -> None:
    """Its signature is good: the forger has the key of the forged certificate, and nothing else."""
    now = int(system_clock().timestamp())
    issuer = service.ca.intermediate.certificate.subject.public_bytes()
    chain = [base64.b64encode(forged_certificate(**{"issuer": issuer} | FORGED[case])).decode()]
    payload = {"iss": "step-ca-client/1.0", "aud": f"{service.ca.url}/renew", "iat": now, "nbf": now, "exp": now + 300}
    header = {"alg": "ES256", "typ": "JWT", "x5cInsecure": chain}
    maker = Maker(key=KEY, header=header, payload=payload, now=system_clock())
    for sub in (NAME, "", "x", "\ud800"):
        raw = maker.token(sub=sub)
        answer = ask(service, "POST", "/renew", headers={"Authorization": f"Bearer {raw}"})
        assert answer.status in (400, 401), answer


# The CSR zoo: names


@pytest.mark.parametrize("names", [(OWN,), ()], ids=["with SAN", "without SAN"])
@pytest.mark.parametrize("case", SUBJECTS)
def test_no_subject_but_the_tokens_is_issued(service: Service, case: str, names: tuple[x509.GeneralName, ...]) -> None:
    pem = request_pem(*names, subject=SUBJECTS[case])
    answer = ask(service, "POST", "/sign", {"csr": pem, "ott": token(service, NAME)})
    assert answer.status == (400 if "two" in case else 403 if "common name" in case else 201), answer
    if answer.status == 201:
        check_issued(answer, spki(KEY.public_key()))


@pytest.mark.parametrize("case", REQUESTED)
def test_no_extension_that_a_csr_asks_for_is_issued(service: Service, case: str) -> None:
    pem = request_pem(OWN, extensions=[REQUESTED[case]])
    answer = ask(service, "POST", "/sign", {"csr": pem, "ott": token(service, NAME)})
    assert answer.status == 201, answer
    check_issued(answer, spki(KEY.public_key()))


@pytest.mark.parametrize(
    "attributes",
    [
        [(AttributeOID.CHALLENGE_PASSWORD, b"canary-password")],
        [(AttributeOID.UNSTRUCTURED_NAME, b"x")],
        [(x509.ObjectIdentifier("1.2.3.4.5"), b"x" * 4000)],
    ],
)
def test_attributes_of_a_csr_are_of_no_effect(service: Service, attributes: Any) -> None:
    pem = request_pem(OWN, attributes=attributes)
    answer = ask(service, "POST", "/sign", {"csr": pem, "ott": token(service, NAME)})
    assert answer.status == 201
    check_issued(answer, spki(KEY.public_key()))
    assert "canary-password" not in service.log.read_text()


def test_a_name_that_stands_twice_is_issued_once(service: Service) -> None:
    answer = ask(
        service, "POST", "/sign", {"csr": request_pem(OWN, OWN), "ott": token(service, NAME, sans=[NAME, NAME])}
    )
    assert answer.status == 201
    check_issued(answer, spki(KEY.public_key()))


def test_two_requests_for_names_in_one_csr_are_refused(service: Service) -> None:
    """A CSR with two extensionRequest attributes, or with two subjectAltNames, says two things."""
    for attributes in twofold().values():
        body = {"csr": handmade(spki(KEY.public_key()), attributes), "ott": token(service, NAME)}
        answer = ask(service, "POST", "/sign", body)
        if answer.status == 201:
            check_issued(answer, spki(KEY.public_key()))
        else:
            assert answer.status in (400, 403), answer


# The CSR zoo: keys


def test_no_weak_or_strange_key_is_certified_at_sign_or_rekey(service: Service, credential: Credential) -> None:
    wrong = []
    slow = []
    for name, pem in weak_keys().items():
        begin = time.monotonic()
        signed = ask(service, "POST", "/sign", {"csr": pem, "ott": token(service, NAME)})
        rekeyed = ask(service, "POST", "/rekey", {"csr": pem}, credential=credential)
        if not {signed.status, rekeyed.status} <= {400, 403}:
            wrong.append((name, signed, rekeyed))
        if time.monotonic() - begin > 5:
            slow.append(name)
    assert (wrong, slow) == ([], [])


def test_a_key_is_not_certified_for_whom_does_not_hold_it(service: Service, credential: Credential) -> None:
    for pem in bad_signatures().values():
        assert ask(service, "POST", "/sign", {"csr": pem, "ott": token(service, NAME)}).status == 400
        assert ask(service, "POST", "/rekey", {"csr": pem}, credential=credential).status == 400


# Encodings that another hand would write otherwise


def test_an_unusual_encoding_of_a_key_is_kept_or_refused(service: Service, tmp_path: Path) -> None:
    for name, (info, pem, key) in unusual_keys().items():
        answer = ask(service, "POST", "/sign", {"csr": pem, "ott": token(service, NAME)})
        if answer.status != 201:
            assert answer.status in (400, 403), (name, answer)
            continue
        check_issued(answer, info)
        held = keep(tmp_path, "".join(answer.json["certChain"]), key)
        renewed = ask(service, "POST", "/renew", credential=held)
        assert renewed.status == 201, (name, renewed)
        check_issued(renewed, info)
        identifier = held.leaf.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
        assert identifier == key_identifier(info)


@pytest.mark.parametrize("tag", [0x0C, 0x13, 0x14, 0x16, 0x1E, 0x1C], ids=hex)
def test_a_subject_in_any_string_type_is_read_or_refused(service: Service, tag: int) -> None:
    """UTF8, Printable, Teletex, IA5, BMP and Universal strings (RFC 5280 §4.1.2.4); the issued subject is ours."""
    width = {0x1E: "utf-16-be", 0x1C: "utf-32-be"}.get(tag, "ascii")
    for text in (NAME, "evil.example"):
        attribute = der.sequence(der.oid("2.5.4.3"), der.tlv(tag, text.encode(width)))
        pem = handmade(spki(KEY.public_key()), subject=der.sequence(der.tlv(der.SET, attribute)))
        answer = ask(service, "POST", "/sign", {"csr": pem, "ott": token(service, NAME)})
        if answer.status == 201:
            assert text == NAME
            check_issued(answer, spki(KEY.public_key()))
        else:
            assert answer.status in (400, 403), answer


def _rdn(*values: tuple[str, int, bytes]) -> bytes:
    attributes = [der.sequence(der.oid(oid), der.tlv(tag, octets)) for oid, tag, octets in values]
    return der.tlv(der.SET, b"".join(sorted(attributes)))  # X.690 §11.6


def key_identifier(info: bytes) -> bytes:
    """RFC 5280 §4.2.1.2, method 1."""
    ((_, contents, _),) = der.elements(der.children(info)[1])
    return hashlib.sha1(contents[1:]).digest()


RECORDED_SUBJECTS = {
    "PrintableString": der.sequence(_rdn(("2.5.4.3", 0x13, b"svc.example"))),
    "TeletexString": der.sequence(_rdn(("2.5.4.3", 0x14, b"svc.example"))),
    "BMPString": der.sequence(_rdn(("2.5.4.3", 0x1E, "svc.example".encode("utf-16-be")))),
    "several types": der.sequence(_rdn(("2.5.4.10", 0x0C, b"Works")), _rdn(("2.5.4.3", 0x13, b"svc.example"))),
    "several values in one": der.sequence(_rdn(("2.5.4.3", 0x13, b"svc.example"), ("2.5.4.10", 0x0C, b"Works"))),
}


@pytest.mark.parametrize("key", ["usual", "a compressed point", "RSASSA-PSS", "RSA without parameters"])
@pytest.mark.parametrize("subject", RECORDED_SUBJECTS)
async def test_what_another_hand_wrote_is_renewed_octet_by_octet_or_refused(ca: TestCA, subject: str, key: str) -> None:
    """A certificate on record whose subject and key are not as the core, or pyca, would write them."""
    info = spki(KEY.public_key()) if key == "usual" else unusual_keys()[key][0]
    authority = ca.authority()
    await authority.start()
    try:
        draft = await sign_token(authority, SignRequest(csr=csr(NAME)), ca.token(NAME))
        parts = tbs_parts(x509.load_der_x509_certificate(draft.certificate))
        parts[7] = parts[7].replace(key_identifier(parts[6]), key_identifier(info))
        parts[1], parts[5], parts[6] = der.integer(1 << 100), RECORDED_SUBJECTS[subject], info
        tbs = der.sequence(*parts)
        octets = der.sequence(tbs, parts[2], der.bit_string(await authority.issuer.signer.sign(tbs)))
        recorded = dataclasses.replace(draft.issuance, id=authority.issuer.id_of(1 << 100), certificate=octets)
        await authority.store.commit(Commit(issuances=(recorded,)))
        old = x509.load_der_x509_certificate(octets)
        try:
            renewed = await renew(authority, RenewRequest(certificate=old))
        except Refused:
            assert subject in ("TeletexString", "BMPString")
        else:
            new = tbs_parts(x509.load_der_x509_certificate(renewed.certificate))
            assert [new[place] for place in (3, 5, 6, 7)] == [parts[place] for place in (3, 5, 6, 7)]
    finally:
        await authority.aclose()


# Names of tokens


@pytest.mark.parametrize(
    "sub", ["ü.example", "Müller", "a b", "x" * 64, "x" * 65, "x" * 5000, "a,b", "/C=x", "a=b+c", "é́"]
)
def test_a_subject_of_any_text_survives_renewal_octet_by_octet_or_is_refused(
    service: Service, tmp_path: Path, sub: str
) -> None:
    pem = csr_pem(NAME, common_name="", key=KEY)
    answer = ask(service, "POST", "/sign", {"csr": pem, "ott": token(service, sub, sans=[NAME])})
    if answer.status != 201:
        assert answer.status in (400, 401, 403), answer
        return
    held = keep(tmp_path, "".join(answer.json["certChain"]), KEY)
    renewed = ask(service, "POST", "/renew", credential=held)
    assert renewed.status == 201
    parts = [
        der.children(x509.load_pem_x509_certificate(a.json["crt"].encode()).tbs_certificate_bytes)
        for a in (answer, renewed)
    ]
    assert parts[0][5] == parts[1][5]
    expected = [sub] if len(sub) <= 64 else []
    assert [attribute.value for attribute in held.leaf.subject] == expected


# Bodies


DEEP = b'{"csr":' * 100000
MALFORMED: dict[str, bytes] = {
    "empty": b"", "null": b"null", "an array": b"[]", "a string": b'"x"', "a number": b"1", "no JSON": b"csr=x&ott=y",
    "cut": b'{"csr":"x', "deep arrays": b"[" * 100000, "deep objects": DEEP, "closed deep": b"[" * 5000 + b"]" * 5000,
    "deep below an unknown member": b'{"x":' + b"[" * 5000 + b"]" * 5000 + b"}",
    "a member twice": b'{"ott":"a","ott":"b","csr":"x","serial":"1"}',
    "a member twice but for case": b'{"ott":"a","OTT":"b","csr":"x","serial":"1"}',
    "a huge number": b'{"csr":' + b"9" * 10000 + b"}", "a huge exponent": b'{"csr":1e999999,"serial":1e999999}',
    "NaN": b'{"csr":NaN,"serial":NaN}', "Infinity": b'{"serial":-Infinity,"csr":Infinity}',
    "a lone surrogate": b'{"csr":"\\ud800","ott":"\\udfff","serial":"\\ud800"}',
    "lone surrogates as members": b'{"\\ud800":"x","csr":"x","serial":"x"}',
    "octets that are no UTF-8": b'{"csr":"\xff\xfe","serial":"\xff"}', "UTF-16": '{"csr":"x"}'.encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf{}", "NULs": b"\0" * 1000,
    "a NUL in a string": b'{"csr":"\\u0000","serial":"\\u0000"}',
    "wrong types": b'{"csr":{"a":[1]},"ott":[],"serial":{},"passive":"x"}', "comments": b'{/* */"csr":"x"}',
    "single quotes": b"{'csr':'x'}", "many members": b"{" + b",".join(b'"m%d":1' % i for i in range(50000)) + b"}",
    "long strings": b'{"csr":"' + b"A" * 900000 + b'","ott":"' + b"B" * 100000 + b'","serial":"' + b"1" * 40000 + b'"}',
    "huge lines of PEM": b'{"csr":"-----BEGIN CERTIFICATE REQUEST-----\\n' + b"A" * 60000 + b'","ott":"x"}',
    "two PEM blocks": json.dumps({"csr": csr_pem(NAME) * 2, "ott": "x"}).encode(),
    "PEM of another kind": json.dumps({"csr": csr_pem(NAME).replace("CERTIFICATE REQUEST", "CERTIFICATE")}).encode(),
    "PEM that begins and does not end": json.dumps({"csr": csr_pem(NAME)[:200], "ott": "x"}).encode(),
    "PEM with headers": json.dumps({"csr": csr_pem(NAME).replace("-----\n", "-----\nProc-Type: 4\n\n", 1)}).encode(),
}  # fmt: skip


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_body_is_a_bad_request(service: Service, credential: Credential, case: str) -> None:
    for path in ("/sign", "/revoke", "/rekey"):
        begin = time.monotonic()
        answer = ask(service, "POST", path, MALFORMED[case], credential=credential)
        assert answer.status in (400, 401, 403), (path, answer)
        assert time.monotonic() - begin < 5


def test_der_that_lies_about_itself_is_a_bad_request(service: Service, credential: Credential) -> None:
    octets = x509.load_pem_x509_csr(csr_pem(NAME).encode()).public_bytes(Encoding.DER)
    nested = b"\x05\x00"
    for _ in range(2000):
        nested = der.sequence(nested)
    lies = [
        b"", b"\x30", b"\x30\x80\x00\x00", b"\x30\x84\xff\xff\xff\xff", b"\x30\x89" + b"\xff" * 9, octets[:-1],
        octets + b"\0", octets[:50], nested, b"\x30\x82" + octets[2:], b"\x31" + octets[1:], bytes(len(octets)),
    ]  # fmt: skip
    for lie in lies:
        text = base64.encodebytes(lie).decode()
        pem = f"-----BEGIN CERTIFICATE REQUEST-----\n{text}-----END CERTIFICATE REQUEST-----\n"
        assert ask(service, "POST", "/sign", {"csr": pem, "ott": token(service, NAME)}).status == 400
        assert ask(service, "POST", "/rekey", {"csr": pem}, credential=credential).status == 400


def test_a_body_may_be_large_and_not_larger(service: Service, credential: Credential) -> None:
    body = json.dumps(order(service, NAME)).encode()
    assert ask(service, "POST", "/sign", body + b" " * (1024 * 1024 - len(body))).status == 201
    for path in ("/sign", "/revoke", "/rekey"):
        answer = ask(service, "POST", path, b" " * (1024 * 1024 + 1), credential=credential)
        assert (answer.status, answer.headers["connection"]) == (413, "close")


def test_unknown_members_are_ignored(service: Service) -> None:
    more = {
        "templateData": {"a": 1},
        "x": None,
        "notbefore": None,
        "signer": "other",
        "ca": True,
        "sans": ["evil.example"],
    }
    answer = ask(service, "POST", "/sign", {"csr": request_pem(OWN), "ott": token(service, NAME), **more})
    assert answer.status == 201
    check_issued(answer, spki(KEY.public_key()))


@pytest.mark.parametrize(
    "value",
    ["99999999999h", "-99999999999h", "1e9h", "NaN", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "0h", "h", "1",
     " 1h", "2031-02-30T00:00:00Z", "1h" * 5000, "٣h", "10000000000000000000000s", "+Inf", "2031-01-01T00:00:00+99:99"],
)  # fmt: skip
def test_a_validity_out_of_this_world_is_refused(service: Service, value: str) -> None:
    for member in ("notBefore", "notAfter"):
        body = {"csr": request_pem(OWN), "ott": token(service, NAME), member: value}
        answer = ask(service, "POST", "/sign", body)
        assert answer.status in ((400, 403, 201) if (member, value) == ("notBefore", "0h") else (400, 403)), answer


# HTTP


def exchange(service: Service, request: bytes, *, then: bytes = b"") -> bytes:
    """What comes back on a connection of its own for these octets, until the server closes or falls silent."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as plain:
        tls = service.context().wrap_socket(plain, server_hostname="localhost")
        with closing(tls):
            tls.settimeout(2)
            received = b""
            try:
                tls.sendall(request)
                if then:
                    tls.sendall(then)
                while part := tls.recv(65536):
                    received += part
                    if received.endswith(b"}\n") or b"page not found" in received:
                        break
            except (TimeoutError, ConnectionError, OSError):
                pass
            return received


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0


def post(path: str, body: bytes, *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def test_a_chunked_body_is_read_as_any_other(service: Service) -> None:
    body = json.dumps(order(service, NAME)).encode()
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:7], body[7:300], body[300:]))
    assert status_of(exchange(service, post("/sign", chunks + b"0\r\n\r\n", "Transfer-Encoding: chunked"))) == 201
    endless = b"%x\r\n%b\r\n" % (65536, b" " * 65536)
    answer = exchange(service, post("/sign", endless * 40, "Transfer-Encoding: chunked"))
    assert status_of(answer) in (0, 413)


@pytest.mark.parametrize(
    "headers",
    [
        ("Content-Length: -1",), ("Content-Length: 1e3",), ("Content-Length: 99999999999999999999999",),
        ("Content-Length: 0x10",), ("Content-Length: 2", "Content-Length: 3"), ("Content-Length: +2",),
        ("Content-Length: 2", "Transfer-Encoding: chunked"), ("Transfer-Encoding: chunked, identity",),
        ("Transfer-Encoding: xchunked",), ("Content-Length : 2",), ("Content-Length: 2, 2",),
        ("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), (" folded: x",), ("no colon",), ("X: a\x00b",),
    ],
    ids=str,
)  # fmt: skip
def test_a_message_of_ambiguous_length_is_never_two_requests(service: Service, headers: tuple[str, ...]) -> None:
    smuggled = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    answer = exchange(service, post("/sign", b"{}" + smuggled, *headers))
    assert status_of(answer) in (0, 400, 413, 501), answer
    assert b'{"status":"ok"}' not in answer


def test_a_body_that_is_shorter_than_declared_is_waited_for_and_not_believed(service: Service) -> None:
    body = json.dumps({"serial": "1", "passive": True}).encode()
    assert exchange(service, post("/revoke", body, f"Content-Length: {len(body) + 5}")) == b""


def test_a_body_that_is_longer_than_declared_is_not_read_as_part_of_it(service: Service) -> None:
    answer = exchange(service, post("/revoke", b'{"serial":"1"}', "Content-Length: 2"))
    assert status_of(answer) in (0, 400) and b"missing ott" not in answer


PATHS = [
    "//sign", "/sign/", "/sign//", "/./sign", "/x/../sign", "/%73ign", "/sign%00", "/sign%20", "/Sign", "/SIGN",
    "/sign;x", "/1.0//sign", "/1.0/1.0/sign", "/2.0/sign", "/1.0%2fsign", "/%2e/sign", "/1.0/%2e%2e/sign", "/sign%2f",
    "\\sign", "/sign\\", "/sign.json", "/1.0", "/1.0/", "/", "*", "/sig", "/signn", "/%", "/%zz", "/\u017fign",
    "/ｓign",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS, ids=ascii)
def test_a_path_that_resembles_one_is_not_it(service: Service, path: str) -> None:
    body = json.dumps(order(service, NAME)).encode()
    target = path.encode()
    head = b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % (target, len(body))
    assert status_of(exchange(service, head + body)) in (400, 404)


def test_an_absolute_target_and_a_query_lead_nowhere_else(service: Service) -> None:
    body = json.dumps(order(service, NAME)).encode()
    answer = exchange(service, post("/sign?x=/renew", body, f"Content-Length: {len(body)}"))
    assert status_of(answer) == 201
    for target in ("https://localhost/admin", "http://evil.example/sign", "evil.example:443"):
        answer = exchange(service, f"POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n".encode())
        assert status_of(answer) in (0, 400, 404), target


@pytest.mark.parametrize("shown", [False, True], ids=["nobody", "the holder of a certificate"])
def test_no_path_of_administration_is_there_for_nobody_or_the_holder_of_a_certificate(
    service: Service, credential: Credential, shown: bool
) -> None:
    before = (service.ca.directory / "ca.toml").read_bytes(), ask(service, "GET", "/provisioners").body
    context = service.context()
    if shown:
        context.load_cert_chain(credential.certificate, credential.key)
    with closing(service.connect(context)) as connection:
        for path, method in product(administration.PATHS, administration.METHODS):
            answer = send(connection, method, path, b"{}")
            body = b"" if method == "HEAD" else administration.NOT_FOUND
            assert (answer.status, answer.body) == (404, body), (method, path)
    assert before == ((service.ca.directory / "ca.toml").read_bytes(), ask(service, "GET", "/provisioners").body)


def test_headers_of_a_proxy_are_anybodys_and_ignored(service: Service, credential: Credential) -> None:
    pem = credential.certificate.read_text()
    forged = {
        "X-SSL-Client-Cert": pem.replace("\n", " "),
        "X-Forwarded-Client-Cert": f'Cert="{pem.replace(chr(10), "%0A")}"',
        "Ssl-Client-Cert": base64.b64encode(pem.encode()).decode(),
        "Client-Cert": f":{base64.b64encode(credential.leaf.public_bytes(Encoding.DER)).decode()}:",
        "X-SSL-Client-Verify": "SUCCESS",
        "X-Client-Verify": "SUCCESS",
        "X-Forwarded-For": "192.0.2.77",
        "X-Real-IP": "192.0.2.78",
        "Forwarded": "for=192.0.2.79;proto=https",
        "X-HTTP-Method-Override": "GET",
        "X-Original-URL": "/health",
        "X-Rewrite-URL": "/health",
    }
    serial = str(credential.leaf.serial_number)
    identifier = str(uuid4())
    for path, body in (
        ("/renew", None),
        ("/rekey", {"csr": csr_pem()}),
        ("/revoke", {"serial": serial, "passive": True}),
    ):
        answer = ask(service, "POST", path, body, headers=forged | {"X-Request-Id": identifier})
        assert answer.status == 400 and "missing" in answer.message, answer
    assert identifier in service.log.read_text()
    for address in ("192.0.2.77", "192.0.2.78", "192.0.2.79"):
        assert address not in service.log.read_text()


def test_a_request_cannot_write_lines_of_its_own_into_the_log(service: Service) -> None:
    evil = "x\nlevel=error forged\r\n\x1b[31m\u2028\u202e"
    for body in ({"serial": evil, "passive": True}, {"csr": evil, "ott": evil}, {evil: evil}):
        ask(service, "POST", "/revoke", body)
        ask(service, "POST", "/sign", body)
    ask(service, "POST", "/sign", {"csr": csr_pem(NAME), "ott": token(service, evil, sans=[NAME])})
    order_ = {"serial": "5", "passive": True, "reason": evil, "ott": token(service, "5", "/1.0/revoke")}
    assert ask(service, "POST", "/revoke", order_).status == 200
    log = service.log.read_text(errors="replace")
    assert not any(line.startswith("level=error forged") for line in log.split("\n"))
    assert not {"\x1b", "\r", "\u2028", "\u202e"} & set(log)


# Anything at all


@pytest.fixture(scope="module")
def identified(service: Service, credential: Credential) -> Iterator[HTTPSConnection]:
    context = service.context()
    context.load_cert_chain(credential.certificate, credential.key)
    with closing(service.connect(context)) as connection:
        yield connection


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)
_members = st.dictionaries(
    st.sampled_from(["csr", "ott", "serial", "passive", "reason", "reasonCode", "notBefore", "notAfter", "CSR", "x"]),
    _json,
)
_bodies = st.one_of(
    st.binary(max_size=300),
    st.text(max_size=100).map(lambda text: text.encode(errors="replace")),
    _members.map(lambda members: json.dumps(members).encode()),
)


@_BOUNDED
@given(body=_bodies)
@example(body=b'{"csr":"x","ott":"y","serial":"1","passive":true}')
def test_any_octets_at_all_are_refused(identified: HTTPSConnection, body: bytes) -> None:
    for path in ("/sign", "/rekey", "/revoke"):
        assert 400 <= send(identified, "POST", path, body).status < 500 or b"passive" not in body
    assert send(identified, "POST", "/renew", body).status == 201, "the body of a renewal is not looked at"


@_BOUNDED
@given(octets=st.binary(max_size=400))
def test_any_octets_as_a_csr_are_refused(connection: HTTPSConnection, service: Service, octets: bytes) -> None:
    text = base64.encodebytes(octets).decode()
    pem = f"-----BEGIN CERTIFICATE REQUEST-----\n{text}-----END CERTIFICATE REQUEST-----\n"
    body = json.dumps({"csr": pem, "ott": "x.y.z"}).encode()
    assert send(connection, "POST", "/sign", body).status == 400


@_BOUNDED
@given(data=st.data())
def test_a_csr_with_any_octet_changed_is_refused_or_issues_what_was_granted(
    connection: HTTPSConnection, service: Service, data: st.DataObject
) -> None:
    octets = bytearray(x509.load_pem_x509_csr(request_pem(OWN).encode()).public_bytes(Encoding.DER))
    octets[data.draw(st.integers(0, 10**6)) % len(octets)] ^= data.draw(st.integers(1, 255))
    text = base64.encodebytes(bytes(octets)).decode()
    pem = f"-----BEGIN CERTIFICATE REQUEST-----\n{text}-----END CERTIFICATE REQUEST-----\n"
    answer = send(connection, "POST", "/sign", json.dumps({"csr": pem, "ott": token(service, NAME)}).encode())
    assert answer.status in (400, 403), answer


@_BOUNDED
@given(header=st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=200))
def test_any_authorization_is_refused(connection: HTTPSConnection, header: str) -> None:
    for prefix in ("", "Bearer "):
        value = (prefix + header).encode("latin-1")
        connection.putrequest("POST", "/renew")
        connection.putheader("Authorization", value)
        connection.putheader("Content-Length", "0")
        connection.endheaders()
        response = connection.getresponse()
        assert response.status in (400, 401)
        response.read()


@_BOUNDED
@given(octets=st.binary(min_size=1, max_size=300))
@example(octets=b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
@example(octets=b"\x16\x03\x01" * 20)
def test_any_octets_that_are_no_http_are_refused_or_waited_on(service: Service, octets: bytes) -> None:
    assert status_of(exchange(service, octets + b"\r\n\r\n")) in (0, 400, 404, 405, 431)


def test_after_all_this_the_ca_still_issues(service: Service, tmp_path: Path) -> None:
    leaf = obtain(service, tmp_path, NAME).leaf
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc == timedelta(hours=24, minutes=1)
