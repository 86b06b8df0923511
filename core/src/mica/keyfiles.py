"""Private keys as files hold them: PEM in every usual form is read (RFC 7468), encrypted PKCS #8 is written."""

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from mica.errors import ConfigError
from mica.keyciphers import UnknownCipher, pbes2_encrypt, rfc1423_decrypt
from mica.keyrules import check_public_key

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----[ \t]*\r?\n(.*?)-----END \1-----", re.DOTALL)
_HEADER = re.compile(rb"([A-Za-z-]+):[ \t]*(.*?)[ \t\r]*\n")
_PRIVATE = re.compile(r"(ENCRYPTED |RSA |EC |DSA |OPENSSH )?PRIVATE KEY")
_SSH_PUBLIC = re.compile(rb"(ssh|ecdsa|sk)-[a-z0-9@.-]+ AAAA")
_CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
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


def load_private_key(data: bytes, password: bytes | None, *, where: str) -> PrivateKey:
    """The one private key in the PEM text ``data``; other blocks beside it (certificates, parameters) do not matter.

    Reads PKCS #8 (plain and encrypted), SEC 1, PKCS #1, both also with RFC 1423 encryption, and OpenSSH's format.
    The password is not used on a key that is not encrypted. Raises ConfigError, which begins with ``where`` (a path or
    URI) and holds nothing of the key or the password.
    """
    block = _find_block(data, where)
    if block.encrypted and not password:
        raise _fault(where, "the key is encrypted and there is no password; give one with --password-file")
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


def dump_private_key(key: PrivateKey, password: bytes | None) -> bytes:
    """``key`` as PKCS #8 PEM, encrypted with PBES2 under ``password``, or in the clear when that is None."""
    if password == b"":
        raise ConfigError(["the password of a key must not be empty; choose one, or say that you want none"])
    info = key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    if password is None:
        return _pem("PRIVATE KEY", info)
    return _pem("ENCRYPTED PRIVATE KEY", pbes2_encrypt(info, password))


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
    """One PEM block (RFC 7468 §2), with the headers of RFC 1421 §4.6 if it has any."""

    label: str
    text: bytes
    headers: dict[str, str]
    contents: bytes

    @property
    def encrypted(self) -> bool:
        if self.label == "OPENSSH PRIVATE KEY":
            return not self.contents.startswith(_OPENSSH_MAGIC + b"\x00\x00\x00\x04none")
        return self.label == "ENCRYPTED PRIVATE KEY" or "ENCRYPTED" in self.headers.get("proc-type", "")

    @property
    def conversion(self) -> str:
        """How to turn the file into one that is surely read."""
        if self.label == "OPENSSH PRIVATE KEY":
            return "convert a copy of it with: ssh-keygen -p -m PKCS8 -f COPY (or pip install bcrypt)"
        return "convert it with: openssl pkey -in FILE -out NEWFILE -aes256"

    def decode(self, password: bytes | None) -> PrivateKeyTypes:
        used = password if self.encrypted else None
        if self.label == "OPENSSH PRIVATE KEY":
            return serialization.load_ssh_private_key(self.text, used)
        if used is None or self.label == "ENCRYPTED PRIVATE KEY":
            return serialization.load_der_private_key(self.contents, used)
        return serialization.load_der_private_key(
            rfc1423_decrypt(self.contents, self.headers.get("dek-info", ""), used), None
        )


def _find_block(data: bytes, where: str) -> _Block:
    data = data.removeprefix(b"\xef\xbb\xbf")  # Windows' editors put this UTF-8 mark before any text.
    if not data.strip():
        raise _fault(where, "the file is empty; it must hold a private key in PEM")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise _fault(where, "the file is UTF-16 text; save it again as plain ASCII")
    blocks = list(_BLOCK.finditer(data))
    private = [match for match in blocks if _PRIVATE.fullmatch(match[1].decode())]
    if len(private) > 1:
        raise _fault(where, f"the file holds {len(private)} private keys; keep one key in one file")
    if not private:
        raise _fault(where, _what_it_is(data, [match[1].decode() for match in blocks]))
    return _parse_block(private[0], where)


def _parse_block(match: re.Match[bytes], where: str) -> _Block:
    headers, position, body = {}, 0, match[2]
    while header := _HEADER.match(body, position):
        headers[header[1].decode().lower()] = header[2].decode("latin-1")
        position = header.end()
    try:
        contents = base64.b64decode(b"".join(body[position:].split()), validate=True)
    except ValueError as error:
        raise _fault(where, "the key is damaged: its base64 does not decode; restore the file from a backup") from error
    return _Block(label=match[1].decode(), text=match[0], headers=headers, contents=contents)


def _what_it_is(data: bytes, labels: list[str]) -> str:
    """What a file without a private key holds instead, and what to do. ``labels`` are those of its PEM blocks."""
    if any(label.endswith("PUBLIC KEY") for label in labels) or _SSH_PUBLIC.match(data):
        return "the file holds a public key, not a private key; name the file of the private key"
    if labels:
        return f"the file holds a {labels[0]}, not a private key; name the file of the private key"
    if data[:1] == b"\x30":
        return "the file is DER, and only PEM is read; convert it with: openssl pkey -inform DER -in FILE -out NEWFILE"
    if b"PRIVATE KEY-----" in data:
        return "the PEM text of the key is cut off or damaged; restore the file from a backup"
    return "the file holds no private key in PEM (-----BEGIN … PRIVATE KEY-----)"


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
