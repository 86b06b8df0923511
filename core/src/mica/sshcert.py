"""The one place where an SSH certificate is written, and where it is read (OpenSSH PROTOCOL.certkeys).

Reading is strict: options in order and none twice, a type that is known, nothing behind the signature. What was read
is written again in the same octets.
"""

import enum
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from itertools import pairwise

from mica import sshsignatures
from mica.sshkeys import CERTIFICATE_SUFFIX, KINDS, SSHPublicKey, read_fields
from mica.sshsignatures import Signature
from mica.sshwire import MAX_UINT64, MalformedSSH, Reader, string, text, time, uint32, uint64

#: The type of a key → the type of a certificate for it.
CERTIFICATE_TYPES = {key_type: key_type.removesuffix("@openssh.com") + CERTIFICATE_SUFFIX for key_type in KINDS}
_KEY_TYPES = {certificate_type: key_type for key_type, certificate_type in CERTIFICATE_TYPES.items()}
#: valid_before of a certificate that does not end.
FOREVER = MAX_UINT64
MAX_PRINCIPALS = 256  # sshkey.h, SSHKEY_CERT_MAX_PRINCIPALS: sshd refuses a certificate with more

Options = tuple[tuple[str, str], ...]


class CertType(enum.IntEnum):
    """Whom a certificate is for."""

    USER = 1
    HOST = 2


@dataclass(frozen=True, kw_only=True)
class TBSSSHCertificate:
    """What is signed, in the words of PROTOCOL.certkeys. ``critical_options`` and ``extensions`` are name and value.

    A value is empty where the name says all. Whoever makes one has made sure of what it says: no certificate without
    principals, none that is not to be. Here only what could not be read again is refused.
    """

    nonce: bytes
    public_key: SSHPublicKey
    serial: int
    cert_type: CertType
    key_id: str
    valid_principals: tuple[str, ...]
    valid_after: datetime
    valid_before: datetime | None
    """None is without end."""
    critical_options: Options = ()
    extensions: Options = ()
    reserved: bytes = b""
    signature_key: SSHPublicKey

    @property
    def type(self) -> str:
        """What the certificate is called: ``ssh-ed25519-cert-v01@openssh.com`` …"""
        return CERTIFICATE_TYPES[self.public_key.key_type]

    @cached_property
    def wire(self) -> bytes:
        """The octets that are signed; raises MalformedSSH."""
        if not 0 <= self.serial <= MAX_UINT64:
            raise MalformedSSH("serial", "must fit in 64 bits")
        if len(self.valid_principals) > MAX_PRINCIPALS:
            raise MalformedSSH("valid_principals", f"must be at most {MAX_PRINCIPALS}: sshd refuses more")
        return b"".join(
            (
                text(self.type),
                string(self.nonce),
                self.public_key.fields,
                uint64(self.serial),
                uint32(self.cert_type),
                _text(self.key_id, "key_id"),
                string(b"".join(_text(principal, "valid_principals") for principal in self.valid_principals)),
                time(self.valid_after, "valid_after"),
                uint64(FOREVER) if self.valid_before is None else time(self.valid_before, "valid_before"),
                string(_options(self.critical_options, "critical_options")),
                string(_options(self.extensions, "extensions")),
                string(self.reserved),
                string(self.signature_key.blob),
            )
        )

    @classmethod
    def decode(cls, wire: bytes, place: str = "certificate") -> "TBSSSHCertificate":
        """What the octets say that are to be signed; raises MalformedSSH that begins with ``place``."""
        reader = Reader(wire, place)
        tbs = _read_tbs(reader)
        reader.end()
        return tbs

    def assemble(self, signature: bytes) -> bytes:
        """The certificate: these octets, and the blob ``signature`` (see ``sshsignatures.encode``)."""
        return self.wire + string(signature)


