"""Private keys as files hold them: PEM and DER in every usual form are read, encrypted PKCS #8 is written."""

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from mica import der, recognition
from mica.errors import ConfigError, MalformedRequest
from mica.keyciphers import UnknownCipher, pbes2_encrypt, rfc1423_decrypt
from mica.keyrules import check_public_key

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

# What stands between has no five dashes: of a million first lines without a last, each is looked at once.
_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----[ \t]*\r?\n([^-]*(?:-{1,4}[^-]+)*)-----END \1-----")
_HEADER = re.compile(rb"([A-Za-z-]+):[ \t]*(.*?)[ \t\r]*\n")
_PRIVATE = re.compile(r"(ENCRYPTED |RSA |EC |DSA |OPENSSH )?PRIVATE KEY")
_REMEDIES = {
    recognition.PKCS12: "take the key out of it: openssl pkcs12 -nocerts -in FILE -out KEY",
    recognition.JWK: "convert it with: mica crypto key format --pem --out NEWFILE FILE",
}
_CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
_PKCS8, _ENCRYPTED_PKCS8 = "PRIVATE KEY", "ENCRYPTED PRIVATE KEY"
_OPENSSH = "OPENSSH PRIVATE KEY"
_OPENSSH_MAGIC = b"openssh-key-v1\x00"  # OpenSSH PROTOCOL.key; then the cipher's name as an SSH string

_GENERATORS: dict[str, Callable[[], PrivateKey]] = {
    "EC-P256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "EC-P384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "EC-P521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "RSA-2048": lambda: rsa.generate_private_key(65537, 2048),
    "RSA-3072": lambda: rsa.generate_private_key(65537, 3072),
    "RSA-4096": lambda: rsa.generate_private_key(65537, 4096),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
}

#: What ``generate`` can make.
ALGORITHMS = tuple(_GENERATORS)


class PasswordNeeded(ConfigError):
    """The key is encrypted, and there was no password. A key backend raises it when it needs one."""


def load_private_key(data: bytes, password: bytes | None, *, where: str) -> PrivateKey:
    """The one private key in ``data``; in PEM, other blocks beside it (certificates, parameters) do not matter.

    Reads PKCS #8 (plain and encrypted), SEC 1 and PKCS #1, in PEM and in DER; SEC 1 and PKCS #1 with RFC 1423
    encryption, and OpenSSH's format. The password is not used on a key that is not encrypted. Raises ConfigError,
    PasswordNeeded if that is the reason; it begins with ``where`` (a path or URI) and holds nothing of the key or the
    password.
    """
    block = _find_block(data, where)
    if block.encrypted and not password:
        fault = "the key is encrypted and there is no password; give one with --password-file"
        raise PasswordNeeded([f"{where}: {fault}"])
    try:
        key = block.decode(password)
    except UnknownCipher as error:
        raise _fault(where, f"a key encrypted with {error} is not read; {block.conversion}") from error
    except UnsupportedAlgorithm as error:
        raise _fault(where, f"this form of key or encryption is not read here; {block.conversion}") from error
    except (ValueError, TypeError) as error:
        raise _fault(where, _unreadable(block)) from error
    if reasons := check_public_key(key.public_key()):
        raise ConfigError(f"{where}: {reason}; make a new key" for reason in reasons)
    assert isinstance(key, PrivateKey)
    return key


def is_encrypted(data: bytes, *, where: str) -> bool:
    """Whether the private key in ``data`` needs a password; raises ConfigError as ``load_private_key`` does."""
    return _find_block(data, where).encrypted


def holds_private_key(data: bytes) -> bool:
    """Whether ``data`` has a private key in PEM or DER, encrypted or not; it may still be damaged."""
    return any(_PRIVATE.fullmatch(match[1].decode()) for match in _BLOCK.finditer(data)) or bool(_der_label(data))


def dump_private_key(key: PrivateKey, password: bytes | None) -> bytes:
    """``key`` as PKCS #8 PEM, encrypted with PBES2 under ``password``, or in the clear when that is None."""
    return _pem(_PKCS8 if password is None else _ENCRYPTED_PKCS8, dump_private_key_der(key, password))


def dump_private_key_der(key: PrivateKey, password: bytes | None) -> bytes:
    """As ``dump_private_key``, in DER."""
    if password == b"":
        raise ConfigError(["the password of a key must not be empty; choose one, or say that you want none"])
    info = key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return info if password is None else pbes2_encrypt(info, password)


def generate(algorithm: str) -> PrivateKey:
    """A new key of a kind named in ``ALGORITHMS``; raises ConfigError for any other."""
    try:
        return _GENERATORS[algorithm]()
    except KeyError as error:
        raise ConfigError([f"{algorithm!r} is not a kind of key; known: {', '.join(ALGORITHMS)}"]) from error


