"""Tokens made here and used elsewhere: for signing, revoking and renewing, online and offline."""

import json
import stat
import subprocess
import time
from typing import Any

import jwt
import pytest


def claims(token: str) -> dict[str, Any]:
    decoded: dict[str, Any] = jwt.decode(token.strip(), options={"verify_signature": False})
    return decoded


def provisioner_key(machine: Any) -> str:
    """The provisioner's private key, as whoever knows its password can have it."""
    from mica.jwe import decrypt_jwk

    listed, _ = json.loads(machine.mica("ca", "provisioner", "list").out)
    jwk = decrypt_jwk(listed["encryptedKey"], machine.path("password").read_bytes().strip())
    machine.write("provisioner.jwk", json.dumps(jwk))
    return str(jwk["kid"])


def test_a_token_says_where_it_serves_and_for_five_minutes(ca: Any, machine: Any) -> None:
    said = claims(machine.mica("ca", "token", "svc.example").out)
    assert said["aud"] == f"{ca.url}/1.0/sign"
    assert said["sha"] == ca.fingerprint
    assert (said["sub"], said["sans"], said["iss"]) == ("svc.example", ["svc.example"], "admin")
    assert said["exp"] - said["iat"] == 300
    assert abs(said["iat"] - time.time()) < 60


def test_names_and_lifetime_are_those_asked_for(machine: Any) -> None:
    said = claims(
        machine.mica("ca", "token", "svc", "--san", "a.example", "--san", "b.example", "--not-after", "1h").out
    )
    assert said["sans"] == ["a.example", "b.example"]
    assert said["exp"] - said["nbf"] == 3600


def test_a_token_may_begin_later(machine: Any) -> None:
    said = claims(machine.mica("ca", "token", "svc", "--not-before", "10m").out)
    assert said["nbf"] - said["iat"] == 600
    assert said["exp"] - said["nbf"] == 300


def test_a_token_goes_to_a_file_alone(machine: Any) -> None:
    ran = machine.mica("ca", "token", "svc.example", "--output-file", "token")
    assert ran.out == ""
    assert stat.S_IMODE(machine.path("token").stat().st_mode) == 0o600
    assert claims(machine.path("token").read_text())["sub"] == "svc.example"
    assert not machine.path("token").read_text().endswith("\n")


def test_offline_nobody_is_asked_and_the_ca_accepts_the_token(ca: Any, machine: Any) -> None:
    kid = provisioner_key(machine)
    arguments = ["--key", "provisioner.jwk", "--provisioner", "admin", "--kid", kid, "--offline"]
    offline = ["--ca-url", ca.url.replace("localhost", "127.0.0.1")]
    ran = machine.mica("ca", "token", "svc.example", *arguments, *offline)
    assert ran.err == ""
    machine.mica("ca", "certificate", "--token", ran.out.strip(), "svc.example", "a.crt", "a.key")
    nobody_there = machine.mica("ca", "token", "svc.example", *arguments, "--ca-url", "https://ca.invalid").out
    assert claims(nobody_there)["aud"] == "https://ca.invalid/1.0/sign"


def test_offline_without_a_root_says_what_the_token_lacks(ca: Any, machine: Any, stranger: Any) -> None:
    provisioner_key(machine)
    arguments = [
        "--key",
        str(machine.path("provisioner.jwk")),
        "--provisioner",
        "admin",
        "--offline",
        "--ca-url",
        ca.url,
    ]
    ran = stranger.mica("ca", "token", "svc.example", *arguments)
    assert "warning: no root certificate is known here" in ran.err
    assert "sha" not in claims(ran.out)


def test_a_key_at_hand_needs_no_password(machine: Any) -> None:
    provisioner_key(machine)
    del machine.environment["MICA_PROVISIONER_PASSWORD_FILE"]
    assert claims(machine.mica("ca", "token", "svc.example", "--key", "provisioner.jwk").out)["iss"] == "admin"


