"""Revocation: by a token, by the certificate's own key; once, and again without harm; each password by its own flag."""

import json
from typing import Any

import pytest

NOWHERE = ["--ca-url", "https://127.0.0.1:1"]


@pytest.fixture
def holder(machine: Any) -> Any:
    """A machine with a certificate in ``svc.crt`` and its encrypted key in ``svc.key``; ``secret`` has the password."""
    machine.write("secret", "correct horse")
    machine.mica("ca", "certificate", "svc.example", "svc.crt", "svc.key", "--key-password-file", "secret")
    return machine


def serial(machine: Any) -> str:
    text: str = machine.openssl("x509", "-in", "svc.crt", "-noout", "-serial")
    return str(int(text.strip().removeprefix("serial="), 16))


@pytest.mark.parametrize("flag", ["--key-password-file", "--password-file"])
def test_the_key_of_the_certificate_has_its_own_password_flag(holder: Any, flag: str) -> None:
    ran = holder.mica("ca", "revoke", "--cert", "svc.crt", "--key", "svc.key", flag, "secret")
    assert f"Certificate with Serial Number {serial(holder)} has been revoked." in ran.err


def test_without_a_terminal_that_flag_is_named(holder: Any) -> None:
    ran = holder.mica("ca", "revoke", "--cert", "svc.crt", "--key", "svc.key", *NOWHERE, code=6)
    assert "--key-password-file" in ran.err


def test_the_password_of_the_provisioner_may_come_by_the_alias_and_what_is_typed_counts_first(holder: Any) -> None:
    right = holder.path("password")
    holder.environment["MICA_PROVISIONER_PASSWORD_FILE"] = str(holder.write("wrong", "wrong"))
    holder.mica("ca", "revoke", serial(holder), "--password-file", str(right))
    assert "does not decrypt" in holder.mica("ca", "revoke", serial(holder), code=5).err


def test_revoking_again_is_no_failure_whatever_the_way(holder: Any) -> None:
    number = serial(holder)
    own = ["--cert", "svc.crt", "--key", "svc.key", "--key-password-file", "secret"]
    for index, way in enumerate(([number], [hex(int(number))], own)):
        told = json.loads(holder.mica("ca", "revoke", *way, "--json").out)
        assert (told["serial_number"], told["status"], told["already"]) == (number, "revoked", index > 0)


def test_another_refusal_is_a_failure(holder: Any) -> None:
    token = holder.mica("ca", "token", "--revoke", "4711").out.strip()
    assert "do not match" in holder.mica("ca", "revoke", serial(holder), "--token", token, code=4).err


def test_a_key_of_another_certificate_is_noticed_before_the_ca_is_asked(holder: Any) -> None:
    holder.openssl("genpkey", "-algorithm", "ED25519", "-out", "other.key")
    ran = holder.mica("ca", "revoke", "--cert", "svc.crt", "--key", "other.key", *NOWHERE, code=5)
    assert "other.key: is not the key of svc.crt" in ran.err


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "is damaged"),
    ],
)
def test_a_file_that_is_no_certificate_is_told(holder: Any, content: str, said: str) -> None:
    holder.write("bad.crt", content)
    ran = holder.mica("ca", "revoke", "--cert", "bad.crt", "--key", "svc.key", "--key-password-file", "secret", code=5)
    assert f"bad.crt: {said}" in ran.err
