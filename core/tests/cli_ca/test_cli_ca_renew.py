"""Certificates are renewed, rekeyed and revoked; what cannot succeed is said before the CA is asked."""

import json
import subprocess
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NOWHERE = ["--ca-url", "https://127.0.0.1:1"]


@pytest.fixture
def holder(machine: Any) -> Any:
    """A machine with a certificate in ``svc.crt``, its key in ``svc.key``."""
    machine.mica("ca", "certificate", "svc.example", "svc.crt", "svc.key", "--san", "svc.example", "--san", "b.example")
    return machine


def read(machine: Any, name: str = "svc.crt") -> x509.Certificate:
    return x509.load_pem_x509_certificate(machine.path(name).read_bytes())


def self_made(machine: Any, *, days: int = 1, usages: tuple[x509.ObjectIdentifier, ...] = ()) -> None:
    """A certificate that no CA made, in ``own.crt``, with its key in ``own.key``."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "own.example")])
    builder = x509.CertificateBuilder(
        name, name, key.public_key(), 1, now + timedelta(days=days - 2), now + timedelta(days=days)
    )
    if usages:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    machine.path("own.crt").write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    machine.path("own.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


@pytest.mark.parametrize("way", [[], ["--mtls=false"], ["--no-mtls"]])
def test_renewal_keeps_key_names_and_duration(ca: Any, holder: Any, way: list[str]) -> None:
    before = read(holder)
    ran = holder.mica("ca", "renew", "svc.crt", "svc.key", "--force", *way)
    after = read(holder)
    assert ran.err == "Your certificate has been saved in svc.crt.\n"
    assert after.serial_number != before.serial_number
    assert after.public_key() == before.public_key()
    assert after.subject == before.subject
    duration = before.not_valid_after_utc - before.not_valid_before_utc
    assert after.not_valid_after_utc - after.not_valid_before_utc == duration
    holder.openssl("verify", "-x509_strict", "-CAfile", str(ca.root), "-untrusted", "svc.crt", "svc.crt")


def test_renewal_elsewhere_leaves_the_old_certificate(holder: Any) -> None:
    before = holder.path("svc.crt").read_bytes()
    told = json.loads(holder.mica("ca", "renew", "svc.crt", "svc.key", "--out", "new.crt", "--json").out)
    assert holder.path("svc.crt").read_bytes() == before
    assert int(told["serial_number"]) == read(holder, "new.crt").serial_number


def test_overwriting_is_settled_before_the_ca_is_asked(holder: Any) -> None:
    assert "--force" in holder.mica("ca", "renew", "svc.crt", "svc.key", *NOWHERE, code=6).err
    assert "--force" in holder.mica("ca", "rekey", "svc.crt", "svc.key", *NOWHERE, code=6).err


def test_an_encrypted_key_renews_with_its_password(holder: Any) -> None:
    holder.write("secret", "correct horse")
    holder.openssl("pkey", "-in", "svc.key", "-aes256", "-passout", "file:secret", "-out", "locked.key")
    holder.mica("ca", "renew", "svc.crt", "locked.key", "--force", "--password-file", "secret")
    assert "--password-file" in holder.mica("ca", "renew", "svc.crt", "locked.key", "--force", code=6).err


def test_rekeying_makes_a_new_key_of_the_same_kind(ca: Any, holder: Any) -> None:
    before = read(holder)
    ran = holder.mica("ca", "rekey", "svc.crt", "svc.key", "--force")
    after = read(holder)
    assert ran.err.splitlines() == ["✔ Certificate: svc.crt", "✔ Private Key: svc.key"]
    assert after.public_key() != before.public_key()
    assert holder.openssl("pkey", "-in", "svc.key", "-pubout") == holder.openssl(
        "x509", "-in", "svc.crt", "-noout", "-pubkey"
    )
    holder.mica("ca", "rekey", "svc.crt", "svc.key", "--force", "--kty", "RSA")
    assert read(holder).public_key().key_size == 2048  # type: ignore[union-attr]
    holder.mica("ca", "rekey", "svc.crt", "svc.key", "--out-cert", "c", "--out-key", "k")
    assert read(holder, "c").public_key().key_size == 2048  # type: ignore[union-attr]


def test_rekeying_may_use_a_key_that_is_there(holder: Any) -> None:
    holder.openssl("genpkey", "-algorithm", "ED25519", "-out", "mine.key")
    holder.mica("ca", "rekey", "svc.crt", "svc.key", "--private-key", "mine.key", "--out-cert", "mine.crt")
    assert holder.openssl("x509", "-in", "mine.crt", "-noout", "-pubkey") == holder.openssl(
        "pkey", "-in", "mine.key", "-pubout"
    )


@pytest.mark.parametrize("command", ["renew", "rekey"])
def test_a_certificate_without_client_auth_is_refused_before_the_ca_is_asked(machine: Any, command: str) -> None:
    self_made(machine, usages=(ExtendedKeyUsageOID.SERVER_AUTH,))
    ran = machine.mica("ca", command, "own.crt", "own.key", "--force", *NOWHERE, code=5)
    assert "own.crt: has no clientAuth usage" in ran.err
    assert "mica ca certificate" in ran.err


def test_a_key_of_another_certificate_is_noticed(holder: Any) -> None:
    self_made(holder)
    assert (
        "own.key: is not the key of svc.crt" in holder.mica("ca", "renew", "svc.crt", "own.key", *NOWHERE, code=5).err
    )


def test_a_certificate_that_is_not_valid_yet_is_noticed(machine: Any) -> None:
    self_made(machine, days=5)
    assert "is not valid before" in machine.mica("ca", "renew", "own.crt", "own.key", "--force", *NOWHERE, code=5).err


def test_an_expired_certificate_is_not_rekeyed(machine: Any) -> None:
    self_made(machine, days=-1)
    assert "cannot rekey an expired certificate" in machine.mica("ca", "rekey", "own.crt", "own.key", code=5).err


def test_an_expired_certificate_asks_by_token_and_is_refused_without_the_claim(holder: Any) -> None:
    holder.mica("ca", "certificate", "a.example", "a.crt", "a.key", "--not-after", "1s")
    time.sleep(2.1)
    ran = holder.mica("ca", "renew", "a.crt", "a.key", "--force", code=4)
    assert "certificate expired on" in ran.err


def test_an_expired_certificate_is_renewed_by_token_where_the_provisioner_allows_it(machine: Any) -> None:
    late = ["--provisioner", "late", "--not-after", "1s"]
    machine.mica("ca", "certificate", "a.example", "a.crt", "a.key", *late)
    before = read(machine, "a.crt")
    time.sleep(2.1)
    machine.mica("ca", "renew", "a.crt", "a.key", "--force")
    after = read(machine, "a.crt")
    assert after.serial_number != before.serial_number
    assert after.public_key() == before.public_key()


def test_a_certificate_of_another_ca_is_refused(machine: Any) -> None:
    self_made(machine)
    for way in ([], ["--mtls=false"]):
        ran = machine.mica("ca", "renew", "own.crt", "own.key", "--force", *way, code=4)
        assert "own.key" not in ran.out


def test_a_certificate_is_revoked_by_its_own_key_and_renewed_no_more(ca: Any, holder: Any) -> None:
    serial = read(holder).serial_number
    ran = holder.mica("ca", "revoke", "--cert", "svc.crt", "--key", "svc.key")
    assert ran.err.splitlines()[:2] == [
        f"✔ CA: {ca.url}",
        f"Certificate with Serial Number {serial} has been revoked.",
    ]
    assert "passive" in ran.err
    refused = holder.mica("ca", "renew", "svc.crt", "svc.key", "--force", code=4)
    assert "may be revoked" in refused.err


def test_a_certificate_is_revoked_by_a_token_made_on_the_spot_and_twice_is_no_failure(holder: Any) -> None:
    serial = hex(read(holder).serial_number)
    holder.mica("ca", "revoke", serial, "--reason-code", "key-compromise", "--reason", "lost")
    again = holder.mica("ca", "revoke", serial, "--json")
    assert "was revoked already" in again.err
    assert json.loads(again.out)["already"] is True


def test_a_certificate_is_revoked_by_a_token_from_elsewhere(machine: Any, holder: Any, stranger: Any) -> None:
    serial = str(read(holder).serial_number)
    token = machine.mica("ca", "token", "--revoke", serial).out.strip()
    other = stranger.mica("ca", "revoke", "4711", "--token", token, code=4)
    assert "do not match" in other.err
    token = machine.mica("ca", "token", "--revoke", serial).out.strip()
    assert "has been revoked" in stranger.mica("ca", "revoke", serial, "--token", token).err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "missing argument 'SERIAL'"),
        (["xyz"], "'xyz' is not a serial number"),
        (["1", "--cert", "a", "--key", "b"], "incompatible"),
        (["--cert", "a"], "require each other"),
        (["1", "--reason-code", "11"], "invalid value '11'"),
        (["1", "--reasonCode", "because"], "keycompromise"),
        (["1", "--token", "nonsense"], "invalid value for flag '--token'"),
    ],
)
def test_a_wrong_command_line_is_told(machine: Any, arguments: list[str], said: str) -> None:
    assert said in machine.mica("ca", "revoke", *arguments, code=2).err


def test_curl_renews_with_what_was_written(ca: Any, holder: Any) -> None:
    done = subprocess.run(
        [
            "curl",
            "-sS",
            "--cacert",
            str(ca.root),
            "--cert",
            "svc.crt",
            "--key",
            "svc.key",
            "-X",
            "POST",
            f"{ca.url}/renew",
        ],
        cwd=holder.folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["crt"].startswith("-----BEGIN CERTIFICATE-----")
