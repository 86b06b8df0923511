"""How private keys are encrypted in files: PBES2 is written (RFC 8018 §6.2), RFC 1423 is still read.

pyca reads PBES2 but writes it with few rounds only, and of RFC 1423 it lacks AES-192; so both are here.
"""

import hashlib
import os
from collections.abc import Callable
from typing import NamedTuple

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives import hashes, padding
from cryptography.hazmat.primitives.ciphers import BlockCipherAlgorithm, Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

from mica import der

#: What OWASP asks of PBKDF2-HMAC-SHA256, and what step writes: a fifth of a second per guess.
PBKDF2_ROUNDS = 600_000

_PBES2, _PBKDF2 = der.oid("1.2.840.113549.1.5.13"), der.oid("1.2.840.113549.1.5.12")
_HMAC_WITH_SHA256 = der.sequence(der.oid("1.2.840.113549.2.9"), der.tlv(der.NULL, b""))
_AES256_CBC = der.oid("2.16.840.1.101.3.4.1.42")


class _LegacyCipher(NamedTuple):
    key_size: int
    algorithm: Callable[[bytes], BlockCipherAlgorithm]


_LEGACY_CIPHERS = {
    "AES-128-CBC": _LegacyCipher(16, algorithms.AES),
    "AES-192-CBC": _LegacyCipher(24, algorithms.AES),
    "AES-256-CBC": _LegacyCipher(32, algorithms.AES),
    "DES-EDE3-CBC": _LegacyCipher(24, TripleDES),
}


class UnknownCipher(ValueError):
    """The cipher is none of those that are read; the message names it."""


def pbes2_encrypt(private_key_info: bytes, password: bytes) -> bytes:
    """An EncryptedPrivateKeyInfo (RFC 5958 §3): PBKDF2-HMAC-SHA256, AES-256-CBC, a fresh salt and IV."""
    salt, iv = os.urandom(16), os.urandom(16)
    key = PBKDF2HMAC(hashes.SHA256(), 32, salt, PBKDF2_ROUNDS).derive(password)
    padder = padding.PKCS7(128).padder()
    encryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    encrypted = encryptor.update(padder.update(private_key_info) + padder.finalize()) + encryptor.finalize()
    derivation = der.sequence(der.tlv(der.OCTET_STRING, salt), der.integer(PBKDF2_ROUNDS), _HMAC_WITH_SHA256)
    scheme = der.sequence(
        _PBES2,
        der.sequence(
            der.sequence(_PBKDF2, derivation),
            der.sequence(_AES256_CBC, der.tlv(der.OCTET_STRING, iv)),
        ),
    )
    return der.sequence(scheme, der.tlv(der.OCTET_STRING, encrypted))


def rfc1423_decrypt(contents: bytes, dek_info: str, password: bytes) -> bytes:
    """The DER inside a PEM block with ``DEK-Info: dek_info`` (RFC 1421 §4.6.1.3), keyed the way OpenSSL keys it.

    Raises UnknownCipher, and ValueError when the padding shows that the password is wrong. A wrong password slips
    through once in 256: there is no integrity check, so what comes out must still be parsed.
    """
    name, _, iv_hex = dek_info.partition(",")
    cipher = _LEGACY_CIPHERS.get(name.strip().upper())
    if cipher is None:
        raise UnknownCipher(name.strip())
    iv = bytes.fromhex(iv_hex.strip())
    algorithm = cipher.algorithm(_bytes_to_key(password, iv[:8], cipher.key_size))
    decryptor = Cipher(algorithm, modes.CBC(iv)).decryptor()
    unpadder = padding.PKCS7(algorithm.block_size).unpadder()
    return unpadder.update(decryptor.update(contents) + decryptor.finalize()) + unpadder.finalize()


def _bytes_to_key(password: bytes, salt: bytes, size: int) -> bytes:
    """OpenSSL's EVP_BytesToKey with MD5 and one round, the key derivation of every RFC 1423 file there is."""
    key = block = b""
    while len(key) < size:
        block = hashlib.md5(block + password + salt, usedforsecurity=False).digest()
        key += block
    return key[:size]
