"""Secrets that cannot be mistaken are given to the service in every way there is; nothing that it writes has them."""

import base64
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AttributeOID, NameOID
from tests.security.bearers import CLIENT_ID, NOWHERE, Strangers, strangers

from mica.foundation import INTERMEDIATE_KEY
from mica.keyfiles import PrivateKey, dump_private_key, generate
from mica.sshkeys import SSHPublicKey
from mica.testing.ca import TestCA
from mica.testing.exchange import ask
from mica.testing.service import Service, free_port, served
from mica.testing.webserver import Reply


@dataclass
class Canaries:
    """Every secret that was given away, by where."""

    secrets: dict[str, bytes] = field(default_factory=dict)

    def new(self, where: str) -> str:
        """A secret for that place."""
        self.secrets[where] = f"canary-{uuid4().hex}".encode()
        return self.secrets[where].decode()

    def add_key(self, where: str, key: object) -> None:
        """The key's scalar, as it could be written."""
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        number = key.private_numbers().private_value
        octets = number.to_bytes(32, "big")
        for form, text in {
            "hex": octets.hex().encode(),
            "decimal": str(number).encode(),
            "base64": base64.b64encode(octets).rstrip(b"="),
            "base64url": base64.urlsafe_b64encode(octets).rstrip(b"="),
            "binary": octets,
        }.items():
            self.secrets[f"{where}, {form}"] = text

    def add_token(self, where: str, token: str) -> str:
        """The token's parts that nobody can guess."""
        _, payload, signature = token.encode().split(b".")
        self.secrets |= {f"{where}, payload": payload, f"{where}, signature": signature}
        return token

    def in_(self, data: bytes) -> list[str]:
        """Which of them ``data`` has."""
        return [where for where, secret in self.secrets.items() if secret.lower() in data.lower()]


@pytest.fixture
def ca(tmp_path: Path) -> TestCA:
    """A CA with SSH."""
    return TestCA.found(tmp_path / "ca", port=free_port(), ssh=True)


def keys_of(ca: TestCA) -> dict[Path, PrivateKey]:
    """What the CA signs with, by file."""
    return {INTERMEDIATE_KEY: ca.intermediate.key, **{each.path: each.key for each in ca.ssh_keys.values()}}


@pytest.fixture
def canaries(ca: TestCA) -> Canaries:
    """The keys of ``ca`` are among them already."""
    canaries = Canaries()
    canaries.add_key("provisioner's key", ca.provisioner_key)
    for path, key in keys_of(ca).items():
        canaries.add_key(str(path), key)
    return canaries


@pytest.fixture
def password_file(ca: TestCA, canaries: Canaries, tmp_path: Path) -> Path:
    """The CA's keys, those of SSH included, are encrypted with the password in this file."""
    password = canaries.new("CA password")
    for file, key in keys_of(ca).items():
        (ca.directory / file).write_bytes(dump_private_key(key, password.encode()))
    path = tmp_path / "password"
    path.write_text(f"{password}\n")
    return path


@pytest.fixture
def others(ca: TestCA, canaries: Canaries, tmp_path: Path) -> Iterator[Strangers]:
    """Those who have a certificate or a login; the clients of their provider have secrets, and its errors tell some."""
    (tmp_path / "provider").mkdir()
    with strangers(ca, tmp_path / "provider") as found:
        file = ca.directory / "ca.toml"
        secret = canaries.new("OIDC client secret")
        text = file.read_text()
        assert text.count(NOWHERE) == 1
        text = text.replace(NOWHERE, f'{found.provider.issuer}"\njwks_uri = "{found.provider.issuer}/no-keys')
        for client in (CLIENT_ID, "shut"):
            text = text.replace(f'client_id = "{client}"', f'client_id = "{client}"\nclient_secret = "{secret}"')
        assert text.count(secret) == 2
        file.write_text(text)
        told = {name: canaries.new(f"provider's {name}") for name in ("body", "header")}
        found.provider.server.replies["/no-keys"] = Reply(
            body=f'{{"error": "{told["body"]}"'.encode(), headers={"X-Error": told["header"]}, status=503
        )
        canaries.add_key("provider's key", found.provider.key)
        canaries.add_key("holder's key", found.edge.key)
        yield found


