"""Serial numbers in a key revocation list: single ones, ranges or a bitmap, whichever is smallest (PROTOCOL.krl §2)."""

import re
import struct
from collections.abc import Iterable, Iterator

from mica.sshwire import MAX_UINT64, MalformedSSH, Reader, mpint, uint64

_LIST, _RANGE, _BITMAP = 0x20, 0x21, 0x22
# A section has five octets in front. A number of a list takes 8, a range 16, a bitmap 12 and one for 8 numbers.
_ENTRY, _RANGE_COST, _BITMAP_COST = 8, 5 + 16, 5 + 8 + 4 + 1
_MAX_BITMAP_BITS = 16384  # sshbuf.h, SSHBUF_MAX_BIGNUM: OpenSSH reads no longer mpint
#: A gap that costs a bitmap more than a new entry elsewhere does.
_WIDE_GAP = _ENTRY * 8
#: A run of numbers that is cheaper as a range even amid a bitmap, which then has to begin again.
_LONG_RUN = (_RANGE_COST + _BITMAP_COST) * 8

_RUNS = re.compile("1+")

Section = tuple[int, bytes]


def merged(serials: Iterable[int | range]) -> tuple[range, ...]:
    """``serials`` as ascending ranges with gaps between; raises MalformedSSH for zero and what exceeds 64 bits."""
    starts = sorted((part, part + 1) if isinstance(part, int) else (part.start, part.stop) for part in serials)
    if starts and (starts[0][0] < 1 or max(stop for _, stop in starts) > MAX_UINT64 + 1):
        raise MalformedSSH("serial", "must be from 1 to 2^64-1: a certificate without a number is revoked by key id")
    found: list[range] = []
    for start, stop in starts:
        if start == stop:
            continue
        if found and start <= found[-1].stop:
            found[-1] = range(found[-1].start, max(found[-1].stop, stop))
        else:
            found.append(range(start, stop))
    return tuple(found)


def encode_serials(serials: Iterable[range]) -> Iterator[Section]:
    """The sections for ``serials``, which are ``merged``: small, and quick to find."""
    single: list[int] = []
    for cluster in _clusters(serials):
        first, last, count = cluster[0].start, cluster[-1].stop - 1, sum(map(_length, cluster))
        bitmap = _BITMAP_COST + (last - first) // 8 + 1
        if len(cluster) == 1 and min(count * _ENTRY, bitmap) > _RANGE_COST:
            yield _RANGE, uint64(first) + uint64(last)
        elif bitmap < count * _ENTRY:
            yield _BITMAP, uint64(first) + mpint(_bits(cluster, first))
        else:
            single += [serial for part in cluster for serial in part]
    if single:
        yield _LIST, struct.pack(f">{len(single)}Q", *single)


def decode_list(reader: Reader) -> list[range]:
    """The numbers of a list; raises MalformedSSH."""
    found = []
    while not reader.at_end:
        serial = reader.uint64("serial")
        found.append(range(serial, serial + 1))
    return found


def decode_range(reader: Reader) -> list[range]:
    """The numbers from the first to the last; raises MalformedSSH."""
    first, last = reader.uint64("min"), reader.uint64("max")
    reader.end()
    if first > last:
        raise reader.fault("max", f"must be at least min, {first}")
    return [range(first, last + 1)]


def decode_bitmap(reader: Reader) -> list[range]:
    """The numbers whose bits are set; raises MalformedSSH."""
    offset, bits = reader.uint64("serial_offset"), reader.mpint("bitmap")
    reader.end()
    if bits.bit_length() > _MAX_BITMAP_BITS:
        raise reader.fault("bitmap", f"must have at most {_MAX_BITMAP_BITS} bits, as OpenSSH's have")
    digits = f"{bits:b}"[::-1]
    return [range(offset + run.start(), offset + run.end()) for run in _RUNS.finditer(digits)]


def _clusters(serials: Iterable[range]) -> Iterator[list[range]]:
    """``serials`` in groups that are near enough for a bitmap; what is long stands by itself."""
    cluster: list[range] = []
    for part in serials:
        is_long = _length(part) >= _LONG_RUN
        if cluster and (
            is_long
            or _length(cluster[-1]) >= _LONG_RUN
            or part.start - cluster[-1].stop >= _WIDE_GAP
            or part.stop - cluster[0].start > _MAX_BITMAP_BITS
        ):
            yield cluster
            cluster = []
        cluster.append(part)
    if cluster:
        yield cluster


def _length(part: range) -> int:
    """How many numbers; ``len`` fails beyond 2^63."""
    return part.stop - part.start


def _bits(cluster: list[range], first: int) -> int:
    bits = 0
    for part in cluster:
        bits |= ((1 << _length(part)) - 1) << (part.start - first)
    return bits
