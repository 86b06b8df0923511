"""Times as openssl writes them."""

from datetime import datetime


def date(moment: datetime) -> str:
    """``moment`` as ``Mar 14 09:25:53 2031 UTC``."""
    return f"{moment:%b} {moment.day} {moment:%H:%M:%S} {moment.year} UTC"
