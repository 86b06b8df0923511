"""SSH public keys as the blobs that carry them (RFC 4253 §6.6, RFC 5656 §3.1, RFC 8709 §4, OpenSSH PROTOCOL.u2f).

A blob is kept octet by octet: a certificate has its fields as they are, and those of a security key
(``sk-…@openssh.com``) name the application that it answers to, which pyca does not keep.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from mica import keyrules
from mica.sshwire import MalformedSSH, Reader, mpint, string, text

PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey

CERTIFICATE_SUFFIX = "-cert-v01@openssh.com"
SK_ED25519, SK_ECDSA = "sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"
#: type → what ``ssh-keygen -l`` calls it.
KINDS = {
    "ssh-ed25519": "ED25519",
    "ecdsa-sha2-nistp256": "ECDSA",
    "ecdsa-sha2-nistp384": "ECDSA",
    "ecdsa-sha2-nistp521": "ECDSA",
    "ssh-rsa": "RSA",
    SK_ED25519: "ED25519-SK",
    SK_ECDSA: "ECDSA-SK",
}
_CURVES: dict[str, tuple[str, ec.EllipticCurve]] = {
    "ecdsa-sha2-nistp256": ("nistp256", ec.SECP256R1()),
    "ecdsa-sha2-nistp384": ("nistp384", ec.SECP384R1()),
    "ecdsa-sha2-nistp521": ("nistp521", ec.SECP521R1()),
    SK_ECDSA: ("nistp256", ec.SECP256R1()),
}
_TYPES_OF_CURVES = {curve.name: key_type for key_type, (_, curve) in _CURVES.items() if key_type != SK_ECDSA}
_MAX_MODULUS_BITS = 16384  # OpenSSH's OPENSSL_RSA_MAX_MODULUS_BITS: nothing longer is of use to anybody
_UNCOMPRESSED = b"\x04"  # RFC 5656 §3.1 allows compressed points as well; OpenSSH does not read them


@dataclass(frozen=True, slots=True, kw_only=True)
class SSHPublicKey:
    """A public key of one of the seven types in ``KINDS``, and the very blob that carried it."""

    blob: bytes
    key_type: str = field(compare=False)
    key: PublicKey = field(compare=False, repr=False)
    application: str | None = field(default=None, compare=False)
    """What a security key answers to, usually ``ssh:``; None for other keys."""

    @classmethod
    def decode(cls, blob: bytes, place: str = "public key") -> "SSHPublicKey":
        """The key in ``blob``; raises MalformedSSH."""
        reader = Reader(blob, place)
        made = read_fields(reader, reader.text("key type"))
        reader.end()
        return made

    @classmethod
    def of(cls, key: PublicKey) -> "SSHPublicKey":
        """``key`` in SSH's encoding; raises MalformedSSH for a curve that SSH does not have."""
        if isinstance(key, ed25519.Ed25519PublicKey):
            return cls(blob=text("ssh-ed25519") + string(key.public_bytes_raw()), key_type="ssh-ed25519", key=key)
        if isinstance(key, rsa.RSAPublicKey):
            numbers = key.public_numbers()
            return cls(blob=text("ssh-rsa") + mpint(numbers.e) + mpint(numbers.n), key_type="ssh-rsa", key=key)
        key_type = _TYPES_OF_CURVES.get(key.curve.name)
        if key_type is None:
            raise MalformedSSH("public key", f"must be on P-256, P-384 or P-521, not {key.curve.name}")
        return cls(blob=text(key_type) + text(_CURVES[key_type][0]) + string(_point(key)), key_type=key_type, key=key)

    @property
    def fields(self) -> bytes:
        """The blob without the type in front: what a certificate has between nonce and serial."""
        return self.blob[4 + len(self.key_type) :]

    @property
    def kind(self) -> str:
        """The type as ``ssh-keygen -l`` says it: ``ED25519``, ``ECDSA-SK`` …"""
        return KINDS[self.key_type]

    @property
    def bits(self) -> int:
        """The size as ``ssh-keygen -l`` says it."""
        return 256 if isinstance(self.key, ed25519.Ed25519PublicKey) else self.key.key_size

    @property
    def is_security_key(self) -> bool:
        """Whether a device holds the private half and signs over more than it is given (PROTOCOL.u2f)."""
        return self.application is not None

    @property
    def digest(self) -> bytes:
        """SHA-256 of the blob: what the certificates that a CA's key has signed are recorded under."""
        return hashlib.sha256(self.blob).digest()

    @property
    def fingerprint(self) -> str:
        """``SHA256:`` and base64 without padding, as OpenSSH prints it."""
        return fingerprint(self.blob)

    def faults(self) -> list[str]:
        """Every reason why nobody should trust the key; empty when it is good. The rules are X.509's."""
        return keyrules.check_public_key(self.key)

    def authority_faults(self) -> list[str]:
        """Every reason why it cannot be the key of a CA; empty when it can."""
        return ["a security key signs for people, and cannot be a CA"] if self.is_security_key else self.faults()


