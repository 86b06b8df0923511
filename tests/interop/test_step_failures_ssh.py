"""The failures of SSH that step's clients know, in the words that they show to their users."""

import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.hazmat.primitives.serialization import load_ssh_private_key
from tests.interop.stepssh import (
    BAD,
    FORBIDDEN,
    GENERIC_401,
    GENERIC_501,
    HOST,
    Go,
    Held,
    Keygen,
    blob,
    certificate,
    encoded,
    refused,
    signed,
)

from mica.keyfiles import generate
from mica.testing.ca import csr_pem
from mica.testing.exchange import Answer, ask

KEY = blob(generate("Ed25519"))


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/ssh/sign", {"ott": "x", "publicKey": None}, "missing or empty publicKey"),
        ("/ssh/sign", {"ott": "", "publicKey": KEY}, "missing or empty ott"),
        ("/ssh/sign", {"ott": "x", "publicKey": KEY, "certType": "User"}, "invalid certType 'User'"),
        ("/ssh/rekey", {"ott": "x", "publicKey": None}, "missing or empty public key"),
        ("/ssh/renew", {"ott": ""}, "missing or empty ott"),
        ("/ssh/revoke", {"serial": "", "ott": "x", "passive": True}, "missing serial"),
        ("/ssh/revoke", {"serial": "1", "ott": "", "passive": True}, "missing ott"),
        ("/ssh/revoke", {"serial": "1", "ott": "x", "reasonCode": 11, "passive": True}, "reasonCode out of bounds"),
        ("/ssh/revoke", {"serial": "1", "ott": "x", "reasonCode": -1, "passive": True}, "reasonCode out of bounds"),
        ("/ssh/config", {"type": "root", "data": None}, "invalid type 'root'"),
        ("/ssh/check-host", {"type": "user", "principal": "x"}, "unsupported type 'user'"),
        ("/ssh/check-host", {"type": "", "principal": "x"}, "unsupported type ''"),
        ("/ssh/check-host", {"type": "host", "principal": ""}, "missing or empty principal"),
        ("/ssh/bastion", {"user": "alice", "hostname": ""}, "missing or empty hostname"),
    ],
)
def test_what_is_missing_or_wrong_is_named(step: Go, path: str, body: dict[str, Any], message: str) -> None:
    refused(step.post(path, body), 400, f"{BAD}{message}.")


def test_an_empty_principal_is_refused(step: Go) -> None:
    for principals in ([""], ["alice", ""], ["alice", None]):
        answer = step.sign("alice", principals=principals)
        assert answer.status == 400 and answer.message.startswith(BAD)


@pytest.mark.parametrize(
    ("path", "member"),
    [
        ("/ssh/sign", "publicKey"), ("/ssh/sign", "principals"), ("/ssh/sign", "validAfter"), ("/ssh/renew", "ott"),
        ("/ssh/rekey", "ott"), ("/ssh/revoke", "serial"), ("/ssh/config", "type"), ("/ssh/config", "data"),
        ("/ssh/check-host", "principal"), ("/ssh/bastion", "hostname"),
    ],
)  # fmt: skip
def test_a_body_that_is_not_json_or_of_wrong_types(step: Go, path: str, member: str) -> None:
    good: dict[str, Any] = {"publicKey": KEY, "ott": "x", "type": "host", "principal": "x"}
    for body in (b"", b"{", b"[]", b'"x"', b"1", json.dumps(good | {member: 1}), json.dumps(good | {member: [{}]})):
        data = body if isinstance(body, bytes) else body.encode()
        answer = step.post(path, data)
        assert answer.status == 400 and answer.message.startswith(f"{BAD}error decoding json"), (body, answer)


