"""The token source makes tokens that the provisioner and other libraries accept, with keys however they are kept."""

import base64
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import ssh

from mica import Operation, RenewSSH, RevokeHeld, keyfiles
from mica.client import KeyProblem, TokenOrder, sshpoptoken
from mica.client.sources import token_source
from mica.sshcert import SSHCertificate
from mica.testing.contexts import URL, Clock, make_context
from mica.testing.provisioners import verdict
from mica_sshpop.client import SSHPOPTokenSource
from mica_sshpop.provisioner import SSHPOPConfig, SSHPOPProvisioner

PASSWORD = b"correct horse"
NOW = datetime(2031, 3, 14, 9, 26, 53, tzinfo=UTC)
LISTED = {"type": "SSHPOP", "name": "our hosts"}
OPERATIONS = (Operation.SSH_RENEW, Operation.SSH_REKEY, Operation.SSH_REVOKE)
#: What ``ssh-keygen -t … -b …`` makes, and the algorithm of its tokens.
KEYS = {
    "ed25519": (("-t", "ed25519"), "EdDSA"),
    "p256": (("-t", "ecdsa", "-b", "256"), "ES256"),
    "p384": (("-t", "ecdsa", "-b", "384"), "ES384"),
    "p521": (("-t", "ecdsa", "-b", "521"), "ES512"),
    "rsa": (("-t", "rsa", "-b", "2048"), "RS256"),
}


@dataclass
class Desk:
    """A desk with the given passwords on it; remembers what it was asked for."""

    key_file: Path | None = None
    certificate_file: Path | None = None
    given: list[bytes] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def read(self, path: Path) -> bytes:
        return path.read_bytes()

    def encrypted_key(self, kid: str) -> str:
        raise AssertionError("the CA keeps no key of a host's")

    def passwords(self, label: str) -> Iterator[bytes]:
        self.asked.append(label)
        yield from self.given


Certified = Callable[..., Desk]


@pytest.fixture
def certified(tmp_path: Path, keygen: Callable[..., str]) -> Certified:
    """Makes desks with a host key of some kind and its certificate, both by ssh-keygen in ``tmp_path``."""

    def make(kind: str = "ed25519", password: str = "") -> Desk:
        if not (tmp_path / "ca").exists():
            keygen("-q", "-t", "ed25519", "-N", "", "-f", "ca")
        keygen("-q", *KEYS[kind][0], "-N", password, "-f", kind)
        span = "20310301000000Z:20310401000000Z"
        keygen("-q", "-s", "ca", "-h", "-I", "web", "-n", "web.example", "-z", "4711", "-V", span, f"{kind}.pub")
        return Desk(key_file=tmp_path / kind, certificate_file=tmp_path / f"{kind}-cert.pub")

    return make


def order(operation: Operation, subject: str = "4711") -> TokenOrder:
    return TokenOrder(
        operation=operation,
        subject=subject,
        audience=f"{URL}/1.0/ssh/{operation.removeprefix('ssh-')}",
        root_fingerprint="ab" * 32,
        issued_at=NOW,
        not_before=NOW,
        not_after=NOW + timedelta(minutes=5),
    )


def verified(raw: str, desk: Desk, alg: str) -> dict[str, Any]:
    """The claims of a token that another library verifies by the key in its header's certificate; it is not now."""
    blob = base64.b64decode(jwt.get_unverified_header(raw)["sshpop"])
    assert desk.certificate_file is not None
    line = desk.certificate_file.read_bytes()
    assert base64.b64encode(blob) == line.split()[1]
    certificate = ssh.load_ssh_public_identity(line)
    assert isinstance(certificate, ssh.SSHCertificate)
    audience = jwt.decode(raw, options={"verify_signature": False})["aud"]
    options: Any = {"verify_exp": False, "verify_nbf": False, "verify_iat": False}
    key: Any = certificate.public_key()
    return jwt.decode(raw, key, [alg], audience=audience, options=options)


