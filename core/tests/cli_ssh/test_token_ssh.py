"""``ca token --ssh``: tokens for every operation on SSH certificates, which the CA takes from anybody, once."""

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import jwt
import pytest
from core.tests.cli_ca.conftest import Machine
from core.tests.cli_ssh.sshclients import SSHCA

from mica.testing.keygen import Keygen, blob_of

PLAIN = ("--no-password", "--insecure")


@pytest.fixture
def keygen(client: Machine) -> Keygen:
    return Keygen(client.folder)


@pytest.fixture
def host(client: Machine) -> Machine:
    """The machine has the certificate of a host: ``host``, ``host.pub``, ``host-cert.pub``."""
    client.mica("ssh", "certificate", "--host", "svc.example", "host", *PLAIN)
    return client


def token(machine: Machine, *arguments: str | Path) -> str:
    return machine.mica("ca", "token", "--ssh", *arguments).out.strip()


def claims(token: str) -> dict[str, Any]:
    decoded: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return decoded


def post(ca: SSHCA, path: str, **members: Any) -> dict[str, Any]:
    """What the CA answers to curl."""
    done = subprocess.run(
        ["curl", "-s", "--cacert", ca.root, "-d", "@-", f"{ca.url}/1.0{path}"],
        input=json.dumps(members), capture_output=True, text=True, check=True,
    )  # fmt: skip
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def serial(machine: Machine, name: str = "host") -> str:
    return str(json.loads(machine.mica("ssh", "inspect", "--format", "json", f"{name}-cert.pub").out)["Serial"])


def test_a_token_says_which_certificate_it_is_for(served_ca: SSHCA, client: Machine) -> None:
    said = claims(token(client, "Ann.Lee@harbour.example", "--cert-not-before", "-5m", "--cert-not-after", "8h"))
    assert said["aud"] == f"{served_ca.url}/1.0/ssh/sign"
    assert (said["sub"], said["iss"], said["sha"]) == ("Ann.Lee@harbour.example", "admin", served_ca.fingerprint)
    assert said["exp"] - said["iat"] == 300
    assert "sans" not in said
    assert said["step"]["ssh"] == {
        "certType": "user", "keyID": "Ann.Lee@harbour.example",
        "principals": ["annlee", "Ann.Lee", "Ann.Lee@harbour.example"],
        "validAfter": "-5m0s", "validBefore": "7h55m0s",
    }  # fmt: skip


def test_a_hosts_token_is_for_the_host(client: Machine, keygen: Keygen) -> None:
    made = token(client, "--host", "svc.example", "-n", "svc.example", "-n", "www.example")
    client.mica("ssh", "certificate", "--host", "--token", made, "svc.example", "id", *PLAIN)
    said = keygen("-L", "-f", "id-cert.pub")
    assert "host certificate" in said
    assert "svc.example\n                www.example\n" in said


def test_a_token_signed_with_a_key_file_is_made_without_any_ca(served_ca: SSHCA, client: Machine) -> None:
    from mica.jwe import decrypt_jwk

    listed = json.loads(client.mica("ca", "provisioner", "list").out)
    sealed = next(one["encryptedKey"] for one in listed if one["type"] == "JWK")
    client.write("key.jwk", json.dumps(decrypt_jwk(sealed, client.path("password").read_bytes().strip())))
    alone = ["--offline", "--key", "key.jwk", "--provisioner", "admin", "--ca-url", served_ca.url]
    made = client.mica("ca", "token", "--ssh", "alice", *alone).out.strip()
    client.mica("ssh", "certificate", "--token", made, "alice", "id", *PLAIN, "--no-agent")


