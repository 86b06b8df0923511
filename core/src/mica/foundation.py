"""The founding of a CA: root, intermediate, configuration. Made in memory; ``mica ca init`` writes the files."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import tomlkit
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from mica import sshfoundation
from mica.errors import ConfigError
from mica.keyfiles import PrivateKey, dump_private_key, generate
from mica.keyrules import check_public_key

LIFETIME = timedelta(days=3652)  # ten years, two or three of them leap years
KEY_ALGORITHM = "EC-P256"

ROOT, ROOT_KEY = Path("certs/root_ca.crt"), Path("secrets/root_ca_key")
INTERMEDIATE, INTERMEDIATE_KEY = Path("certs/intermediate_ca.crt"), Path("secrets/intermediate_ca_key")
CONFIGURATION, DEFAULTS, DATABASE = Path("ca.toml"), Path("defaults.json"), Path("db/mica.db")
#: What makes a folder the home of a CA.
FILES = (CONFIGURATION, ROOT, ROOT_KEY, INTERMEDIATE, INTERMEDIATE_KEY)
PLUGINS = ("x509signer", "filekeys", "jwk", "storage_sqlite")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPair:
    """A CA certificate and its private key."""

    certificate: x509.Certificate
    key: PrivateKey

    @property
    def pem(self) -> bytes:
        """The certificate."""
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def fingerprint(self) -> str:
        """Hex SHA-256 of the certificate's DER."""
        return self.certificate.fingerprint(hashes.SHA256()).hex()

    def key_pem(self, password: bytes) -> bytes:
        """The key, encrypted."""
        return dump_private_key(self.key, password)


def check_name(name: str) -> None:
    """A root and an intermediate can be called after the PKI ``name``; raises ConfigError."""
    for role in ("Root CA", "Intermediate CA"):
        _subject(name, role)


def new_root(name: str, now: datetime) -> KeyPair:
    """A root of its own: ``<name> Root CA``, ten years, path length 1."""
    key = generate(KEY_ALGORITHM)
    subject = _subject(name, "Root CA")
    return KeyPair(certificate=_certificate(subject, key, Signatory(subject, key), 1, now), key=key)


def adopt_root(certificate_pem: bytes, key: PrivateKey, *, where: str) -> KeyPair:
    """An existing root; raises ConfigError when it cannot issue an intermediate, or the key is not its own."""
    try:
        (certificate,) = x509.load_pem_x509_certificates(certificate_pem)
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except (ValueError, x509.ExtensionNotFound) as error:
        raise ConfigError([f"{where}: must be one PEM certificate of a CA"]) from error
    faults = [f"{where}: {reason}" for reason in check_public_key(certificate.public_key())]
    if not constraints.ca or constraints.path_length == 0:
        faults.append(f"{where}: must be a CA that may issue an intermediate CA (RFC 5280 §4.2.1.9)")
    if certificate.public_key() != key.public_key():
        faults.append(f"{where}: the key is not this certificate's")
    if faults:
        raise ConfigError(faults)
    return KeyPair(certificate=certificate, key=key)


def new_intermediate(name: str, root: KeyPair, now: datetime) -> KeyPair:
    """An intermediate below ``root``: ``<name> Intermediate CA``, ten years or as long as the root, path length 0."""
    key = generate(KEY_ALGORITHM)
    issuer = Signatory(root.certificate.subject, root.key, root.certificate)
    return KeyPair(certificate=_certificate(_subject(name, "Intermediate CA"), key, issuer, 0, now), key=key)


def configuration(
    *,
    url: str,
    address: str,
    dns_names: tuple[str, ...],
    provisioner: str,
    table: Mapping[str, Any],
    ssh: bool = False,
) -> str:
    """``ca.toml`` for a CA with one JWK provisioner, whose table ``mica ca provisioner add`` would have made.

    With ``ssh``, hosts that prove a certificate of their own have a provisioner as well, and both may order for SSH.
    """
    document = tomlkit.document()
    document.add(tomlkit.comment("A mica certificate authority. After a change: mica ca check, then SIGHUP."))
    document.add("url", tomlkit.item(url))
    document.add("address", tomlkit.item(address))
    document.add("dns_names", tomlkit.item(list(dns_names)))
    document.add(tomlkit.comment("Only these are imported."))
    document.add("plugins", tomlkit.item([*PLUGINS, *(sshfoundation.PLUGINS if ssh else ())]))
    document.add("store", tomlkit.item({"type": "storage_sqlite", "path": str(DATABASE)}))
    document.add("signers", tomlkit.item(_signers(ssh=ssh)))
    tables: list[Mapping[str, Any]] = [{"type": "jwk", "name": provisioner, **table}]
    if ssh:
        tables = [sshfoundation.enabled(tables[0]), sshfoundation.possession(taken=[provisioner])]
    document.add("provisioners", _provisioners(tables))
    return tomlkit.dumps(document)


def _signers(*, ssh: bool) -> dict[str, Any]:
    x509_signer = {
        "type": "x509signer",
        "roots": [str(ROOT)],
        "certificate": str(INTERMEDIATE),
        "key": f"file:{INTERMEDIATE_KEY}",
    }
    return {"x509": x509_signer} | ({"ssh": sshfoundation.signer()} if ssh else {})


def _provisioners(tables: Iterable[Mapping[str, Any]]) -> Any:
    provisioners = tomlkit.aot()
    for table in tables:
        entry = tomlkit.table()
        for name, value in table.items():
            entry.add(name, _inline(value))
        provisioners.append(entry)
    return provisioners


@dataclass(frozen=True, slots=True)
class Signatory:
    """Who signs: a Name and a key, and a certificate unless the signer is the certificate's own subject."""

    name: x509.Name
    key: PrivateKey
    certificate: x509.Certificate | None = None


def _subject(name: str, role: str) -> x509.Name:
    try:
        return x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, name),
                x509.NameAttribute(NameOID.COMMON_NAME, f"{name} {role}"),
            ]
        )
    except ValueError as error:
        raise ConfigError(
            [f"name: {name!r} is too long for a certificate's subject; 48 characters are safe"]
        ) from error


def _certificate(
    subject: x509.Name, key: PrivateKey, issuer: Signatory, path_length: int, now: datetime
) -> x509.Certificate:
    """A CA certificate (RFC 5280 §4.2.1.3, §4.2.1.9)."""
    public_key = key.public_key()
    end = now + LIFETIME
    if issuer.certificate is not None:
        end = min(end, issuer.certificate.not_valid_after_utc)
    usage = x509.KeyUsage(
        digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.name)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(end)
        .add_extension(usage, critical=True)
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )
    if issuer.certificate is not None:
        builder = builder.add_extension(_authority_key_identifier(issuer.certificate), critical=False)
    # Ed25519 hashes for itself (RFC 8410 §3): naming a digest is an error.
    digest = None if isinstance(issuer.key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(issuer.key, digest)


def _authority_key_identifier(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    try:
        identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key())  # type: ignore[arg-type]
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def _inline(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return tomlkit.item(value)
    table = tomlkit.inline_table()
    table.update(value)
    return table
