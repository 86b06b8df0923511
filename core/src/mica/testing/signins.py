"""An OpenID provider with which one signs in, for tests: on loopback, over TLS, small and real.

Whoever comes to its authorization endpoint is signed in at once; a device, when its code has been typed. It can be told
to do otherwise than it should.
"""

import base64
import hashlib
import json
import secrets
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mica.clock import system_clock

Form = Mapping[str, str]
CLIENT_ID = "mica-tests"


@dataclass(slots=True, kw_only=True)
class SignInProvider:
    """A running provider. Its fields may be changed while it runs."""

    url: str
    root: Path
    """The PEM file of the certificate that it is trusted by."""
    key: ec.EllipticCurvePrivateKey = field(repr=False)
    claims: dict[str, Any] = field(default_factory=dict)
    """What identity tokens say otherwise; None leaves a claim out."""
    answer: dict[str, str] = field(default_factory=dict)
    """What the browser takes back otherwise; an empty text leaves a parameter out."""
    metadata: dict[str, Any] = field(default_factory=dict)
    """What the discovery document says otherwise; None leaves a member out."""
    secret: str = ""
    """The client's secret."""
    refreshes: bool = False
    """Whether it gives refresh tokens."""
    refresh_nonce: bool = False
    """Whether identity tokens that come by them have the first one's nonce."""
    device_errors: list[str] = field(default_factory=list)
    """How polls are answered, one after the other, before the code counts."""
    waits_for_code: bool = False
    """Whether user codes must be typed at ``/device`` to count."""
    raw: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    """Answers that replace those of whole paths."""
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    """Every request: its path, and what it said."""
    _typed: set[str] = field(default_factory=set, repr=False)
    _codes: dict[str, Form] = field(default_factory=dict, repr=False)
    _devices: dict[str, str] = field(default_factory=dict, repr=False)
    _refresh: dict[str, str] = field(default_factory=dict, repr=False)

    def requests(self, path: str) -> list[dict[str, str]]:
        """What was said to ``path``, in order."""
        return [said for asked, said in self.asked if asked == path]

    def identity_token(self, **more: Any) -> str:
        """An identity token, signed by PyJWT, good for five minutes; ``more`` are further claims."""
        now = int(system_clock().timestamp())
        claims = {
            "iss": self.url,
            "aud": CLIENT_ID,
            "sub": "248289761001",
            "email": "alice@harbour.example",
            "email_verified": True,
            "iat": now,
            "exp": now + 300,
            "jti": secrets.token_hex(8),
            **more,
            **self.claims,
        }
        present = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(present, self.key, "ES256", {"kid": "k1"})

    def take(self, path: str, said: Form) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body for a request."""
        self.asked.append((path, dict(said)))
        if path in self.raw:
            status, body = self.raw[path]
            return status, {"Location": "https://elsewhere.example/"} if 300 <= status < 400 else {}, body
        if path == "/authorize":
            return self._authorize(said)
        served = {
            "/.well-known/openid-configuration": self._discovery,
            "/token": self._token,
            "/device_authorization": self._device,
            "/device": self._type,
            "/jwks": self._jwks,
        }
        if path not in served:
            return 404, {}, b"{}"
        status, members = served[path](said)
        return status, {}, json.dumps(members).encode()

    def _discovery(self, _: Form) -> tuple[int, dict[str, Any]]:
        members = {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "device_authorization_endpoint": f"{self.url}/device_authorization",
            "jwks_uri": f"{self.url}/jwks",
            **self.metadata,
        }
        return 200, {name: value for name, value in members.items() if value is not None}

    def _jwks(self, _: Form) -> tuple[int, dict[str, Any]]:
        public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self.key.public_key()))
        return 200, {"keys": [{**public, "kid": "k1", "alg": "ES256", "use": "sig"}]}

    def _authorize(self, said: Form) -> tuple[int, dict[str, str], bytes]:
        code = secrets.token_urlsafe(16)
        self._codes[code] = said
        back = {"code": code, "state": said["state"], **self.answer}
        query = urlencode({name: value for name, value in back.items() if value})
        return 302, {"Location": f"{said['redirect_uri']}?{query}"}, b""

    def _device(self, said: Form) -> tuple[int, dict[str, Any]]:
        device_code, user_code = secrets.token_urlsafe(16), secrets.token_hex(4).upper()
        self._devices[device_code] = user_code
        if not self.waits_for_code:
            self._typed.add(user_code)
        shown = {"user_code": user_code, "verification_uri": f"{self.url}/device"}
        return 200, {"device_code": device_code, **shown, "expires_in": 60, "interval": 1}

    def _type(self, said: Form) -> tuple[int, dict[str, Any]]:
        self._typed.add(said.get("user_code", ""))
        return 200, {}

    def _token(self, said: Form) -> tuple[int, dict[str, Any]]:
        if said.get("client_id") != CLIENT_ID or said.get("client_secret", "") != self.secret:
            return 401, {"error": "invalid_client"}
        kinds = {"authorization_code": self._by_code, "refresh_token": self._by_refresh}
        return kinds.get(said.get("grant_type", ""), self._by_device)(said)

    def _by_code(self, said: Form) -> tuple[int, dict[str, Any]]:
        asked = self._codes.pop(said.get("code", ""), None)
        challenge = hashlib.sha256(said.get("code_verifier", "").encode()).digest()
        shown = base64.urlsafe_b64encode(challenge).rstrip(b"=").decode()
        if asked is None or asked["code_challenge"] != shown or asked["redirect_uri"] != said.get("redirect_uri"):
            return 400, {"error": "invalid_grant", "error_description": "the code or its proof is wrong"}
        return self._granted(asked["nonce"])

    def _by_device(self, said: Form) -> tuple[int, dict[str, Any]]:
        if self.device_errors:
            return 400, {"error": self.device_errors.pop(0)}
        if self._devices.get(said.get("device_code", "")) not in self._typed:
            return 400, {"error": "authorization_pending"}
        return self._granted(None)

    def _by_refresh(self, said: Form) -> tuple[int, dict[str, Any]]:
        nonce = self._refresh.pop(said.get("refresh_token", ""), None)
        if nonce is None:
            return 400, {"error": "invalid_grant"}
        return self._granted(nonce if self.refresh_nonce else None)

    def _granted(self, nonce: str | None) -> tuple[int, dict[str, Any]]:
        given: dict[str, Any] = {"access_token": secrets.token_urlsafe(16), "token_type": "Bearer", "expires_in": 300}
        if self.refreshes:
            given["refresh_token"] = secrets.token_urlsafe(16)
            self._refresh[given["refresh_token"]] = nonce or ""
        return 200, given | {"id_token": self.identity_token(nonce=nonce)}


@contextmanager
def sign_in_provider(folder: Path) -> Iterator[SignInProvider]:
    """A provider at a free port of localhost, gone afterwards; ``folder`` takes its root."""
    root, pair = folder / "openid-root.pem", folder / "openid-pair.pem"
    _certify(root, pair)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair)
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        url, key = f"https://localhost:{server.server_port}", ec.generate_private_key(ec.SECP256R1())
        server.provider = SignInProvider(url=url, root=root, key=key)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield server.provider
        finally:
            server.shutdown()
            thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    provider: SignInProvider

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that does not trust the certificate hangs up, which is its right."""


