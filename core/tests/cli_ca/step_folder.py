"""A folder as ``step ca init`` leaves it, made with other people's tools: openssl, pyca, jwcrypto."""

import base64
import hashlib
import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from jwcrypto import jwa, jwe, jwk
from jwcrypto.common import base64url_encode

from mica.keyfiles import PrivateKey
from mica.testing import earlier
from mica.testing.issuers import Issuer, make_ca

CA_PASSWORD, PROVISIONER_PASSWORD = "old keys' password", "old provisioner's password"

# jwcrypto opens no more rounds than it would write itself, unless it is told to.
jwa.default_max_pbkdf2_iterations = 1_000_000


@dataclass
class OldCA:
    """A step-ca's $STEPPATH, and what its operators and clients know."""

    home: Path
    root: Issuer
    intermediate: Issuer
    provisioners: dict[str, dict[str, Any]]
    """The private JWK of each JWK provisioner."""
    config: dict[str, Any] = field(default_factory=dict)

    @property
    def ca_json(self) -> Path:
        return self.home / "config/ca.json"

    @property
    def fingerprint(self) -> str:
        return self.root.certificate.fingerprint(hashes.SHA256()).hex()

    def change(self, **members: Any) -> None:
        """ca.json says this besides, or instead; a member of ``authority`` is written ``authority__policy``."""
        for name, value in members.items():
            *outer, last = name.split("__")
            place = self.config[outer[0]] if outer else self.config
            if value is None:
                place.pop(last, None)
            else:
                place[last] = value
        self.ca_json.write_text(json.dumps(self.config, indent="\t"))

    def certificate(self, key: PrivateKey, provisioner: str = "ops", **changes: Any) -> x509.Certificate:
        """A certificate that it issued an hour ago, for ``svc.example``."""
        kid = self.provisioners[provisioner]["kid"] if provisioner in self.provisioners else "kid"
        usual: dict[str, Any] = {
            "provisioner": earlier.provisioner_extension(provisioner, credential_id=kid),
            "not_before": datetime.now(UTC) - timedelta(hours=1),
        }
        return earlier.leaf(self.intermediate.certificate, self.intermediate.key, key, **{**usual, **changes})


def make(
    home: Path,
    *,
    port: int = 8443,
    algorithm: str = "EC-P256",
    rounds: Mapping[str, int] = MappingProxyType({"ops": 600_000, "older": 100_000}),
) -> OldCA:
    """The folder of a step-ca with these JWK provisioners, and the rounds of PBKDF2 on their keys."""
    for folder in ("config", "certs", "secrets", "db", "templates/ssh"):
        (home / folder).mkdir(parents=True)
    root = make_ca("Old Root CA", algorithm=algorithm, path_length=1)
    intermediate = make_ca("Old Intermediate CA", algorithm=algorithm, issuer=root, path_length=0)
    for name, issuer in (("root_ca", root), ("intermediate_ca", intermediate)):
        write(home / f"certs/{name}.crt", issuer.certificate.public_bytes(Encoding.PEM))
        write(home / f"secrets/{name}_key", legacy_pem(issuer.key, CA_PASSWORD))
    keys = {name: new_jwk() for name in rounds}
    provisioners = [
        {
            "type": "JWK",
            "name": name,
            "key": {member: value for member, value in key.items() if member != "d"},
            "encryptedKey": encrypted(key, PROVISIONER_PASSWORD, rounds[name]),
        }
        for name, key in keys.items()
    ]
    old = OldCA(home, root, intermediate, keys)
    old.change(
        root=str(home / "certs/root_ca.crt"),
        federatedRoots=None,
        crt=str(home / "certs/intermediate_ca.crt"),
        key=str(home / "secrets/intermediate_ca_key"),
        address=f"127.0.0.1:{port}",
        insecureAddress="",
        dnsNames=["localhost", "127.0.0.1"],
        logger={"format": "text"},
        db={"type": "badgerv2", "dataSource": str(home / "db"), "badgerFileLoadingMode": ""},
        authority={"provisioners": provisioners, "template": {}, "backdate": "1m0s"},
        tls={
            "cipherSuites": ["TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"],
            "minVersion": 1.2,
            "maxVersion": 1.3,
            "renegotiation": False,
        },
    )
    defaults = {
        "ca-url": f"https://localhost:{port}",
        "ca-config": str(old.ca_json),
        "fingerprint": old.fingerprint,
        "root": str(home / "certs/root_ca.crt"),
    }
    write(home / "config/defaults.json", json.dumps(defaults, indent="\t").encode())
    return old


def add_ssh(old: OldCA, **members: Any) -> dict[str, PrivateKey]:
    """The folder has the SSH keys and the provisioner that ``step ca init --ssh`` makes; ``ssh`` says this besides."""
    keys: dict[str, PrivateKey] = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("user", "host")}
    for name, key in keys.items():
        write(old.home / f"secrets/ssh_{name}_ca_key", legacy_pem(key, CA_PASSWORD))
        line = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
        write(old.home / f"certs/ssh_{name}_ca_key.pub", line + b" \n")
    old.config["authority"]["provisioners"].append(
        {"type": "SSHPOP", "name": "sshpop", "claims": {"enableSSHCA": True}}
    )
    for provisioner in old.config["authority"]["provisioners"]:
        provisioner["claims"] = {"enableSSHCA": True}
    old.change(
        ssh={
            "hostKey": str(old.home / "secrets/ssh_host_ca_key"),
            "userKey": str(old.home / "secrets/ssh_user_ca_key"),
            **members,
        }
    )
    return keys


def new_jwk() -> dict[str, Any]:
    """A private JWK, as step makes one."""
    key: dict[str, Any] = json.loads(jwk.JWK.generate(kty="EC", crv="P-256").export())
    public = {name: key[name] for name in ("crv", "kty", "x", "y")}
    thumbprint = hashlib.sha256(json.dumps(public, sort_keys=True, separators=(",", ":")).encode()).digest()
    return {"use": "sig", "kid": base64url_encode(thumbprint), "alg": "ES256", **key}


def encrypted(key: Mapping[str, Any], password: str, rounds: int) -> str:
    """The key as a compact JWE, as step keeps it."""
    header = {
        "alg": "PBES2-HS256+A128KW",
        "cty": "jwk+json",
        "enc": "A256GCM",
        "p2c": rounds,
        "p2s": base64url_encode(os.urandom(16)),
    }
    token = jwe.JWE(json.dumps(dict(key)).encode(), json.dumps(header))
    token.add_recipient(jwk.JWK(kty="oct", k=base64url_encode(password.encode())))
    compact: str = token.serialize(compact=True)
    return compact


def legacy_pem(key: PrivateKey, password: str) -> bytes:
    """The key with RFC 1423 encryption, as openssl writes it and as step does."""
    assert isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey)
    kind, label = ("ec", b"EC") if isinstance(key, ec.EllipticCurvePrivateKey) else ("rsa", b"RSA")
    plain = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    command = ["openssl", kind, "-aes256", "-passout", f"pass:{password}", *(["-traditional"] if kind == "rsa" else [])]
    made = subprocess.run(command, input=plain, capture_output=True, check=True).stdout
    assert made.startswith(b"-----BEGIN %b PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC," % label)
    return made


def write(path: Path, contents: bytes) -> Path:
    """A file as step leaves it: mode 0600."""
    path.write_bytes(contents)
    path.chmod(0o600)
    return path


def b64_pem(certificate: x509.Certificate) -> str:
    """A PEM bundle in base64, as provisioners have their roots."""
    return base64.b64encode(certificate.public_bytes(Encoding.PEM)).decode()
