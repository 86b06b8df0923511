"""The encodings that SSH is made of (RFC 4251 §5): written here, and read here with bounds.

Reading is strict: what would not be written in the same octets again is refused, because a signature covers octets.
"""

from datetime import UTC, datetime, timedelta

from mica.errors import MalformedRequest

MAX_UINT64 = 2**64 - 1

_EPOCH, _SECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(seconds=1)
_LAST_MOMENT = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _SECOND


class MalformedSSH(MalformedRequest):
    """Octets or text are not what SSH has there; ``place`` names the field."""

    def __init__(self, place: str, rule: str) -> None:
        self.place = place
        super().__init__(f"{place}: {rule}")


def uint32(value: int) -> bytes:
    """``value`` in four octets; raises OverflowError."""
    return value.to_bytes(4, "big")


def uint64(value: int) -> bytes:
    """``value`` in eight octets; raises OverflowError."""
    return value.to_bytes(8, "big")


def string(octets: bytes) -> bytes:
    """``octets`` behind their number."""
    return len(octets).to_bytes(4, "big") + octets


def text(value: str) -> bytes:
    """``value`` as a string in UTF-8."""
    return string(value.encode())


def mpint(value: int) -> bytes:
    """A number that is not negative, in as few octets as hold it and a sign bit; zero is an empty string."""
    return string(value.to_bytes((value.bit_length() + 8) // 8, "big") if value else b"")


def time(moment: datetime, place: str) -> bytes:
    """``moment`` in seconds since 1970, as a uint64; raises MalformedSSH for fractions and what was before."""
    seconds, rest = divmod(moment - _EPOCH, _SECOND)
    if seconds < 0 or rest:
        raise MalformedSSH(place, "must be whole seconds since 1970")
    return uint64(seconds)


class Reader:
    """Reads field after field of ``data``; every method raises MalformedSSH that names ``place`` and the field."""

    __slots__ = ("_data", "_place", "_position")

    def __init__(self, data: bytes, place: str) -> None:
        self._data, self._place, self._position = data, place, 0

    @property
    def position(self) -> int:
        """How many octets have been read."""
        return self._position

    @property
    def at_end(self) -> bool:
        """Whether nothing is left."""
        return self._position == len(self._data)

    def upcoming(self, count: int) -> bytes:
        """What ``count`` octets will be read next, or fewer."""
        return self._data[self._position : self._position + count]

    def since(self, position: int) -> bytes:
        """What has been read from ``position`` on."""
        return self._data[position : self._position]

    def take(self, count: int, field: str) -> bytes:
        """The next ``count`` octets."""
        end = self._position + count
        if end > len(self._data):
            missing = end - len(self._data)
            raise self.fault(field, f"ends too early at octet {len(self._data)}, {missing} octets are missing")
        octets = self._data[self._position : end]
        self._position = end
        return octets

    def byte(self, field: str) -> int:
        """The next octet."""
        return self.take(1, field)[0]

    def uint32(self, field: str) -> int:
        """The next four octets as a number."""
        return int.from_bytes(self.take(4, field), "big")

    def uint64(self, field: str) -> int:
        """The next eight octets as a number."""
        return int.from_bytes(self.take(8, field), "big")

    def time(self, field: str) -> datetime:
        """The moment that the next eight octets are, in UTC."""
        seconds = self.uint64(field)
        if seconds > _LAST_MOMENT:
            raise self.fault(field, "must be before the year 10000")
        return _EPOCH + seconds * _SECOND

    def string(self, field: str) -> bytes:
        """The octets of the next string."""
        return self.take(self.uint32(field), field)

    def text(self, field: str) -> str:
        """The next string, which is UTF-8 without NUL: OpenSSH reads it as a C string."""
        octets = self.string(field)
        if b"\0" in octets:
            raise self.fault(field, "must not contain NUL")
        try:
            return octets.decode()
        except UnicodeDecodeError as error:
            raise self.fault(field, "must be UTF-8") from error

    def mpint(self, field: str) -> int:
        """The next number, which is not negative and in as few octets as can be."""
        octets = self.string(field)
        if octets[:1] >= b"\x80":
            raise self.fault(field, "must not be negative")
        if octets[:1] == b"\0" and octets[1:2] < b"\x80":
            raise self.fault(field, "must be in as few octets as hold it (RFC 4251 §5)")
        return int.from_bytes(octets, "big")

    def nested(self, field: str) -> "Reader":
        """A reader of what the next string holds."""
        return Reader(self.string(field), f"{self._place}: {field}")

    def end(self) -> None:
        """Nothing is left."""
        if not self.at_end:
            raise MalformedSSH(self._place, f"{len(self._data) - self._position} octets too many at its end")

    def fault(self, field: str, rule: str) -> MalformedSSH:
        """The error for ``field``, which breaks ``rule``."""
        return MalformedSSH(f"{self._place}: {field}", rule)