def csr_with_password(password: str) -> str:
    """A CSR with a challenge password (RFC 2985 §5.4.1)."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "svc.example")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("svc.example")]), critical=False)
    builder = builder.add_attribute(AttributeOID.CHALLENGE_PASSWORD, password.encode())
    return builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def requests(ca: TestCA, canaries: Canaries) -> Iterator[tuple[str, bytes]]:
    """What is asked, with secrets in it and characters that are not for terminals: head without its end, and body."""
    new = canaries.new
    token = canaries.add_token("token", ca.token("svc.example", secret=new("claim")))
    order = {"csr": csr_with_password(new("challenge password")), "ott": token, "comment": new("unknown member")}
    post = "POST {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    sign = post.format("/sign") + f"User-Agent: \x9b31m{new('user agent')}\r\n"
    for _ in range(2):  # it is granted, then refused
        yield sign, json.dumps(order).encode()
    wrong = canaries.add_token("token of another name", ca.token("other.example"))
    control = canaries.add_token("token with control characters", ca.token("a\x1b[2J\nb\x00\x9b.example"))
    for ott in (wrong, control, control[:-8], new("no token"), f"{token}.{new('fourth part')}"):
        yield sign, json.dumps(order | {"ott": ott}).encode()
    yield sign, json.dumps(order | {"csr": new("no CSR")}).encode()
    yield sign, json.dumps(order | {"ott": [new("wrong type")]}).encode()
    yield sign, b'{"ott": "' + new("broken JSON").encode() + b'", \x1b\x00}'
    yield sign, b'{"ott": "' + new("huge body").encode() + b" " * 1_100_000 + b'"}'
    yield sign + "Expect: 100-continue\r\n", new("no JSON").encode()
    for scheme in ("Bearer", "Basic", "Bearer\t"):
        secret = f"{scheme} {new(f'Authorization {scheme!r}')}"
        yield post.format("/renew") + f"Authorization: {secret}\r\nProxy-Authorization: {secret}\r\n", b""
    forged = canaries.add_token("renew token", ca.token("svc.example", "/renew", secret=new("renew claim")))
    yield post.format("/renew") + f"Authorization: Bearer {forged}\r\nCookie: session={new('cookie')}\r\n", b""
    ott = canaries.add_token("revocation token", ca.token("12", "/1.0/revoke"))
    reason = "gone\r\n\x1b[2Jlevel=error \u202e\u2028"
    for serial in ("12", "13", "12"):
        body = {"serial": serial, "ott": ott, "passive": True, "reason": reason}
        yield post.format(f"/revoke?ott={new(f'query {serial}')}"), json.dumps(body).encode()
    for character in ("\x1b", "\x01", "\x7f", "\t", " ", "\x9b", '"'):
        for header in ("X-Request-Id", "X-Smallstep-Id"):
            value = f"{new(f'{header} {character!r}')}{character}x"
            yield f"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{header}: {value}\r\n", b""
    path = "/root/%0d%0a%1b%5b2J%00%e2%80%ae"
    yield f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX: {new('header')}\r\n", b""
    yield f"GET / HTTP/1.1\r\nHost: \x1b[31m{new('broken head')}\r\n", b""
    yield f"GET /{'x' * 20_000} HTTP/1.1\r\nHost: {new('refused head')}\r\n", b""
    yield f"GET /\x1b{new('broken target')} HTTP/1.1\r\nHost: localhost\r\n", b""


def ssh_requests(ca: TestCA, canaries: Canaries) -> Iterator[tuple[str, bytes]]:
    """The same for SSH; what a certificate holds, and what a log tells of one, is no secret."""
    new, add = canaries.new, canaries.add_token
    post = "POST {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    key = base64.b64encode(SSHPublicKey.of(generate("Ed25519").public_key()).blob).decode()
    evil = "a\x1b[2J\r\nlevel=error \u202e\u2028\x9b"
    token = add("SSH token", ca.ssh_token("alice", "user", ["alice"], secret=new("SSH claim")))
    order = {"publicKey": key, "ott": token, "comment": new("unknown member of SSH")}
    for _ in range(2):  # it is granted, then refused
        yield post.format("/ssh/sign"), json.dumps(order).encode()
    tokens = {
        "an SSH key id": ca.ssh_token(evil), "SSH principals": ca.ssh_token("alice", "user", [evil]),
        "an SSH type": ca.ssh_token("alice", evil), "an SSH validity": ca.token(
            "alice", "/ssh/sign", step={"ssh": {"validAfter": evil}}
        ),
        "two kinds": ca.token(evil, "/ssh/sign", step={"ssh": evil}),
    }  # fmt: skip
    for where, ott in tokens.items():
        yield post.format("/ssh/sign"), json.dumps({"publicKey": key, "ott": add(where, ott)}).encode()
    fresh = add("SSH token to be refused", ca.ssh_token("alice", "user", ["alice"]))
    for member, value in {
        "publicKey": new("no SSH key"), "addUserPublicKey": new("no SSH key of an account"), "ott": new("no SSH token"),
        "certType": evil, "principals": [evil], "validAfter": evil,
    }.items():  # fmt: skip
        yield post.format("/ssh/sign"), json.dumps({"publicKey": key, "ott": fresh, member: value}).encode()
    forged = add("forged SSHPOP token", ca.token("7", "/ssh/renew#sshpop/sshpop", iss="sshpop", x=new("SSHPOP claim")))
    for path in ("/ssh/renew", "/ssh/rekey", "/ssh/revoke"):
        yield post.format(path), json.dumps({"ott": forged, "publicKey": key, "serial": "7", "passive": True}).encode()
    ending = add("SSH revocation token", ca.token("7", "/ssh/revoke"))
    for named in ({"serial": "7"}, {"serial": "8"}, {"keyID": evil}, {"serial": evil}):
        body = {"ott": ending, "passive": True, "reason": evil, **named}
        yield post.format(f"/ssh/revoke?ott={new(f'SSH query {named!a}')}"), json.dumps(body).encode()
    asked = {"type": "host", "principal": evil, "token": new("token of a question about a host")}
    yield post.format("/ssh/check-host"), json.dumps(asked).encode()
    yield post.format("/ssh/config"), json.dumps({"type": "user", "data": {"StepPath": evil}}).encode()
    yield post.format("/ssh/config/" + "%1b%5b2J"), json.dumps({"type": evil}).encode()
    yield post.format("/ssh/bastion"), json.dumps({"user": new("user of a bastion"), "hostname": "x"}).encode()


def requests_of_strangers(ca: TestCA, others: Strangers, canaries: Canaries) -> Iterator[tuple[str, bytes]]:
    """The same with tokens of certificates' holders and with logins; the address of a login is no secret."""
    new, add = canaries.new, canaries.add_token
    post = "POST {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    key = base64.b64encode(SSHPublicKey.of(generate("Ed25519").public_key()).blob).decode()
    evil = "a\x1b[2J\r\nlevel=error \u202e\u2028\x9b"
    held = {
        "holder's token": others.edge.token(ca, "svc.example", secret=new("holder's claim")),
        "holder's token for another": others.edge.token(ca, "other.example", secret=new("holder's other claim")),
        "holder's token with control characters": others.edge.token(ca, evil, jti=evil),
        "holder's token for a stranger": others.edge.token(ca, "svc.example", iss=new("holder's issuer")),
    }
    logins = {
        "login": others.login(ca, secret=new("login's claim"), at_hash=new("login's hash")),
        "login with control characters": others.login(ca, email=evil, sub=evil, name=evil, groups=[evil]),
        "login of another client's": others.login(ca, aud=new("another client")),
        "login without a good address": others.login(ca, email="no address", name=new("name in a login")),
        "administrator's login": others.login(ca, "an administrator", secret=new("administrator's claim")),
        "login at a provider that is down": others.login(ca, "a user of a provider that is down"),
    }
    for where, ott in {**held, **logins}.items():
        body = {"csr": csr_with_password(new(f"{where}, challenge password")), "ott": add(where, ott), "publicKey": key}
        for path in ("/sign", "/sign", "/ssh/sign", "/revoke", "/ssh/revoke"):
            yield post.format(path), json.dumps(body | {"serial": "7", "passive": True}).encode()
        yield post.format("/sign"), json.dumps(body | {"ott": ott[:-8]}).encode()
        yield post.format("/renew") + f"Authorization: Bearer {ott}\r\n", b""
    chain = others.edge.header["x5c"]
    for number, x5c in enumerate(([new("no certificate")], new("no chain"), [*chain, new("one more")])):
        maker = others.edge.maker(ca, "svc.example", secret=new(f"claim beside x5c {number}"))
        ott = add(f"holder's token {number}", maker.token({"x5c": x5c, "kid": new(f"kid {number}")}))
        yield post.format("/sign"), json.dumps({"csr": csr_with_password("x"), "ott": ott}).encode()
    unknown = others.provider.maker(ca.clock()).token({"kid": new("kid of nobody's")})
    yield post.format("/sign"), json.dumps({"csr": csr_with_password("x"), "ott": add("unknown kid", unknown)}).encode()


