"""step's Go client, as far as SSH goes: what it sends, and what it makes of the answers."""

import base64
import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    SSHCertificate,
    load_ssh_public_identity,
)

from mica.keyfiles import generate
from mica.testing.ca import TestCA, public_jwk
from mica.testing.exchange import Answer, Credential, ask
from mica.testing.service import Service

TAIL = " Please see the certificate authority logs for more info."
GENERIC_401 = f"The request lacked necessary authorization to be completed.{TAIL}"
GENERIC_404 = f"The requested resource could not be found.{TAIL}"
GENERIC_501 = f"The requested method is not implemented by the certificate authority.{TAIL}"
BAD, FORBIDDEN = "The request could not be completed: ", "The request was forbidden by the certificate authority: "
HOST = "web.example"
Keygen = Callable[..., str]
SSHKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Go:
    """step's Go client, and a JWK provisioner of the CA that it is for."""

    service: Service
    ca: TestCA
    issuer: str = "admin"

    def get(self, path: str) -> Answer:
        """The answer, after looking at what holds for every one."""
        return self._call("GET", path, None)

    def post(self, path: str, body: object, *, credential: Credential | None = None) -> Answer:
        """As ``get``; ``body`` is compact JSON, as encoding/json writes it, unless it is bytes."""
        data = body if isinstance(body, bytes) else json.dumps(body, separators=(",", ":")).encode()
        return self._call("POST", path, data, credential)

    def _call(self, method: str, path: str, data: bytes | None, credential: Credential | None = None) -> Answer:
        identifier = str(uuid4())
        headers = {
            "User-Agent": "Smallstep CLI/0.28.7 (linux/amd64)", "X-Request-Id": identifier, "Accept-Encoding": "gzip",
            **({"Content-Type": "application/json"} if method == "POST" else {}),
        }  # fmt: skip
        answer = ask(self.service, method, path, data, headers=headers, credential=credential)
        assert answer.headers["X-Request-Id"] == identifier
        assert answer.headers["Content-Type"] == "application/json", answer
        assert answer.body.endswith(b"}\n") and answer.body.count(b"\n") == 1
        if answer.status >= 400:
            assert list(answer.json) == ["status", "message"] and answer.json["status"] == answer.status
            assert isinstance(answer.message, str)
        return answer

    def ott(self, subject: str, path: str, **claims: Any) -> str:
        """A token as step's command line makes it with the provisioner's key; a claim of None is left out."""
        now = int(time.time())
        payload = {
            "aud": self.ca.url + path, "exp": now + 300, "iat": now, "iss": self.issuer,
            "jti": secrets.token_hex(32), "nbf": now, "sha": self.ca.root_fingerprint, "sub": subject, **claims,
        }  # fmt: skip
        present = {name: value for name, value in payload.items() if value is not None}
        kid = public_jwk(self.ca.provisioner_key.public_key())["kid"]
        return jwt.encode(present, self.ca.provisioner_key, "ES256", {"kid": kid, "typ": "JWT"})

    def sign_ott(self, subject: str, cert_type: str = "user", path: str = "/1.0/ssh/sign", **ssh: Any) -> str:
        """As ``step ssh token`` makes it: Go's SignSSHOptions, no ``sans``."""
        options = {
            "certType": cert_type, "keyID": subject, "principals": [subject], "validAfter": "", "validBefore": "",
            **ssh,
        }  # fmt: skip
        return self.ott(subject, path, step={"ssh": options})

    def sign(
        self, subject: str, cert_type: str = "user", *, ott: str | None = None, path: str = "/ssh/sign", **more: Any
    ) -> Answer:
        """What ``step ssh certificate`` sends: Go's SSHSignRequest, and ``more``; ``...`` leaves a member out."""
        body = {
            "publicKey": blob(generate("Ed25519")),
            "ott": ott if ott is not None else self.sign_ott(subject, cert_type),
            "certType": cert_type,
            "keyID": subject,
            "principals": [subject],
            "validAfter": "",
            "validBefore": "",
            "identityCSR": None,
        }
        return self.post(path, {name: value for name, value in (body | more).items() if value is not Ellipsis})

    def held(
        self, of: "Held", path: str, *, name: str = "sshpop", header: Mapping[str, Any] = {}, **claims: Any
    ) -> str:
        """A token as ``step ssh renew`` makes it: signed with the certificate's key, the certificate in its header."""
        now = int(time.time())
        payload = {
            "aud": f"{self.ca.url}{path}#sshpop/{name}", "exp": now + 300, "iat": now, "iss": name,
            "jti": secrets.token_hex(32), "nbf": now, "sha": self.ca.root_fingerprint,
            "sub": str(of.certificate.serial), **claims,
        }  # fmt: skip
        present = {claim: value for claim, value in payload.items() if value is not None}
        headers = {"typ": "JWT", "kid": "ssh_host_ecdsa_key", "sshpop": of.blob, **header}
        return jwt.encode(
            present, of.key, algorithm_of(of.key), {name: value for name, value in headers.items() if value is not None}
        )

    def hold(self, subject: str = HOST, cert_type: str = "host", *, key: SSHKey | None = None, **more: Any) -> "Held":
        """A certificate that was just issued, and its key; ``more`` as in ``sign``."""
        own = key or generate("EC-P256")
        answer = self.sign(subject, cert_type, publicKey=blob(own), **more)
        return Held(key=own, certificate=signed(answer), blob=answer.json["crt"])

    def revoke(self, serial: int | str, ott: str, **more: Any) -> Answer:
        """What ``step ssh revoke`` sends: Go's SSHRevokeRequest, which has no ``omitempty``."""
        body = {"serial": str(serial), "ott": ott, "reasonCode": 0, "reason": "", "passive": True}
        return self.post("/ssh/revoke", body | more)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """An SSH certificate with its key."""

    key: SSHKey = field(repr=False)
    certificate: SSHCertificate
    blob: str
    """In base64, as an answer has it."""

    @property
    def length(self) -> int:
        """How long it is valid, in seconds."""
        return self.certificate.valid_before - self.certificate.valid_after


