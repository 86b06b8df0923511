"""Times and durations as texts."""

from datetime import datetime, timedelta


def rfc3339(moment: datetime) -> str:
    """``moment`` as ``2031-03-14T09:25:53Z``; one that is not in UTC with its offset (RFC 3339 §5.6)."""
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def span(duration: timedelta) -> str:
    """The two largest units of ``duration``: ``3d 2h``, ``5h 12m``, ``40s``."""
    minutes, seconds = divmod(int(duration.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d {hours}h"
    return f"{hours}h {minutes}m" if hours else f"{minutes}m {seconds}s" if minutes else f"{seconds}s"
