"""How often somebody may be wrong: a CA must be no oracle for passwords, nor lock accounts out at the directory."""

from datetime import datetime, timedelta

from mica import Unauthorized

#: Names that are remembered at most: anybody can make them up.
MOST_NAMES = 10_000


class Guesses:
    """Counts the attempts of each user that have not succeeded, known to the directory or not."""

    def __init__(self, most: int, window: timedelta) -> None:
        self._most = most
        self._window = window
        self._attempts: dict[str, tuple[datetime, ...]] = {}

    def begin(self, user: str, now: datetime) -> None:
        """This attempt counts, whatever becomes of it; raises Unauthorized when there were too many of late."""
        recent = tuple(moment for moment in self._attempts.get(user, ()) if moment > now - self._window)
        if len(recent) >= self._most:
            raise Unauthorized(f"{len(recent)} logins of {user} have failed within {self._window}")
        if user not in self._attempts and len(self._attempts) >= MOST_NAMES:
            # The oldest of those with the fewest: whom somebody is guessing at is kept.
            del self._attempts[min(self._attempts, key=lambda name: len(self._attempts[name]))]
        self._attempts[user] = (*recent, now)

    def forgive(self, user: str) -> None:
        """The last attempt does not count: the directory never heard of it."""
        self._attempts[user] = self._attempts.get(user, ())[:-1]

    def clear(self, user: str) -> None:
        """None counts any more: it was the user."""
        self._attempts.pop(user, None)