def answer(client: Any, head: str, body: bytes) -> bytes:
    """All that the service says to one request on a connection of its own."""
    data, received = head.encode("latin-1") + f"Content-Length: {len(body)}\r\n\r\n".encode() + body, b""
    with closing(client.connect()) as connection:
        try:
            connection.sock.sendall(data)
            while octets := connection.sock.recv(1 << 16):
                received += octets
        except OSError:
            assert len(data) > 16_000, "only what is too long is cut"
    return received


def process_list(service: Service) -> bytes:
    """What the system tells of the service's processes: their arguments and environments."""
    pids = [service.process.pid, *service.workers()]
    return b"".join(Path(f"/proc/{pid}/cmdline").read_bytes() + environment(pid) for pid in pids)


def environment(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except PermissionError:  # to whom it is closed, it tells nothing
        return b""


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_secret_is_in_anything_that_the_service_writes(
    ca: TestCA, others: Strangers, make_client: Any, canaries: Canaries, password_file: Path, form: str
) -> None:
    with served(ca, arguments=["--password-file", str(password_file), "--log-format", form]) as service:
        client = make_client(service)
        asked = [*requests(ca, canaries), *ssh_requests(ca, canaries), *requests_of_strangers(ca, others, canaries)]
        answers = [answer(client, head, body) for head, body in asked]
        processes, listing = process_list(service), ask(service, "GET", "/provisioners")
    statuses = [int(each.split(b" ", 2)[1]) for each in answers if each]
    assert {200, 201, 400, 401, 403, 413, 431} <= set(statuses)
    assert not [status for status in statuses if status >= 500]
    for each in answers:
        assert not canaries.in_(each), each
        assert not re.search(rb"[^\n\r\x20-\x7e]", each), each
    log = service.log.read_bytes()
    assert log.count(b"status=" if form == "text" else b'"status":') >= len(statuses)
    assert not canaries.in_(log)
    assert not re.search(rb"[^\n\x20-\x7e]", log)
    assert b"please report" not in log
    assert not canaries.in_(processes)
    # Clients need it for the login, and read it there (RFC 8252 §8.5: of an installed program it is no secret).
    assert canaries.in_(listing.body) == ["OIDC client secret"]
    for file in (ca.directory / "db").iterdir():
        assert not canaries.in_(file.read_bytes()), file


def test_a_wrong_password_is_not_repeated(ca: TestCA, canaries: Canaries, password_file: Path) -> None:
    password_file.write_text(canaries.new("wrong password"))
    command = [sys.executable, "-m", "mica.cli", "ca", "serve", str(ca.directory / "ca.toml")]
    run = subprocess.run([*command, "--password-file", password_file], capture_output=True, timeout=60, check=False)
    assert (run.returncode, run.stdout) == (1, b"")
    lines = [line for line in run.stderr.splitlines() if not line.startswith((b"error: ", b"hint: "))]
    assert len(lines) == len(keys_of(ca))
    assert all(b"password" in line for line in lines)
    assert all(str(path).encode() in run.stderr for path in keys_of(ca))
    assert not canaries.in_(run.stderr)