def test_a_host_renews_and_rekeys_by_tokens_of_its_own_key(served_ca: SSHCA, host: Machine, keygen: Keygen) -> None:
    renewing = token(host, "--renew", "--sshpop-cert", "host-cert.pub", "--sshpop-key", "host")
    said = claims(renewing)
    assert said["aud"] == f"{served_ca.url}/1.0/ssh/renew#sshpop/sshpop"
    assert said["sub"] == serial(host)
    assert blob_of(host.path("host-cert.pub")) == base64.b64decode(jwt.get_unverified_header(renewing)["sshpop"])
    renewed = post(served_ca, "/ssh/renew", ott=renewing)["crt"]
    host.write("new-cert.pub", f"ecdsa-sha2-nistp256-cert-v01@openssh.com {renewed}\n")
    assert keygen("-l", "-f", "new-cert.pub").split()[1] == keygen("-l", "-f", "host.pub").split()[1]
    other = base64.b64encode(blob_of(keygen.key("ed25519"))).decode()
    rekeying = token(host, "--rekey", "--sshpop-cert", "host-cert.pub", "--sshpop-key", "host", serial(host))
    rekeyed = post(served_ca, "/ssh/rekey", ott=rekeying, publicKey=other)["crt"]
    host.write("rekeyed-cert.pub", f"ssh-ed25519-cert-v01@openssh.com {rekeyed}\n")
    assert keygen("-l", "-f", "rekeyed-cert.pub").split()[1] == keygen("-l", "-f", "ed25519.pub").split()[1]


@pytest.mark.parametrize("as_it_is_written", [str, lambda number: hex(int(number))], ids=["decimal", "hexadecimal"])
def test_a_certificate_is_revoked_by_its_serial_number(served_ca: SSHCA, host: Machine, as_it_is_written: Any) -> None:
    number = serial(host)
    made = token(host, "--revoke", as_it_is_written(number))
    assert claims(made)["sub"] == number
    revoked = {"serial": number, "passive": True}
    assert post(served_ca, "/ssh/revoke", ott=made, **revoked) == {"status": "ok"}
    assert (
        "is already revoked"
        in post(served_ca, "/ssh/revoke", ott=token(host, "--revoke", number), **revoked)["message"]
    )


def test_every_certificate_of_a_key_id_is_revoked_together(served_ca: SSHCA, client: Machine) -> None:
    for name in ("one", "two"):
        client.mica("ssh", "certificate", "zoe@harbour.example", name, *PLAIN, "--no-agent")
    made = token(client, "--revoke", "--key-id", "zoe@harbour.example")
    assert claims(made)["step"] == {"ssh": {"keyID": "zoe@harbour.example"}}
    said = post(served_ca, "/ssh/revoke", ott=made, keyID="zoe@harbour.example", passive=True)
    assert said == {"status": "ok"}
    for name in ("one", "two"):
        number = serial(client, name)
        again = post(served_ca, "/ssh/revoke", ott=token(client, "--revoke", number), serial=number, passive=True)
        assert "is already revoked" in again["message"]


def test_a_certificate_is_revoked_by_its_own_key(served_ca: SSHCA, client: Machine) -> None:
    client.write("secret", "a password of keys")
    client.mica("ssh", "certificate", "alice", "id", "--password-file", "secret", "--no-agent")
    own = ["--sshpop-cert", "id-cert.pub", "--sshpop-key", "id", "--key-password-file", "secret"]
    made = token(client, "--revoke", *own)
    said = post(served_ca, "/ssh/revoke", ott=made, serial=serial(client, "id"), passive=True)
    assert said == {"status": "ok"}


def test_a_provisioner_for_ssh_keys_is_in_nobody_elses_way(client: Machine) -> None:
    ran = client.mica("ca", "token", "svc.example")
    assert "✔ Provisioner: admin (JWK)" in ran.err
    assert "invalid value 'sshpop'" in client.mica("ca", "token", "svc", "--provisioner", "sshpop", code=2).err