def describe(key: object) -> str:
    """The kind of a private or public key as people write it: ``ECDSA P-256``, ``RSA 2048``, ``Ed25519 256``."""
    if isinstance(key, ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey):
        return f"ECDSA {_CURVES.get(key.curve.name, key.curve.name)}"
    if isinstance(key, rsa.RSAPrivateKey | rsa.RSAPublicKey):
        return f"RSA {key.key_size}"
    if isinstance(key, ed25519.Ed25519PrivateKey | ed25519.Ed25519PublicKey):
        return "Ed25519 256"
    return type(key).__name__.removesuffix("PrivateKey").removesuffix("PublicKey")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Block:
    """One PEM block (RFC 7468 §2), with the headers of RFC 1421 §4.6 if it has any; or the same out of DER."""

    label: str
    text: bytes
    headers: dict[str, str]
    contents: bytes

    @property
    def encrypted(self) -> bool:
        if self.label == _OPENSSH:
            return not self.contents.startswith(_OPENSSH_MAGIC + b"\x00\x00\x00\x04none")
        return self.label == _ENCRYPTED_PKCS8 or "ENCRYPTED" in self.headers.get("proc-type", "")

    @property
    def conversion(self) -> str:
        """How to turn the file into one that is surely read."""
        if self.label == _OPENSSH:
            return "convert a copy of it with: ssh-keygen -p -m PKCS8 -f COPY (or pip install bcrypt)"
        return "convert it with: openssl pkey -in FILE -out NEWFILE -aes256"

    def decode(self, password: bytes | None) -> PrivateKeyTypes:
        used = password if self.encrypted else None
        if self.label == _OPENSSH:
            return serialization.load_ssh_private_key(self.text, used)
        if used is None or self.label == _ENCRYPTED_PKCS8:
            return serialization.load_der_private_key(self.contents, used)
        return serialization.load_der_private_key(
            rfc1423_decrypt(self.contents, self.headers.get("dek-info", ""), used), None
        )


def _find_block(data: bytes, where: str) -> _Block:
    data = data.removeprefix(recognition.UTF8_MARK)  # Windows' editors put it before any text.
    if not data.strip():
        raise _fault(where, "the file is empty; it must hold a private key")
    if data.startswith(recognition.UTF16_MARKS):
        raise _fault(where, "the file is UTF-16 text; save it again as plain ASCII")
    blocks = list(_BLOCK.finditer(data))
    private = [match for match in blocks if _PRIVATE.fullmatch(match[1].decode())]
    if len(private) > 1:
        raise _fault(where, f"the file holds {len(private)} private keys; keep one key in one file")
    if private:
        return _parse_block(private[0], where)
    if not blocks and (label := _der_label(data)):
        return _Block(label=label, text=b"", headers={}, contents=data)
    raise _fault(where, _what_it_is(data))


def _der_label(data: bytes) -> str | None:
    """What PEM would call the private key that ``data`` is in DER; None when it is none."""
    match _der_tags(data):
        # PrivateKeyInfo (RFC 5958 §2), ECPrivateKey (RFC 5915 §3), RSAPrivateKey (RFC 8017 §A.1.2)
        case [der.INTEGER, der.SEQUENCE, der.OCTET_STRING, *_] | [der.INTEGER, der.OCTET_STRING, *_]:
            return _PKCS8
        case [der.INTEGER, der.INTEGER, der.INTEGER, *_]:
            return _PKCS8
        case [der.SEQUENCE, der.OCTET_STRING]:  # EncryptedPrivateKeyInfo (RFC 5958 §3)
            return _ENCRYPTED_PKCS8
    return None


def _der_tags(data: bytes) -> list[int]:
    """The tags of the elements inside the SEQUENCE that ``data`` is; empty when it is none."""
    if data[:1] != b"\x30":
        return []
    try:
        return [element[0] for element in der.children(data)]
    except MalformedRequest:
        return []


def _parse_block(match: re.Match[bytes], where: str) -> _Block:
    headers, position, body = {}, 0, match[2]
    while header := _HEADER.match(body, position):
        headers[header[1].decode().lower()] = header[2].decode("latin-1")
        position = header.end()
    try:
        contents = base64.b64decode(b"".join(body[position:].split()), validate=True)
    except ValueError as error:
        raise _fault(where, "the key is damaged: its base64 does not decode; restore the file from a backup") from error
    text = match[0].replace(b"\r\n", b"\n")
    return _Block(label=match[1].decode(), text=text, headers=headers, contents=contents)


def _what_it_is(data: bytes) -> str:
    """What a file without a private key holds instead, and what to do."""
    if b"PRIVATE KEY-----" in data:
        return "the PEM text of the key is cut off or damaged; restore the file from a backup"
    words = recognition.recognize(data)
    if words is None:
        return "the file holds no private key, neither in PEM (-----BEGIN … PRIVATE KEY-----) nor in DER"
    return f"the file holds {words}, not a private key; {_REMEDIES.get(words, 'name the file of the private key')}"


def _unreadable(block: _Block) -> str:
    if block.encrypted:
        return "the key cannot be decrypted: the password is wrong, or the file is damaged"
    return "the key cannot be read: the file is damaged; restore it from a backup"


def _fault(where: str, text: str) -> ConfigError:
    return ConfigError([f"{where}: {text}"])


def _pem(label: str, contents: bytes) -> bytes:
    text = base64.b64encode(contents)
    lines = [text[i : i + 64] for i in range(0, len(text), 64)]
    return b"\n".join([b"-----BEGIN %s-----" % label.encode(), *lines, b"-----END %s-----" % label.encode(), b""])