@pytest.mark.parametrize("kind", KEYS)
async def test_every_kind_of_key_makes_tokens_that_the_ca_and_another_library_accept(
    kind: str, certified: Certified
) -> None:
    desk, alg = certified(kind), KEYS[kind][1]
    provisioner = SSHPOPProvisioner(SSHPOPConfig(name="our hosts"), make_context(Clock(NOW)))
    for operation in OPERATIONS:
        raw = SSHPOPTokenSource().token(order(operation), LISTED, desk)
        assert verified(raw, desk, alg)["sub"] == "4711"
        (permit,) = (await verdict(provisioner, raw, operation)).permits
        assert isinstance(permit, RevokeHeld if operation is Operation.SSH_REVOKE else RenewSSH)
    assert desk.asked == []


def test_a_token_says_what_steps_would_say(certified: Certified) -> None:
    desk = certified()
    raw = SSHPOPTokenSource().token(order(Operation.SSH_RENEW, subject=""), LISTED, desk)
    claims = verified(raw, desk, "EdDSA")
    assert len(bytes.fromhex(claims.pop("jti"))) == 32
    moment = int(NOW.timestamp())
    assert claims == {
        "aud": f"{URL}/1.0/ssh/renew#sshpop/our hosts",
        "exp": moment + 300,
        "iat": moment,
        "iss": "our hosts",
        "nbf": moment,
        "sha": "ab" * 32,
        "sub": "4711",
    }
    assert jwt.get_unverified_header(raw).keys() == {"alg", "sshpop", "typ"}


def test_the_source_is_found_by_its_type() -> None:
    assert isinstance(token_source("SSHPOP"), SSHPOPTokenSource)


def test_an_encrypted_key_is_opened_and_a_wrong_password_may_be_corrected(certified: Certified) -> None:
    desk = certified(password=PASSWORD.decode())
    desk.given = [b"wrong", PASSWORD]
    assert SSHPOPTokenSource().token(order(Operation.SSH_RENEW), LISTED, desk)
    assert desk.asked == [f"Please enter the password to decrypt {desk.key_file}"]
    desk.given = [b"wrong"]
    with pytest.raises(KeyProblem) as refusal:
        SSHPOPTokenSource().token(order(Operation.SSH_RENEW), LISTED, desk)
    assert str(desk.key_file) in str(refusal.value)


def test_a_key_in_pem_will_do_and_a_file_with_comments_bom_and_windows_line_ends(certified: Certified) -> None:
    desk = certified("p256")
    assert desk.key_file is not None
    assert desk.certificate_file is not None
    key = serialization.load_ssh_private_key(desk.key_file.read_bytes(), None)
    pem = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    desk.key_file.write_bytes(key.private_bytes(*pem, serialization.NoEncryption()))
    line = desk.certificate_file.read_bytes().strip()
    desk.certificate_file.write_bytes(b"\xef\xbb\xbf# the host's\r\n\r\n" + line + b"\r\n")
    assert SSHPOPTokenSource().token(order(Operation.SSH_RENEW), LISTED, desk)


def test_another_key_than_the_certificates_is_noticed(certified: Certified, tmp_path: Path) -> None:
    desk, other = certified(), certified("p256")
    for key_file in (other.key_file, tmp_path / "ca"):
        with pytest.raises(KeyProblem, match="the private key is not the one that the SSH certificate is for"):
            SSHPOPTokenSource().token(order(Operation.SSH_RENEW), LISTED, replace(desk, key_file=key_file))


def test_a_security_keys_certificate_signs_no_token(
    certified: Certified, keygen: Callable[..., str], tmp_path: Path
) -> None:
    desk, key_type = certified(), "sk-ssh-ed25519@openssh.com"
    parts = (key_type.encode(), bytes(32), b"ssh:")  # PROTOCOL.u2f: type, key, application
    blob = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    (tmp_path / "sk.pub").write_text(f"{key_type} {base64.b64encode(blob).decode()}\n")
    keygen("-q", "-s", "ca", "-h", "-I", "web", "-n", "web.example", "-z", "4711", "sk.pub")
    with pytest.raises(KeyProblem, match=f"a key of the type {key_type} cannot sign tokens"):
        SSHPOPTokenSource().token(
            order(Operation.SSH_REVOKE), LISTED, replace(desk, certificate_file=tmp_path / "sk-cert.pub")
        )


def test_another_serial_number_than_the_certificates_is_noticed(certified: Certified) -> None:
    with pytest.raises(KeyProblem, match="has the serial number 4711, not 4712"):
        SSHPOPTokenSource().token(order(Operation.SSH_REVOKE, "4712"), LISTED, certified())


