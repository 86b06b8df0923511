"""For how long the parts of the service wait for one another."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Seconds. Tests shorten them; nothing else changes them."""

    start: float = 60.0
    """A new worker must be ready by then."""
    stall: float = 10.0
    """An event loop that stands still for longer is ended."""
    drain: int = 60
    """Requests in flight may take so long to finish when a worker is asked to stop."""
    first_delay: float = 0.5
    """Before a failed worker is replaced; doubled with each failure in a row …"""
    longest_delay: float = 30.0
    """… up to this."""
    healthy: float = 60.0
    """A worker that lived longer had not failed to start."""
    prune: float = 600.0
    """Between two removals of spent tokens that no longer matter."""
