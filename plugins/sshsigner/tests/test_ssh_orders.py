"""``/ssh/sign``, ``/ssh/renew``, ``/ssh/rekey``, ``/ssh/revoke``, asked as step's client or anybody asks them."""

import base64
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from plugins.sshsigner.tests.conftest import SSHService, ca_blob, decoded, encoded, write_certificate

from mica.keyfiles import generate
from mica.sshcert import CertType
from mica.sshkeys import SSHPublicKey
from mica.testing.ca import csr_pem
from mica.testing.keygen import SECURITY_KEYS, Keygen, security_key

BAD_REQUEST = "The request could not be completed: {}."


def test_a_users_certificate_is_what_ssh_keygen_says(ssh: SSHService, keygen: Keygen) -> None:
    certificate = ssh.issue("alice")
    said = keygen("-L", "-f", write_certificate(keygen.folder, certificate))
    (keygen.folder / "ca.pub").write_bytes(ssh.ca.ssh_keys[CertType.USER].line)
    fingerprint = keygen("-l", "-f", "ca.pub").split()[1]
    assert "Type: ssh-ed25519-cert-v01@openssh.com user certificate" in said
    assert f"Signing CA: ECDSA {fingerprint} (using ecdsa-sha2-nistp256)" in said
    assert f'Key ID: "alice"\n        Serial: {certificate.tbs.serial}\n' in said
    assert "Principals: \n                alice\n" in said
    assert "permit-pty" in said


@pytest.mark.parametrize("path", ["/ssh/sign", "/sign-ssh", "/1.0/ssh/sign", "/1.0/sign-ssh"])
def test_old_and_new_paths_do_the_same(ssh: SSHService, path: str) -> None:
    answer = ssh.post(path, {"publicKey": encoded(generate("EC-P256")), "ott": ssh.ca.ssh_token("bob")})
    assert answer.status == 201
    assert list(answer.json) == ["crt"]
    assert decoded(answer).tbs.cert_type is CertType.USER


def test_what_steps_client_sends_besides_is_taken_or_left(ssh: SSHService) -> None:
    answer = ssh.order(
        "carol",
        keyID="ignored",
        principals=["CAROL"],
        validAfter="",
        validBefore="1h",
        identityCSR="",
        templateData=None,
        addUserPublicKey=None,
    )
    tbs = decoded(answer).tbs
    assert tbs.key_id == "carol" and tbs.valid_principals == ("carol",)
    assert tbs.valid_before is not None and tbs.valid_before - tbs.valid_after == timedelta(hours=1, minutes=1)


def test_a_second_key_gets_the_certificate_that_makes_the_account(ssh: SSHService) -> None:
    second = generate("EC-P384")
    answer = ssh.order("dave", addUserPublicKey=encoded(second))
    tbs = decoded(answer, "addUserCrt").tbs
    assert tbs.public_key == SSHPublicKey.of(second.public_key())
    assert (tbs.key_id, tbs.valid_principals) == ("dave-provisioner", ("provisioner",))
    assert tbs.critical_options == (("force-command", "sudo useradd -m dave; nc -q0 localhost 22"),)


@pytest.mark.parametrize("name", SECURITY_KEYS)
def test_a_security_keys_application_is_kept(ssh: SSHService, keygen: Keygen, name: str) -> None:
    body = {"publicKey": base64.b64encode(security_key(name)).decode(), "ott": ssh.ca.ssh_token("erin")}
    certificate = decoded(ssh.post("/ssh/sign", body))
    assert certificate.tbs.public_key.application == "ssh:"
    assert "-SK-CERT" in keygen("-L", "-f", write_certificate(keygen.folder, certificate))


def test_the_access_log_tells_what_was_issued(ssh: SSHService) -> None:
    line = f"serial={ssh.issue('frank').tbs.serial} subject=frank"
    deadline = time.monotonic() + 10  # the line is written behind the answer
    while line not in ssh.service.log.read_text() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert line in ssh.service.log.read_text()