@dataclass(frozen=True, kw_only=True)
class SSHCertificate:
    """A certificate that was read; whether its signature is good, ``check_signature`` says."""

    blob: bytes
    tbs: TBSSSHCertificate = field(compare=False)
    signature_blob: bytes = field(compare=False, repr=False)
    signature: Signature = field(compare=False, repr=False)

    @classmethod
    def decode(cls, blob: bytes, place: str = "certificate") -> "SSHCertificate":
        """The certificate in ``blob``; raises MalformedSSH that begins with ``place``."""
        reader = Reader(blob, place)
        tbs = _read_tbs(reader)
        signature = reader.string("signature")
        reader.end()
        parts = Signature.decode(signature, f"{place}: signature")
        return cls(blob=blob, tbs=tbs, signature_blob=signature, signature=parts)

    @property
    def signed(self) -> bytes:
        """The octets that the signature covers."""
        return self.blob[: -4 - len(self.signature_blob)]

    def check_signature(self) -> None:
        """The key inside, ``signature_key``, signed this; whose key that is, is another question.

        Ask it first. Raises MalformedSSH, BadSignature.
        """
        sshsignatures.verify(self.tbs.signature_key, self.signature_blob, self.signed)


def sorted_options(options: Iterable[tuple[str, str]]) -> Options:
    """``options`` in the order that certificates have them in; raises MalformedSSH when a name is there twice."""
    ordered = tuple(sorted(options, key=lambda option: option[0].encode()))
    for (name, _), (following, _) in pairwise(ordered):
        if name == following:
            raise MalformedSSH("options", f"{name!r} is there twice")
    return ordered


def _read_tbs(reader: Reader) -> TBSSSHCertificate:
    certificate_type = reader.text("type")
    if certificate_type not in _KEY_TYPES:
        raise reader.fault("type", f"{certificate_type[:64]!r} is no type of certificate that is known")
    nonce, public_key = reader.string("nonce"), read_fields(reader, _KEY_TYPES[certificate_type])
    return TBSSSHCertificate(
        nonce=nonce,
        public_key=public_key,
        serial=reader.uint64("serial"),
        cert_type=_read_cert_type(reader),
        key_id=reader.text("key_id"),
        valid_principals=_read_principals(reader),
        valid_after=reader.time("valid_after"),
        valid_before=_read_end(reader),
        critical_options=_read_options(reader, "critical_options"),
        extensions=_read_options(reader, "extensions"),
        reserved=reader.string("reserved"),
        signature_key=_read_signature_key(reader),
    )


def _read_cert_type(reader: Reader) -> CertType:
    number = reader.uint32("cert_type")
    try:
        return CertType(number)
    except ValueError as error:
        raise reader.fault("cert_type", f"must be 1 (user) or 2 (host), not {number}") from error


def _read_principals(reader: Reader) -> tuple[str, ...]:
    inner = reader.nested("valid_principals")
    found: list[str] = []
    while not inner.at_end:
        if len(found) == MAX_PRINCIPALS:
            raise reader.fault("valid_principals", f"must be at most {MAX_PRINCIPALS}")
        found.append(inner.text(f"[{len(found)}]"))
    return tuple(found)


def _read_end(reader: Reader) -> datetime | None:
    if reader.upcoming(8) == uint64(FOREVER):
        reader.uint64("valid_before")
        return None
    return reader.time("valid_before")


def _read_options(reader: Reader, place: str) -> Options:
    inner, last = reader.nested(place), ""
    found: list[tuple[str, str]] = []
    while not inner.at_end:
        name = inner.text("name")
        if found and name.encode() <= last.encode():
            rule = "is there twice" if name == last else f"must stand before {last!r}"
            raise reader.fault(place, f"{name!r} {rule}")
        found.append((name, _read_value(inner, name)))
        last = name
    return tuple(found)


def _read_value(reader: Reader, name: str) -> str:
    data = reader.nested(repr(name))
    if data.at_end:
        return ""
    value = data.text("value")
    data.end()
    if not value:
        raise reader.fault(repr(name), "an empty value must be left out altogether")
    return value


def _read_signature_key(reader: Reader) -> SSHPublicKey:
    inner = reader.nested("signature_key")
    key = read_fields(inner, inner.text("key type"))
    inner.end()
    return key


def _options(options: Options, place: str) -> bytes:
    if options != sorted_options(options):
        raise MalformedSSH(place, "must be sorted by name")
    return b"".join(
        _text(name, place) + string(_text(value, f"{place}: {name}") if value else b"") for name, value in options
    )


def _text(value: str, place: str) -> bytes:
    if "\0" in value:
        raise MalformedSSH(place, "must not contain NUL")
    try:
        return text(value)
    except UnicodeEncodeError as error:
        raise MalformedSSH(place, "must be UTF-8") from error
