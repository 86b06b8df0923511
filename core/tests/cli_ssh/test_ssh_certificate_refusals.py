"""``ssh certificate`` where something is wrong: nothing is half written, and the message says what to do."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from core.tests.cli_ca.conftest import Machine
from core.tests.cli_ssh.sshclients import SSHCA
from core.tests.client import conftest as scripted
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import SSHCertificateBuilder, SSHCertificateType, load_ssh_public_key

from mica.testing.keygen import Keygen

serve = scripted.serve
Told = scripted.Told
PLAIN = ("--no-password", "--insecure")
STRANGER = ec.generate_private_key(ec.SECP256R1()).public_key()
NOBODY = ("--ca-url", "https://127.0.0.1:1")


@pytest.fixture
def keygen(client: Machine) -> Keygen:
    return Keygen(client.folder)


def files(machine: Machine) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in machine.folder.iterdir()}


def refused(machine: Machine, *arguments: str | Path, code: int) -> str:
    """What is said of a command that ends with ``code`` and leaves every file as it was."""
    before = files(machine)
    said = machine.mica("ssh", "certificate", *arguments, code=code).err
    assert files(machine) == before
    return said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("alice", "id", "--no-password"), "flag '--no-password' requires the '--insecure' flag"),
        (("alice", "id", *PLAIN, "--key-password-file", "password"), "'--no-password' is incompatible with"),
        (("alice", "id", *PLAIN, "--password-file", "password"), "'--no-password' is incompatible with"),
        (("alice", "id", "--min-password-length", "-1"), "invalid value -1 for flag '--min-password-length'"),
        (("alice", "id", *PLAIN, "--private-key", "x"), "flag '--private-key' requires the '--sign' flag"),
        (("--host", "--sign", "--private-key", "x", "a", "id.pub"), "flag '--private-key' is for the SSH agent"),
        (("--host", "--add-user", "svc", "id", *PLAIN), "flag '--add-user' is incompatible with '--host'"),
        (("--sign", "a", "id.pub", "--kty", "OKP"), "flag '--kty' is incompatible with '--sign'"),
        (("--sign", "a", "id.pub", *PLAIN), "flag '--no-password' is incompatible with '--sign'"),
        (("--sign", "a", "id.pub", "--key-password-file", "x"), "requires the '--private-key' flag"),
        (("--sign", "a", "-"), "with '--sign', KEY_FILE is a file"),
        (("alice", "id.pub", *PLAIN), "id.pub is the name of a public key"),
        (("alice", "-", *PLAIN), "- is stdin, and nothing can be written there"),
        (("alice", "id", *PLAIN, "--kty", "RSA", "--size", "1024"), "invalid value 1024 for flag '--size'"),
        (("alice", "id", *PLAIN, "-n", "a,root"), "ssh certificate principal 'a,root' must be one plain name"),
        (("alice", "id", *PLAIN, "-n", ""), "ssh certificate principal '' must not be empty"),
        (("", "id", *PLAIN), "the key id is empty"),
        (("a\nb", "id", *PLAIN), "must be one line of text"),
        (("a" * 4097, "id", "-n", "a", *PLAIN), "must have at most 4096 characters"),
        (("alice", "id", *PLAIN, "--comment", "a\nb"), "invalid value 'a\\nb' for flag '--comment'"),
        (("alice", "id", *PLAIN, "--add-user", "-n", "a", "-n", "b"), "flag '--add-user' is for one principal"),
        (("Ann.Lee@x", "id", *PLAIN, "--add-user"), "flag '--add-user' is for one principal"),
        (("alice", "id", *PLAIN, "--token", "a.b"), "invalid value for flag '--token'"),
        (("alice", "id", *PLAIN, "--token", "a.b.c", "--offline"), "'--token'"),
        (("alice", "id", *PLAIN, "--not-after", "soon"), "'soon' is neither"),
        (
            ("alice", "id", "--key-password-file", "-", "--provisioner-password-file", "-"),
            "both read stdin",
        ),
    ],
)  # fmt: skip
def test_a_command_line_that_makes_no_sense_asks_nobody(client: Machine, arguments: Any, message: str) -> None:
    assert message in refused(client, *arguments, *NOBODY, code=2)


@pytest.mark.parametrize(
    ("prepare", "arguments", "message"),
    [
        ({}, ("alice", "nowhere/id", *PLAIN), "there is no directory"),
        ({}, ("alice", "id", "--key-password-file", "missing"), "missing: there is no such file"),
        ({"empty": ""}, ("alice", "id", "--key-password-file", "empty"), "empty: holds no password"),
        (
            {"short": "abc"},
            ("alice", "id", "--password-file", "short", "--min-password-length", "8"),
            "short: a password has at least 8 characters here",
        ),
        ({}, ("--sign", "alice", "missing.pub"), "missing.pub: there is no such file"),
        ({"a.pub": ""}, ("--sign", "alice", "a.pub"), "a.pub: is empty"),
        ({"a.pub": "nonsense"}, ("--sign", "alice", "a.pub"), "a.pub: is no SSH public key or certificate"),
        ({"a.pub": "\ufeff"}, ("--sign", "alice", "a.pub"), "a.pub"),
    ],
)  # fmt: skip
def test_a_file_that_is_of_no_use_asks_nobody(
    client: Machine, prepare: dict[str, str], arguments: Any, message: str
) -> None:
    for name, text in prepare.items():
        client.write(name, text)
    assert message in refused(client, *arguments, *NOBODY, code=5)


def test_what_is_signed_is_one_public_key_that_is_strong(client: Machine, keygen: Keygen) -> None:
    public = keygen.key("p256", file="mine")
    assert "holds a private key" in refused(client, "--sign", "alice", "mine", *NOBODY, code=5)
    client.write("two.pub", public.read_text() * 2)
    assert "two.pub: holds 2 keys" in refused(client, "--sign", "alice", "two.pub", *NOBODY, code=5)
    keygen("-q", "-t", "rsa", "-b", "1024", "-N", "", "-f", "weak")
    assert "weak.pub: " in refused(client, "--sign", "alice", "weak.pub", *NOBODY, code=5)
    certificate = keygen.certificate("p384", public, "-I", "x", "-n", "alice")
    assert "holds a certificate" in refused(client, "--sign", "alice", certificate, *NOBODY, code=5)


def test_windows_line_ends_and_its_mark_do_no_harm(client: Machine, keygen: Keygen) -> None:
    text = keygen.key("p256", file="mine").read_text().rstrip("\n")
    client.path("mine.pub").write_bytes(b"\xef\xbb\xbf" + text.encode() + b"\r\n")
    client.mica("ssh", "certificate", "--sign", "alice", "mine.pub")
    assert keygen("-l", "-f", "mine-cert.pub")


def test_the_private_key_for_the_agent_is_the_one_that_belongs_to_it(client: Machine, keygen: Keygen) -> None:
    keygen.key("p256", file="mine")
    keygen.key("p256", file="other")
    arguments = ("--sign", "--private-key", "other", "alice", "mine.pub", *NOBODY)
    assert "other: is not the private key of mine.pub" in refused(client, *arguments, code=5)
    keygen("-q", "-p", "-N", "secret", "-f", "mine")
    arguments = ("--sign", "--private-key", "mine", "--key-password-file", "password", "alice", "mine.pub", *NOBODY)
    assert "the password is wrong" in refused(client, *arguments, code=5)
    without = ("--sign", "--private-key", "mine", "alice", "mine.pub", *NOBODY)
    assert "--key-password-file" in refused(client, *without, code=6)


@pytest.mark.parametrize("existing", ["id", "id.pub", "id-cert.pub", "id-provisioner"])
def test_what_exists_is_overwritten_only_when_that_is_said(client: Machine, existing: str) -> None:
    client.write(existing, "what was here before\n")
    arguments = ("alice", "id", *PLAIN, "--add-user")
    assert f"overwrite {existing}" in refused(client, *arguments, *NOBODY, code=6)
    client.mica("ssh", "certificate", *arguments, "--force", "--no-agent")
    assert "what was here" not in client.path(existing).read_text()


def test_without_a_terminal_the_password_is_asked_of_nobody_before_the_ca_is(client: Machine) -> None:
    said = refused(client, "alice", "id", *NOBODY, code=6)
    assert "answer it with --key-password-file, or --no-password --insecure" in said


def test_the_public_key_is_not_overwritten_by_its_own_certificate(client: Machine, keygen: Keygen) -> None:
    keygen.key("p256", file="mine")
    client.path("mine-cert.pub").symlink_to("mine.pub")
    arguments = ("--sign", "--force", "alice", "mine.pub", *NOBODY)
    assert "would take the place of mine.pub" in refused(client, *arguments, code=2)


@pytest.mark.parametrize("taken", ["edge", "edge.pub", "edge-cert.pub"])
@pytest.mark.parametrize("flag", ["--x5c-cert", "--x5c-key", "--x5c-chain"])
def test_no_file_that_vouches_is_overwritten(client: Machine, taken: str, flag: str) -> None:
    named = {"--x5c-cert": "other.crt", "--x5c-key": "other.key", "--x5c-chain": "other.pem"} | {flag: taken}
    client.path(taken).write_text("the only copy")
    arguments = ("--force", *PLAIN, *NOBODY, *(part for pair in named.items() for part in pair))
    assert f"{taken} would take the place of {taken}" in refused(client, "alice", "edge", *arguments, code=2)


def test_a_ca_that_cannot_be_reached_or_refuses_leaves_no_key_behind(served_ca: SSHCA, client: Machine) -> None:
    assert "127.0.0.1:1" in refused(client, "alice", "id", *PLAIN, *NOBODY, code=3)
    said = refused(client, "alice", "id", *PLAIN, "--not-after", "8760h", code=4)
    assert "greater than maximum accepted duration" in said
    client.write("wrong", "a wrong password")
    assert "does not decrypt the key of the provisioner admin" in refused(
        client, "alice", "id", *PLAIN, "--provisioner-password-file", "wrong", code=5
    )


def test_a_folder_in_the_place_of_a_file_costs_no_certificate(client: Machine) -> None:
    client.path("id-cert.pub").mkdir()
    said = client.mica("ssh", "certificate", "alice", "id", *PLAIN, *NOBODY, code=5).err
    assert "id-cert.pub: is a directory" in said
    assert not client.path("id").exists()


def test_a_token_that_orders_something_else_is_not_spent(client: Machine) -> None:
    token = client.mica("ca", "token", "--ssh", "alice", "-n", "alice", "-n", "root").out.strip()
    for arguments, message in (
        (("--host", "alice"), "a user's certificate"),
        (("bob",), "the key id 'alice', not for 'bob'"),
        (("alice", "-n", "root"), "the principals alice, root"),
    ):
        assert message in refused(client, "--token", token, *arguments, "id", *PLAIN, code=2)
    client.mica("ssh", "certificate", "--token", token, "alice", "id", *PLAIN, "--no-agent")
    for_x509 = client.mica("ca", "token", "alice").out.strip()
    assert "make one with: mica ca token --ssh" in refused(client, "--token", for_x509, "alice", "y", *PLAIN, code=2)
    ssh = client.mica("ca", "token", "--ssh", "svc.example", "-n", "svc").out.strip()
    x509 = client.mica("ca", "certificate", "--token", ssh, "svc.example", "a.crt", "a.key", code=4)
    assert "the token is for /1.0/ssh/sign, and was used for /sign" in x509.err


def test_a_ca_without_ssh_is_told_of_as_such(serve: Callable[..., Any], client: Machine) -> None:
    server = serve(script=lambda asked: Told(status=404, body={"status": 404, "message": "Not Found"}))
    said = refused(client, *ordered(server, client), code=4)
    assert "is not configured for SSH" in said


def ordered(server: Any, machine: Machine) -> list[str | Path]:
    """Arguments that order from the scripted server, by a token that says for whom."""
    ssh = {"certType": "user", "keyID": "alice", "principals": ["alice"]}
    claims = {"aud": f"{server.url}/1.0/ssh/sign", "sub": "alice", "step": {"ssh": ssh}}
    token = jwt.encode(claims, "a key of as many octets as PyJWT wants", "HS256")
    machine.home.joinpath("scripted.pem").write_bytes(server.authority.pem)
    return ["--token", token, "--root", machine.home / "scripted.pem", "alice", "id", *PLAIN, "--no-agent"]


def certificate(blob: str, **changes: Any) -> str:
    """A certificate for the public key in ``blob``, as another library makes it; ``changes`` are what is wrong."""
    wanted = {"key_id": b"alice", "principals": [b"alice"], "type": SSHCertificateType.USER} | changes
    key = wanted.get("public_key") or load_ssh_public_key(f"ecdsa-sha2-nistp256 {blob}".encode())
    builder = SSHCertificateBuilder().public_key(key).type(wanted["type"]).key_id(wanted["key_id"]).serial(7)
    builder = (
        builder.valid_principals(wanted["principals"]) if wanted["principals"] else builder.valid_for_all_principals()
    )
    made = builder.valid_after(0).valid_before(2**33).sign(ed25519.Ed25519PrivateKey.generate()).public_bytes()
    return made.split()[1].decode()


def altered(blob: str) -> str:
    """The same certificate, an octet of its key id changed after it was signed."""
    octets = base64.b64decode(blob)
    return base64.b64encode(octets.replace(b"alice", b"alicf", 1)).decode()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda blob: certificate(blob, public_key=STRANGER), "another key"),
        (lambda blob: certificate(blob, type=SSHCertificateType.HOST), "a host's certificate, which nobody ordered"),
        (lambda blob: certificate(blob, key_id=b"bob"), "the key id 'bob', not 'alice'"),
        (lambda blob: certificate(blob, principals=[b"alice", b"root"]), "for alice, root, not for alice"),
        (lambda blob: certificate(blob, principals=[]), "for everybody, not for alice"),
        (lambda blob: altered(certificate(blob)), "signature: is not by this key"),
        (lambda blob: blob, "no SSH certificate"),
        (lambda blob: "AAAA", "no SSH certificate"),
        (lambda blob: "?", "'crt' in the answer is not base64"),
    ],
)  # fmt: skip
def test_a_certificate_that_was_not_ordered_is_not_kept(
    serve: Callable[..., Any], client: Machine, answer: Callable[[str], str], message: str
) -> None:
    server = serve(script=lambda asked: Told(status=201, body={"crt": answer(asked.json["publicKey"])}))
    assert message in refused(client, *ordered(server, client), code=3)


def test_what_is_asked_for_is_what_step_asks_for(serve: Callable[..., Any], client: Machine) -> None:
    server = serve(script=lambda asked: Told(status=201, body={"crt": certificate(asked.json["publicKey"])}))
    client.mica("ssh", "certificate", *ordered(server, client), "--not-after", "8h")
    (asked,) = server.asked
    assert (asked.method, asked.path) == ("POST", "/ssh/sign")
    said = json.loads(asked.body)
    assert sorted(said) == ["certType", "keyID", "ott", "principals", "publicKey", "validAfter", "validBefore"]
    assert (said["certType"], said["keyID"], said["principals"]) == ("user", "alice", ["alice"])
    assert (said["validAfter"], said["validBefore"]) == ("", "8h0m0s")


def test_without_the_certificate_that_makes_the_account_there_is_none(
    serve: Callable[..., Any], client: Machine
) -> None:
    server = serve(script=lambda asked: Told(status=201, body={"crt": certificate(asked.json["publicKey"])}))
    said = refused(client, *ordered(server, client), "--add-user", code=3)
    assert "no certificate that makes the account" in said
