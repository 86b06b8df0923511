"""When a certificate is to be renewed, and how long to wait after a failure. Values in, values out: no clock, no dice.

Each ``draw`` is a number from 0 up to 1, at random where that matters: many machines that were set up together must not
come to the CA together.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

#: Of a lifetime, or of what is left of it: the largest random advance, and the least time between two renewals.
TWENTIETH = 1 / 20
_AT_ONCE = timedelta()
_LEAST = timedelta(seconds=1)
_SHORTEST_WAIT = timedelta(milliseconds=100)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifetime:
    """From a certificate's first moment to its last."""

    start: datetime
    end: datetime

    @property
    def length(self) -> timedelta:
        """How long that is."""
        return self.end - self.start


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """A certificate is due when ``left`` remains of its lifetime; without it, when the share ``elapsed`` has passed."""

    left: timedelta | None = None
    elapsed: float = 2 / 3

    def remaining(self, lifetime: Lifetime) -> timedelta:
        """How much of ``lifetime`` is left when it is due."""
        return lifetime.length * (1 - self.elapsed) if self.left is None else self.left


@dataclass(frozen=True, slots=True, kw_only=True)
class Every:
    """A certificate is due a ``period`` after it was seen first, whatever its lifetime."""

    period: timedelta


Rule = Threshold | Every

#: At two thirds of the lifetime: half of what is then left can go by without the CA.
USUAL = Threshold()


def due(lifetime: Lifetime, rule: Rule, *, now: datetime, draw: float, fresh: bool = False) -> datetime:
    """When to renew a certificate that is looked at ``now``; ``now`` itself when that moment has passed.

    By a threshold, up to a twentieth of the lifetime earlier, but not before ``now``. A certificate that the CA made
    just now (``fresh``) is kept for a twentieth of what is left of it: it may have been born beyond the threshold,
    by a long backdate or near the end of its issuer, and the CA must not be asked without pause.
    """
    if isinstance(rule, Every):
        if lifetime.end - now > rule.period:
            return max(now + rule.period, lifetime.start)
        moment = due(lifetime, USUAL, now=now, draw=draw) if fresh else now
    else:
        moment = _early(lifetime, lifetime.end - rule.remaining(lifetime), now, draw)
    if fresh:
        moment = max(moment, now + max((lifetime.end - now) * TWENTIETH, _LEAST))
    return max(moment, lifetime.start, now)


def is_due(lifetime: Lifetime, threshold: Threshold, *, now: datetime, draw: float) -> bool:
    """Whether a certificate is due ``now``, by a threshold that is up to a twentieth wider than it says."""
    remaining = threshold.remaining(lifetime)
    return lifetime.end - now <= remaining + remaining * TWENTIETH * draw


def _early(lifetime: Lifetime, moment: datetime, now: datetime, draw: float) -> datetime:
    slack = min(lifetime.length * TWENTIETH, max(moment - now, _AT_ONCE))
    return moment - slack * draw


@dataclass(frozen=True, slots=True, kw_only=True)
class BackOff:
    """How long to wait after failures: ``first``, then twice as long each time, and never more than ``ceiling``."""

    ceiling: timedelta = timedelta(minutes=5)
    first: timedelta = timedelta(seconds=1)

    def delay(self, failures: int, *, left: timedelta, draw: float) -> timedelta:
        """The wait after so many failures in a row (at least one), half of it at random.

        While something is ``left`` of the certificate, at most half of that: it does not expire between two tries.
        """
        doubled = self.first * (1 << min(failures - 1, 30))
        wait = min(doubled, self.ceiling) * (0.5 + draw / 2)
        return min(wait, max(left / 2, _SHORTEST_WAIT)) if left > _AT_ONCE else wait