def test_a_host_renews_and_rekeys_its_certificate(ssh: SSHService) -> None:
    key, other = generate("EC-P256"), generate("Ed25519")
    first = ssh.issue("web.example", "host", key=key)
    renewed = ssh.post("/ssh/renew", {"ott": ssh.held(first, key, "/ssh/renew")})
    assert renewed.status == 201, renewed
    second = decoded(renewed)
    assert (second.tbs.public_key, second.tbs.valid_principals) == (first.tbs.public_key, ("web.example",))
    assert second.tbs.serial != first.tbs.serial
    body = {"ott": ssh.held(second, key, "/ssh/rekey"), "publicKey": encoded(other)}
    rekeyed = ssh.post("/ssh/rekey", body)
    assert rekeyed.status == 201, rekeyed
    assert decoded(rekeyed).tbs.public_key == SSHPublicKey.of(other.public_key())


def test_a_revoked_certificate_is_not_renewed_nor_revoked_again(ssh: SSHService) -> None:
    key = generate("EC-P256")
    certificate = ssh.issue("old.example", "host", key=key)
    serial = str(certificate.tbs.serial)
    body = {"serial": serial, "reasonCode": 4, "reason": "replaced", "passive": True}
    answer = ssh.post("/ssh/revoke", {**body, "ott": ssh.held(certificate, key, "/ssh/revoke")})
    assert (answer.status, answer.json) == (200, {"status": "ok"})
    again = ssh.post("/ssh/revoke", {**body, "ott": ssh.ca.token(serial, "/1.0/ssh/revoke")})
    expected = BAD_REQUEST.format(f"certificate with serial number '{serial}' is already revoked")
    assert (again.status, again.message) == (400, expected)
    assert ssh.post("/ssh/renew", {"ott": ssh.held(certificate, key, "/ssh/renew")}).status == 401


def test_every_certificate_of_a_key_id_can_be_revoked_at_once(ssh: SSHService, keygen: Keygen) -> None:
    certificates = [ssh.issue("grace") for _ in range(3)]
    token = ssh.ca.token("grace", "/1.0/ssh/revoke", step={"ssh": {"keyID": "grace"}})
    answer = ssh.post("/ssh/revoke", {"keyID": "grace", "passive": True, "ott": token})
    assert answer.status == 200, answer
    (keygen.folder / "krl").write_bytes(ssh.get("/ssh/krl").body)
    for certificate in certificates:
        keygen("-Q", "-f", "krl", write_certificate(keygen.folder, certificate), code=1)


def test_a_token_for_one_path_is_of_no_use_at_another(ssh: SSHService) -> None:
    key = generate("EC-P256")
    certificate = ssh.issue("here.example", "host", key=key)
    assert ssh.post("/ssh/renew", {"ott": ssh.held(certificate, key, "/ssh/rekey")}).status == 401
    sign = {"publicKey": encoded(key), "ott": ssh.ca.ssh_token("x")}
    assert ssh.post("/ssh/rekey", sign).status == 401
    assert ssh.post("/sign", {"csr": csr_pem("x"), "ott": sign["ott"]}).status == 401
    assert ssh.post("/ssh/sign", sign).status == 201


def test_the_users_key_signs_no_host_and_the_hosts_no_user(ssh: SSHService) -> None:
    for cert_type in ("user", "host"):
        certificate = ssh.issue("name.example", cert_type)
        assert certificate.tbs.signature_key.blob == ca_blob(ssh, CertType[cert_type.upper()])