@pytest.mark.parametrize("operation", [each for each in Operation if each not in OPERATIONS])
def test_nothing_new_can_be_ordered(operation: Operation, certified: Certified) -> None:
    with pytest.raises(KeyProblem, match="vouches for SSH certificates that are there already"):
        SSHPOPTokenSource().token(order(operation), LISTED, certified())


@pytest.mark.parametrize("missing", ["key_file", "certificate_file"])
def test_both_files_are_needed(missing: str, certified: Certified) -> None:
    with pytest.raises(KeyProblem) as refusal:
        SSHPOPTokenSource().token(order(Operation.SSH_RENEW), LISTED, replace(certified(), **{missing: None}))
    assert "--sshpop-cert" in refusal.value.hint


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "must hold one SSH certificate, and has 0 lines"),
        (b"# nothing\n\n", "has 0 lines"),
        (b"nonsense", "is no SSH public key or certificate"),
        (b"\xff\xfes\x00s\x00h\x00", "is no SSH public key or certificate"),
        (b"\x00" * 100, "is no SSH public key or certificate"),
        (b"-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----\n", "has 3 lines"),
    ],
)
def test_what_is_no_certificate_is_reported_by_its_name(content: bytes, fault: str, certified: Certified) -> None:
    desk = certified()
    assert desk.certificate_file is not None
    desk.certificate_file.write_bytes(content)
    with pytest.raises(KeyProblem) as refusal:
        SSHPOPTokenSource().token(order(Operation.SSH_RENEW), LISTED, desk)
    assert str(refusal.value).startswith(f"{desk.certificate_file}: ")
    assert fault in str(refusal.value)


def test_files_that_are_mistaken_for_each_other_are_told_apart(certified: Certified, tmp_path: Path) -> None:
    desk = certified()
    line = (tmp_path / "ed25519-cert.pub").read_text()
    (tmp_path / "two").write_text(line * 2)
    (tmp_path / "cut").write_text(" ".join([line.split()[0], line.split()[1][:200]]))
    for name, fault in (
        ("ed25519", "holds a private key, not an SSH certificate"),
        ("ed25519.pub", r"holds an SSH public key \(ssh-ed25519\), not its certificate"),
        ("two", "must hold one SSH certificate, and has 2 lines"),
        ("cut", "cannot be read: .*octets are missing"),
    ):
        with pytest.raises(KeyProblem, match=f"{tmp_path / name}: {fault}"):
            SSHPOPTokenSource().token(
                order(Operation.SSH_RENEW), LISTED, replace(desk, certificate_file=tmp_path / name)
            )
    for name in ("ed25519.pub", "ed25519-cert.pub", "two"):
        with pytest.raises(KeyProblem, match=str(tmp_path / name)):
            SSHPOPTokenSource().token(order(Operation.SSH_RENEW), LISTED, replace(desk, key_file=tmp_path / name))


def test_whoever_has_the_key_in_memory_needs_no_source(certified: Certified) -> None:
    desk = certified("p384")
    assert desk.certificate_file is not None
    assert desk.key_file is not None
    certificate = SSHCertificate.decode(base64.b64decode(desk.certificate_file.read_text().split()[1]))
    key = keyfiles.load_private_key(desk.key_file.read_bytes(), None, where="key")
    raw = sshpoptoken.make(f"{URL}/1.0/ssh/renew", "our hosts", certificate, key, "4711", NOW)
    claims = verified(raw, desk, "ES384")
    assert (claims["exp"] - claims["nbf"], claims["aud"]) == (300, f"{URL}/1.0/ssh/renew#sshpop/our hosts")
    assert "sha" not in claims
    again = sshpoptoken.make(f"{URL}/1.0/ssh/renew", "our hosts", certificate, key, "4711", NOW)
    assert claims["jti"] != verified(again, desk, "ES384")["jti"]


def test_the_client_side_imports_nothing_of_the_server() -> None:
    code = (
        "import sys, mica_sshpop.client; "
        "server = ('pluggy', 'asyncio', 'starlette', 'cattrs', 'jwt', 'jwcrypto', 'mica.hookspecs', 'mica.roles', "
        "'mica.grants', 'mica_sshpop.plugin', 'mica_sshpop.provisioner', 'mica_sshpop.possession'); "
        "print([name for name in server if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