def test_a_token_that_is_not_good_is_refused_without_a_reason(step: Go, clients: dict[str, Go]) -> None:
    now, options = int(time.time()), {"ssh": {"certType": "user", "keyID": "alice", "principals": ["alice"]}}
    sign = "/1.0/ssh/sign"
    bad = {
        "malformed": "a.b.c",
        "another's signature": clients["plain"].ott("alice", sign, iss="admin", step=options),
        "expired": step.ott("alice", sign, exp=now - 61, step=options),
        "not yet valid": step.ott("alice", sign, nbf=now + 120, step=options),
        "for a host": step.ott("alice", "/1.0/ssh/renew", step=options),
        "another CA": step.ott("alice", sign, aud="https://evil.example/1.0/ssh/sign", step=options),
        "a fragment": step.ott("alice", f"{sign}#sshpop/sshpop", step=options),
        "unknown provisioner": step.ott("alice", sign, iss="nobody", step=options),
        "no subject": step.ott("", sign, step=options),
        "no enableSSHCA": clients["plain"].sign_ott("alice"),
        "sshpop": step.held(step.hold(), sign),
    }
    for case, ott in bad.items():
        answer = step.sign("alice", ott=ott)
        assert (case, answer.status, answer.message) == (case, 401, GENERIC_401)
    good = step.sign_ott("alice")
    signed(step.sign("alice", ott=good))
    refused(step.sign("alice", ott=good), 401, GENERIC_401)


def test_a_token_for_one_world_is_of_no_use_in_the_other(step: Go) -> None:
    for claims in ({}, {"step": {"ssh": {"certType": "user"}}}):
        order = {"csr": csr_pem("alice"), "ott": step.ott("alice", "/1.0/ssh/sign", **claims)}
        assert step.post("/sign", order).status == 401
    assert step.sign("alice", ott=step.ott("alice", "/1.0/ssh/sign", sans=["alice"])).status == 401
    assert step.sign("alice", ott=step.ott("alice", "/1.0/sign", sans=["alice"])).status == 401


def test_an_order_that_differs_from_the_token(step: Go) -> None:
    ott = step.sign_ott("alice", principals=["alice", "ops"], validAfter="1m", validBefore="1h")
    order: dict[str, Any] = {"ott": ott, "principals": ["ops"]}
    forbidden: dict[str, dict[str, Any]] = {
        "type does not match - got host, want user": {"certType": "host"},
        "principals does not match - got [root ops], want [alice ops]": {"principals": ["root", "ops"]},
        "validAfter does not match": {"validAfter": "2m"},
        "validBefore does not match": {"validBefore": "2h"},
    }
    for text, change in forbidden.items():
        refused(step.sign("alice", **{**order, **change}), 403, f"{FORBIDDEN}ssh certificate {text}.")
    signed(step.sign("alice", **order, validAfter="1m0s", validBefore="60m"))  # no refusal has spent the token


def test_a_validity_that_is_not_allowed(clients: dict[str, Go]) -> None:
    admin, tight = clients["admin"], clients["tight"]
    longest = "is greater than maximum accepted duration for selected provisioner of"
    shortest = "is less than minimum accepted duration for selected provisioner of"
    for client, cert_type, bounds, text in (
        (admin, "user", {"validBefore": "25h"}, f"25h1m0s {longest} 24h1m0s"),
        (admin, "host", {"validBefore": "721h"}, f"721h1m0s {longest} 720h1m0s"),
        (admin, "user", {"validBefore": "3m"}, f"4m0s {shortest} 5m0s"),
        (tight, "user", {"validBefore": "3h"}, f"3h1m0s {longest} 2h1m0s"),
        (tight, "user", {"validBefore": "30m"}, f"31m0s {shortest} 1h0m0s"),
    ):
        for in_token in (True, False):
            ott = client.sign_ott("somebody", cert_type, **(bounds if in_token else {}))
            answer = client.sign("somebody", cert_type, ott=ott, **({} if in_token else bounds))
            refused(answer, 403, f"{FORBIDDEN}requested duration of {text}.")


@pytest.mark.parametrize("bounds", [{"validBefore": "-1h"}, {"validAfter": "2h", "validBefore": "1h"}])
def test_a_validity_that_makes_no_sense(step: Go, bounds: dict[str, str]) -> None:
    answer = step.sign("alice", **bounds)
    assert answer.status == 400 and answer.message.startswith(f"{BAD}ssh certificate validBefore cannot be ")


