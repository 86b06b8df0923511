"""SSH signatures as the blobs that carry them (RFC 4253 §6.6, RFC 5656 §3.1.2, RFC 8332 §3, RFC 8709 §6)."""

from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from mica.sshkeys import SSHPublicKey
from mica.sshwire import MalformedSSH, Reader, mpint, string, text

#: What RSA keys of ours sign with.
RSA_ALGORITHM = "rsa-sha2-512"
_RSA_HASHES: dict[str, hashes.HashAlgorithm] = {RSA_ALGORITHM: hashes.SHA512(), "rsa-sha2-256": hashes.SHA256()}
_EC_HASHES: dict[int, hashes.HashAlgorithm] = {256: hashes.SHA256(), 384: hashes.SHA384(), 521: hashes.SHA512()}


class BadSignature(MalformedSSH):
    """The signature is not over these octets by this key, or by an algorithm that is not accepted."""

    def __init__(self, rule: str) -> None:
        super().__init__("signature", rule)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """The parts of a signature blob; nothing is said about whether it is good."""

    algorithm: str
    value: bytes
    trailer: bytes = b""
    """Of a security key: flags and counter (PROTOCOL.u2f)."""

    @classmethod
    def decode(cls, blob: bytes, place: str = "signature") -> "Signature":
        """The parts of ``blob``; raises MalformedSSH."""
        reader = Reader(blob, place)
        algorithm, value = reader.text("algorithm"), reader.string("value")
        trailer = reader.take(5, "flags and counter") if algorithm.startswith("sk-") else b""
        reader.end()
        return cls(algorithm=algorithm, value=value, trailer=trailer)


def algorithm_of(key: SSHPublicKey) -> str:
    """What signatures by ``key`` are called, when mica makes them."""
    return RSA_ALGORITHM if key.key_type == "ssh-rsa" else key.key_type


def hash_of(key: SSHPublicKey) -> hashes.HashAlgorithm | None:
    """What is signed by ``key`` under ``algorithm_of(key)``: this hash of the message; for Ed25519 the message."""
    if isinstance(key.key, ed25519.Ed25519PublicKey):
        return None
    return _RSA_HASHES[RSA_ALGORITHM] if isinstance(key.key, rsa.RSAPublicKey) else _EC_HASHES[key.key.key_size]


def encode(key: SSHPublicKey, signature: bytes) -> bytes:
    """The blob of a ``signature`` as pyca and key backends give it: for EC keys it is DER (RFC 3279 §2.2.3)."""
    if isinstance(key.key, ec.EllipticCurvePublicKey):
        signature = b"".join(map(mpint, decode_dss_signature(signature)))
    return text(algorithm_of(key)) + string(signature)


def verify(key: SSHPublicKey, blob: bytes, message: bytes) -> None:
    """``blob`` is a signature over ``message`` by ``key``; raises MalformedSSH, and BadSignature when it is not.

    ``ssh-rsa`` is refused, for it is over SHA-1 (RFC 8332 §1), and so is what a security key signed: none is a CA.
    """
    signature = Signature.decode(blob)
    accepted = tuple(_RSA_HASHES) if key.key_type == "ssh-rsa" else (key.key_type,)
    if key.is_security_key or signature.algorithm not in accepted:
        raise BadSignature(f"by {signature.algorithm[:64]!r} is not accepted from a key of the type {key.key_type}")
    try:
        _verify(key, signature, message)
    except InvalidSignature as error:
        raise BadSignature("is not by this key over these octets") from error


def _verify(key: SSHPublicKey, signature: Signature, message: bytes) -> None:
    if isinstance(key.key, ed25519.Ed25519PublicKey):
        key.key.verify(signature.value, message)
    elif isinstance(key.key, ec.EllipticCurvePublicKey):
        reader = Reader(signature.value, "signature")
        r, s = reader.mpint("r"), reader.mpint("s")
        reader.end()
        key.key.verify(encode_dss_signature(r, s), message, ec.ECDSA(_EC_HASHES[key.key.key_size]))
    else:
        # OpenSSH takes a signature whose leading zeros were left out; RFC 8017 §8.2.2 has none, and we make none.
        key.key.verify(signature.value, message, padding.PKCS1v15(), _RSA_HASHES[signature.algorithm])
