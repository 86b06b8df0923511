"""``ssh inspect``: the layout that people know, in UTC, and a clear word about everything that is no certificate."""

import base64
import json
import os
import subprocess
import sys
from itertools import cycle
from pathlib import Path

import pytest
from core.tests.cli_ca.conftest import Machine
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from mica.testing.keygen import ALL_KEYS, KEY_OPTIONS, Keygen, blob_of

LASTING = "20200101000000Z:20990101000000Z"
OPTIONS = (
    "-I", "alice@harbour.example", "-n", "alice,alice@harbour.example", "-z", "6120458813370942711", "-V", LASTING,
)  # fmt: skip


@pytest.fixture
def issued(keygen: Keygen) -> Path:
    return keygen.certificate("p256", keygen.key("p256", file="id_ecdsa"), *OPTIONS)


def test_the_layout_is_that_of_ssh_keygen_with_the_signature_and_what_the_clock_says(
    machine: Machine, keygen: Keygen, issued: Path
) -> None:
    value = blob_of(issued).split(b"ecdsa-sha2-nistp256")[-1][4:].hex(":")
    rows = [value[start : start + 48] for start in range(0, len(value), 48)]
    lines = machine.mica("ssh", "inspect", issued.name).out.split("\n")
    assert lines[:-1] == [
        "id_ecdsa-cert.pub:",
        "        Type: ecdsa-sha2-nistp256-cert-v01@openssh.com user certificate",
        f"        Public key: ECDSA-CERT {_fingerprint(keygen, 'id_ecdsa.pub')}",
        f"        Signing CA: ECDSA {_fingerprint(keygen, 'ca-p256.pub')} (using ecdsa-sha2-nistp256)",
        '        Key ID: "alice@harbour.example"',
        "        Serial: 6120458813370942711",
        "        Valid: from 2020-01-01T00:00:00 to 2099-01-01T00:00:00",
        "        Principals: ",
        "                alice",
        "                alice@harbour.example",
        "        Critical Options: (none)",
        "        Extensions: ",
        "                permit-X11-forwarding ",
        "                permit-agent-forwarding ",
        "                permit-port-forwarding ",
        "                permit-pty ",
        "                permit-user-rc ",
        "        Signature:",
        *(f"                {row}" for row in rows),
        lines[-2],
    ]
    status, zone = lines[-2].split("; ")
    assert status.startswith("        Status: valid, ")
    assert status.endswith(" remaining")
    assert zone == "times are UTC"


def _fingerprint(keygen: Keygen, name: str) -> str:
    return keygen("-l", "-f", name).split()[1]


@pytest.mark.parametrize(("name", "ca"), list(zip(ALL_KEYS, cycle(KEY_OPTIONS), strict=False)))
def test_ssh_keygen_says_the_same_of_every_type(machine: Machine, keygen: Keygen, name: str, ca: str) -> None:
    path = keygen.certificate(
        ca,
        keygen.key(name),
        "-h",
        "-I",
        "build1",
        "-V",
        LASTING,
        "-O",
        "critical:zone=north",
        "-O",
        "extension:a@b=c d",
    )
    theirs = [line.rstrip() for line in keygen("-L", "-f", path.name).splitlines()]
    ours = [
        line.rstrip()
        for line in machine.mica("ssh", "inspect", path.name).out.split("        Signature:")[0].splitlines()
    ]
    # Of options that it does not know, ssh-keygen shows the octets.
    known = [line for line in theirs if "UNKNOWN" not in line]
    assert [line for line in ours if line.strip() not in ("zone north", "a@b c d")] == known
    assert "                zone north" in ours


@pytest.mark.parametrize(
    ("validity", "line", "status"),
    [
        ("20200101000000Z:20200102000000Z", "from 2020-01-01T00:00:00 to 2020-01-02T00:00:00", "EXPIRED "),
        ("20980101000000Z:20990101000000Z", "from 2098-01-01T00:00:00 to 2099-01-01T00:00:00", "NOT YET VALID, "),
        ("20200101000000Z:forever", "after 2020-01-01T00:00:00", "valid, without end; "),
        ("20980101000000Z:forever", "after 2098-01-01T00:00:00", "NOT YET VALID, "),
        ("always:20990101000000Z", "before 2099-01-01T00:00:00", "valid, "),
        ("always:forever", "forever", "valid, without end; "),
    ],
)  # fmt: skip
def test_what_is_not_valid_now_is_marked(
    machine: Machine, keygen: Keygen, validity: str, line: str, status: str
) -> None:
    path = keygen.certificate("ed25519", keygen.key("p256"), "-I", "x", "-n", "alice", "-V", validity)
    shown = machine.mica("ssh", "inspect", path.name).out
    assert f"\n        Valid: {line}\n" in shown
    assert f"\n        Valid: {line}\n" in keygen("-L", "-f", path)
    assert f"\n        Status: {status}" in shown