def dsa_blob() -> str:
    """A DSA key, as ssh-keygen made them until OpenSSH 9.8 (RFC 4253 §6.6)."""
    numbers = dsa.generate_private_key(1024).public_key().public_numbers()
    parameters = numbers.parameter_numbers
    mpints = (parameters.p, parameters.q, parameters.g, numbers.y)
    return encoded(b"ssh-dss", *(number.to_bytes(number.bit_length() // 8 + 1, "big") for number in mpints))


def test_keys_that_are_too_weak_or_of_another_kind(step: Go) -> None:
    weak, old = blob(rsa.generate_private_key(65537, 1024)), dsa_blob()
    short = f"{FORBIDDEN}ssh certificate key must be at least 2048 bits (256 bytes)."
    gone = f"{BAD}ssh certificate key algorithm (DSA) is not supported."
    held = step.hold()

    def rekey(key: str) -> Answer:
        return step.post("/ssh/rekey", {"ott": step.held(held, "/1.0/ssh/rekey"), "publicKey": key})

    for answer in (step.sign("alice", publicKey=weak), step.sign("alice", addUserPublicKey=weak), rekey(weak)):
        refused(answer, 403, short)
    for answer in (step.sign("alice", publicKey=old), step.sign("alice", addUserPublicKey=old), rekey(old)):
        refused(answer, 400, gone)


@pytest.mark.parametrize("path", ["/ssh/renew", "/ssh/rekey"])
def test_a_users_certificate_is_not_renewed(step: Go, path: str) -> None:
    held = step.hold("alice", "user")
    answer = step.post(path, {"ott": step.held(held, f"/1.0{path}"), "publicKey": KEY})
    refused(answer, 400, f"{BAD}sshpop certificate must be a host ssh certificate.")


def test_a_renewal_that_is_disabled_or_too_early_or_too_late(clients: dict[str, Go]) -> None:
    step, stubborn, tight = clients["admin"], clients["stubborn"], clients["tight"]
    brief = tight.hold(validAfter="-1s", validBefore="1s")
    future = step.hold(validAfter="1h", validBefore="2h")
    ott = {
        "the voucher's renewal is disabled": step.held(stubborn.hold(), "/1.0/ssh/renew"),
        "the renewer's renewal is disabled": step.held(step.hold(), "/1.0/ssh/renew", name="never"),
        "the renewer has no enableSSHCA": step.held(step.hold(), "/1.0/ssh/renew", name="disabled"),
        "too early": step.held(future, "/1.0/ssh/renew"),
    }
    for case, token in ott.items():
        answer = step.post("/ssh/renew", {"ott": token})
        assert (case, answer.status, answer.message) == (case, 401, GENERIC_401)
    end = brief.certificate.valid_before
    time.sleep(max(0.0, end - time.time()) + 1)
    expired = f"certificate expired on {datetime.fromtimestamp(end, UTC):%Y-%m-%d %H:%M:%S} +0000 UTC"
    text = f"The request lacked necessary authorization to be completed: {expired}"
    refused(step.post("/ssh/renew", {"ott": step.held(brief, "/1.0/ssh/renew")}), 401, text)
    rekey = {"ott": step.held(brief, "/1.0/ssh/rekey", name="late"), "publicKey": KEY}
    assert step.post("/ssh/rekey", rekey).status == 401  # a new key needs a certificate that is good now
    late = signed(step.post("/ssh/renew", {"ott": step.held(brief, "/1.0/ssh/renew", name="late")}))
    assert late.valid_before - late.valid_after == brief.length


def test_a_rekey_has_the_durations_of_who_renews(clients: dict[str, Go]) -> None:
    brief = clients["tight"].hold(validAfter="-1s", validBefore="1m")
    step = clients["admin"]
    signed(step.post("/ssh/renew", {"ott": step.held(brief, "/1.0/ssh/renew")}))
    answer = step.post("/ssh/rekey", {"ott": step.held(brief, "/1.0/ssh/rekey"), "publicKey": KEY})
    text = "requested duration of 1m1s is less than minimum accepted duration for selected provisioner of 5m0s"
    refused(answer, 403, f"{FORBIDDEN}{text}.")


def test_a_certificate_without_bounds_is_not_renewed(rotated: Go, keygen: Keygen, tmp_path: Path) -> None:
    """One that somebody made by hand with the CA's key, before mica had it."""
    key = tmp_path / "key"
    keygen("-q", "-t", "ecdsa", "-N", "", "-f", key)
    ca_key = tmp_path / "ca"
    ca_key.write_bytes((rotated.ca.directory / "secrets/ssh_host_ca_key").read_bytes())
    ca_key.chmod(0o600)
    for bounds, status in (("always:20390101", 400), ("-1d:+5d", 201)):
        keygen("-q", "-s", ca_key, "-h", "-I", HOST, "-n", HOST, "-z", "4711", "-V", bounds, f"{key}.pub")
        text = (tmp_path / "key-cert.pub").read_text().split()[1]
        answer = rotated.post("/ssh/renew", {"ott": rotated.held(_held(key, text), "/1.0/ssh/renew")})
        assert answer.status == status, answer
        if status == 400:
            refused(answer, 400, f"{BAD}cannot renew a certificate without a validity period.")


def _held(key: Path, text: str) -> Held:
    private = load_ssh_private_key(key.read_bytes(), None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    return Held(key=private, certificate=certificate(text), blob=text)


def test_a_token_of_a_strangers_certificate_is_refused_without_a_reason(step: Go, rotated: Go) -> None:
    stranger, own = rotated.hold(), step.hold()
    now = int(time.time())
    bad = {
        "another CA's": step.held(stranger, "/1.0/ssh/renew"),
        "another's key": step.held(
            Held(key=stranger.key, certificate=own.certificate, blob=own.blob), "/1.0/ssh/renew"
        ),
        "no certificate": step.held(own, "/1.0/ssh/renew", header={"sshpop": None}),
        "no fragment": step.held(own, "/1.0/ssh/renew", aud=f"{step.ca.url}/1.0/ssh/renew"),
        "another provisioner": step.held(own, "/1.0/ssh/renew", aud=f"{step.ca.url}/1.0/ssh/renew#sshpop/late"),
        "another operation": step.held(own, "/1.0/ssh/rekey"),
        "expired": step.held(own, "/1.0/ssh/renew", exp=now - 61),
        "no subject": step.held(own, "/1.0/ssh/renew", sub=""),
        "jwk": step.ott(str(own.certificate.serial), "/1.0/ssh/renew"),
    }
    for case, ott in bad.items():
        answer = step.post("/ssh/renew", {"ott": ott})
        assert (case, answer.status, answer.message) == (case, 401, GENERIC_401)
    good = step.held(own, "/1.0/ssh/renew")
    signed(step.post("/ssh/renew", {"ott": good}))
    refused(step.post("/ssh/renew", {"ott": good}), 401, GENERIC_401)


def test_revocations_that_are_not_good(step: Go) -> None:
    held = step.hold()
    serial = held.certificate.serial
    mismatch = f'{FORBIDDEN}request serial number "1" and token subject "{serial}" do not match.'
    for ott in (step.ott(str(serial), "/1.0/ssh/revoke"), step.held(held, "/1.0/ssh/revoke")):
        refused(step.revoke(1, ott), 403, mismatch)
    other = step.held(held, "/1.0/ssh/revoke", sub="1")
    text = f'token subject "1" and sshpop certificate serial number "{serial}" do not match'
    refused(step.revoke(1, other), 403, f"{FORBIDDEN}{text}.")
    refused(step.revoke(serial, step.ott(str(serial), "/1.0/ssh/revoke"), passive=False), 501, GENERIC_501)
    refused(step.revoke(serial, step.ott(str(serial), "/1.0/revoke")), 401, GENERIC_401)
    hexadecimal = step.revoke(hex(serial), step.ott(str(serial), "/1.0/ssh/revoke"))
    assert hexadecimal.status == 400 and "is not a valid serial number" in hexadecimal.message
    assert step.revoke(serial, step.held(held, "/1.0/ssh/revoke")).status == 200


def test_known_paths_with_a_wrong_method(step: Go) -> None:
    calls: Sequence[tuple[str, str]] = (
        ("GET", "/ssh/sign"), ("GET", "/sign-ssh"), ("GET", "/ssh/config"), ("GET", "/ssh/config/user"),
        ("POST", "/ssh/roots"), ("DELETE", "/1.0/ssh/revoke"), ("GET", "/ssh/bastion"), ("POST", "/ssh/get-hosts"),
    )  # fmt: skip
    for method, path in calls:
        answer = ask(step.service, method, path, b"" if method != "GET" else None)
        assert (path, answer.status, answer.body) == (path, 405, b"")
        assert ("POST" if method != "POST" else "GET") in answer.headers["Allow"]


def test_unknown_paths_are_plainly_not_found(step: Go) -> None:
    for path in ("/ssh", "/ssh/", "/ssh/roots/", "/ssh/identity", "/2.0/ssh/roots"):
        answer = ask(step.service, "GET", path)
        assert (answer.status, answer.body) == (404, b"404 page not found\n")
