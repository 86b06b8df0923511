"""The provider's keys as they were when they were last asked for.

They are asked for again when they are due, and when a token names a key that is not among them, which is how a
rotation shows. Whoever sends tokens with invented key ids causes one request in ``INTERVAL``, and no more. While the
provider cannot be reached, the old keys serve on, for a time.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from mica import Answer, Unavailable
from mica_oidc.keyset import KeySet, ProviderKey

#: Between two requests for the keys.
INTERVAL = timedelta(seconds=30)
#: How long keys are fresh: as the provider says within these bounds, and this long where it says nothing.
SHORTEST, LONGEST, USUAL = timedelta(minutes=1), timedelta(hours=24), timedelta(hours=12)
#: How long keys serve after they were due, while the provider cannot be reached.
PATIENCE = timedelta(hours=24)

_MAX_AGE = re.compile(r"(?:^|[,\s])max-age\s*=\s*\"?([0-9]{1,10})", re.IGNORECASE)
_log = logging.getLogger("mica.oidc")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    keys: KeySet
    due: datetime


class KeyCache:
    """Finds keys by their id, and asks the provider as seldom as that allows."""

    def __init__(
        self, fetch: Callable[[], Awaitable[Answer]], now: Callable[[], datetime], random: Callable[[int], bytes]
    ) -> None:
        self._fetch = fetch
        self._now = now
        self._random = random
        self._held: _Held | None = None
        self._asked_at: datetime | None = None
        self._flight: asyncio.Task[None] | None = None
        self._is_away = False  # whether the last request for the keys was in vain

    async def load(self) -> None:
        """The keys are fresh, asked for just now; raises Unavailable."""
        self._asked_at = self._now()
        answer = await self._fetch()
        try:
            keys = KeySet.parse(answer.json())
        except ValueError as error:
            raise Unavailable(f"{answer.url}: {error}") from error
        self._held = _Held(keys=keys, due=self._now() + self._lifetime(answer.headers))

    async def find(self, kid: str) -> tuple[ProviderKey, ...]:
        """The keys of that id, none when the provider has none.

        Raises Unavailable when that cannot be known: its keys are too old, or there may be new ones by now.
        """
        if self._held is None or self._held.due <= self._now():
            await self._refresh()
        if found := self._current().named(kid):
            return found
        await self._refresh()
        found = self._current().named(kid)
        if not found and self._is_away:
            raise Unavailable("the token names a key that is not known yet, and the provider has not given its keys")
        return found

    async def aclose(self) -> None:
        """Nothing is asked for any more."""
        if self._flight is not None:
            self._flight.cancel()
            await asyncio.gather(self._flight, return_exceptions=True)

    def _current(self) -> KeySet:
        """The keys, unless they have been due for too long; raises Unavailable."""
        if self._held is None or self._held.due + PATIENCE <= self._now():
            raise Unavailable("the provider's keys are too old, and it has not given new ones")
        return self._held.keys

    async def _refresh(self) -> None:
        """The keys have been asked for, if that has not just been done: by one request, for all who wait."""
        if self._flight is None:
            now = self._now()
            # A clock that was set back must not keep rotated keys in use.
            if self._asked_at is not None and timedelta() <= now - self._asked_at < INTERVAL:
                return
            self._flight = asyncio.create_task(self._load_if_possible())
            self._flight.add_done_callback(self._land)
        # Who waits may give up; the request goes on for the others.
        await asyncio.shield(self._flight)

    async def _load_if_possible(self) -> None:
        try:
            await self.load()
            self._is_away = False
        except Unavailable as error:
            self._is_away = True
            _log.warning("the provider's keys could not be refreshed: %s", error)

    def _land(self, flight: "asyncio.Task[None]") -> None:
        self._flight = None

    def _lifetime(self, headers: Mapping[str, str]) -> timedelta:
        """How long the answer is fresh (RFC 9111 §4.2), less some, so that not every worker asks at once."""
        lifetime = min(max(freshness(headers), SHORTEST), LONGEST)
        share = int.from_bytes(self._random(4), "big") / 2**32
        return lifetime - min(timedelta(hours=1), lifetime / 3) * share


def freshness(headers: Mapping[str, str]) -> timedelta:
    """What Cache-Control and Age leave of an answer's life (RFC 9111 §4.2.1, §5.1); ``USUAL`` without."""
    control = headers.get("cache-control", "")
    age = headers.get("age", "").partition(",")[0].strip()  # RFC 9111 §5.1: of several, the first
    if re.search(r"\bno-(?:store|cache)\b", control, re.IGNORECASE):
        return timedelta()
    found = _MAX_AGE.search(control)
    if found is None:
        return USUAL
    spent = int(age) if re.fullmatch(r"[0-9]{1,10}", age) else 0
    return timedelta(seconds=max(int(found[1]) - spent, 0))