def blob(key: Any) -> str:
    """The second word of the line that ssh-keygen would write."""
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).split()[1].decode()  # type: ignore[no-any-return]


def algorithm_of(key: SSHKey) -> str:
    """What go-jose signs with when nobody asks for anything else."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return {256: "ES256", 384: "ES384", 521: "ES512"}[key.curve.key_size]
    return "RS256" if isinstance(key, rsa.RSAPrivateKey) else "EdDSA"


def certificate(text: object) -> SSHCertificate:
    """A member of Go's type SSHCertificate: base64 of RFC 4648 §4 with padding, of the wire form; signed."""
    assert isinstance(text, str)
    octets = base64.b64decode(text, validate=True)
    assert base64.b64encode(octets).decode() == text
    key_type = octets[4 : 4 + int.from_bytes(octets[:4], "big")]
    found = load_ssh_public_identity(key_type + b" " + text.encode())
    assert isinstance(found, SSHCertificate)
    found.verify_cert_signature()
    return found


def signed(answer: Answer, *, add_user: bool = False) -> SSHCertificate:
    """The certificate of an answer that has nothing but what was asked for."""
    assert answer.status == 201, answer
    assert list(answer.json) == ["crt", "addUserCrt"] if add_user else ["crt"]
    return certificate(answer.json["crt"])


def refused(answer: Answer, status: int, message: str) -> None:
    """It is a failure in exactly these words."""
    assert (answer.status, answer.message) == (status, message)


def decoded(answer: Answer, member: str) -> dict[str, str]:
    """The contents of Go's templates.Output by name, after looking at everything else of it."""
    assert (answer.status, list(answer.json)) == (200, [member]), answer
    for item in answer.json[member]:
        assert list(item) == ["name", "type", "path", "comment", "content"]
        assert all(isinstance(value, str) for value in item.values()) and item["comment"] == "#"
    return {item["name"]: base64.b64decode(item["content"], validate=True).decode() for item in answer.json[member]}


def files(answer: Answer, member: str) -> list[tuple[str, str, str]]:
    """Name, type and path of each template, in order."""
    return [(item["name"], item["type"], item["path"]) for item in answer.json[member]]


def line(ca: TestCA, name: str) -> str:
    """Type and base64 of a public key in the folder of the CA."""
    return " ".join((ca.directory / name).read_text().split()[:2])


def base64_of(ca: TestCA, *names: str) -> list[str]:
    """The keys in these files, as JSON has them."""
    return [line(ca, name).split()[1] for name in names]


USER_CA, HOST_CA = "certs/ssh_user_ca_key.pub", "certs/ssh_host_ca_key.pub"


def encoded(*parts: bytes) -> str:
    """Strings of RFC 4251 §5, in base64."""
    return base64.b64encode(b"".join(len(part).to_bytes(4, "big") + part for part in parts)).decode()