def test_a_key_of_somebody_else_is_noticed(machine: Any) -> None:
    machine.openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "other.pem")
    ran = machine.mica("ca", "token", "svc.example", "--key", "other.pem", code=5)
    assert "other.pem is not the key of the provisioner admin" in ran.err


@pytest.mark.parametrize("written", ["4711", "0x1267", "0X12:67"])
def test_a_token_for_revoking_has_the_serial_number_in_decimal(ca: Any, machine: Any, written: str) -> None:
    said = claims(machine.mica("ca", "token", "--revoke", written).out)
    assert (said["sub"], said["aud"]) == ("4711", f"{ca.url}/1.0/revoke")
    assert "sans" not in said


def test_a_token_for_renewing_is_signed_by_the_certificate_itself(ca: Any, machine: Any) -> None:
    machine.mica("ca", "certificate", "svc.example", "svc.crt", "svc.key")
    token = machine.mica("ca", "token", "--renew", "--x5c-cert", "svc.crt", "--x5c-key", "svc.key").out.strip()
    said, header = claims(token), jwt.get_unverified_header(token)
    assert (said["sub"], said["aud"], said["iss"]) == ("svc.example", f"{ca.url}/renew", "step-ca-client/1.0")
    assert len(header["x5cInsecure"]) == 2
    authorization = f"Authorization: Bearer {token}"
    done = subprocess.run(
        ["curl", "-sS", "--cacert", str(ca.root), "-X", "POST", "-H", authorization, f"{ca.url}/renew"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "BEGIN CERTIFICATE" in json.loads(done.stdout)["crt"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "missing argument 'SUBJECT'"),
        (["a b"], "is not a DNS name"),
        (["a", "--not-after", "2h"], "10 seconds to one hour"),
        (["a", "--not-after", "5s"], "10 seconds to one hour"),
        (["a", "--not-before", "31m"], "at most 30 minutes"),
        (["a", "--cnf", "zz"], "invalid value for flag '--cnf'"),
        (["a", "--cnf", "ab" * 32, "--cnf-file", "x"], "incompatible"),
        (["a", "--revoke"], "not a serial number"),
        (["1", "--revoke", "--renew"], "incompatible"),
        (["1", "--revoke", "--san", "a"], "for tokens that order a certificate"),
        (["--renew"], "--x5c-cert"),
        (["a", "--x5c-cert", "a.crt"], "require each other"),
        (["--x5c-cert", "a.crt", "--x5c-key", "a.key"], "missing argument 'SUBJECT'"),
        (["a", "--x5c-chain", "a.crt"], "--x5c-cert"),
        (["--renew", "--x5c-cert", "a", "--x5c-key", "b", "--x5c-chain", "c"], "is not for '--renew'"),
        (["--renew", "--x5c-cert", "a.crt"], "--x5c-key"),
        (["a", "--kid", "x"], "invalid value 'x' for flag '--kid'"),
        (["a", "--password-file", "b", "--provisioner-password-file", "c"], "are one here"),
        (["a", "--key", "-", "--password-file", "-"], "both read stdin"),
    ],
)
def test_a_wrong_command_line_is_told(machine: Any, arguments: list[str], said: str) -> None:
    ran = machine.mica("ca", "token", *arguments, code=2)
    assert said in ran.err
    assert ran.out == ""


def test_offline_a_machine_that_is_no_ca_is_told_what_it_needs(machine: Any) -> None:
    ran = machine.mica("ca", "token", "a", "--offline", code=5)
    assert "ca.toml: there is no such file" in ran.err
    assert "or give --key, --provisioner and --ca-url" in ran.err


def test_the_key_of_a_certificate_has_its_own_password_flag(machine: Any) -> None:
    machine.write("secret", "correct horse")
    machine.mica("ca", "certificate", "svc.example", "svc.crt", "svc.key", "--key-password-file", "secret")
    arguments = ["ca", "token", "--renew", "--x5c-cert", "svc.crt", "--x5c-key", "svc.key"]
    assert claims(machine.mica(*arguments, "--key-password-file", "secret").out)["sub"] == "svc.example"
    assert "--key-password-file" in machine.mica(*arguments, code=6).err