class _Handler(BaseHTTPRequestHandler):
    timeout = 20
    server: _Server

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        self._reply(parts.path, dict(parse_qsl(parts.query, keep_blank_values=True)))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode()
        is_form = self.headers.get("Content-Type") == "application/x-www-form-urlencoded"
        self._reply(urlsplit(self.path).path if is_form else "/no-form", dict(parse_qsl(body, keep_blank_values=True)))

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing: tests look at ``asked``."""

    def _reply(self, path: str, said: dict[str, str]) -> None:
        status, headers, body = self.server.provider.take(path, said)
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def _certify(root: Path, pair: Path) -> None:
    """A root, and a certificate by it for localhost with its key."""
    root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    issuer, pem = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "OpenID tests")]), serialization.Encoding.PEM
    names = [x509.DNSName("localhost"), x509.IPAddress(IPv4Address("127.0.0.1"))]
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key())
    leaf = _certificate(issuer, x509.Name([]), key, ca=False)
    leaf = leaf.add_extension(x509.SubjectAlternativeName(names), critical=True).add_extension(
        authority, critical=False
    )
    root.write_bytes(_certificate(issuer, issuer, root_key, ca=True).sign(root_key, hashes.SHA256()).public_bytes(pem))
    pkcs8, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    pair.touch(mode=0o600)
    pair.write_bytes(leaf.sign(root_key, hashes.SHA256()).public_bytes(pem) + key.private_bytes(pem, pkcs8, plain))


def _certificate(
    issuer: x509.Name, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, ca: bool
) -> x509.CertificateBuilder:
    now = system_clock()
    return (
        x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca, None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
