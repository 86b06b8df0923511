"""``ssh fingerprint``: what ``ssh-keygen -l`` says."""

import base64
import hashlib
import json

import pytest
from core.tests.cli_ca.conftest import Machine

from mica.sshwire import text
from mica.testing.keygen import ALL_KEYS, Keygen, blob_of


@pytest.mark.parametrize("name", ALL_KEYS)
def test_ssh_keygen_says_the_same_of_keys_and_certificates(machine: Machine, keygen: Keygen, name: str) -> None:
    public = keygen.key(name, "alice@harbour.example")
    certificate = keygen.certificate("ed25519", public, "-I", "x", "-n", "alice")
    for path in (public, certificate):
        assert machine.mica("ssh", "fingerprint", path.name).out == keygen("-l", "-f", path.name)


def test_a_file_of_many_keys_has_a_line_for_each(machine: Machine, keygen: Keygen) -> None:
    lines = [keygen.key(name, comment).read_text() for name, comment in (("p256", "alice"), ("ed25519", "bob b."))]
    machine.write("authorized_keys", f"# ours\nno-pty {lines[0]}\n{lines[1]}")
    ran = machine.mica("ssh", "fingerprint", "authorized_keys")
    assert ran.out == keygen("-l", "-f", "authorized_keys")
    assert machine.mica("ssh", "fingerprint", "-", input=lines[0]).out == ran.out.splitlines()[0] + "\n"


def test_a_key_without_comment_says_so(machine: Machine, keygen: Keygen) -> None:
    keygen.key("ed25519", "")
    shown = machine.mica("ssh", "fingerprint", "ed25519.pub").out
    assert shown.endswith(" no comment (ED25519)\n")
    assert shown == keygen("-l", "-f", "ed25519.pub")


def test_the_whole_certificate_has_another_fingerprint_than_its_key(machine: Machine, keygen: Keygen) -> None:
    path = keygen.certificate("ed25519", keygen.key("p256", "alice"), "-I", "x", "-n", "alice")
    digest = base64.b64encode(hashlib.sha256(blob_of(path)).digest()).decode().rstrip("=")
    shown = machine.mica("ssh", "fingerprint", "--certificate", path.name).out
    assert shown == f"256 SHA256:{digest} alice (ECDSA-CERT)\n"
    ran = machine.mica("ssh", "fingerprint", "--certificate", "p256.pub", code=5)
    assert ran.err.startswith("error: p256.pub: holds a public key, and '--certificate' needs a certificate\n")


def test_the_digest_is_encoded_as_asked(machine: Machine, keygen: Keygen) -> None:
    digest = hashlib.sha256(blob_of(keygen.key("p256", "alice"))).digest()
    plain, url = base64.b64encode(digest).decode(), base64.urlsafe_b64encode(digest).decode()
    for layout, encoded in {
        "base64-raw": plain.rstrip("="), "base64": plain, "base64-url": url, "base64-url-raw": url.rstrip("="),
        "hex": digest.hex(),
    }.items():  # fmt: skip
        assert (
            machine.mica("ssh", "fingerprint", "--format", layout, "p256.pub").out
            == f"256 SHA256:{encoded} alice (ECDSA)\n"
        )
        found = json.loads(machine.mica("ssh", "fingerprint", "--format", layout, "--json", "p256.pub").out)
        assert found == {
            "algorithm": "sha256",
            "format": layout,
            "fingerprints": [{"bits": 256, "fingerprint": encoded, "comment": "alice", "type": "ECDSA"}],
        }


def test_a_comment_does_nothing_to_a_terminal(machine: Machine, keygen: Keygen) -> None:
    line = keygen.key("ed25519", "nobody").read_text().replace("nobody", "al\x1b[31mice")
    assert " al\\x1b[31mice (ED25519)\n" in machine.mica("ssh", "fingerprint", "-", input=line).out


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ed25519", "ed25519: holds a private key, not an SSH public key or certificate"),
        ("dsa", "dsa: cannot be read: public key: key type: 'ssh-dss' is none of ssh-ed25519, "),
        ("empty", "empty: is empty"),
        ("none", "none: there is no such file"),
    ],
)
def test_other_files_are_one_clear_line(machine: Machine, keygen: Keygen, name: str, message: str) -> None:
    keygen.key("ed25519")
    machine.write("empty", "")
    machine.write("dsa", f"ssh-dss {base64.b64encode(text('ssh-dss')).decode()}\n")
    ran = machine.mica("ssh", "fingerprint", name, code=5)
    assert (ran.out, ran.err.startswith(f"error: {message}")) == ("", True)
    assert machine.mica("ssh", "fingerprint", code=2).out == ""