def test_the_certificate_and_the_key_of_a_token_belong_together(host: Machine, keygen: Keygen) -> None:
    keygen.key("ed25519", file="other")
    arguments = ["ca", "token", "--ssh", "--renew", "--sshpop-cert"]
    for cert, key, message in (
        ("host-cert.pub", "other", "the private key is not the one that the SSH certificate is for"),
        ("host.pub", "host", "host.pub: holds an SSH public key"),
        ("host", "host", "host: holds a private key"),
        ("missing", "host", "missing: there is no such file"),
        ("host-cert.pub", "missing", "missing: there is no such file"),
    ):
        assert message in host.mica(*arguments, cert, "--sshpop-key", key, code=5).err
    assert "has the serial number" in host.mica(
        *arguments, "host-cert.pub", "--sshpop-key", "host", "4711", code=5
    ).err  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--ssh",), "missing argument 'SUBJECT'"),
        (("--rekey", "x"), "flag '--rekey' requires the '--ssh' flag"),
        (("--host", "x"), "flag '--host' requires the '--ssh' flag"),
        (("-n", "a", "x"), "flag '--principal' requires the '--ssh' flag"),
        (("--cert-not-after", "1h", "x"), "flag '--cert-not-after' requires the '--ssh' flag"),
        (("--key-id", "a", "--revoke"), "flag '--key-id' requires the '--ssh' flag"),
        (("--sshpop-key", "a", "x"), "flag '--sshpop-key' requires the '--ssh' flag"),
        (("--ssh", "--san", "a", "x"), "flag '--san' is incompatible with '--ssh'"),
        (("--ssh", "--cnf", "00" * 32, "x"), "flag '--cnf' is incompatible with '--ssh'"),
        (("--ssh", "--x5c-cert", "a", "x"), "flags '--x5c-cert' and '--x5c-key' require each other"),
        (("--ssh", "--revoke", "--x5c-cert", "a", "--x5c-key", "b", "7"), "incompatible with '--ssh' and '--revoke'"),
        (
            ("--ssh", "--x5c-cert", "a", "--x5c-key", "b", "--sshpop-cert", "c", "--sshpop-key", "d", "x"),
            "flag '--x5c-cert' is incompatible with '--sshpop-cert'",
        ),
        (("--ssh", "--renew"), "flag '--renew' requires the flags '--sshpop-cert' and '--sshpop-key'"),
        (("--ssh", "--revoke", "--sshpop-cert", "a"), "'--sshpop-cert' and '--sshpop-key' require each other"),
        (("--ssh", "--sshpop-cert", "a", "--sshpop-key", "b", "x"), "are for '--renew', '--rekey' and '--revoke'"),
        (("--ssh", "--renew", "--revoke", "x"), "flag '--revoke' is incompatible with '--renew'"),
        (("--ssh", "--revoke", "--host", "7"), "flag '--host' is for tokens that order a certificate"),
        (("--ssh", "--key-id", "a", "x"), "flag '--key-id' is for '--revoke'"),
        (("--ssh", "--revoke", "--key-id", "a", "7"), "flag '--key-id' is for '--revoke', instead of SUBJECT"),
        (("--ssh", "--revoke", "--key-id", "a\nb"), "must be one line of text"),
        (("--ssh", "--revoke", "alice"), "'alice' is not a serial number"),
        (("--ssh", "--revoke", "0"), "from 1 to 18446744073709551615"),
        (("--ssh", "--revoke", "18446744073709551616"), "from 1 to 18446744073709551615"),
        (("--ssh", "--renew", "--sshpop-cert", "a", "--sshpop-key", "b", "--key", "c"), "flag '--key' is incompatible"),
        (("--ssh", "-n", "a,b", "x"), "must be one plain name"),
        (("--ssh", "a\nb"), "must be one line of text"),
        (("--ssh", "--revoke", "--key-id", ""), "the key id is empty"),
        (("--ssh", "x", "--key-password-file", "p"), "'--key-password-file' is for '--x5c-key' and '--sshpop-key'"),
        (
            ("--ssh", "--renew", "--sshpop-cert", "a", "--sshpop-key", "b", "--provisioner-password-file", "p"),
            "flag '--provisioner-password-file' is for a provisioner's key",
        ),
    ],
)
def test_a_command_line_that_makes_no_sense_asks_nobody(client: Machine, arguments: Any, message: str) -> None:
    said = client.mica("ca", "token", *arguments, "--ca-url", "https://127.0.0.1:1", code=2)
    assert message in said.err
    assert said.out == ""
