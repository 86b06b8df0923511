"""PKCS #12 (RFC 7292): a certificate, its issuers and its key in one file under one password."""

from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import PrivateFormat, pkcs12

from mica.client.renewtoken import common_name
from mica.keyfiles import PrivateKey

_ROUNDS = 600_000  # of PBKDF2, as for our encrypted PKCS #8


def dump(chain: Sequence[str], key: PrivateKey, password: bytes) -> bytes:
    """The file: PBES2 with AES-256-CBC, a MAC of SHA-256; the friendly name is the subject's CN, if it has one."""
    certificate, *issuers = (x509.load_pem_x509_certificate(pem.encode()) for pem in chain)
    encryption = (
        PrivateFormat.PKCS12.encryption_builder()
        .kdf_rounds(_ROUNDS)
        .key_cert_algorithm(pkcs12.PBES.PBESv2SHA256AndAES256CBC)
        .hmac_hash(hashes.SHA256())
        .build(password)
    )
    name = common_name(certificate).encode() or None
    return pkcs12.serialize_key_and_certificates(name, key, certificate, issuers, encryption)
