"""A whole CA in a folder, for tests: real keys, real files, one JWK provisioner whose key is at hand."""

import base64
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from mica import foundation, sshfoundation
from mica.authority import Authority
from mica.clock import system_clock
from mica.config import load
from mica.csr import decode_csr
from mica.keyfiles import PrivateKey, dump_private_key, generate
from mica.names import classify
from mica.requests import CSR
from mica.sshcert import CertType
from mica.sshfoundation import SSHCAKey
from mica.testing.contexts import Clock


@dataclass(slots=True, kw_only=True)
class TestCA:
    """The folder of a CA, and what its users hold. ``found`` makes one; its intermediate's key is not encrypted."""

    __test__ = False

    directory: Path
    url: str
    root: x509.Certificate
    intermediate: foundation.KeyPair
    provisioner_key: ec.EllipticCurvePrivateKey = field(repr=False)
    ssh_keys: Mapping[CertType, SSHCAKey] = field(default_factory=dict)
    """What signs users' and hosts' SSH certificates; empty for a CA without SSH."""
    clock: Clock = field(default_factory=lambda: Clock(system_clock()))

    @classmethod
    def found(
        cls,
        directory: Path,
        *,
        port: int = 8443,
        claims: Mapping[str, Any] | None = None,
        more: str = "",
        ssh: bool = False,
        url: str = "",
    ) -> "TestCA":
        """A CA at ``https://localhost:<port>`` with the provisioner ``admin``; ``more`` is added to its ``ca.toml``.

        With ``url``, its tokens name that one; it listens at the port all the same.

        With ``ssh`` it is what ``mica ca init --ssh`` makes: ``admin`` may order for SSH, and there is ``sshpop``.
        """
        for folder in ("certs", "secrets", "db"):
            (directory / folder).mkdir(parents=True, exist_ok=True)
        now = system_clock()
        root = foundation.new_root("Test", now)
        intermediate = foundation.new_intermediate("Test", root, now)
        (directory / foundation.ROOT).write_bytes(root.pem)
        (directory / foundation.INTERMEDIATE).write_bytes(intermediate.pem)
        _write_key(directory / foundation.INTERMEDIATE_KEY, intermediate.key)
        ssh_keys = sshfoundation.new_keys("Test") if ssh else ()
        for ssh_key in ssh_keys:
            _write_key(directory / ssh_key.path, ssh_key.key)
            (directory / ssh_key.public_path).write_bytes(ssh_key.line)
        provisioner_key = ec.generate_private_key(ec.SECP256R1())
        url = url or f"https://localhost:{port}"
        configuration = foundation.configuration(
            url=url,
            address=f"127.0.0.1:{port}",
            dns_names=("localhost", "127.0.0.1", "::1"),
            provisioner="admin",
            table={"key": public_jwk(provisioner_key.public_key())} | ({"claims": dict(claims)} if claims else {}),
            ssh=ssh,
        )
        (directory / "ca.toml").write_text(configuration + more)
        return cls(
            directory=directory,
            url=url,
            root=root.certificate,
            intermediate=intermediate,
            provisioner_key=provisioner_key,
            ssh_keys={ssh_key.cert_type: ssh_key for ssh_key in ssh_keys},
        )

    @property
    def root_fingerprint(self) -> str:
        """Hex SHA-256 of the root's DER, as a token's ``sha`` has it."""
        return self.root.fingerprint(hashes.SHA256()).hex()

    def authority(self, plugins: Mapping[str, object] | None = None) -> Authority:
        """The authority that the folder describes, not started, with this CA's clock."""
        return Authority.assemble(load(self.directory / "ca.toml"), plugins=plugins, now=self.clock)

    def token(self, subject: str, path: str = "/1.0/sign", **claims: Any) -> str:
        """A token of the provisioner ``admin``, good for five minutes; a claim of None is left out."""
        now = int(self.clock().timestamp())
        payload = {
            "iss": "admin",
            "sub": subject,
            "aud": self.url + path,
            "iat": now,
            "nbf": now,
            "exp": now + 300,
            "jti": secrets.token_hex(32),
            **claims,
        }
        present = {name: value for name, value in payload.items() if value is not None}
        kid = public_jwk(self.provisioner_key.public_key())["kid"]
        return jwt.encode(present, self.provisioner_key, "ES256", {"kid": kid})

    def ssh_token(self, key_id: str, cert_type: str = "user", principals: Sequence[str] = (), **claims: Any) -> str:
        """A token of ``admin`` for an SSH certificate: the key id is its ``sub``, the rest its ``step.ssh``."""
        ssh = {"certType": cert_type, "keyID": key_id, "principals": list(principals)}
        return self.token(key_id, "/1.0/ssh/sign", **{"step": {"ssh": ssh}, **claims})


def _write_key(path: Path, key: PrivateKey) -> None:
    path.write_bytes(dump_private_key(key, None))
    path.chmod(0o600)


def public_jwk(key: ec.EllipticCurvePublicKey) -> dict[str, str]:
    """A P-256 key as a JWK; its ``kid`` is made from its point, which is enough for a test."""
    numbers = key.public_numbers()
    x, y = (base64.urlsafe_b64encode(n.to_bytes(32, "big")).rstrip(b"=").decode() for n in (numbers.x, numbers.y))
    return {"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": x[:16], "use": "sig", "alg": "ES256"}


def csr_pem(*names: str, common_name: str | None = None, key: PrivateKey | None = None) -> str:
    """A CSR with these SANs; its CN is the first of them unless another, or the empty one, is given."""
    key = key or generate("EC-P256")
    cn = common_name if common_name is not None else (names[0] if names else "")
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, cn)] if cn else [])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([classify(name) for name in names]), critical=False)
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, digest).public_bytes(Encoding.PEM).decode()


def csr(*names: str, common_name: str | None = None, key: PrivateKey | None = None) -> CSR:
    """As ``csr_pem``, decoded."""
    return decode_csr(csr_pem(*names, common_name=common_name, key=key))
