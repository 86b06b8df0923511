"""OpenSSH's binary key revocation list (PROTOCOL.krl), for sshd's ``RevokedKeys``: written, read and asked.

Serial numbers are ranges throughout: a list that revokes half of all numbers is as small in memory as on disk.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from mica.krlserials import decode_bitmap, decode_list, decode_range, encode_serials, merged
from mica.sshcert import SSHCertificate
from mica.sshkeys import SSHPublicKey
from mica.sshwire import MalformedSSH, Reader, string, text, time, uint32, uint64

_MAGIC, _FORMAT_VERSION = b"SSHKRL\n\0", 1
_CERTIFICATES, _EXPLICIT_KEYS, _SHA1, _SIGNATURE, _SHA256, _EXTENSION = 1, 2, 3, 4, 5, 255
_SERIAL_LIST, _SERIAL_RANGE, _SERIAL_BITMAP, _KEY_IDS, _CERTIFICATE_EXTENSION = 0x20, 0x21, 0x22, 0x23, 0x39
_DIGEST_SIZES = {_SHA1: 20, _SHA256: 32}


@dataclass(frozen=True, kw_only=True)
class RevokedCertificates:
    """Which certificates of one CA key are revoked; without a key, of every CA."""

    signature_key: SSHPublicKey | None
    serials: tuple[range, ...] = ()
    """Ascending, with gaps between. Zero is no serial number here: OpenSSH gives it to certificates without one."""
    key_ids: tuple[str, ...] = ()
    """Sorted, none twice."""

    @classmethod
    def of(
        cls,
        signature_key: SSHPublicKey | None,
        *,
        serials: Iterable[int | range] = (),
        key_ids: Iterable[str] = (),
    ) -> "RevokedCertificates":
        """These serial numbers and key ids, in any order; raises MalformedSSH for a number that no list can have."""
        return cls(signature_key=signature_key, serials=merged(serials), key_ids=tuple(sorted(set(key_ids))))

    def covers(self, certificate: SSHCertificate) -> bool:
        """Whether ``certificate`` is among them."""
        tbs = certificate.tbs
        if self.signature_key not in (None, tbs.signature_key):
            return False
        place = bisect_right(self._starts, tbs.serial) - 1
        return tbs.key_id in self._ids or (place >= 0 and tbs.serial in self.serials[place])

    @cached_property
    def _starts(self) -> list[int]:
        return [part.start for part in self.serials]

    @cached_property
    def _ids(self) -> frozenset[str]:
        return frozenset(self.key_ids)

    @property
    def wire(self) -> bytes:
        """The contents of its section."""
        parts = [string(self.signature_key.blob if self.signature_key else b""), string(b"")]
        parts += [bytes((kind,)) + string(data) for kind, data in encode_serials(self.serials)]
        if self.key_ids:
            parts.append(bytes((_KEY_IDS,)) + string(b"".join(map(_key_id, self.key_ids))))
        return b"".join(parts)


@dataclass(frozen=True, kw_only=True)
class KRL:
    """A key revocation list. ``version`` grows with each list; ``keys`` are the blobs of plain public keys."""

    version: int
    generated_date: datetime
    comment: str = ""
    certificates: tuple[RevokedCertificates, ...] = ()
    keys: frozenset[bytes] = frozenset()
    sha1: frozenset[bytes] = frozenset()
    sha256: frozenset[bytes] = frozenset()
    """Digests of such blobs. A list of ours says by SHA-256 what it says by digest; others also have SHA-1."""

    def encode(self) -> bytes:
        """The list as ``RevokedKeys`` takes it; the same octets for the same list."""
        return b"".join(
            (
                _MAGIC,
                uint32(_FORMAT_VERSION),
                uint64(self.version),
                time(self.generated_date, "generated_date"),
                uint64(0),  # flags: none are defined
                string(b""),
                text(self.comment),
                *(_section(_CERTIFICATES, revoked.wire) for revoked in self.certificates),
                _strings(_EXPLICIT_KEYS, self.keys),
                _strings(_SHA1, self.sha1),
                _strings(_SHA256, self.sha256),
            )
        )

    @classmethod
    def decode(cls, data: bytes, place: str = "KRL") -> "KRL":
        """The list in ``data``; raises MalformedSSH. Critical extensions are not known, and refused."""
        reader = Reader(data, place)
        if data[: len(_MAGIC)] != _MAGIC:
            raise MalformedSSH(place, "is no OpenSSH key revocation list")
        reader.take(len(_MAGIC), "magic")
        if (number := reader.uint32("format version")) != _FORMAT_VERSION:
            raise reader.fault("format version", f"must be {_FORMAT_VERSION}, not {number}")
        version, generated = reader.uint64("version"), reader.time("generated_date")
        reader.uint64("flags")
        reader.string("reserved")
        comment = reader.text("comment")
        found = _Sections()
        while not reader.at_end:
            kind = reader.byte("section type")
            if kind == _SIGNATURE:
                raise reader.fault("signature", "signed lists are not read; nor does OpenSSH 9.4 read them")
            found.read(kind, reader.nested(f"section {kind}"))
        return cls(
            version=version,
            generated_date=generated,
            comment=comment,
            certificates=tuple(found.certificates),
            keys=frozenset(found.blobs[_EXPLICIT_KEYS]),
            sha1=frozenset(found.blobs[_SHA1]),
            sha256=frozenset(found.blobs[_SHA256]),
        )

    def revokes_key(self, key: SSHPublicKey) -> bool:
        """Whether the plain ``key`` is revoked."""
        # SHA-1 is what OpenSSH offers for short lists; a collision could only revoke more.
        sha1 = hashlib.sha1(key.blob, usedforsecurity=False).digest()
        return key.blob in self.keys or sha1 in self.sha1 or hashlib.sha256(key.blob).digest() in self.sha256

    def revokes(self, certificate: SSHCertificate) -> bool:
        """Whether ``certificate`` is revoked: by serial, by key id, by its key, or by the key that signed it."""
        tbs = certificate.tbs
        return (
            self.revokes_key(tbs.public_key)
            or self.revokes_key(tbs.signature_key)
            or any(revoked.covers(certificate) for revoked in self.certificates)
        )


class _Sections:
    """What the sections of a list hold, gathered."""

    def __init__(self) -> None:
        self.certificates: list[RevokedCertificates] = []
        self.blobs: dict[int, list[bytes]] = {_EXPLICIT_KEYS: [], _SHA1: [], _SHA256: []}

    def read(self, kind: int, reader: Reader) -> None:
        """The section of this ``kind`` is added; raises MalformedSSH."""
        if kind == _CERTIFICATES:
            self.certificates.append(_read_certificates(reader))
        elif kind in self.blobs:
            while not reader.at_end:
                blob = reader.string("entry")
                if len(blob) != _DIGEST_SIZES.get(kind, len(blob)):
                    raise reader.fault("entry", f"a digest has {_DIGEST_SIZES[kind]} octets here, not {len(blob)}")
                self.blobs[kind].append(blob)
        elif kind == _EXTENSION:
            _pass_extension(reader)
        else:
            raise reader.fault("section type", "is not known")


def _read_certificates(reader: Reader) -> RevokedCertificates:
    blob = reader.string("ca_key")
    key = SSHPublicKey.decode(blob, "ca_key") if blob else None
    reader.string("reserved")
    serials: list[range] = []
    key_ids: set[str] = set()
    while not reader.at_end:
        kind = reader.byte("subsection type")
        inner = reader.nested(f"subsection {kind:#x}")
        if kind in _SERIAL_READERS:
            serials += _SERIAL_READERS[kind](inner)
        elif kind == _KEY_IDS:
            while not inner.at_end:
                key_ids.add(inner.text("key id"))
        elif kind == _CERTIFICATE_EXTENSION:
            _pass_extension(inner)
        else:
            raise inner.fault("subsection type", "is not known")
    return RevokedCertificates(signature_key=key, serials=merged(serials), key_ids=tuple(sorted(key_ids)))


_SERIAL_READERS = {_SERIAL_LIST: decode_list, _SERIAL_RANGE: decode_range, _SERIAL_BITMAP: decode_bitmap}


def _pass_extension(reader: Reader) -> None:
    name, critical = reader.text("extension name"), reader.byte("is_critical")
    reader.string("contents")
    reader.end()
    if critical:
        raise reader.fault(repr(name), "is critical, and not known")


def _section(kind: int, contents: bytes) -> bytes:
    return bytes((kind,)) + string(contents)


def _strings(kind: int, entries: Iterable[bytes]) -> bytes:
    contents = b"".join(map(string, sorted(entries)))
    return _section(kind, contents) if contents else b""


def _key_id(key_id: str) -> bytes:
    if "\0" in key_id:
        raise MalformedSSH("key id", "must not contain NUL")
    return text(key_id)