def read_fields(reader: Reader, key_type: str) -> SSHPublicKey:
    """The key of ``key_type`` whose fields come next, as in a blob or a certificate; raises MalformedSSH."""
    read = _READERS.get(key_type)
    if read is None:
        shown = key_type if len(key_type) < 64 else f"{key_type[:60]}…"
        raise reader.fault("key type", f"{shown!r} is none of {', '.join(KINDS)}")
    start = reader.position
    key = read(reader, key_type)
    application = reader.text("application") if key_type in (SK_ED25519, SK_ECDSA) else None
    blob = text(key_type) + reader.since(start)
    return SSHPublicKey(blob=blob, key_type=key_type, key=key, application=application)


def fingerprint(blob: bytes) -> str:
    """``SHA256:`` and base64 without padding, as OpenSSH prints it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyLine:
    """One key or certificate in a ``.pub``, ``authorized_keys`` or ``known_hosts`` file (sshd(8))."""

    key_type: str
    blob: bytes
    comment: str = ""
    prefix: str = ""
    """What stands before the type: options, or a marker and host names."""

    @classmethod
    def parse(cls, line: str, place: str = "line") -> "KeyLine":
        """The key in ``line``, its type the same outside and inside; a bare blob will do. Raises MalformedSSH."""
        found = _LINE.fullmatch(line.strip())
        if found is None:
            raise MalformedSSH(place, "is no SSH public key or certificate")
        try:
            blob = base64.b64decode(found["blob"], validate=True)
        except binascii.Error as error:
            raise MalformedSSH(place, "what follows the type is not base64, or not all of it") from error
        key_type = Reader(blob, place).text("key type")
        if found["type"] not in (None, key_type):
            raise MalformedSSH(place, f"says {found['type']}, and its blob says {key_type[:64]!r}")
        prefix, comment = ((found[group] or "").strip() for group in ("prefix", "comment"))
        return cls(key_type=key_type, blob=blob, comment=comment, prefix=prefix)

    @property
    def is_certificate(self) -> bool:
        """Whether it is a certificate by its type."""
        return self.key_type.endswith(CERTIFICATE_SUFFIX)

    def format(self) -> str:
        """The line, without its end; raises MalformedSSH when a part would make more than one line of it."""
        for place, value in (("options", self.prefix), ("comment", self.comment)):
            if not value.isprintable():
                raise MalformedSSH(place, "must not contain line ends or control characters")
        parts = (self.prefix, self.key_type, base64.b64encode(self.blob).decode(), self.comment)
        return " ".join(part for part in parts if part)


# A prefix is options, in which quoted strings hold blanks, or (a marker and) the names of hosts.
_LINE = re.compile(
    r"""(?:(?P<prefix>(?:@[a-z-]+[ \t]+)?(?:[^\s"]|"(?:\\.|[^"\\])*")+[ \t]+)??"""
    r"""(?P<type>(?:ssh|ecdsa|sk-ssh|sk-ecdsa)-[A-Za-z0-9@.-]+)[ \t]+)?"""
    r"""(?P<blob>AAAA[A-Za-z0-9+/]*={0,2})(?:[ \t]+(?P<comment>.*))?"""
)


def _read_ed25519(reader: Reader, key_type: str) -> PublicKey:
    octets = reader.string("key")
    if len(octets) != 32:
        raise reader.fault("key", f"an Ed25519 key has 32 octets, not {len(octets)} (RFC 8709 §4)")
    return ed25519.Ed25519PublicKey.from_public_bytes(octets)


def _read_ecdsa(reader: Reader, key_type: str) -> PublicKey:
    name, curve = _CURVES[key_type]
    if reader.text("curve") != name:
        raise reader.fault("curve", f"must be {name} for {key_type}")
    point = reader.string("point")
    if not point.startswith(_UNCOMPRESSED):
        raise reader.fault("point", "must be uncompressed: OpenSSH reads no other")
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(curve, point)
    except ValueError as error:
        raise reader.fault("point", f"is not on {name}") from error


def _read_rsa(reader: Reader, key_type: str) -> PublicKey:
    exponent, modulus = reader.mpint("exponent"), reader.mpint("modulus")
    if max(modulus, exponent).bit_length() > _MAX_MODULUS_BITS:
        raise reader.fault("modulus", f"must have at most {_MAX_MODULUS_BITS} bits")
    try:
        return rsa.RSAPublicNumbers(exponent, modulus).public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise reader.fault("modulus", "these are not the numbers of an RSA key that can be used") from error


_READERS: dict[str, Callable[[Reader, str], PublicKey]] = {
    "ssh-ed25519": _read_ed25519,
    SK_ED25519: _read_ed25519,
    "ssh-rsa": _read_rsa,
    **dict.fromkeys(_CURVES, _read_ecdsa),
}


def _point(key: ec.EllipticCurvePublicKey) -> bytes:
    size, point = (key.curve.key_size + 7) // 8, key.public_numbers()
    return _UNCOMPRESSED + point.x.to_bytes(size, "big") + point.y.to_bytes(size, "big")