def test_local_times_say_whose_they_are(keygen: Keygen, issued: Path) -> None:
    shown = {}
    for flag in ("--local", "--no-color"):
        shown[flag] = subprocess.run(
            [sys.executable, "-m", "mica.cli", "ssh", "inspect", flag, issued],
            env={**os.environ, "TZ": "HBR-5:30"}, capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
    assert "from 2020-01-01T05:30:00 to 2099-01-01T05:30:00" in shown["--local"]
    assert shown["--local"].endswith("; times are local, HBR (+0530)\n")
    assert "from 2020-01-01T00:00:00 to 2099-01-01T00:00:00" in shown["--no-color"]


def test_json_has_steps_names_and_the_serial_as_text(machine: Machine, keygen: Keygen, issued: Path) -> None:
    found = json.loads(machine.mica("ssh", "inspect", "--format", "json", issued.name).out)
    assert json.loads(machine.mica("ssh", "inspect", "--json", issued.name).out) == found
    value = base64.b64decode(found["Signature"].pop("Value"))
    assert blob_of(issued).endswith(value)
    assert found == {
        "Type": "user",
        "KeyName": "ecdsa-sha2-nistp256-cert-v01@openssh.com",
        "KeyID": "alice@harbour.example",
        "KeyAlgo": "ECDSA",
        "KeyFingerprint": _fingerprint(keygen, "id_ecdsa.pub"),
        "SigningKeyAlgo": "ECDSA",
        "SigningKeyFingerprint": _fingerprint(keygen, "ca-p256.pub"),
        "Signature": {"Type": "ecdsa-sha2-nistp256"},
        "Serial": "6120458813370942711",
        "ValidAfter": "2020-01-01T00:00:00Z",
        "ValidBefore": "2099-01-01T00:00:00Z",
        "Principals": ["alice", "alice@harbour.example"],
        "CriticalOptions": {},
        "Extensions": dict.fromkeys(
            [f"permit-{what}" for what in ("X11-forwarding", "agent-forwarding", "port-forwarding", "pty", "user-rc")],
            "",
        ),
        "Status": "valid",
    }  # fmt: skip


def test_stdin_is_read_and_called_by_its_dash(machine: Machine, issued: Path) -> None:
    for arguments in ((), ("-",)):
        shown = machine.mica("ssh", "inspect", *arguments, input=issued.read_text()).out
        assert shown.startswith("-:\n        Type: ecdsa-sha2-nistp256-cert-v01@openssh.com user certificate\n")


def test_comments_crlf_a_bom_and_a_bare_blob_do_no_harm(machine: Machine, issued: Path) -> None:
    blob = issued.read_text().split()[1]
    for text in (f"# alice\r\n\r\n{issued.read_text().strip()}\r\n", f"\ufeff{issued.read_text()}", f"{blob}\n"):
        assert "Serial: 6120458813370942711\n" in machine.mica("ssh", "inspect", input=text).out


def test_several_certificates_are_told_apart_by_their_lines(machine: Machine, keygen: Keygen, issued: Path) -> None:
    other = keygen.certificate("ed25519", keygen.key("ed25519"), "-I", "bob", "-n", "bob", "-V", LASTING)
    both = machine.write("both", f"# two of them\n{issued.read_text()}\n{other.read_text()}")
    shown = machine.mica("ssh", "inspect", both.name).out
    assert [line for line in shown.splitlines() if not line.startswith(" ")] == ["both:2:", "both:4:"]
    assert [one["KeyID"] for one in json.loads(machine.mica("ssh", "inspect", "both", "--json").out)] == [
        "alice@harbour.example", "bob",
    ]  # fmt: skip


def test_a_signature_that_is_not_good_is_warned_of(machine: Machine, keygen: Keygen, issued: Path) -> None:
    blob = blob_of(issued).replace(b"alice@harbour.example", b"mallo@harbour.example")
    machine.write("forged", f"{base64.b64encode(blob).decode()}\n")
    ran = machine.mica("ssh", "inspect", "forged")
    assert ran.err == "warning: forged: signature: is not by this key over these octets\n"
    assert 'Key ID: "mallo@harbour.example"' in ran.out
    old = keygen.certificate("rsa", keygen.key("ed25519"), "-t", "ssh-rsa", "-I", "x", "-n", "x")
    assert "'ssh-rsa' is not accepted" in machine.mica("ssh", "inspect", old.name).err


def test_what_strangers_wrote_does_nothing_to_a_terminal(machine: Machine, keygen: Keygen) -> None:
    path = keygen.certificate("ed25519", keygen.key("p256"), "-I", "a\x1b[31mred\nSerial: 1", "-n", "a\x07b\u202ec")
    for arguments in ((), ("--json",)):
        shown = machine.mica("ssh", "inspect", path.name, *arguments).out
        assert all(line.isprintable() for line in shown.splitlines())
        assert "\n        Serial: 1" not in shown
    assert 'Key ID: "a\\x1b[31mred\\nSerial: 1"' in machine.mica("ssh", "inspect", path.name).out


def _files(machine: Machine, keygen: Keygen, issued: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    machine.path("key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    machine.path("key.der").write_bytes(key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
    machine.path("pub.pem").write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    machine.openssl("req", "-x509", "-key", "key.pem", "-subj", "/CN=x", "-out", "x509.crt")
    machine.openssl("x509", "-in", "x509.crt", "-outform", "DER", "-out", "x509.der")
    machine.write("rfc4716", keygen("-e", "-f", "id_ecdsa.pub"))
    keygen("-q", "-k", "-f", "krl", "id_ecdsa.pub")
    machine.write("line", f'command="x" {machine.path("id_ecdsa.pub").read_text()}')
    machine.write("mixed", f"{issued.read_text()}{machine.path('id_ecdsa.pub').read_text()}")
    machine.write("empty", " \n")
    machine.write("comments", "# nothing\n")
    blob = issued.read_text().split()[1]
    machine.write("cut", f"{blob[:240]}\n")
    machine.write("torn", blob[:241])
    machine.path("short.der").write_bytes(b"\x30\x03\x02\x01\x07")
    machine.write("text", "hello\nworld\n")
    machine.write("token", "eyJhbGciOiJFUzI1NiJ9.e30.x\n")
    machine.write("json", "{}")
    machine.path("utf16").write_bytes(issued.read_text().encode("utf-16"))
    machine.path("binary").write_bytes(bytes(range(256)))
    machine.path("huge").write_bytes(b"ssh-ed25519 " + b"A" * (17 << 20))
    machine.path("long").write_bytes(b"ssh-ed25519 " + b"A" * (15 << 20))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("id_ecdsa", "id_ecdsa: holds a private key, not an SSH public key or certificate"),
        ("key.pem", "key.pem: holds a private key, not"),
        ("key.der", "key.der: is DER, not"),
        ("x509.crt", "x509.crt: holds an X.509 certificate, not"),
        ("x509.der", "x509.der: is DER, not"),
        ("pub.pem", "pub.pem: holds a public key in PEM, not"),
        ("rfc4716", "rfc4716: is a public key as RFC 4716 has it, not"),
        ("krl", "krl: is a key revocation list, not"),
        ("id_ecdsa.pub", "id_ecdsa.pub: holds an SSH public key (ecdsa-sha2-nistp256), not a certificate"),
        ("line", "line: holds an SSH public key (ecdsa-sha2-nistp256), not a certificate"),
        ("mixed", "mixed: line 2: holds an SSH public key (ecdsa-sha2-nistp256), not a certificate"),
        ("empty", "empty: is empty"),
        ("comments", "comments: holds nothing but comments"),
        ("cut", "cut: cannot be read: certificate: "),
        ("torn", "torn: what follows the type is not base64, or not all of it"),
        ("short.der", "short.der: is DER, not"),
        ("text", "text: line 1: is no SSH public key or certificate"),
        ("token", "token: is a token (JWT), not"),
        ("json", "json: is JSON, not"),
        ("utf16", "utf16: is UTF-16 text"),
        ("binary", "binary: line 1: is no SSH public key or certificate"),
        ("huge", "huge: is larger than 16 MiB"),
        ("long", "long: says ssh-ed25519, and its blob says ''"),
        (".", ".: is a directory"),
        ("none", "none: there is no such file"),
    ],
)
def test_other_files_are_one_clear_line(
    machine: Machine, keygen: Keygen, issued: Path, name: str, message: str
) -> None:
    _files(machine, keygen, issued)
    ran = machine.mica("ssh", "inspect", name, code=5)
    assert ran.err.startswith(f"error: {message}")
    assert (ran.out, len(ran.err.splitlines()) <= 2) == ("", True)
