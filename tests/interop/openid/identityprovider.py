"""The OpenID provider of the package ``oidc-provider``, in a process of its own that can be sent away and called back.

It is on loopback, over TLS, and certified by a root that only its tests know.
"""

import json
import secrets
import ssl
import subprocess
import threading
from base64 import b64encode
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import sha256
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID
from jwcrypto.jwk import JWK

from mica.clock import system_clock
from mica.testing.service import free_port

FOLDER = Path(__file__).parent
CLIENT_ID = "mica-cli"
#: Whoever may sign in, and what the provider says of them; any password will do.
USERS: dict[str, dict[str, Any]] = {
    "u-1001": {"email": "Alice.Ames@harbour.example", "email_verified": True, "groups": ["staff", "ops"]},
    "u-1002": {"email": "mallory@elsewhere.example", "email_verified": True, "groups": []},
}
ALICE, MALLORY = USERS
PATIENCE = 30.0


@dataclass
class OpenIDProvider:
    """A provider at one address for as long as the tests last, which answers while it is there."""

    program: str
    folder: Path
    port: int = field(default_factory=free_port)
    _process: "subprocess.Popen[str] | None" = None

    def __post_init__(self) -> None:
        root_key, self._key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        self._certificate = _certify(self.root, root_key, self._key.public_key())
        self._cookie_key = secrets.token_hex(16)

    @property
    def issuer(self) -> str:
        return f"https://localhost:{self.port}"

    @property
    def root(self) -> Path:
        """The PEM file of the root by which it is trusted."""
        return self.folder / "openid-root.pem"

    @property
    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.root))

    @property
    def public_key_digest(self) -> str:
        """By what Chromium is told to trust it: the SHA-256 of its key, in base64."""
        public = self._key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return b64encode(sha256(public).digest()).decode()

    def come(self, key: JWK, *, strict: bool = False) -> None:
        """It is there, remembers nobody, and signs with ``key``.

        Strict, it keeps claims out of identity tokens that nobody asked for by name (OpenID Connect Core §5.4).
        """
        self.leave()
        pkcs8 = self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        configuration = {
            "issuer": self.issuer, "port": self.port, "certificate": self._certificate.decode(), "key": pkcs8.decode(),
            "jwks": {"keys": [key.export(as_dict=True)]}, "clientId": CLIENT_ID, "users": USERS,
            "cookieKey": self._cookie_key, "strict": strict,
        }  # fmt: skip
        log = self.folder / "openid.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [self.program, FOLDER / "provider.mjs"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=output,
                text=True,
            )  # fmt: skip
        assert self._process.stdin is not None and self._process.stdout is not None
        watchdog = threading.Timer(PATIENCE, self._process.kill)
        watchdog.start()
        try:
            self._process.stdin.write(f"{json.dumps(configuration)}\n")
            self._process.stdin.flush()
            assert self._process.stdout.readline() == "ready\n", log.read_text()
        finally:
            watchdog.cancel()
            watchdog.join()

    def leave(self) -> None:
        """Nobody answers there."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def signing_key(kid: str, algorithm: str) -> JWK:
    """A new key for identity tokens: RS256 or ES256."""
    kinds: dict[str, dict[str, Any]] = {"RS256": {"kty": "RSA", "size": 2048}, "ES256": {"kty": "EC", "crv": "P-256"}}
    return JWK.generate(kid=kid, use="sig", alg=algorithm, **kinds[algorithm])


def _certify(root: Path, root_key: ec.EllipticCurvePrivateKey, key: ec.EllipticCurvePublicKey) -> bytes:
    """A certificate for localhost, in PEM, by a new root that stands in the file ``root``."""
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "OpenID interop root")])
    own = _certificate(issuer, root_key.public_key(), ca=True, subject=issuer)
    root.write_bytes(own.sign(root_key, hashes.SHA256()).public_bytes(Encoding.PEM))
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(IPv4Address("127.0.0.1"))])
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key())
    leaf = _certificate(issuer, key, ca=False).add_extension(names, critical=True)
    leaf = leaf.add_extension(authority, critical=False)
    return leaf.sign(root_key, hashes.SHA256()).public_bytes(Encoding.PEM)


def _certificate(
    issuer: x509.Name, key: ec.EllipticCurvePublicKey, *, ca: bool, subject: x509.Name | None = None
) -> x509.CertificateBuilder:
    now = system_clock()
    builder = x509.CertificateBuilder(issuer, subject or x509.Name([]), key, x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(hours=12))
    builder = builder.add_extension(x509.BasicConstraints(ca, None), critical=True)
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
