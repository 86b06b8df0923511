"""The time. An authority and its plugins ask the clock that they were given; this is the one that is given."""

from datetime import UTC, datetime


def system_clock() -> datetime:
    """The current time, aware, in UTC: the one place in the program that asks the system."""
    return datetime.now(UTC)
