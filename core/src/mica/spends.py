"""Tokens on their way to being spent: of several requests with one token, one goes on while the others are refused."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType

from mica.clock import system_clock
from mica.errors import TokenReused, Undecided
from mica.grants import Grant, OneTime
from mica.records import SpentToken
from mica.roles import Store


@dataclass(slots=True)
class InFlight:
    """The one-time tokens that a request of this process holds.

    The store decides who wins; this spares the losers' signatures, and gives a refused request's token back.
    """

    store: Store
    now: Callable[[], datetime] = system_clock
    held: set[tuple[str, str]] = field(default_factory=set)
    undecided: dict[tuple[str, str], datetime] = field(default_factory=dict)
    """Until when those are held, as well, of which the store has not said whether they are spent."""

    def hold(self, grant: Grant) -> "Hold":
        """An asynchronous context in which nobody else here holds the grant's token, which has not been spent.

        It gives what the commit must spend; entering raises TokenReused.
        """
        if self.undecided:
            now = self.now()
            self.undecided = {key: until for key, until in self.undecided.items() if until > now}
        return Hold(self, grant)


class Hold:
    """One request's hold on its token, if it has a one-time token."""

    __slots__ = ("_in_flight", "_key", "_token")

    def __init__(self, in_flight: InFlight, grant: Grant) -> None:
        self._in_flight = in_flight
        self._key: tuple[str, str] | None = None
        spend = grant.spend
        self._token = (
            SpentToken(provisioner=grant.provisioner.name, id=spend.id, until=spend.until)
            if isinstance(spend, OneTime)
            else None
        )

    async def __aenter__(self) -> tuple[SpentToken, ...]:
        token, held = self._token, self._in_flight.held
        if token is None:
            return ()
        key = (token.provisioner, token.id)
        if key in held:
            raise TokenReused("another request holds this token")
        if key in self._in_flight.undecided:
            raise TokenReused("the store has not said whether this token has been used")
        held.add(key)
        try:
            if await self._in_flight.store.is_spent(token):
                raise TokenReused("this token has been used")
        except BaseException:
            held.discard(key)
            raise
        self._key = key
        return (token,)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._key is not None and self._token is not None:
            self._in_flight.held.discard(self._key)
            if isinstance(error, Undecided):
                self._in_flight.undecided[self._key] = self._token.until