KEY = encoded(generate("Ed25519"))


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/ssh/sign", {"ott": "x"}, "missing or empty publicKey"),
        ("/ssh/sign", {"publicKey": "", "ott": "x"}, "missing or empty publicKey"),
        ("/ssh/sign", {"publicKey": KEY}, "missing or empty ott"),
        ("/ssh/sign", {"publicKey": KEY, "ott": ""}, "missing or empty ott"),
        ("/ssh/sign", {"publicKey": KEY, "ott": "x", "certType": "root"}, "invalid certType 'root'"),
        (
            "/ssh/sign",
            {"publicKey": KEY, "ott": "x", "principals": ["a", ""]},
            "principals cannot contain empty values",
        ),
        ("/ssh/renew", {}, "missing or empty ott"),
        ("/ssh/rekey", {"publicKey": KEY}, "missing or empty ott"),
        ("/ssh/rekey", {"ott": "x"}, "missing or empty public key"),
        ("/ssh/revoke", {"ott": "x", "passive": True}, "missing serial"),
        ("/ssh/revoke", {"serial": "1", "passive": True}, "missing ott"),
        ("/ssh/revoke", {"keyID": "a", "passive": True}, "missing ott"),
        ("/ssh/revoke", {"serial": "1", "reasonCode": 11, "passive": True, "ott": "x"}, "reasonCode out of bounds"),
        ("/ssh/revoke", {"serial": "1", "reasonCode": -1, "passive": True, "ott": "x"}, "reasonCode out of bounds"),
        (
            "/ssh/revoke",
            {"serial": "1", "keyID": "a", "passive": True, "ott": "x"},
            "serial and keyID cannot be given together",
        ),
    ],
)
def test_what_is_missing_or_wrong_is_said_in_the_words_of_step(
    ssh: SSHService, path: str, body: dict[str, Any], message: str
) -> None:
    answer = ssh.post(path, body)
    assert (answer.status, answer.message) == (400, BAD_REQUEST.format(message))


@pytest.mark.parametrize("serial", ["0", "-1", "0x1f", "01", "1 ", "١", str(2**64), "9" * 5000, "a", "\u2028"])
def test_what_is_no_serial_number_is_refused(ssh: SSHService, serial: str) -> None:
    answer = ssh.post("/ssh/revoke", {"serial": serial, "passive": True, "ott": "x"})
    assert answer.status == 400
    assert "is not a valid serial number - use a base 10 representation" in answer.message
    assert len(answer.message) < 400


@pytest.mark.parametrize("key_id", ["a\nb", "\0", "\x1b[0m", "x" * 5000])
def test_what_is_no_key_id_is_refused(ssh: SSHService, key_id: str) -> None:
    answer = ssh.post("/ssh/revoke", {"keyID": key_id, "passive": True, "ott": "x"})
    expected = BAD_REQUEST.format("keyID must be printable, and have at most 4096 characters")
    assert (answer.status, answer.message) == (400, expected)


def test_only_passive_revocation_is_offered(ssh: SSHService) -> None:
    assert ssh.post("/ssh/revoke", {"serial": "1", "ott": "x"}).status == 501


@pytest.mark.parametrize("path", ["/ssh/sign", "/ssh/renew", "/ssh/rekey", "/ssh/revoke", "/ssh/config"])
@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"\xff", b'"x"', b"{", b'{"ott":1}', b'{"a":' * 40, b'{"ott":"\\ud800"}', b'{"type":1,"data":1}'],
)
def test_a_body_that_is_no_such_object_is_refused(ssh: SSHService, path: str, body: bytes) -> None:
    answer = ssh.post(path, body)
    assert answer.status == 400
    assert answer.json["status"] == 400


