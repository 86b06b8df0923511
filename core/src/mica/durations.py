"""Durations as Go writes them (``1h30m``, ``500ms``), with days and weeks besides; and times as RFC 3339 has them."""

import re
from datetime import UTC, datetime, timedelta

from mica.errors import MalformedRequest

# In nanoseconds, so that fractions stay exact.
_UNITS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
    "d": 86_400_000_000_000,
    "w": 604_800_000_000_000,
}
_PART = r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h|d|w)"
_DURATION = re.compile(rf"([+-]?)((?:{_PART})+)", re.ASCII)
#: What ``parse_duration`` takes, as a regular expression of any dialect; at most 64 characters.
PATTERN = r"^([+-]?(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h|d|w))+|0)$"
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_MAX_LENGTH = 64


def parse_duration(text: str) -> timedelta:
    """The duration in ``text``: numbers with units ns us ms s m h d w, or ``0``; raises MalformedRequest."""
    if text == "0":
        return timedelta()
    match = _DURATION.fullmatch(text) if len(text) <= _MAX_LENGTH else None
    if match is None:
        raise MalformedRequest(f"{text[:_MAX_LENGTH]!r} is not a duration such as 24h, 1h30m or 7d")
    from fractions import Fraction  # slow to import, with decimal behind it

    nanoseconds = sum(Fraction(number) * _UNITS[unit] for number, unit in re.findall(_PART, match[2]))
    try:
        duration = timedelta(microseconds=round(nanoseconds / 1000))
    except OverflowError as error:
        raise MalformedRequest(f"{text!r} is too long a duration") from error
    return -duration if match[1] == "-" else duration


def parse_time(text: str) -> datetime:
    """The moment in ``text`` (RFC 3339 §5.6), in UTC; raises MalformedRequest."""
    if len(text) <= _MAX_LENGTH and _TIME.fullmatch(text):
        try:
            return datetime.fromisoformat(text.upper()).astimezone(UTC)
        except (ValueError, OverflowError):
            pass
    raise MalformedRequest(f"{text[:_MAX_LENGTH]!r} is neither an RFC 3339 time nor a duration such as 24h")


def parse_time_or_duration(text: str) -> datetime | timedelta:
    """Either; raises MalformedRequest."""
    return parse_duration(text) if text == "0" or _DURATION.fullmatch(text[:_MAX_LENGTH]) else parse_time(text)


def format_go(duration: timedelta) -> str:
    """As Go prints a duration: ``24h0m0s``, ``5m0s``, ``1.5s``, ``500ms``, ``0s``."""
    sign = "-" if duration < timedelta() else ""
    microseconds = abs(duration) // timedelta(microseconds=1)
    if microseconds == 0:
        return "0s"
    if microseconds < 1000:
        return f"{sign}{microseconds}µs"
    if microseconds < 1_000_000:
        return f"{sign}{_decimal(microseconds, 1000)}ms"
    minutes, rest = divmod(microseconds, 60_000_000)
    hours, minutes = divmod(minutes, 60)
    text = f"{_decimal(rest, 1_000_000)}s"
    if hours or minutes:
        text = f"{minutes}m{text}"
    if hours:
        text = f"{hours}h{text}"
    return sign + text


def _decimal(value: int, unit: int) -> str:
    whole, fraction = divmod(value, unit)
    digits = str(fraction).zfill(len(str(unit)) - 1).rstrip("0") if fraction else ""
    return f"{whole}.{digits}" if digits else str(whole)
