"""The little DER that the core writes and reads by itself (X.690): tag, length, contents.

Parsers of whole structures are pyca's; this is for splicing parts that must stay the octets they came in.
"""

from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache

from mica.errors import MalformedRequest

BOOLEAN, INTEGER, BIT_STRING, OCTET_STRING, NULL, OID = 0x01, 0x02, 0x03, 0x04, 0x05, 0x06
UTF8_STRING, PRINTABLE_STRING, UTC_TIME, GENERALIZED_TIME = 0x0C, 0x13, 0x17, 0x18
SEQUENCE, SET = 0x30, 0x31


def tlv(tag: int, contents: bytes) -> bytes:
    """One element: ``tag``, the shortest length, ``contents`` (X.690 §8.1.3)."""
    length = len(contents)
    if length < 0x80:
        return bytes((tag, length)) + contents
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + contents


def sequence(*elements: bytes) -> bytes:
    """A SEQUENCE of elements that are encoded already."""
    return tlv(SEQUENCE, b"".join(elements))


def integer(value: int) -> bytes:
    """A non-negative INTEGER (X.690 §8.3)."""
    return tlv(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def bit_string(octets: bytes) -> bytes:
    """A BIT STRING of whole octets (X.690 §8.6)."""
    return tlv(BIT_STRING, b"\x00" + octets)


@lru_cache(maxsize=256)
def oid(dotted: str) -> bytes:
    """An OBJECT IDENTIFIER (X.690 §8.19)."""
    first, second, *rest = map(int, dotted.split("."))
    return tlv(OID, b"".join(_base128(arc) for arc in (first * 40 + second, *rest)))


def time(moment: datetime) -> bytes:
    """A Time as RFC 5280 §4.1.2.5 has it: UTCTime through 2049, GeneralizedTime after; whole seconds, UTC."""
    if moment.year < 2050:
        return tlv(UTC_TIME, moment.strftime("%y%m%d%H%M%SZ").encode())
    return tlv(GENERALIZED_TIME, moment.strftime("%Y%m%d%H%M%SZ").encode())


def elements(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """The elements side by side in ``data``: tag, contents, and the whole element; raises MalformedRequest."""
    position = 0
    while position < len(data):
        try:
            tag, length, start = data[position], data[position + 1], position + 2
            if tag & 0x1F == 0x1F:
                raise MalformedRequest("DER has a tag number above 30")
            if length & 0x80:
                count = length & 0x7F
                length = int.from_bytes(data[start : start + count], "big")
                if not 0 < count <= 4 or length < 0x80 or data[start] == 0:
                    raise MalformedRequest("DER length is not the shortest")
                start += count
        except IndexError as error:
            raise MalformedRequest("DER ends too early") from error
        end = start + length
        if end > len(data):
            raise MalformedRequest("DER ends too early")
        yield tag, data[start:end], data[position:end]
        position = end


def children(element: bytes) -> list[bytes]:
    """The whole elements inside the one constructed element ``element``; raises MalformedRequest."""
    outer = list(elements(element))
    if len(outer) != 1 or not outer[0][0] & 0x20:
        raise MalformedRequest("DER is not one constructed element")
    return [whole for _, _, whole in elements(outer[0][1])]


def decode_oid(element: bytes) -> str:
    """The dotted form of the OBJECT IDENTIFIER that ``element`` is; raises MalformedRequest."""
    ((tag, contents, _),) = elements(element)
    if tag != OID or not contents or contents[-1] & 0x80:
        raise MalformedRequest("not an OBJECT IDENTIFIER")
    arcs, arc = [], 0
    for octet in contents:
        arc = arc << 7 | octet & 0x7F
        if not octet & 0x80:
            arcs.append(arc)
            arc = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(map(str, (first, arcs[0] - 40 * first, *arcs[1:])))


def _base128(arc: int) -> bytes:
    groups = [arc & 0x7F]
    while arc := arc >> 7:
        groups.append(0x80 | arc & 0x7F)
    return bytes(reversed(groups))