def test_a_body_that_is_too_large_is_refused(ssh: SSHService) -> None:
    assert ssh.post("/ssh/sign", b'{"publicKey":"' + b"A" * 2**20 + b'"}').status == 413


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("!", "publicKey must be base64"),
        ("é", "publicKey must be base64"),
        ("AAAA", "error parsing publicKey"),
        (KEY[:-8], "error parsing publicKey"),
        (base64.b64encode(base64.b64decode(KEY) + b"x").decode(), "error parsing publicKey: 1 octets too many"),
        (base64.b64encode(b"\0\0\0\x07ssh-dss" + b"\0" * 40).decode(), "key algorithm (DSA) is not supported"),
        (base64.b64encode(b"\0\0\0\x07ssh-xyz" + b"\0" * 40).decode(), "'ssh-xyz' is none of"),
        (base64.b64encode(b"\0\0\0\x07ssh-rsa\0\0\0\1\3\0\0\0\0").decode(), "error parsing publicKey: modulus"),
        ([KEY], "publicKey must be a string"),
    ],
    ids=["a mark", "a letter", "nothing", "cut", "long", "DSA", "unknown", "no modulus", "a list"],  # keys are random
)
def test_what_is_no_public_key_is_refused_by_name(ssh: SSHService, value: object, fault: str) -> None:
    answer = ssh.post("/ssh/sign", {"publicKey": value, "ott": "x"})
    assert answer.status == 400
    assert fault in answer.message


def test_a_weak_key_is_refused(ssh: SSHService) -> None:
    weak = base64.b64encode(SSHPublicKey.of(rsa.generate_private_key(65537, 1024).public_key()).blob).decode()
    answer = ssh.order("jack", publicKey=weak)
    assert answer.status == 403
    assert "must be at least 2048 bits" in answer.message


def test_a_certificate_in_the_place_of_a_key_is_refused(ssh: SSHService) -> None:
    blob = base64.b64encode(ssh.issue("henry").blob).decode()
    answer = ssh.post("/ssh/sign", {"publicKey": blob, "ott": "x"})
    assert answer.status == 400
    assert "'ssh-ed25519-cert-v01@openssh.com' is none of" in answer.message


@pytest.mark.parametrize("member", ["validAfter", "validBefore"])
@pytest.mark.parametrize("value", ["soon", "-", "2030-13-01T00:00:00Z", "\0", "1h1", "9" * 5000])
def test_what_is_no_moment_is_refused(ssh: SSHService, member: str, value: str) -> None:
    assert ssh.post("/ssh/sign", {"publicKey": KEY, "ott": "x", member: value}).status == 400


@pytest.mark.parametrize("token", ["x", "a.b.c", "\u2028", "." * 1000])
def test_a_token_that_is_none_says_no_more_than_that(ssh: SSHService, token: str) -> None:
    for path, body in (
        ("/ssh/sign", {"publicKey": KEY}),
        ("/ssh/renew", {}),
        ("/ssh/rekey", {"publicKey": KEY}),
        ("/ssh/revoke", {"serial": "1", "passive": True}),
    ):
        answer = ssh.post(path, {**body, "ott": token})
        assert answer.status == 401
        assert answer.message.startswith("The request lacked necessary authorization to be completed.")


def test_a_refused_order_does_not_burn_the_token(ssh: SSHService) -> None:
    token = ssh.ca.ssh_token("ivy", "user", ["ivy"])
    refused = ssh.post("/ssh/sign", {"publicKey": KEY, "ott": token, "principals": ["root"]})
    assert (refused.status, "ssh certificate principals does not match" in refused.message) == (403, True)
    assert ssh.post("/ssh/sign", {"publicKey": KEY, "ott": token}).status == 201
    assert ssh.post("/ssh/sign", {"publicKey": KEY, "ott": token}).status == 401


def test_a_ca_without_ssh_keys_signs_nothing(without: SSHService) -> None:
    token = without.ca.ssh_token("alice")
    assert without.post("/ssh/sign", {"publicKey": KEY, "ott": token}).status == 501
    assert without.post("/ssh/renew", {"ott": token}).status == 501
    assert without.post("/ssh/revoke", {"serial": "1", "passive": True, "ott": token}).status == 501


def test_no_failure_leaves_a_stack_trace(ssh: SSHService, tmp_path: Path) -> None:
    ssh.post("/ssh/sign", {"publicKey": KEY, "ott": "x"})
    assert "Traceback" not in ssh.service.log.read_text()
